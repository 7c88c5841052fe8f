use crate::storage::{OfflineQueue, Rosters, StoreError};
use crate::testing::{Client, Stage};

const ROMEO: &str = "romeo@example.com";
const JULIET: &str = "juliet@example.com";
const ORCHARD: &str = "romeo@example.com/orchard";
const BALCONY: &str = "juliet@example.com/balcony";

const LIST: &str = "<iq type='get' id='l'><blocklist xmlns='urn:xmpp:blocking'/></iq>";

async fn change(client: &mut Client, name: &str, jids: &[&str]) -> Vec<String> {
    let items: String = jids.iter().map(|jid| format!("<item jid='{jid}'/>")).collect();
    client
        .send(&format!("<iq type='set' id='c'><{name} xmlns='urn:xmpp:blocking'>{items}</{name}></iq>"))
        .await;
    client.received().await
}

/// Sections 3.2 to 3.5.
#[tokio::test(start_paused = true)]
async fn the_list_is_read_changed_and_pushed() {
    let stage = Stage::new().await;
    let mut orchard = stage.bind(ORCHARD).await;
    let mut garden = stage.bind("romeo@example.com/garden").await;
    orchard.send(LIST).await;
    assert_eq!(
        orchard.received().await,
        [
            "<iq to='romeo@example.com/orchard' id='l' type='result'><blocklist xmlns='urn:xmpp:blocking'/></iq>"
        ]
    );
    let done = "<iq to='romeo@example.com/garden' id='c' type='result'/>";
    assert_eq!(change(&mut garden, "block", &["Tybalt@example.net", "evil.example/x"]).await, [done]);
    let push = |content: &str| {
        format!(
            "<iq from='romeo@example.com' to='romeo@example.com/orchard' id='push' type='set'>{content}</iq>"
        )
    };
    assert_eq!(
        orchard.received().await,
        [push(
            "<block xmlns='urn:xmpp:blocking'><item jid='Tybalt@example.net'/><item jid='evil.example/x'/></block>"
        )]
    );
    orchard.send(LIST).await;
    assert_eq!(
        orchard.received().await,
        ["<iq to='romeo@example.com/orchard' id='l' type='result'><blocklist xmlns='urn:xmpp:blocking'>\
          <item jid='evil.example/x'/><item jid='tybalt@example.net'/></blocklist></iq>"]
    );
    assert_eq!(change(&mut garden, "unblock", &["tybalt@example.net"]).await, [done]);
    assert_eq!(change(&mut garden, "unblock", &[]).await, [done]);
    assert_eq!(
        orchard.received().await,
        [
            push("<unblock xmlns='urn:xmpp:blocking'><item jid='tybalt@example.net'/></unblock>"),
            push("<unblock xmlns='urn:xmpp:blocking'/>")
        ]
    );
    let owner = stage.account(ROMEO).await;
    assert_eq!(stage.store.blocked(owner).await, Ok(Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_done() {
    let mut config = crate::config::Config::default();
    config.limits.block_list_items = 2;
    let stage = Stage::with(config, crate::router::Save::Always).await;
    let mut romeo = stage.bind(ORCHARD).await;
    stage.account(JULIET).await;
    for (jids, condition) in
        [(&[][..], "bad-request"), (&["a@@b"], "jid-malformed"), (&["a", "b", "c"], "resource-constraint")]
    {
        let answer = change(&mut romeo, "block", jids).await.concat();
        assert!(answer.contains(condition), "{answer}");
    }
    for to in [JULIET, "nobody@example.com"] {
        romeo
            .send(&format!("<iq type='get' id='l' to='{to}'><blocklist xmlns='urn:xmpp:blocking'/></iq>"))
            .await;
        assert!(romeo.received().await.concat().contains("<forbidden"));
    }
    stage.store.fail_writes(StoreError::Unavailable("a test".to_owned()));
    assert!(change(&mut romeo, "block", &["a"]).await.concat().contains("type='wait'"));
}

/// Section 3.3: nothing of a blocked address arrives, and nothing goes there.
#[tokio::test(start_paused = true)]
async fn a_blocked_address_is_out_of_reach() {
    let stage = Stage::new().await;
    let mut romeo = stage.login(ORCHARD).await;
    let mut juliet = stage.login(BALCONY).await;
    change(&mut romeo, "block", &[JULIET]).await;
    let refused = |condition: &str, extra: &str| {
        format!("<{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>{extra}</error>")
    };
    let unavailable = refused("service-unavailable", "");
    let blocked = refused("not-acceptable", "<blocked xmlns='urn:xmpp:blocking:errors'/>");
    let query = "<query xmlns='jabber:iq:version'/>";
    for (to, other, error) in [(ORCHARD, false, &unavailable), (BALCONY, true, &blocked)] {
        let (sender, receiver) = if other { (&mut romeo, &mut juliet) } else { (&mut juliet, &mut romeo) };
        for (stanza, is_answered) in [
            (format!("<message type='chat' to='{to}'><body>x</body></message>"), true),
            (format!("<message to='{to}'><body>x</body></message>"), true),
            (format!("<message type='headline' to='{to}'><body>x</body></message>"), true),
            (format!("<message type='groupchat' to='{to}'><body>x</body></message>"), false),
            (format!("<message type='error' to='{to}'/>"), false),
            (format!("<iq type='get' id='q' to='{to}'>{query}</iq>"), true),
            (format!("<iq type='result' id='q' to='{to}'/>"), false),
            (format!("<presence to='{to}'/>"), false),
            (format!("<presence type='probe' to='{to}'/>"), false),
            (format!("<presence type='unavailable' to='{to}'/>"), false),
        ] {
            sender.send(&stanza).await;
            let answer = sender.received().await.concat();
            assert_eq!(answer.contains(error.as_str()), is_answered, "{stanza} {answer}");
            assert_eq!(answer.is_empty(), !is_answered, "{stanza} {answer}");
            assert_eq!(receiver.received().await, [""; 0], "{stanza}");
        }
    }
    // A message to one who is away is not kept.
    romeo.end().await;
    juliet.send(&format!("<message to='{ROMEO}'><body>x</body></message>")).await;
    assert_eq!(stage.store.count_waiting(stage.account(ROMEO).await).await, Ok(0));
}

/// messages.md, rule 22: no pending subscription.
#[tokio::test(start_paused = true)]
async fn a_blocked_addresss_request_leaves_no_trace() {
    let stage = Stage::new().await;
    let mut romeo = stage.login(ORCHARD).await;
    let mut juliet = stage.login(BALCONY).await;
    change(&mut romeo, "block", &[JULIET]).await;
    juliet.send(&format!("<presence type='subscribe' to='{ROMEO}'/>")).await;
    assert!(juliet.received().await.concat().contains("ask='subscribe'"), "as if nobody had answered");
    assert_eq!(romeo.received().await, [""; 0]);
    let owner = stage.account(ROMEO).await;
    assert_eq!(stage.store.subscription_requests(owner).await, Ok(Vec::new()));
    // Neither does the one who blocks reach whom it blocks.
    romeo.send(&format!("<presence type='subscribe' to='{JULIET}'/>")).await;
    assert_eq!(romeo.received().await, [""; 0]);
    assert_eq!(juliet.received().await, [""; 0]);
}

/// Each is unavailable for the other while the block stands.
#[tokio::test(start_paused = true)]
async fn presence_goes_and_comes_back() {
    let stage = Stage::new().await;
    stage.befriend(ROMEO, JULIET).await;
    let mut juliet = stage.login(BALCONY).await;
    let mut romeo = stage.login(ORCHARD).await;
    let mut mercutio = stage.login("mercutio@example.com/street").await;
    romeo.send("<presence to='mercutio@example.com/street'/>").await;
    for client in [&mut juliet, &mut mercutio] {
        client.received().await;
    }
    let gone = "<presence from='romeo@example.com/orchard' to='juliet@example.com' type='unavailable'/>";
    change(&mut romeo, "block", &[JULIET]).await;
    assert_eq!(juliet.received().await, [gone]);
    // Twice blocked is blocked.
    change(&mut romeo, "block", &["example.com"]).await;
    assert_eq!(juliet.received().await, [""; 0]);
    // Whom it had directed presence sees it go as well.
    assert_eq!(
        mercutio.received().await,
        ["<presence from='romeo@example.com/orchard' to='mercutio@example.com/street' type='unavailable'/>"]
    );
    romeo.send("<presence><show>dnd</show></presence>").await;
    juliet.send("<presence><show>away</show></presence>").await;
    assert_eq!(juliet.received().await.len(), 1, "its own");
    assert_eq!(romeo.received().await.len(), 1, "its own");
    // A login shows neither to the other.
    let mut chamber = stage.bind("juliet@example.com/chamber").await;
    chamber.send("<presence/>").await;
    let mut garden = stage.bind("romeo@example.com/garden").await;
    garden.send("<presence/>").await;
    assert!(!chamber.received().await.concat().contains(ROMEO));
    assert!(!garden.received().await.concat().contains(JULIET));
    garden.end().await;
    chamber.end().await;
    change(&mut romeo, "unblock", &["example.com"]).await;
    juliet.received().await;
    change(&mut romeo, "unblock", &[JULIET]).await;
    let back =
        "<presence from='romeo@example.com/orchard' to='juliet@example.com'><show>dnd</show></presence>";
    assert_eq!(juliet.received().await, [back]);
    change(&mut romeo, "block", &["juliet@example.com/balcony"]).await;
    assert_eq!(juliet.received().await, [gone]);
    let seen = change(&mut romeo, "unblock", &[]).await.concat();
    assert_eq!(juliet.received().await, [back]);
    assert!(!seen.contains("presence"), "the account itself was not blocked");
    romeo.end().await;
    assert_eq!(juliet.received().await, [gone]);
}

/// The one who unblocks sees the contact's presence again.
#[tokio::test(start_paused = true)]
async fn who_unblocks_sees_again() {
    let stage = Stage::new().await;
    stage.befriend(ROMEO, JULIET).await;
    let mut romeo = stage.login(ORCHARD).await;
    change(&mut romeo, "block", &[JULIET]).await;
    let _juliet = stage.login(BALCONY).await;
    assert_eq!(romeo.received().await, [""; 0]);
    assert_eq!(
        change(&mut romeo, "unblock", &[JULIET]).await,
        [
            "<presence from='juliet@example.com/balcony' to='romeo@example.com'/>",
            "<iq to='romeo@example.com/orchard' id='c' type='result'/>"
        ]
    );
}

/// The own account and the server are never blocked (messages.md, rule 22).
#[tokio::test(start_paused = true)]
async fn the_own_account_and_the_server_stay_in_reach() {
    let stage = Stage::new().await;
    let mut orchard = stage.login(ORCHARD).await;
    let garden = stage.login("romeo@example.com/garden").await;
    orchard.received().await;
    change(&mut orchard, "block", &["example.com", ROMEO]).await;
    garden.send(&format!("<message type='chat' to='{ORCHARD}'><body>x</body></message>")).await;
    assert_eq!(orchard.received().await.len(), 1);
    garden.send("<presence><show>away</show></presence>").await;
    assert_eq!(orchard.received().await.len(), 1);
    orchard.send("<iq type='get' id='p' to='example.com'><ping xmlns='urn:xmpp:ping'/></iq>").await;
    assert_eq!(
        orchard.received().await,
        ["<iq from='example.com' to='romeo@example.com/orchard' id='p' type='result'/>"]
    );
    let greeting = "<message from='example.com' to='romeo@example.com/orchard'><body>x</body></message>";
    stage.router.send(xmpp_core::Stanza::read(greeting.as_bytes()).expect("a message")).await;
    assert_eq!(orchard.received().await.len(), 1);
}

/// What was kept before the block is not given behind it (behaviour 143).
#[tokio::test(start_paused = true)]
async fn what_waits_from_a_blocked_address_is_skipped() {
    let stage = Stage::new().await;
    stage.account(ROMEO).await;
    let juliet = stage.login(BALCONY).await;
    juliet.send(&format!("<message to='{ROMEO}'><body>x</body></message>")).await;
    let mut romeo = stage.bind(ORCHARD).await;
    change(&mut romeo, "block", &[JULIET]).await;
    romeo.send("<presence/>").await;
    assert!(!romeo.received().await.concat().contains("<body>"));
    assert_eq!(stage.store.count_waiting(stage.account(ROMEO).await).await, Ok(0));
}
