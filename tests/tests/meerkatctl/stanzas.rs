use crate::client::Client;
use crate::server::Server;

#[test]
fn messages_and_stanzas_arrive() {
    let server = Server::start();
    server.account("juliet");
    server.account("romeo");
    let mut juliet = Client::login(server.client_port(), "juliet", "balcony");
    juliet.appear();
    let send = ["stanza", "sendMessage", "--from", "romeo@localhost", "--to", "juliet@localhost", "--body"];
    let sent = server.ctl(&[&send[..], &["a < b & \"c\""]].concat()).done();
    let heard = juliet.hear("</message>");
    assert!(heard.contains("<body>a &lt; b &amp; \"c\"</body>"), "{heard}");
    assert!(heard.contains("from='romeo@localhost'") && heard.contains("type='chat'"), "{heard}");
    let id = sent.trim_end().strip_prefix("Sent, with id ").expect("an id");
    assert!(heard.contains(&format!("id='{id}'")), "{heard}");

    let from_server =
        ["stanza", "sendMessage", "--from", "localhost", "--to", "juliet@localhost", "--body", "b"];
    let result = server.json(&from_server);
    let id = result["stanza"]["sendMessage"]["id"].as_str().expect("an id");
    assert!(juliet.hear("</message>").contains(&format!("id='{id}'")));

    let stanza = "<message from='romeo@localhost' to='juliet@localhost/balcony' id='n' type='headline'>\
                  <subject>News</subject></message>";
    assert_eq!(server.ctl(&["stanza", "sendStanza", "--stanza", stanza]).done(), "Sent, with id n\n");
    assert!(juliet.hear("</message>").contains("<subject>News</subject>"));
}

/// As any message, it waits for those who are away.
#[test]
fn a_message_waits() {
    let server = Server::start();
    server.account("juliet");
    let send =
        ["stanza", "sendMessage", "--from", "localhost", "--to", "juliet@localhost", "--body", "later"];
    server.ctl(&send).done();
    let mut juliet = Client::login(server.client_port(), "juliet", "balcony");
    juliet.appear();
    assert!(juliet.hear("</message>").contains("<body>later</body>"));
}

#[test]
fn what_cannot_be_sent_is_refused() {
    let server = Server::start();
    server.account("juliet");
    let message = |from: &str, to: &str, body: &str| {
        server.ctl(&["stanza", "sendMessage", "--from", from, "--to", to, "--body", body])
    };
    let nobody = "there is no account nobody@localhost";
    assert_eq!(message("nobody@localhost", "juliet@localhost", "b").refused(), nobody);
    assert_eq!(message("juliet@localhost", "nobody@localhost", "b").refused(), nobody);
    let nowhere = "this server does not serve the domain nowhere";
    assert_eq!(message("juliet@localhost", "a@nowhere", "b").refused(), nowhere);
    assert_eq!(message("a@nowhere", "juliet@localhost", "b").refused(), nowhere);

    let stanza = |xml: &str| server.ctl(&["stanza", "sendStanza", "--stanza", xml]).refused();
    assert_eq!(
        stanza("<message to='juliet@localhost'/>"),
        "the stanza says in whose name it is sent, by `from`"
    );
    assert_eq!(stanza("<message from='localhost'/>"), "the stanza says to whom it is sent, by `to`");
    for bad in ["", "hello", "<message", "<message><!-- --></message>", "<presence/><presence/>", "<a/>"] {
        assert!(stanza(bad).starts_with("this is no stanza that a client could send: "), "{bad}");
    }
    let large = format!(
        "<message from='localhost' to='juliet@localhost'><body>{}</body></message>",
        "x".repeat(100_000)
    );
    let server = Server::start_with(&[("MEERKAT__LIMITS__STANZA_BYTES", "10000")]);
    let refused = server.ctl(&["stanza", "sendStanza", "--stanza", &large]).refused();
    assert_eq!(refused, "a stanza has at most 10000 bytes");
}

#[test]
fn a_client_answers_an_iq() {
    let server = Server::start();
    server.account("juliet");
    let mut juliet = Client::login(server.client_port(), "juliet", "balcony");
    let query = "<query xmlns='jabber:iq:version'/>";
    let iq = format!("<iq type='get' id='v' from='localhost' to='juliet@localhost/balcony'>{query}</iq>");
    let answering = std::thread::spawn(move || {
        for answer in
            ["type='result'><query xmlns='jabber:iq:version'><name>c</name></query></iq>", "type='error'/>"]
        {
            let asked = juliet.hear("</iq>");
            let id = asked.split("id='").nth(1).and_then(|rest| rest.split('\'').next()).expect("an id");
            juliet.send(&format!("<iq to='localhost' id='{id}' {answer}"));
        }
        juliet
    });
    let said = server.ctl(&["stanza", "sendStanza", "--stanza", &iq]).done();
    assert!(said.contains("type='result'") && said.contains("<name>c</name>"), "{said}");
    assert!(said.contains("id='v'") && said.contains("from='juliet@localhost/balcony'"), "{said}");
    let said = server.json(&["stanza", "sendStanza", "--stanza", &iq]);
    assert_eq!(said["stanza"]["sendStanza"]["id"], "v");
    let answer = said["stanza"]["sendStanza"]["answer"].as_str().expect("an answer");
    assert!(answer.contains("type='error'"), "{answer}");
    let _juliet = answering.join().expect("it answered");

    let refused = |from: &str, to: &str| {
        let iq = format!("<iq type='get' id='v' from='{from}' to='{to}'>{query}</iq>");
        server.ctl(&["stanza", "sendStanza", "--stanza", &iq]).refused()
    };
    assert_eq!(refused("localhost", "juliet@localhost/away"), "there is no session juliet@localhost/away");
    for to in ["localhost", "juliet@localhost"] {
        assert!(refused("localhost", to).starts_with("an IQ of type get or set is for a session"), "{to}");
    }
    let in_the_name_of_a_session = refused("juliet@localhost/balcony", "juliet@localhost/balcony");
    assert!(in_the_name_of_a_session.starts_with("the answer to an IQ comes back here only"));
}
