use crate::testing::{Client, Stage};

const ROMEO: &str = "romeo@example.com";
const JULIET: &str = "juliet@example.com";
const BALCONY: &str = "juliet@example.com/balcony";

async fn with_carbons(stage: &Stage, jid: &str) -> Client {
    let mut client = stage.login(jid).await;
    client.send("<iq type='set' id='e'><enable xmlns='urn:xmpp:carbons:2'/></iq>").await;
    client.received().await;
    client
}

/// `original`, `sent` or `received`, of each message.
async fn messages(client: &mut Client) -> Vec<&'static str> {
    let stanzas = client.stanzas().await;
    let messages = stanzas.iter().filter(|stanza| stanza.kind == xmpp_core::Kind::Message);
    let kind = |stanza: &xmpp_core::Stanza| match stanza
        .payload
        .first()
        .filter(|c| c.ns == xmpp_core::ns::CARBONS)
    {
        Some(child) if child.name == "sent" => "sent",
        Some(child) if child.name == "received" => "received",
        _ => "original",
    };
    messages.map(kind).collect()
}

const NONE: [&str; 0] = [];

/// Sections 4 and 5.
#[tokio::test(start_paused = true)]
async fn enabled_and_disabled() {
    let stage = Stage::new().await;
    let mut romeo = stage.bind("romeo@example.com/orchard").await;
    stage.account(JULIET).await;
    for name in ["enable", "enable", "disable", "disable"] {
        romeo.send(&format!("<iq type='set' id='e'><{name} xmlns='urn:xmpp:carbons:2'/></iq>")).await;
        assert_eq!(romeo.received().await, ["<iq to='romeo@example.com/orchard' id='e' type='result'/>"]);
        assert_eq!(romeo.session.wants(crate::session::Wants::Carbons), name == "enable");
    }
    for to in [JULIET, "nobody@example.com"] {
        romeo
            .send(&format!("<iq type='set' id='e' to='{to}'><enable xmlns='urn:xmpp:carbons:2'/></iq>"))
            .await;
        assert!(romeo.received().await.concat().contains("<not-allowed"));
    }
}

/// Sections 7 and 8: each other client of both accounts has one copy.
#[tokio::test(start_paused = true)]
async fn a_message_is_copied_on_both_sides() {
    let stage = Stage::new().await;
    let mut orchard = with_carbons(&stage, "romeo@example.com/orchard").await;
    let mut garden = with_carbons(&stage, "romeo@example.com/garden").await;
    let mut plain = stage.login("romeo@example.com/plain").await;
    let mut balcony = with_carbons(&stage, BALCONY).await;
    let mut chamber = with_carbons(&stage, "juliet@example.com/chamber").await;
    for client in [&mut orchard, &mut garden, &mut balcony] {
        client.received().await;
    }
    orchard.send(&format!("<message type='chat' id='m' to='{BALCONY}'><body>x</body></message>")).await;
    let original = balcony.received().await.remove(0);
    assert!(original.starts_with(
        "<message from='romeo@example.com/orchard' to='juliet@example.com/balcony' id='m' type='chat'>\
         <body>x</body><stanza-id "
    ));
    let forwarded = original.replace("<message ", "<message xmlns='jabber:client' ");
    assert_eq!(
        chamber.received().await,
        [format!(
            "<message from='juliet@example.com' to='juliet@example.com/chamber' type='chat'>\
             <received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>{forwarded}\
             </forwarded></received></message>"
        )],
        "with the same id"
    );
    assert_eq!(
        garden.received().await,
        ["<message from='romeo@example.com' to='romeo@example.com/garden' type='chat'>\
          <sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>\
          <message xmlns='jabber:client' from='romeo@example.com/orchard' to='juliet@example.com/balcony' \
          id='m' type='chat'><body>x</body></message></forwarded></sent></message>"]
    );
    assert_eq!(orchard.received().await, NONE);
    assert_eq!(plain.received().await, NONE);
    // To the bare address all have the original.
    orchard.send(&format!("<message type='chat' to='{JULIET}'><body>x</body></message>")).await;
    assert_eq!(messages(&mut balcony).await, ["original"]);
    assert_eq!(messages(&mut chamber).await, ["original"]);
    assert_eq!(messages(&mut garden).await, ["sent"]);
}

