//! The authenticated stream: its header, binding, resumption, and what comes too early.

use xmpp_core::{Condition, StanzaError};

use crate::driver::*;

fn bind(id: &str, resource: &str) -> String {
    format!("<iq type='set' id='{id}'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>{resource}</bind></iq>")
}

fn refusal(id: &str, type_: &str, condition: &str) -> String {
    format!(
        "<iq id='{id}' type='error'><error type='{type_}'>\
         <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
    )
}

#[test]
fn the_server_makes_up_what_the_client_leaves_open() {
    for nothing in ["", "<resource/>", "<resource></resource>"] {
        let mut server = with_romeo(&Setup::open(), &[]);
        server.feed(bind("1", nothing).as_bytes());
        let said = server.said();
        let jid = server.established.expect("established").jid;
        assert!(said.contains(&format!("<jid>{jid}</jid>")), "{said}");
        assert_eq!(jid.bare_str(), "romeo@localhost");
    }
}

#[test]
fn a_resource_that_is_none_may_be_replaced_by_one() {
    let long = format!("<resource>{}</resource>", "x".repeat(1024));
    let longest = format!("<resource>{}</resource>", "x".repeat(1023));
    let bad = refusal("1", "modify", "bad-request");
    let bound = "<iq id='3' type='result'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
        <jid>romeo@localhost/orchard</jid></bind></iq>";
    let server = with_romeo(
        &Setup::open(),
        &[
            C(&bind("1", &long)),
            S(&bad),
            C(&bind("1", "<resource>a&#x9;b</resource>")),
            S(&bad),
            C(&bind("3", "<resource>orchard</resource>")),
            S(bound),
        ],
    );
    assert!(server.established.is_some());
    let setup = Setup { bind_error: Some(StanzaError::conflict()), ..Setup::open() };
    with_romeo(&setup, &[C(&bind("1", &longest)), S(&refusal("1", "cancel", "conflict"))]);
}

#[test]
fn ten_binds_may_be_refused() {
    let setup = Setup { bind_error: Some(StanzaError::resource_constraint_wait()), ..Setup::open() };
    let mut server = with_romeo(&setup, &[]);
    let request = bind("1", "<resource>orchard</resource>");
    for _ in 0..9 {
        server.feed(request.as_bytes());
        assert_eq!(server.said(), refusal("1", "wait", "resource-constraint"));
    }
    server.feed(request.as_bytes());
    assert!(server.closed && server.said().contains("<policy-violation "));
}

#[test]
fn the_header_behind_a_login_is_the_accounts() {
    let second = |header: &str, said: &str| {
        let mut server = Server::new(&Setup::open());
        server.feed(CLIENT_HEADER.as_bytes());
        server.feed(ROMEO.as_bytes());
        server.said();
        server.feed_by_byte(header.as_bytes());
        assert_eq!(server.said(), said, "{header}");
        server
    };
    let with = |attributes: &str| CLIENT_HEADER.replace(" to='localhost'", attributes);
    let to_romeo = HEADER.replace(" version='1.0' ", " to='romeo@localhost' version='1.0' ");
    let features = format!("{HEADER}{FEATURES}");
    second(&with(""), &features);
    let mut server =
        second(&with(" from='ROMEO@localhost/x' xml:lang='de'"), &format!("{to_romeo}{FEATURES}"));
    server.feed(bind("1", "").as_bytes());
    assert_eq!(server.established.expect("established").lang.as_deref(), Some("de"));

    let to_juliet = to_romeo.replace("romeo", "juliet");
    second(&with(" from='juliet@localhost'"), &format!("{to_juliet}{}", stream_error("invalid-from")));
    second(&with(" from='@'"), &format!("{HEADER}{}", stream_error("invalid-from")));
    second(&with(" to='elsewhere'"), &format!("{HEADER}{}", stream_error("host-unknown")));
    let mut server = Server::new(&Setup::open());
    server.feed(format!("{CLIENT_HEADER}{ROMEO}").as_bytes());
    server.feed(with(" to='tokens.example'").as_bytes());
    assert!(server.closed && server.said().contains("<not-authorized "), "another domain's stream");
}

