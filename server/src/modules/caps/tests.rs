use std::time::Duration;

use super::*;
use crate::testing::{Client, World};

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
fn caps(world: &World) -> Arc<Caps> {
    Arc::new(Caps::new(world.live.clone(), Arc::new(Capabilities::new(100))))
}

async fn announce(caps: &Caps, client: &Client, world: &World, xml: &str) {
    let stanza = Stanza::read(xml.as_bytes()).expect("a stanza").with_from(client.session.jid.clone());
    let announced = Announced::read(&stanza, &client.session).expect("capabilities");
    if caps.finder.capabilities.hear(&client.session, &announced.key) == Heard::New {
        caps.finder.begin(&client.session, announced, 100, &world.router);
    }
    settle().await;
}

/// Lets the tasks that were spawned go on.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Answers the disco query that came, which is checked.
async fn answer(client: &mut Client, info: &str) {
    let asked = client.receive().await.expect("a question");
    let asked = Stanza::read(asked.as_bytes()).expect("a stanza");
    let query = asked.payload.get("query", ns::DISCO_INFO).expect("disco");
    assert_eq!(query.attribute("node"), Some(NODE_AND_VER));
    let id = asked.id.as_deref().expect("an id");
    let query = format!("<query xmlns='http://jabber.org/protocol/disco#info'>{info}</query>");
    client.send(&format!("<iq type='result' id='{id}' to='localhost'>{query}</iq>")).await;
    settle().await;
}

fn knows_muc(caps: &Caps, client: &Client) -> Option<bool> {
    let info = caps.finder.capabilities.of(client.session.id)?;
    Some(info.has("http://jabber.org/protocol/muc"))
}

/// Behaviour 113: asked once per hash, whoever else announces it.
#[tokio::test(start_paused = true)]
async fn one_client_is_asked_for_all() {
    let world = World::new();
    let caps = caps(&world);
    world.account("romeo@localhost").await;
    let mut romeo = world.connect("romeo@localhost/orchard").await;
    let mut nurse = world.connect("romeo@localhost/nurse").await;
    announce(&caps, &romeo, &world, PRESENCE).await;
    announce(&caps, &nurse, &world, PRESENCE).await;
    announce(&caps, &romeo, &world, PRESENCE).await;
    assert_eq!(knows_muc(&caps, &romeo), None);
    answer(&mut romeo, EXODUS).await;
    assert_eq!((romeo.read(), nurse.read()), (None, None));
    assert_eq!(knows_muc(&caps, &romeo), Some(true));
    assert_eq!(knows_muc(&caps, &nurse), Some(true));
    assert!(caps.finder.asking.lock().is_empty());
}

/// Section 5.4: what does not hash to what was announced is no one's, and the next is asked.
#[tokio::test(start_paused = true)]
async fn a_lie_is_not_believed() {
    let world = World::new();
    let caps = caps(&world);
    world.account("romeo@localhost").await;
    let mut liar = world.connect("romeo@localhost/liar").await;
    let mut honest = world.connect("romeo@localhost/honest").await;
    announce(&caps, &liar, &world, PRESENCE).await;
    announce(&caps, &honest, &world, PRESENCE).await;
    answer(&mut liar, &EXODUS.replace("muc", "mud")).await;
    assert_eq!(knows_muc(&caps, &liar), None);
    assert_eq!(world.router.store.shared_item(COLLECTION, KEY).await, Ok(None));
    answer(&mut honest, EXODUS).await;
    assert_eq!(knows_muc(&caps, &honest), Some(true));
}

/// Nobody waits for a client that does not answer, and it is not asked again and again.
#[tokio::test(start_paused = true)]
async fn silence_is_no_answer() {
    let world = World::new();
    let caps = caps(&world);
    world.account("romeo@localhost").await;
    let mut romeo = world.connect("romeo@localhost/orchard").await;
    announce(&caps, &romeo, &world, PRESENCE).await;
    assert!(romeo.read().is_some());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(caps.finder.asking.lock().is_empty());
    announce(&caps, &romeo, &world, PRESENCE).await;
    assert_eq!(romeo.read(), None);
}

#[tokio::test(start_paused = true)]
async fn what_was_verified_outlives_a_restart() {
    let world = World::new();
    world.account("romeo@localhost").await;
    let mut romeo = world.connect("romeo@localhost/orchard").await;
    let before = caps(&world);
    announce(&before, &romeo, &world, PRESENCE).await;
    answer(&mut romeo, EXODUS).await;

    let after = caps(&world);
    announce(&after, &romeo, &world, PRESENCE).await;
    assert_eq!(romeo.read(), None);
    assert_eq!(knows_muc(&after, &romeo), Some(true));
}

