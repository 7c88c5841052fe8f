use serde_json::{Value, json};

use crate::client::Client;
use crate::server::Server;

#[test]
fn sessions_are_listed_counted_and_ended() {
    let server = Server::start_with(&[("MEERKAT__GENERAL__HOSTS", "localhost,capulet.example")]);
    server.account("juliet");
    server.account("romeo");
    let port = server.client_port();
    let mut balcony = Client::login(port, "juliet", "balcony");
    let chamber = Client::login(port, "juliet", "chamber");
    let romeo = Client::login(port, "romeo", "orchard");
    balcony.send(
        "<presence><priority>5</priority></presence><iq type='get' id='p' to='localhost'>\
                  <ping xmlns='urn:xmpp:ping'/></iq>",
    );
    balcony.hear("id='p'");

    let listed = server.ctl(&["session", "listSessions"]).done();
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines.len(), 3, "{listed}");
    assert!(lines[0].starts_with("juliet@localhost/balcony  127.0.0.1:"), "{listed}");
    assert!(lines[0].contains(", PLAIN, priority 5, for "), "{listed}");
    assert!(lines[1].starts_with("juliet@localhost/chamber  "), "{listed}");
    assert!(lines[2].contains(", no presence, "), "{listed}");

    let sessions = server.json(&["session", "listSessions", "--domain", "localhost"]);
    let first = &sessions["session"]["listSessions"][0];
    assert_eq!(first["user"], "juliet@localhost/balcony");
    assert_eq!((&first["connection"], &first["ip"]), (&json!("c2s"), &json!("127.0.0.1")));
    assert_eq!((&first["priority"], &first["sleeping"]), (&json!(5), &json!(false)));
    assert!(first["port"].is_u64() && first["uptime"].is_u64() && first["node"].is_string(), "{first}");
    assert_eq!(sessions["session"]["listSessions"][2]["priority"], Value::Null);

    let count = |more: &[&str]| server.ctl(&[&["session", "countSessions"], more].concat());
    assert_eq!(count(&[]).done(), "3\n");
    assert_eq!(count(&["--domain", "capulet.example"]).done(), "0\n");
    assert_eq!(count(&["--domain", "nowhere"]).refused(), "this server does not serve the domain nowhere");
    assert_eq!(server.json(&["session", "countSessions"]), json!({ "session": { "countSessions": 3 } }));

    let kick = ["session", "kickUserSession", "--user", "juliet@localhost/chamber", "--reason", "late"];
    assert_eq!(server.ctl(&kick).done(), "The session juliet@localhost/chamber was ended\n");
    let last_words = chamber.rest();
    assert!(last_words.contains("<policy-violation ") && last_words.contains(">late</text>"), "{last_words}");
    assert!(last_words.ends_with("</stream:stream>"), "{last_words}");
    assert_eq!(count(&[]).done(), "2\n");
    assert_eq!(server.ctl(&kick).refused(), "there is no session juliet@localhost/chamber");
    assert!(server.log().contains("late"), "the reason is in the log");

    let kicked = server.json(&["session", "kickUser", "--user", "juliet@localhost"]);
    let message = "The session juliet@localhost/balcony was ended";
    let one = json!({ "jid": "juliet@localhost/balcony", "kicked": true, "message": message });
    assert_eq!(kicked, json!({ "session": { "kickUser": [one] } }));
    assert!(balcony.rest().ends_with("</stream:stream>"));
    let kick = ["session", "kickUser", "--user", "romeo@localhost"];
    assert_eq!(server.ctl(&kick).done(), "The session romeo@localhost/orchard was ended\n");
    romeo.rest();
    assert_eq!(server.ctl(&kick).refused(), "romeo@localhost has no session");
    let nobody = server.ctl(&["session", "kickUser", "--user", "nobody@localhost"]);
    assert_eq!(nobody.refused(), "there is no account nobody@localhost");
    let long = "x".repeat(2000);
    let long = ["session", "kickUser", "--user", "romeo@localhost", "--reason", &long];
    assert_eq!(server.ctl(&long).refused(), "a reason has at most 1024 bytes");
    let bare = ["session", "kickUserSession", "--user", "romeo@localhost"];
    assert!(server.ctl(&bare).refused().ends_with("is not the address of a session, user@domain/resource"));
}

#[test]
fn removal_and_ban_end_sessions() {
    let server = Server::start();
    server.account("juliet");
    server.account("romeo");
    let port = server.client_port();
    let juliet = Client::login(port, "juliet", "balcony");
    let romeo = Client::login(port, "romeo", "orchard");
    server.ctl(&["account", "banUser", "--user", "juliet@localhost", "--reason", "r"]).done();
    server.ctl(&["account", "removeUser", "--user", "romeo@localhost"]).done();
    assert!(juliet.rest().ends_with("</stream:stream>"));
    assert!(romeo.rest().ends_with("</stream:stream>"));
}