/// Section 9.
#[tokio::test(start_paused = true)]
async fn what_is_private_is_not_copied() {
    let stage = Stage::new().await;
    let orchard = with_carbons(&stage, "romeo@example.com/orchard").await;
    let mut garden = with_carbons(&stage, "romeo@example.com/garden").await;
    let mut balcony = with_carbons(&stage, BALCONY).await;
    let mut chamber = with_carbons(&stage, "juliet@example.com/chamber").await;
    for hint in ["<private xmlns='urn:xmpp:carbons:2'/>", "<no-copy xmlns='urn:xmpp:hints'/>"] {
        orchard.send(&format!("<message type='chat' to='{BALCONY}'><body>x</body>{hint}</message>")).await;
        assert_eq!(messages(&mut balcony).await, ["original"]);
        assert_eq!(messages(&mut chamber).await, NONE);
        assert_eq!(messages(&mut garden).await, NONE);
    }
    // A room's private message is copied by the room, and only towards it by the server.
    let x = "<x xmlns='http://jabber.org/protocol/muc#user'/>";
    orchard.send(&format!("<message type='chat' to='{BALCONY}'><body>x</body>{x}</message>")).await;
    assert_eq!(messages(&mut chamber).await, NONE);
    assert_eq!(messages(&mut garden).await, ["sent"]);
}

/// messages.md, rule 21.
#[tokio::test(start_paused = true)]
async fn a_message_to_oneself() {
    let stage = Stage::new().await;
    let mut orchard = with_carbons(&stage, "romeo@example.com/orchard").await;
    let mut garden = with_carbons(&stage, "romeo@example.com/garden").await;
    let mut shy = with_carbons(&stage, "romeo@example.com/shy").await;
    shy.send("<presence><priority>-1</priority></presence>").await;
    for client in [&mut orchard, &mut garden, &mut shy] {
        client.received().await;
    }
    orchard.send(&format!("<message type='chat' to='{ROMEO}'><body>x</body></message>")).await;
    assert_eq!(messages(&mut orchard).await, ["original"]);
    assert_eq!(messages(&mut garden).await, ["original"]);
    assert_eq!(messages(&mut shy).await, ["received"]);
    orchard.send("<message type='chat' to='romeo@example.com/garden'><body>x</body></message>").await;
    assert_eq!(messages(&mut orchard).await, NONE);
    assert_eq!(messages(&mut garden).await, ["original"]);
    assert_eq!(messages(&mut shy).await, ["received"]);
    shy.send(&format!("<message type='chat' to='{ROMEO}'><body>x</body></message>")).await;
    assert_eq!(messages(&mut shy).await, NONE);
    assert_eq!(messages(&mut orchard).await, ["original"]);
    assert_eq!(messages(&mut garden).await, ["original"]);
    assert_eq!(stage.store.count_messages(), 0);
}

/// What waits is not copied to a session that will be given it with its first presence.
#[tokio::test(start_paused = true)]
async fn what_waits_comes_once() {
    let stage = Stage::new().await;
    let romeo = stage.login("romeo@example.com/orchard").await;
    let mut new = stage.bind("juliet@example.com/new").await;
    new.send("<iq type='set' id='e'><enable xmlns='urn:xmpp:carbons:2'/></iq>").await;
    let mut shy = with_carbons(&stage, "juliet@example.com/shy").await;
    shy.send("<presence><priority>-1</priority></presence>").await;
    shy.received().await;
    romeo.send(&format!("<message type='chat' to='{JULIET}'><body>1</body></message>")).await;
    assert_eq!(messages(&mut new).await, NONE);
    // Who took the copy has taken the message (messages.md, rule 11).
    assert_eq!(messages(&mut shy).await, ["received"]);
    assert_eq!(stage.store.count_messages(), 0);
    shy.end().await;
    romeo.send(&format!("<message type='chat' to='{JULIET}'><body>2</body></message>")).await;
    assert_eq!(messages(&mut new).await, NONE);
    new.send("<presence/>").await;
    assert_eq!(messages(&mut new).await, ["original"]);
    // A copy and the message never come both into one session.
    let mut balcony = stage.login(BALCONY).await;
    new.send("<presence><priority>-1</priority></presence>").await;
    romeo.send(&format!("<message type='chat' to='{JULIET}'><body>3</body></message>")).await;
    assert_eq!(messages(&mut new).await, ["received"]);
    balcony.session.end(crate::session::End::Lost);
    balcony.stanzas().await;
    balcony.end().await;
    new.send("<presence/>").await;
    assert_eq!(messages(&mut new).await, NONE);
}

