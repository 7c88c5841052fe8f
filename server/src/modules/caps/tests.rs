use std::time::Duration;

use super::*;
use crate::testing::{Client, Stage, settle};

const EXODUS: &str = "<identity category='client' name='Exodus 0.9.1' type='pc'/>\
    <feature var='http://jabber.org/protocol/caps'/>\
    <feature var='http://jabber.org/protocol/disco#info'/>\
    <feature var='http://jabber.org/protocol/disco#items'/>\
    <feature var='http://jabber.org/protocol/muc'/>";
const PRESENCE: &str = "<presence><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' \
    node='http://code.google.com/p/exodus' ver='QgayPKawpkPSDYmwT/WM94uAlu0='/></presence>";
const NODE_AND_VER: &str = "http://code.google.com/p/exodus#QgayPKawpkPSDYmwT/WM94uAlu0=";
const KEY: &str = "sha-1 QgayPKawpkPSDYmwT/WM94uAlu0=";

/// The module on its own, since what it learns shows nowhere yet.
fn caps(stage: &Stage) -> Arc<Caps> {
    Arc::new(Caps::new(stage.live.clone(), Arc::new(Capabilities::new(100))))
}

async fn announce(caps: &Caps, client: &Client, stage: &Stage, xml: &str) {
    let stanza = Stanza::read(xml.as_bytes()).expect("a stanza").with_from(client.session.jid.clone());
    let announced = Announced::read(&stanza, &client.session).expect("capabilities");
    if caps.finder.capabilities.hear(&client.session, &announced.key) == Heard::New {
        caps.finder.begin(&client.session, announced, 100, &stage.router);
    }
    settle().await;
}

/// Answers the disco query that came, which is checked.
async fn answer(client: &mut Client, info: &str) {
    let stanzas = client.stanzas().await;
    let asked = stanzas.last().expect("a question");
    let query = asked.payload.get("query", ns::DISCO_INFO).expect("disco");
    assert_eq!(query.attribute("node"), Some(NODE_AND_VER));
    let id = asked.id.as_deref().expect("an id");
    let query = format!("<query xmlns='http://jabber.org/protocol/disco#info'>{info}</query>");
    client.send(&format!("<iq type='result' id='{id}' to='example.com'>{query}</iq>")).await;
    settle().await;
}

fn knows_muc(caps: &Caps, client: &Client) -> Option<bool> {
    let info = caps.finder.capabilities.of(client.session.id)?;
    Some(info.has("http://jabber.org/protocol/muc"))
}

/// Behaviour 113: asked once per hash, whoever else announces it.
#[tokio::test(start_paused = true)]
async fn one_client_is_asked_for_all() {
    let stage = Stage::new().await;
    let caps = caps(&stage);
    stage.account("romeo@example.com").await;
    let mut romeo = stage.bind("romeo@example.com/orchard").await;
    let mut nurse = stage.bind("romeo@example.com/nurse").await;
    announce(&caps, &romeo, &stage, PRESENCE).await;
    announce(&caps, &nurse, &stage, PRESENCE).await;
    announce(&caps, &romeo, &stage, PRESENCE).await;
    assert_eq!(knows_muc(&caps, &romeo), None);
    answer(&mut romeo, EXODUS).await;
    assert_eq!((romeo.received().await.len(), nurse.received().await.len()), (0, 0));
    assert_eq!(knows_muc(&caps, &romeo), Some(true));
    assert_eq!(knows_muc(&caps, &nurse), Some(true));
    assert!(caps.finder.asking.lock().is_empty());
}

/// Section 5.4: what does not hash to what was announced is no one's, and the next is asked.
#[tokio::test(start_paused = true)]
async fn a_lie_is_not_believed() {
    let stage = Stage::new().await;
    let caps = caps(&stage);
    stage.account("romeo@example.com").await;
    let mut liar = stage.bind("romeo@example.com/liar").await;
    let mut honest = stage.bind("romeo@example.com/honest").await;
    announce(&caps, &liar, &stage, PRESENCE).await;
    announce(&caps, &honest, &stage, PRESENCE).await;
    answer(&mut liar, &EXODUS.replace("muc", "mud")).await;
    assert_eq!(knows_muc(&caps, &liar), None);
    assert_eq!(stage.router.store.shared_item(COLLECTION, KEY).await, Ok(None));
    answer(&mut honest, EXODUS).await;
    assert_eq!(knows_muc(&caps, &honest), Some(true));
}

