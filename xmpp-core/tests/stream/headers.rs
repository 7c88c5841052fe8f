//! How streams begin and end: headers, errors in place of them, TLS.

use xmpp_core::StreamCondition;
use xmpp_core::stream::{Announced, StartTls};

use crate::driver::*;

const TLS_ONLY: &str = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/>\
    </starttls></stream:features>";
const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const PROCEED: &str = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

/// What a health check compares, byte for byte, but for the id.
const NO_STREAM: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' id='#' from='localhost' version='1.0'><stream:error>\
    <xml-not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>";

#[test]
fn what_cannot_begin_a_stream_is_told_so_at_once() {
    for bytes in ["\x04", "GET / HTTP/1.1\r\n", "\x16\x03\x01", "hello"] {
        let mut server = Server::new(&Setup::usual());
        server.feed(bytes.as_bytes());
        assert_eq!(server.said(), NO_STREAM, "{bytes:?}");
        assert!(server.closed);
        assert!(server.ids[0].parse::<u64>().is_ok());
    }
    let modern = Setup { rfc3920_error_name: false, ..Setup::usual() };
    play(&modern, &[C("\x04"), S(&NO_STREAM.replace("xml-not", "not"))]);
    // TLS from the first byte changes nothing.
    play(&Setup { tls: Some(tls_1_3()), ..Setup::usual() }, &[C("\x04"), S(NO_STREAM)]);
}

#[test]
fn behind_a_header_the_error_has_its_present_name() {
    let mut server = Server::new(&Setup::usual());
    server.feed(CLIENT_HEADER.as_bytes());
    server.said();
    server.feed(b"<a></b>");
    let said = server.said();
    assert!(said.starts_with("<stream:error><not-well-formed "), "{said}");
    assert!(said.ends_with("</stream:error></stream:stream>") && server.closed);

    // The header was on this connection, though not on this stream.
    let mut server = Server::new(&Setup::usual());
    server.feed(CLIENT_HEADER.as_bytes());
    server.feed(STARTTLS.as_bytes());
    server.said();
    server.feed(b"\x04");
    let said = server.said();
    assert!(said.starts_with(&format!("{HEADER}<stream:error><not-well-formed ")), "{said}");
}

#[test]
fn a_probe_without_a_word_is_closed_without_one() {
    let mut server = Server::new(&Setup::usual());
    server.with(|negotiation| negotiation.handle_eof());
    assert_eq!((server.said().as_str(), server.closed, server.facts.len()), ("", true, 0));

    let mut server = Server::new(&Setup::usual());
    server.feed(CLIENT_HEADER.as_bytes());
    server.said();
    server.with(|negotiation| negotiation.handle_eof());
    assert_eq!((server.said().as_str(), server.closed), ("</stream:stream>", true));
}

#[test]
fn the_closing_tag_is_answered() {
    let mechanisms = format!("{HEADER}{TLS_ONLY}");
    let server = play(
        &Setup::usual(),
        &[C(CLIENT_HEADER), S(&mechanisms), C("</stream:stream>"), S("</stream:stream>")],
    );
    assert!(server.closed);
    let server = with_romeo(&Setup::open(), &[C(" </stream:stream> "), S("</stream:stream>")]);
    assert!(server.closed && server.established.is_none());
}

fn header(attributes: &str) -> String {
    format!(
        "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' {attributes}>"
    )
}

#[test]
fn the_response_header_answers_the_clients() {
    let answers = |attributes: &str, from: &str, to: &str, lang: &str| {
        let expected = HEADER.replace(" from='localhost'", &format!(" from='{from}'{to}"));
        let expected = expected.replace("xml:lang='en'", &format!("xml:lang='{lang}'"));
        play(&Setup::usual(), &[C(&header(attributes)), S(&format!("{expected}{TLS_ONLY}"))]);
    };
    answers("to='localhost' version='1.0'", "localhost", "", "en");
    answers("version='1.0'", "localhost", "", "en");
    answers("to='LOCALHOST.' version='1.9' id='ignored'", "localhost", "", "en");
    answers("to='tokens.example' version='1.0'", "tokens.example", "", "en");
    answers("to='xn--bcher-kva.example' version='1.0'", "bücher.example", "", "en");
    answers("from='Romeo@localhost/x' version='1.0'", "localhost", " to='romeo@localhost'", "en");
    answers("from='@' version='1.0'", "localhost", "", "en");
    answers("version='1.0' xml:lang='en-GB'", "localhost", "", "en-GB");
    // No text of ours is in German (RFC 6120 section 4.7.4).
    answers("version='1.0' xml:lang='de'", "localhost", "", "en");
}

#[test]
fn headers_that_are_refused() {
    let refused = |text: &str, condition: &str| {
        let server = play(&Setup::usual(), &[C(text), S(&format!("{HEADER}{}", stream_error(condition)))]);
        assert!(server.closed);
    };
    refused(&header("to='elsewhere.example' version='1.0'"), "host-unknown");
    refused(&header("to='' version='1.0'"), "host-unknown");
    refused(&header("to='a b' version='1.0'"), "host-unknown");
    refused(&header("to='romeo@localhost' version='1.0'"), "host-unknown");
    refused(&header("to='localhost'"), "unsupported-version");
    refused(&header("to='localhost' version='0.9'"), "unsupported-version");
    refused(&CLIENT_HEADER.replace("etherx", "other"), "invalid-namespace");
    refused(&CLIENT_HEADER.replace("jabber:client", "jabber:server"), "invalid-namespace");
    refused("<foo/>", "invalid-namespace");
}