/// Sections 6.1 and 10.3: an error goes where what it answers went, whether or not it says what that was.
#[tokio::test(start_paused = true)]
async fn errors() {
    let stage = Stage::new().await;
    let mut orchard = with_carbons(&stage, "romeo@example.com/orchard").await;
    let mut garden = with_carbons(&stage, "romeo@example.com/garden").await;
    let mut juliet = stage.login(BALCONY).await;
    let error = "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    for (message, copies) in [
        (
            "<message type='chat' id='1' to='juliet@example.com'><body>x</body></message>",
            vec!["sent", "received"],
        ),
        ("<message type='headline' id='2' to='juliet@example.com'><body>x</body></message>", vec![]),
    ] {
        orchard.send(message).await;
        let id = juliet.stanzas().await.remove(0).id.expect("an id");
        juliet
            .send(&format!(
                "<message type='error' id='{id}' to='romeo@example.com/orchard'>{error}</message>"
            ))
            .await;
        assert_eq!(messages(&mut orchard).await, ["original"]);
        assert_eq!(messages(&mut garden).await, copies, "{message}");
    }
    // The server's own errors are no others.
    orchard.send("<message type='chat' id='3' to='nobody@example.com'><body>x</body></message>").await;
    assert_eq!(messages(&mut orchard).await, ["original"]);
    assert_eq!(messages(&mut garden).await, ["sent", "received"]);
    stage.account("nurse@example.com").await;
    orchard
        .send(
            "<message type='chat' id='4' to='nurse@example.com'><body>x</body>\
             <no-store xmlns='urn:xmpp:hints'/></message>",
        )
        .await;
    assert_eq!(messages(&mut orchard).await, ["original"]);
    assert_eq!(messages(&mut garden).await, ["sent", "received"]);
    // What its own guards refuse was never sent, and what may be tried again not yet.
    orchard
        .send("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='juliet@example.com'/></block></iq>")
        .await;
    orchard.send(&format!("<message type='chat' id='4' to='{JULIET}'><body>x</body></message>")).await;
    assert_eq!(messages(&mut garden).await, NONE);
    stage.store.fail_writes(crate::storage::StoreError::Unavailable("a test".to_owned()));
    orchard.send("<message type='chat' id='5' to='nurse@example.com'><body>x</body></message>").await;
    assert_eq!(messages(&mut garden).await, NONE);
    // The error that answers a copy ends at the server.
    garden.send(&format!("<message type='error' id='1' to='{ROMEO}'>{error}</message>")).await;
    assert_eq!(messages(&mut garden).await, NONE);
    assert_eq!(juliet.received().await, NONE);
}

/// Section 11: what looks like a copy and is somebody else's is a message like others.
#[tokio::test(start_paused = true)]
async fn a_forged_copy_is_a_plain_message() {
    let stage = Stage::new().await;
    let romeo = stage.login("romeo@example.com/orchard").await;
    let mut juliet = stage.login(BALCONY).await;
    let forged = "<received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>\
                  <message xmlns='jabber:client' from='nurse@example.com' to='juliet@example.com'>\
                  <body>x</body></message></forwarded></received>";
    romeo.send(&format!("<message type='chat' to='{JULIET}'>{forged}</message>")).await;
    let received = juliet.received().await.remove(0);
    let start =
        format!("<message from='romeo@example.com/orchard' to='juliet@example.com' type='chat'>{forged}");
    assert!(received.starts_with(&start), "{received}");
}