/// Section 5.4, item 2.
#[tokio::test(start_paused = true)]
async fn an_unknown_hash_is_true_of_its_session_alone() {
    let world = World::new();
    let caps = caps(&world);
    world.account("romeo@localhost").await;
    let mut romeo = world.connect("romeo@localhost/orchard").await;
    let mut nurse = world.connect("romeo@localhost/nurse").await;
    let presence = PRESENCE.replace("sha-1", "shake128");
    announce(&caps, &romeo, &world, &presence).await;
    answer(&mut romeo, EXODUS).await;
    assert_eq!(knows_muc(&caps, &romeo), Some(true));
    announce(&caps, &nurse, &world, &presence).await;
    assert_eq!(knows_muc(&caps, &nurse), None);
    assert!(nurse.read().is_some());
}

#[tokio::test(start_paused = true)]
async fn only_so_many_are_asked_at_a_time() {
    let world = World::new();
    let caps = caps(&world);
    world.account("romeo@localhost").await;
    let mut romeo = world.connect("romeo@localhost/orchard").await;
    let stanza = Stanza::read(PRESENCE.as_bytes()).expect("a stanza");
    let announced = Announced::read(&stanza, &romeo.session).expect("capabilities");
    assert_eq!(caps.finder.capabilities.hear(&romeo.session, &announced.key), Heard::New);
    caps.finder.begin(&romeo.session, announced, 0, &world.router);
    settle().await;
    assert_eq!(romeo.read(), None);
    // It is asked at its next presence.
    announce(&caps, &romeo, &world, PRESENCE).await;
    assert!(romeo.read().is_some());
}

/// The format before version 1.4, directed presence, and what is longer than any hash.
#[tokio::test(start_paused = true)]
async fn what_proves_nothing_is_passed_over() {
    let world = World::new();
    world.account("romeo@localhost").await;
    let romeo = world.connect("romeo@localhost/orchard").await;
    let long = format!("ver='{}'", "x".repeat(VER_MAX_BYTES + 1));
    for presence in [
        PRESENCE.replace("hash='sha-1' ", ""),
        PRESENCE.replace("<presence>", "<presence to='juliet@localhost'>"),
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
    let world = World::new();
    world.account("romeo@localhost").await;
    let mut romeo = world.connect("romeo@localhost/orchard").await;
    romeo.send(PRESENCE).await;
    answer(&mut romeo, EXODUS).await;
    assert!(world.router.store.shared_item(COLLECTION, KEY).await.expect("reads").is_some());
    romeo.end().await;
}

/// Sections 6.2 and 6.3: our own, and a `ver` that is right for what disco says, forms included.
#[tokio::test(start_paused = true)]
async fn the_server_announces_what_it_answers() {
    let world = World::new();
    world.account("romeo@localhost").await;
    let mut romeo = world.connect("romeo@localhost/orchard").await;
    let mut vers = Vec::new();
    for abuse in [None, Some("mailto:abuse@localhost")] {
        let mut config = (*world.live.load_full()).clone();
        config.modules.contact.abuse = abuse.iter().map(|uri| uri.parse().expect("a URI")).collect();
        world.live.store(Arc::new(config));

        let features = world.router.host().features_after_login();
        let c = features.iter().find(|feature| feature.is("c", ns::CAPS)).expect("announced");
        let announced = c.attribute("ver").expect("a ver").to_owned();
        let node = format!("{NODE}#{announced}");
        let query = format!("<query xmlns='http://jabber.org/protocol/disco#info' node='{node}'/>");
        let info = romeo.ask("get", Some("localhost"), &query).await;
        let info = Element::parse(info.as_bytes()).expect("well-formed");
        assert_eq!(info.attribute("node"), Some(node.as_str()));
        assert_eq!(ver(Hash::Sha1, &info).as_deref(), Ok(announced.as_str()));
        assert_eq!(info.find("x", ns::DATA_FORMS).is_some(), abuse.is_some());
        vers.push(announced);
    }
    assert_ne!(vers[0], vers[1]);
    let old = format!("<query xmlns='http://jabber.org/protocol/disco#info' node='{NODE}#{}'/>", vers[0]);
    assert_eq!(romeo.ask("get", Some("localhost"), &old).await, "cancel item-not-found");
}
