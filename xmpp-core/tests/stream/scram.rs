//! SCRAM on the stream, with the `sasl` crate's client at the other end.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sasl::client::Mechanism;
use sasl::client::mechanisms::Scram;
use sasl::common::ChannelBinding;
use sasl::common::scram::{Sha1, Sha256};

use crate::driver::*;

fn auth(mechanism: &str, message: &[u8]) -> String {
    let data = BASE64.encode(message);
    format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{mechanism}'>{data}</auth>")
}

fn response(message: &[u8]) -> String {
    let data = BASE64.encode(message);
    format!("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{data}</response>")
}

fn content(said: &str, name: &str) -> Vec<u8> {
    let inside = said
        .strip_prefix(&format!("<{name} xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>"))
        .and_then(|rest| rest.strip_suffix(&format!("</{name}>")));
    BASE64.decode(inside.unwrap_or_else(|| panic!("no {name}: {said}"))).expect("base64")
}

fn tls_server() -> Server {
    let mut server = Server::new(&Setup { tls: Some(tls_1_3()), ..Setup::usual() });
    server.feed(CLIENT_HEADER.as_bytes());
    server.said();
    server
}

/// Plays the client's part; gives what the server said last.
fn log_in(server: &mut Server, client: &mut dyn Mechanism) -> String {
    let message = client.initial();
    let first = auth(client.name(), &message);
    server.feed_by_byte(first.as_bytes());
    let said = server.said();
    if said.starts_with("<failure") {
        return said;
    }
    let last = client.response(&content(&said, "challenge")).expect("a fair challenge");
    server.feed_by_byte(response(&last).as_bytes());
    let said = server.said();
    if said.starts_with("<success") {
        client.success(&content(&said, "success")).expect("the server has the password too");
    }
    said
}

fn client(name: &str, password: &str) -> Scram<Sha256> {
    Scram::new(name, password, ChannelBinding::None).expect("there is chance enough")
}

#[test]
fn another_implementation_logs_in() {
    let mut server = tls_server();
    assert!(log_in(&mut server, &mut client("romeo", "pencil")).starts_with("<success"));
    assert_eq!(server.facts.last().map(String::as_str), Some("romeo@localhost by SCRAM-SHA-256"));

    let exporter = ChannelBinding::TlsExporter(EXPORTER.to_vec());
    let mut server = tls_server();
    let mut bound = Scram::<Sha1>::new("romeo", "pencil", exporter).expect("there is chance enough");
    assert!(log_in(&mut server, &mut bound).starts_with("<success"));
    assert_eq!(server.facts.last().map(String::as_str), Some("romeo@localhost by SCRAM-SHA-1-PLUS"));
}

#[test]
fn a_failed_login_may_be_repeated() {
    let mut server = tls_server();
    assert_eq!(log_in(&mut server, &mut client("romeo", "wrong")), failure("not-authorized"));
    assert_eq!(log_in(&mut server, &mut client("nobody", "pencil")), failure("not-authorized"));
    assert_eq!(log_in(&mut server, &mut client("=", "pencil")), failure("malformed-request"));
    assert_eq!(log_in(&mut server, &mut client("a b", "pencil")), failure("not-authorized"));
    assert!(log_in(&mut server, &mut client("romeo", "pencil")).starts_with("<success"));
}

/// Behaviour 22: a client that does not know XEP-0440 tries what it has, and that is no failed login.
#[test]
fn unsupported_bindings_are_not_counted() {
    let mut server = tls_server();
    for _ in 0..10 {
        let unique = ChannelBinding::TlsUnique(vec![1; 12]);
        let mut client = Scram::<Sha256>::new("romeo", "pencil", unique).expect("there is chance enough");
        assert_eq!(log_in(&mut server, &mut client), failure("malformed-request"));
    }
    assert!(log_in(&mut server, &mut client("romeo", "pencil")).starts_with("<success"));
}

/// Behaviour 22: somebody took the -PLUS mechanisms out of what the client saw.
#[test]
fn a_downgrade_is_found_out() {
    let mut server = tls_server();
    let fooled = ChannelBinding::Unsupported;
    let mut client = Scram::<Sha256>::new("romeo", "pencil", fooled).expect("there is chance enough");
    assert_eq!(log_in(&mut server, &mut client), failure("not-authorized"));
    assert_eq!(
        server.facts.last().map(String::as_str),
        Some("nobody: channel binding was removed from the offer")
    );
}

/// Behaviour 23: the challenge for nobody is as stable as one for somebody, and looks like it.
#[test]
fn a_fake_challenge_looks_real_and_stays() {
    let challenge = |name: &str| {
        let mut server = tls_server();
        server.feed(auth("SCRAM-SHA-256", format!("n,,n={name},r=nonce").as_bytes()).as_bytes());
        let text = String::from_utf8(content(&server.said(), "challenge")).expect("text");
        let attributes: Vec<_> = text.split(',').map(str::to_owned).collect();
        let names: String = attributes.iter().map(|attribute| &attribute[..2]).collect();
        assert_eq!(names, "r=s=i=h=");
        assert_eq!(attributes[2], format!("i={ITERATIONS}"));
        attributes[1].clone()
    };
    assert_eq!(challenge("nobody").len(), challenge("romeo").len());
    assert_eq!(challenge("nobody"), challenge("NOBODY"), "one account, one salt");
    assert_ne!(challenge("nobody"), challenge("no-one"));
    assert_ne!(challenge("nobody"), challenge("romeo"));
}

#[test]
fn a_recorded_login_is_worth_nothing() {
    let mut server = tls_server();
    let mut honest = client("romeo", "pencil");
    let first = auth("SCRAM-SHA-256", &honest.initial());
    server.feed(first.as_bytes());
    let challenge = content(&server.said(), "challenge");
    let last = response(&honest.response(&challenge).expect("a fair challenge"));
    server.feed(b"<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    assert_eq!(server.said(), failure("aborted"));
    server.feed(first.as_bytes());
    assert_ne!(content(&server.said(), "challenge"), challenge);
    server.feed(last.as_bytes());
    assert_eq!(server.said(), failure("not-authorized"));
    assert_eq!(server.facts.last().map(String::as_str), Some("romeo@localhost: nonce does not match"));
}

#[test]
fn the_authorization_identity_is_checked_before_anything_is_looked_up() {
    let mut server = tls_server();
    let message = b"n,a=juliet@localhost,n=romeo,r=nonce";
    server.feed(auth("SCRAM-SHA-256", message).as_bytes());
    assert_eq!(server.said(), failure("invalid-authzid"));
    assert_eq!(server.facts, ["romeo@localhost: invalid authorization identity"]);
    server.feed(auth("SCRAM-SHA-256", b"n,a=romeo@localhost,n=romeo,r=nonce").as_bytes());
    assert!(server.said().starts_with("<challenge"));
}