#[test]
fn before_binding_only_the_server_and_the_account_can_be_spoken_to() {
    let unexpected = |id: &str, from: &str, kind: &str| {
        format!(
            "<{kind}{from} id='{id}' type='error'><error type='wait'>\
             <unexpected-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></{kind}>"
        )
    };
    with_romeo(
        &Setup::open(),
        &[
            C("<iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>"),
            S(&unexpected("1", "", "iq")),
            C(
                "<iq type='set' id='2' to='localhost'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>",
            ),
            S(&unexpected("2", " from='localhost'", "iq")),
            C("<message id='3' to='romeo@localhost' from='juliet@localhost'/>"),
            S(&unexpected("3", " from='romeo@localhost'", "message")),
            C("<iq type='result' id='4'/>"),
            C("<iq type='get' id='5'/>"),
            S(&refusal("5", "modify", "bad-request")),
        ],
    );
    for stanza in [
        "<message to='juliet@localhost'><body>hi</body></message>",
        "<message to='romeo@localhost/orchard'/>",
        "<iq type='get' id='1' to='juliet@localhost'><ping xmlns='urn:xmpp:ping'/></iq>",
        "<iq type='set' id='1' to='juliet@localhost'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
        "<presence/>",
    ] {
        let server = with_romeo(&Setup::open(), &[C(stanza), S(&stream_error("not-authorized"))]);
        assert!(server.closed, "{stanza}");
    }
}

#[test]
fn what_comes_too_early_or_not_at_all() {
    let failed = |condition: &str| {
        format!(
            "<failed xmlns='urn:xmpp:sm:3'><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"
        )
    };
    let server = with_romeo(
        &Setup::open(),
        &[
            C("<enable xmlns='urn:xmpp:sm:3'/>"),
            S(&failed("unexpected-request")),
            C("<r xmlns='urn:xmpp:sm:3'/>"),
            S(&failed("unexpected-request")),
            C("<resume xmlns='urn:xmpp:sm:3' h='x'/>"),
            S(&failed("bad-request")),
            C("<inactive xmlns='urn:xmpp:csi:0'/>"),
            C(&bind("1", "<resource>orchard</resource>")),
            S("<iq id='1' type='result'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
               <jid>romeo@localhost/orchard</jid></bind></iq>"),
        ],
    );
    assert!(server.established.is_some());
    with_romeo(&Setup::open(), &[C(ROMEO), S(&stream_error("unsupported-stanza-type"))]);
    with_romeo(&Setup::open(), &[C("<foo xmlns='bar'/>"), S(&stream_error("unsupported-stanza-type"))]);
}

#[test]
fn a_session_goes_on() {
    let resume = "<resume xmlns='urn:xmpp:sm:3' previd='some-long-sm-id' h='7'/>";
    let server = with_romeo(&Setup::open(), &[C(resume)]);
    let established = server.established.expect("established");
    assert!(established.resumed && established.jid.as_str() == "romeo@localhost");
    assert_eq!(
        server.facts.last().map(String::as_str),
        Some("resume some-long-sm-id of romeo@localhost from 7")
    );

    let setup = Setup { resume_error: Some((Condition::ItemNotFound, Some(9))), ..Setup::open() };
    let server = with_romeo(
        &setup,
        &[
            C(resume),
            S("<failed xmlns='urn:xmpp:sm:3' h='9'>\
               <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"),
            C(&bind("1", "<resource>balcony</resource>")),
            S("<iq id='1' type='result'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
               <jid>romeo@localhost/balcony</jid></bind></iq>"),
        ],
    );
    assert!(!server.established.expect("established").resumed);

    let setup = Setup { resumption: false, ..Setup::open() };
    with_romeo(
        &setup,
        &[
            C(resume),
            S("<failed xmlns='urn:xmpp:sm:3'>\
               <feature-not-implemented xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"),
        ],
    );
}