/// Nobody waits for a client that does not answer, and it is not asked again and again.
#[tokio::test(start_paused = true)]
async fn silence_is_no_answer() {
    let stage = Stage::new().await;
    let caps = caps(&stage);
    stage.account("romeo@example.com").await;
    let mut romeo = stage.bind("romeo@example.com/orchard").await;
    announce(&caps, &romeo, &stage, PRESENCE).await;
    assert_eq!(romeo.received().await.len(), 1);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(caps.finder.asking.lock().is_empty());
    announce(&caps, &romeo, &stage, PRESENCE).await;
    assert_eq!(romeo.received().await.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_verified_outlives_a_restart() {
    let stage = Stage::new().await;
    stage.account("romeo@example.com").await;
    let mut romeo = stage.bind("romeo@example.com/orchard").await;
    let before = caps(&stage);
    announce(&before, &romeo, &stage, PRESENCE).await;
    answer(&mut romeo, EXODUS).await;

    let after = caps(&stage);
    announce(&after, &romeo, &stage, PRESENCE).await;
    assert_eq!(romeo.received().await.len(), 0);
    assert_eq!(knows_muc(&after, &romeo), Some(true));
}

/// Section 5.4, item 2.
#[tokio::test(start_paused = true)]
async fn an_unknown_hash_is_true_of_its_session_alone() {
    let stage = Stage::new().await;
    let caps = caps(&stage);
    stage.account("romeo@example.com").await;
    let mut romeo = stage.bind("romeo@example.com/orchard").await;
    let mut nurse = stage.bind("romeo@example.com/nurse").await;
    let presence = PRESENCE.replace("sha-1", "shake128");
    announce(&caps, &romeo, &stage, &presence).await;
    answer(&mut romeo, EXODUS).await;
    assert_eq!(knows_muc(&caps, &romeo), Some(true));
    announce(&caps, &nurse, &stage, &presence).await;
    assert_eq!(knows_muc(&caps, &nurse), None);
    assert_eq!(nurse.received().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn only_so_many_are_asked_at_a_time() {
    let stage = Stage::new().await;
    let caps = caps(&stage);
    stage.account("romeo@example.com").await;
    let mut romeo = stage.bind("romeo@example.com/orchard").await;
    let stanza = Stanza::read(PRESENCE.as_bytes()).expect("a stanza");
    let announced = Announced::read(&stanza, &romeo.session).expect("capabilities");
    assert_eq!(caps.finder.capabilities.hear(&romeo.session, &announced.key), Heard::New);
    caps.finder.begin(&romeo.session, announced, 0, &stage.router);
    settle().await;
    assert_eq!(romeo.received().await.len(), 0);
    // It is asked at its next presence.
    announce(&caps, &romeo, &stage, PRESENCE).await;
    assert_eq!(romeo.received().await.len(), 1);
}

/// The format before version 1.4, directed presence, and what is longer than any hash.
#[tokio::test(start_paused = true)]
async fn what_proves_nothing_is_passed_over() {
    let stage = Stage::new().await;
    stage.account("romeo@example.com").await;
    let romeo = stage.bind("romeo@example.com/orchard").await;
    let long = format!("ver='{}'", "x".repeat(VER_MAX_BYTES + 1));
    for presence in [
        PRESENCE.replace("hash='sha-1' ", ""),
        PRESENCE.replace("<presence>", "<presence to='juliet@example.com'>"),
        PRESENCE.replace("ver='QgayPKawpkPSDYmwT/WM94uAlu0='", &long),
        "<presence/>".to_owned(),
    ] {
        let stanza = Stanza::read(presence.as_bytes()).expect("a stanza");
        assert!(Announced::read(&stanza, &romeo.session).is_none(), "{presence}");
    }
}

/// Through the hooks, as the server runs.
#[tokio::test(start_paused = true)]
async fn a_presence_makes_the_server_ask() {
    let stage = Stage::new().await;
    stage.account("romeo@example.com").await;
    let mut romeo = stage.bind("romeo@example.com/orchard").await;
    romeo.send(PRESENCE).await;
    answer(&mut romeo, EXODUS).await;
    assert!(stage.router.store.shared_item(COLLECTION, KEY).await.expect("reads").is_some());
    romeo.end().await;
}

/// Sections 6.2 and 6.3: our own, and a `ver` that is right for what disco says, forms included.
#[tokio::test(start_paused = true)]
async fn the_server_announces_what_it_answers() {
    let stage = Stage::new().await;
    stage.account("romeo@example.com").await;
    let mut romeo = stage.bind("romeo@example.com/orchard").await;
    let mut vers = Vec::new();
    for abuse in [None, Some("mailto:abuse@example.com")] {
        let mut config = (*stage.live.load_full()).clone();
        config.modules.contact.abuse = abuse.iter().map(|uri| uri.parse().expect("a URI")).collect();
        stage.live.store(Arc::new(config));

        let features = stage.router.host().features_after_login();
        let c = features.iter().find(|feature| feature.is("c", ns::CAPS)).expect("announced");
        let announced = c.attribute("ver").expect("a ver").to_owned();
        let node = format!("{NODE}#{announced}");
        let query = format!("<query xmlns='http://jabber.org/protocol/disco#info' node='{node}'/>");
        let info = romeo.ask("get", Some("example.com"), &query).await;
        let info = Element::parse(info.as_bytes()).expect("well-formed");
        assert_eq!(info.attribute("node"), Some(node.as_str()));
        assert_eq!(ver(Hash::Sha1, &info).as_deref(), Ok(announced.as_str()));
        assert_eq!(info.find("x", ns::DATA_FORMS).is_some(), abuse.is_some());
        vers.push(announced);
    }
    assert_ne!(vers[0], vers[1]);
    let old = format!("<query xmlns='http://jabber.org/protocol/disco#info' node='{NODE}#{}'/>", vers[0]);
    assert_eq!(romeo.ask("get", Some("example.com"), &old).await, "cancel item-not-found");
}