#[test]
fn a_restricted_feature_is_an_error_in_place_of_a_header() {
    let mut server = Server::new(&Setup::usual());
    server.feed(b"<!DOCTYPE x>");
    let said = server.said();
    assert!(said.starts_with(&format!("{HEADER}<stream:error><restricted-xml ")), "{said}");
}

#[test]
fn nothing_but_tls_is_shown_where_it_is_required() {
    let tls_only = format!("{HEADER}{TLS_ONLY}");
    let mechanisms = format!(
        "{HEADER}<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
         <mechanism>SCRAM-SHA-512-PLUS</mechanism><mechanism>SCRAM-SHA-256-PLUS</mechanism>\
         <mechanism>SCRAM-SHA-1-PLUS</mechanism><mechanism>SCRAM-SHA-512</mechanism>\
         <mechanism>SCRAM-SHA-256</mechanism><mechanism>SCRAM-SHA-1</mechanism>\
         <mechanism>PLAIN</mechanism></mechanisms><sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'>\
         <channel-binding type='tls-exporter'/><channel-binding type='tls-server-end-point'/>\
         </sasl-channel-binding><limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>262144</max-bytes>\
         <idle-seconds>300</idle-seconds></limits></stream:features>"
    );
    let setup =
        Setup { limits: Announced { max_bytes: Some(262_144), idle_seconds: Some(300) }, ..Setup::usual() };
    let encryption_required = failure("encryption-required");
    let registration = "<iq type='get' id='r1'><query xmlns='jabber:iq:register'/></iq>";
    let server = play(
        &setup,
        &[
            C(CLIENT_HEADER),
            S(&tls_only),
            C(ROMEO),
            S(&encryption_required),
            C(registration),
            S("<iq from='localhost' id='r1' type='error'><error type='modify'>\
               <policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
               <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>TLS is required.</text></error></iq>"),
            C(STARTTLS),
            S(PROCEED),
            C(CLIENT_HEADER),
            S(&mechanisms),
        ],
    );
    assert_eq!(server.facts, Vec::<String>::new());
    assert_eq!(server.ids.len(), 2);
}

#[test]
fn optional_tls_stands_beside_the_mechanisms() {
    let setup = Setup { start_tls: StartTls::Optional, ..Setup::usual() };
    let clear = format!(
        "{HEADER}<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\
         <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-512</mechanism>\
         <mechanism>SCRAM-SHA-256</mechanism><mechanism>SCRAM-SHA-1</mechanism></mechanisms></stream:features>"
    );
    let encryption_required = failure("encryption-required");
    let server = play(
        &setup,
        &[C(CLIENT_HEADER), S(&clear), C(ROMEO), S(&encryption_required), C(STARTTLS), S(PROCEED)],
    );
    assert_eq!(server.facts, ["nobody: encryption required"]);
}

#[test]
fn tls_on_tls_ends_the_stream() {
    let setup = Setup { tls: Some(tls_1_3()), start_tls: StartTls::Optional, ..Setup::usual() };
    let mut server = Server::new(&setup);
    server.feed(CLIENT_HEADER.as_bytes());
    assert!(!server.said().contains("starttls"));
    server.feed(STARTTLS.as_bytes());
    assert_eq!(server.said(), "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>");
    assert!(server.closed);
}

#[test]
fn nothing_is_carried_from_the_clear_into_tls() {
    let injected = format!("{STARTTLS}{CLIENT_HEADER}{ROMEO}");
    let mut server = Server::new(&Setup::usual());
    server.feed(CLIENT_HEADER.as_bytes());
    server.said();
    server.feed(injected.as_bytes());
    let said = server.said();
    assert!(said.starts_with("<stream:error><policy-violation "), "{said}");
    assert!(server.closed && server.facts.is_empty());
    assert_eq!(server.rest(), "");

    let mut server = Server::new(&Setup::usual());
    server.feed(CLIENT_HEADER.as_bytes());
    server.said();
    server.feed(format!("{STARTTLS} \n").as_bytes());
    assert_eq!(server.said(), PROCEED, "white space says nothing");
}

#[test]
fn the_server_ends_streams_in_every_state() {
    let stages = ["", CLIENT_HEADER, ROMEO, CLIENT_HEADER];
    for stage in 0..=stages.len() {
        let run = || {
            let mut server = Server::new(&Setup::open());
            stages.iter().take(stage).for_each(|text| server.feed(text.as_bytes()));
            server.said();
            server
        };
        let header = if matches!(stage, 0 | 1 | 3) { HEADER } else { "" };
        let mut server = run();
        server.with(|negotiation| negotiation.handle_timeout());
        assert_eq!(server.said(), format!("{header}{}", stream_error("connection-timeout")));
        let mut server = run();
        server.with(|negotiation| negotiation.handle_shutdown());
        assert_eq!(server.said(), format!("{header}{}", stream_error("system-shutdown")));
        assert!(server.closed);
        server.with(|negotiation| negotiation.handle_error(StreamCondition::Reset.into()));
        assert_eq!(server.said(), "", "the first end counts");
    }
}
