//! SASL on the stream: what is offered, what fails and how, who comes in.

use xmpp_core::sasl::{Credentials, Mechanism, ScramHash, TlsInfo};

use crate::driver::*;

const MECHANISMS: &str = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
    <mechanism>PLAIN</mechanism></mechanisms></stream:features>";

fn auth(mechanism: &str, data: &str) -> String {
    format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{mechanism}'>{data}</auth>")
}

fn plain(message: &str) -> String {
    use base64::Engine;
    auth("PLAIN", &base64::engine::general_purpose::STANDARD.encode(message))
}

fn response(data: &str) -> String {
    format!("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{data}</response>")
}

/// Behind the features of a stream that offers PLAIN.
fn offered(setup: &Setup, lines: &[Line]) -> Server {
    let features = format!("{HEADER}{MECHANISMS}");
    let mut all = vec![C(CLIENT_HEADER), S(&features)];
    all.extend(lines.iter().map(|line| match line {
        C(text) => C(text),
        S(text) => S(text),
    }));
    play(setup, &all)
}

#[test]
fn a_login_from_the_first_byte_to_the_last() {
    let server = with_romeo(
        &Setup::open(),
        &[
            C("<iq type='set' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
               <resource>orchard</resource></bind></iq>"),
            S("<iq id='b1' type='result'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
               <jid>romeo@localhost/orchard</jid></bind></iq>"),
        ],
    );
    let established = server.established.expect("established");
    assert_eq!(established.jid.as_str(), "romeo@localhost/orchard");
    assert_eq!((established.mechanism, established.resumed), (Mechanism::Plain, false));
    assert_eq!(server.facts, ["secret of romeo@localhost for PLAIN", "check", "romeo@localhost by PLAIN"]);
    assert_eq!(server.ids.len(), 2);
}

#[test]
fn a_whole_login_in_one_segment() {
    let bind = "<iq type='set' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
    let all = format!("{CLIENT_HEADER}{ROMEO}{CLIENT_HEADER}{bind}<presence/><r xmlns='urn:xmpp:sm:3'/>");
    let mut server = Server::new(&Setup::open());
    server.feed(all.as_bytes());
    let said = server.said();
    let jid = server.established.as_ref().expect("established").jid.clone();
    let bound = format!(
        "<iq id='b1' type='result'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>{jid}</jid></bind></iq>"
    );
    assert_eq!(said, format!("{HEADER}{MECHANISMS}{SUCCESS}{HEADER}{FEATURES}{bound}"));
    assert_eq!(server.rest(), "<presence/><r xmlns='urn:xmpp:sm:3'/>", "the session's to read");
    assert_eq!(jid.resource().map(str::len), Some(16));
}

#[test]
fn mistakes_have_their_names() {
    let fails = |element: &str, condition: &str, fact: &str| {
        let server = offered(&Setup::open(), &[C(element), S(&failure(condition))]);
        assert_eq!(server.facts.last().map(String::as_str), Some(fact), "{element}");
        assert!(!server.closed);
    };
    let nobody = |text: &str| format!("nobody: {text}");
    fails(&auth("DIGEST-MD5", ""), "invalid-mechanism", &nobody("invalid mechanism"));
    fails(&auth("SCRAM-SHA-1", "biws"), "invalid-mechanism", &nobody("invalid mechanism"));
    fails(
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
        "invalid-mechanism",
        &nobody("invalid mechanism"),
    );
    for bad in ["=AAA", "A", "AAA", "AAAA ", "AA\nAA", "A=AA", "AAB=", "é"] {
        fails(&auth("PLAIN", bad), "incorrect-encoding", &nobody("bad encoding"));
    }
    fails(&auth("PLAIN", "="), "malformed-request", &nobody("malformed"));
    fails(&plain("romeo"), "malformed-request", &nobody("malformed"));
    fails(&response("AAAA"), "malformed-request", &nobody("malformed"));
    fails("<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>", "aborted", &nobody("aborted"));
    fails(&plain("\0romeo\0wrong"), "not-authorized", "romeo@localhost: wrong password");
    fails(&plain("\0romeo\0\u{7}"), "not-authorized", "romeo@localhost: wrong password");
    fails(&plain("\0nobody\0pencil"), "not-authorized", "nobody@localhost: unknown account");
    fails(&plain("\0romeo@localhost\0pencil"), "not-authorized", &nobody("bad username"));
    fails(&plain("\0a b\0pencil"), "not-authorized", &nobody("bad username"));
    for authzid in ["juliet@localhost", "romeo@elsewhere", "romeo@localhost/x", "localhost", "romeo", "@"] {
        let message = format!("{authzid}\0romeo\0pencil");
        fails(&plain(&message), "invalid-authzid", "romeo@localhost: invalid authorization identity");
    }
}

#[test]
fn one_may_say_who_one_is() {
    let server = offered(&Setup::open(), &[C(&plain("Romeo@LOCALHOST\0ROMEO\0pencil")), S(SUCCESS)]);
    assert_eq!(server.facts.last().map(String::as_str), Some("romeo@localhost by PLAIN"));
}

#[test]
fn the_initial_response_may_come_later() {
    offered(
        &Setup::open(),
        &[
            C(&auth("PLAIN", "")),
            S("<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"),
            C(&response("AHJvbWVvAHBlbmNpbA==")),
            S(SUCCESS),
        ],
    );
    offered(
        &Setup::open(),
        &[
            C(&auth("PLAIN", "")),
            S("<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"),
            C("<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"),
            S(&failure("aborted")),
            C(ROMEO),
            S(SUCCESS),
        ],
    );
}

/// RFC 6120 section 6.4.2: the exchange so far is discarded.
#[test]
fn another_auth_replaces_the_first() {
    offered(
        &Setup::open(),
        &[
            C(&auth("PLAIN", "")),
            S("<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"),
            C(ROMEO),
            S(SUCCESS),
        ],
    );
}

#[test]
fn five_logins_may_fail() {
    let wrong = plain("\0romeo\0wrong");
    let not_authorized = failure("not-authorized");
    let mut lines = Vec::new();
    for _ in 0..4 {
        lines.extend([C(&wrong), S(&not_authorized)]);
    }
    lines.extend([C(ROMEO), S(SUCCESS)]);
    offered(&Setup::open(), &lines);

    let last = format!(
        "{not_authorized}<stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
         <text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>too many failed logins</text>\
         </stream:error></stream:stream>"
    );
    lines.truncate(8);
    lines.extend([C(&wrong), S(&last), C(ROMEO)]);
    let server = offered(&Setup::open(), &lines);
    assert!(server.closed);
}

#[test]
fn aborting_again_and_again_ends_too() {
    let mut server = Server::new(&Setup::open());
    server.feed(CLIENT_HEADER.as_bytes());
    for _ in 0..5 {
        assert!(!server.closed);
        server.feed(auth("PLAIN", "").as_bytes());
    }
    server.feed(auth("PLAIN", "").as_bytes());
    assert!(server.closed);
}

/// Behaviour 23: the same answers, and the same work, as for a wrong password.
#[test]
fn an_unknown_account_works_as_hard_as_a_known_one() {
    let known = offered(&Setup::open(), &[C(&plain("\0romeo\0wrong")), S(&failure("not-authorized"))]);
    let unknown = offered(&Setup::open(), &[C(&plain("\0nobody\0wrong")), S(&failure("not-authorized"))]);
    assert_eq!(known.facts.len(), unknown.facts.len());
    assert_eq!(unknown.facts[1], "check");
}

#[test]
fn that_an_account_is_disabled_is_told_to_its_owner_alone() {
    let setup = Setup { disabled: vec!["romeo@localhost"], ..Setup::open() };
    let server = offered(
        &setup,
        &[
            C(&plain("\0romeo\0wrong")),
            S(&failure("not-authorized")),
            C(ROMEO),
            S(&failure("account-disabled")),
        ],
    );
    assert_eq!(server.facts.last().map(String::as_str), Some("romeo@localhost: account disabled"));
}

#[test]
fn a_store_that_is_away_is_nobodys_fault() {
    let setup = Setup { unavailable: true, ..Setup::open() };
    let temporary = failure("temporary-auth-failure");
    let mut lines = Vec::new();
    for _ in 0..8 {
        lines.extend([C(ROMEO), S(&temporary)]);
    }
    assert!(!offered(&setup, &lines).closed);
}

#[test]
fn a_domain_that_only_verifies_offers_plain() {
    let header = CLIENT_HEADER.replace("localhost", "tokens.example");
    let features = format!("{HEADER}{MECHANISMS}").replace("localhost", "tokens.example");
    let setup = Setup { tls: Some(tls_1_3()), ..Setup::usual() };
    let server = play(
        &setup,
        &[
            C(&header),
            S(&features),
            C(&plain("\0anybody\0wrong")),
            S(&failure("not-authorized")),
            C(&auth("SCRAM-SHA-1", "biws")),
            S(&failure("invalid-mechanism")),
            C(&plain("\0anybody\0old token")),
            S(&failure("credentials-expired")),
            C(&plain("\0anybody\0timeout")),
            S(&failure("temporary-auth-failure")),
            C(&plain("\0anybody\0token")),
            S(SUCCESS),
        ],
    );
    assert_eq!(
        server.facts,
        [
            "verify anybody@tokens.example",
            "anybody@tokens.example: wrong password",
            "nobody: invalid mechanism",
            "verify anybody@tokens.example",
            "anybody@tokens.example: credentials expired",
            "verify anybody@tokens.example",
            "anybody@tokens.example: credentials unavailable",
            "verify anybody@tokens.example",
            "anybody@tokens.example by PLAIN"
        ]
    );
}

#[test]
fn tls_1_2_binds_nothing() {
    let tls = TlsInfo { version_1_3: false, ..tls_1_3() };
    let setup = Setup {
        tls: Some(tls),
        mechanisms: Mechanism::ALL.to_vec(),
        credentials: Credentials::Secrets(vec![ScramHash::Sha256]),
        ..Setup::open()
    };
    let features = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
        <mechanism>SCRAM-SHA-256</mechanism><mechanism>PLAIN</mechanism></mechanisms></stream:features>";
    play(&setup, &[C(CLIENT_HEADER), S(&format!("{HEADER}{features}"))]);
}

/// RFC 6120 section 6.4.6: over TLS, who one says one is in the header is who one must be.
#[test]
fn the_header_names_the_one_who_logs_in() {
    let header = CLIENT_HEADER.replace(" to=", " from='juliet@localhost' to=");
    let features = format!("{HEADER}{MECHANISMS}").replace(" version", " to='juliet@localhost' version");
    let features = features.replacen(" to='juliet@localhost' version", " version", 1);
    let clear = Setup::open();
    play(&clear, &[C(&header), S(&features), C(ROMEO), S(SUCCESS)]);
    let tls = Setup { tls: Some(tls_1_3()), ..Setup::open() };
    play(&tls, &[C(&header), S(&features), C(ROMEO), S(&failure("invalid-authzid"))]);
}

#[test]
fn before_a_login_hardly_anything_is_answered() {
    let ends = |text: &str, condition: &str| {
        let server = offered(&Setup::open(), &[C(text), S(&stream_error(condition))]);
        assert!(server.closed);
    };
    ends("<message to='romeo@localhost'><body>hi</body></message>", "not-authorized");
    ends("<presence/>", "not-authorized");
    ends("<iq type='get' id='1'><query xmlns='jabber:iq:auth'/></iq>", "not-authorized");
    ends("<iq type='get' id='1' to='elsewhere'><query xmlns='jabber:iq:register'/></iq>", "not-authorized");
    ends("<iq type='result' id='1'><query xmlns='jabber:iq:register'/></iq>", "not-authorized");
    ends("<iq type='get'><query xmlns='jabber:iq:register'/></iq>", "not-authorized");
    ends("<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>", "not-authorized");
    ends("<foo xmlns='jabber:client'/>", "unsupported-stanza-type");
    ends("<compress xmlns='http://jabber.org/protocol/compress'/>", "unsupported-stanza-type");
    let enable = "<enable xmlns='urn:xmpp:sm:3'/>";
    let failed = "<failed xmlns='urn:xmpp:sm:3'>\
        <unexpected-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>";
    offered(&Setup::open(), &[C(enable), S(failed), C(ROMEO), S(SUCCESS)]);
    offered(
        &Setup::open(),
        &[
            C(&auth("PLAIN", "")),
            S("<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"),
            C("<presence/>"),
            S(&stream_error("not-authorized")),
        ],
    );
}

#[test]
fn registration_is_passed_on_where_it_is_on() {
    let request = "<iq type='get' id='r1' to='localhost'><query xmlns='jabber:iq:register'/></iq>";
    offered(
        &Setup::open(),
        &[
            C(request),
            S("<iq from='localhost' id='r1' type='error'><error type='cancel'>\
               <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"),
            C(ROMEO),
            S(SUCCESS),
        ],
    );
    let setup = Setup { registration: true, ..Setup::open() };
    let features = format!("{HEADER}{MECHANISMS}").replace(
        "</stream:features>",
        "<register xmlns='http://jabber.org/features/iq-register'/></stream:features>",
    );
    let server = play(
        &setup,
        &[
            C(CLIENT_HEADER),
            S(&features),
            C(request),
            S("<iq from='localhost' id='r1' type='result'/>"),
            C(ROMEO),
            S(SUCCESS),
        ],
    );
    assert_eq!(server.facts[0], "register at localhost");
}

#[test]
fn asides_are_bounded() {
    let mut server = Server::new(&Setup::open());
    server.feed(CLIENT_HEADER.as_bytes());
    for _ in 0..40 {
        server.feed(b"<r xmlns='urn:xmpp:sm:3'/>");
    }
    assert!(server.closed);
    assert!(server.said().contains("policy-violation"));
}
