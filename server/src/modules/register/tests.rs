use std::time::Duration;

use super::*;
use crate::testing::World;

const HERE: &str = "192.0.2.1";

fn open() -> World {
    World::with(|config| config.modules.register.enabled = true)
}

fn jid(text: &str) -> BareJid {
    BareJid::parse(text).expect("an address")
}

fn query(inside: &str) -> String {
    format!("<query xmlns='jabber:iq:register'>{inside}</query>")
}

fn wanted(username: &str, password: &str) -> String {
    query(&format!("<username>{username}</username><password>{password}</password>"))
}

/// A stanza before authentication; what the stream would write.
async fn early(world: &World, from: &str, xml: &str) -> Option<String> {
    let stanza = Stanza::read(xml.as_bytes()).expect("a stanza");
    let address = from.parse().expect("an address");
    let reply = world.router.answer_before_login(&stanza, "localhost", address).await?;
    let mut xml = Vec::new();
    reply.write(&mut xml);
    String::from_utf8(xml).ok()
}

async fn set(world: &World, from: &str, query: &str) -> String {
    let iq = format!("<iq type='set' id='r' to='localhost'>{query}</iq>");
    let reply = early(world, from, &iq).await.expect("an answer");
    let reply = Stanza::read(reply.as_bytes()).expect("a stanza");
    assert_eq!(reply.id.as_deref(), Some("r"));
    reply.error().map(|error| error.condition.as_str().to_owned()).unwrap_or_default()
}

/// Section 3.1.
#[tokio::test(start_paused = true)]
async fn who_has_no_account_makes_one() {
    let world = open();
    let get = "<iq type='get' id='r'><query xmlns='jabber:iq:register'/></iq>";
    let fields = early(&world, HERE, get).await.expect("an answer");
    assert_eq!(
        fields,
        "<iq from='localhost' id='r' type='result'><query xmlns='jabber:iq:register'>\
         <instructions>Choose a user name and a password.</instructions><username/><password/></query></iq>"
    );
    assert_eq!(set(&world, HERE, &wanted("Romeo", "wherefore")).await, "");
    assert_eq!(world.directory.check_password(&jid("romeo@localhost"), "wherefore").await, Ok(true));
    assert_eq!(set(&world, HERE, &wanted("romeo", "therefore")).await, "conflict");
    assert_eq!(world.directory.check_password(&jid("romeo@localhost"), "wherefore").await, Ok(true));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_complete_or_no_name_makes_none() {
    let world = open();
    for refused in [
        query("<username>romeo</username>"),
        query("<password>wherefore</password>"),
        wanted("romeo", ""),
        wanted("", "wherefore"),
        wanted("ro meo", "wherefore"),
        wanted("romeo@localhost", "wherefore"),
        query(""),
    ] {
        assert_eq!(set(&world, HERE, &refused).await, "not-acceptable", "{refused}");
    }
    assert_eq!(set(&world, HERE, &query("<remove/>")).await, "unexpected-request");
    assert_eq!(set(&world, HERE, &query("<remove/><username/>")).await, "bad-request");
    assert_eq!(world.directory.count("localhost").await, Ok(0));
}

/// Behaviour 13.
#[tokio::test(start_paused = true)]
async fn only_registration_is_answered_before_authentication() {
    let world = open();
    for other in [
        "<message to='localhost'><body>hi</body></message>",
        "<iq type='get' id='1' to='localhost'><query xmlns='jabber:iq:version'/></iq>",
        "<iq type='get' id='1' to='romeo@localhost'><query xmlns='jabber:iq:register'/></iq>",
        "<iq type='get' id='1' to='elsewhere.example'><query xmlns='jabber:iq:register'/></iq>",
        "<iq type='result' id='1'><query xmlns='jabber:iq:register'/></iq>",
    ] {
        assert_eq!(early(&world, HERE, other).await, None, "{other}");
    }
    let off = World::new();
    assert_eq!(set(&off, HERE, &wanted("romeo", "wherefore")).await, "service-unavailable");
    assert!(off.router.host().register.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_address_makes_so_many_accounts_in_a_while() {
    let world = World::with(|config| {
        config.modules.register.enabled = true;
        config.modules.register.registrations_per_address = Limit::AtMost(2);
        config.modules.register.registrations_per_address_seconds = 600;
    });
    assert_eq!(set(&world, HERE, &wanted("a", "p")).await, "");
    // A name that is taken costs none of them.
    assert_eq!(set(&world, HERE, &wanted("a", "p")).await, "conflict");
    assert_eq!(set(&world, HERE, &wanted("b", "p")).await, "");
    assert_eq!(set(&world, HERE, &wanted("c", "p")).await, "resource-constraint");
    assert_eq!(set(&world, "::ffff:192.0.2.1", &wanted("c", "p")).await, "resource-constraint");
    assert_eq!(set(&world, "192.0.2.2", &wanted("c", "p")).await, "");
    tokio::time::advance(Duration::from_secs(600)).await;
    assert_eq!(set(&world, HERE, &wanted("d", "p")).await, "");

    assert_eq!(set(&world, "2001:db8::1", &wanted("e", "p")).await, "");
    assert_eq!(set(&world, "2001:db8::2", &wanted("f", "p")).await, "");
    assert_eq!(set(&world, "2001:db8::3", &wanted("g", "p")).await, "resource-constraint");
    assert_eq!(set(&world, "2001:db8:0:1::1", &wanted("g", "p")).await, "");
}

/// Who asks for names that are taken learns of accounts, and must not go on for ever.
#[tokio::test(start_paused = true)]
async fn tries_have_a_bound_too() {
    let world = World::with(|config| {
        config.modules.register.enabled = true;
        config.modules.register.registrations_per_address = Limit::AtMost(1);
    });
    world.account("romeo@localhost").await;
    for _ in 0..TRIES_PER_ACCOUNT {
        assert_eq!(set(&world, HERE, &wanted("romeo", "p")).await, "conflict");
    }
    assert_eq!(set(&world, HERE, &wanted("romeo", "p")).await, "resource-constraint");
    assert_eq!(set(&world, HERE, &wanted("free", "p")).await, "resource-constraint");
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_there_is_none() {
    let world = World::with(|config| {
        config.modules.register.enabled = true;
        config.modules.register.registrations_per_address = Limit::None;
    });
    for number in 0..30 {
        assert_eq!(set(&world, HERE, &wanted(&format!("user{number}"), "p")).await, "");
    }
}

/// Section 3.1: to those who have one, what is on file.
#[tokio::test(start_paused = true)]
async fn who_has_an_account_is_told_so() {
    let world = open();
    world.account("romeo@localhost").await;
    let mut romeo = world.connect("romeo@localhost/orchard").await;
    let expected = query("<registered/><username>romeo</username><password/>");
    for to in [None, Some("localhost"), Some("romeo@localhost")] {
        assert_eq!(romeo.ask("get", to, &query("")).await, expected);
    }
    for to in ["juliet@localhost", "nobody@localhost"] {
        let answer = romeo.ask("get", Some(to), &query("")).await;
        assert_eq!(answer, "cancel service-unavailable");
    }
}

/// Section 3.3.
#[tokio::test(start_paused = true)]
async fn a_password_is_changed_by_its_owner() {
    let world = open();
    world.directory.create(&jid("romeo@localhost"), "wherefore").await.expect("made");
    world.directory.create(&jid("juliet@localhost"), "art thou").await.expect("made");
    let mut romeo = world.connect("romeo@localhost/orchard").await;
    let to = Some("localhost");
    assert_eq!(romeo.ask("set", to, &wanted("ROMEO", "therefore")).await, "");
    assert_eq!(world.directory.check_password(&jid("romeo@localhost"), "therefore").await, Ok(true));

    assert_eq!(romeo.ask("set", to, &wanted("juliet", "mine")).await, "cancel not-allowed");
    assert_eq!(romeo.ask("set", to, &wanted("paris", "mine")).await, "cancel not-allowed");
    assert_eq!(romeo.ask("set", to, &wanted("romeo", "")).await, "modify bad-request");
    assert_eq!(romeo.ask("set", to, &query("<password>x</password>")).await, "modify bad-request");
    assert_eq!(romeo.ask("set", to, &wanted("romeo", "a\u{7f}")).await, "modify not-acceptable");
    assert_eq!(world.directory.check_password(&jid("romeo@localhost"), "therefore").await, Ok(true));
    assert_eq!(world.directory.check_password(&jid("juliet@localhost"), "art thou").await, Ok(true));
}

/// Section 3.2.
#[tokio::test(start_paused = true)]
async fn an_account_is_removed_by_its_owner() {
    let world = open();
    world.account("romeo@localhost").await;
    let mut romeo = world.connect("romeo@localhost/orchard").await;
    let other = world.connect("romeo@localhost/street").await;
    let to = Some("localhost");
    assert_eq!(romeo.ask("set", to, &query("<remove/><username/>")).await, "modify bad-request");
    assert_eq!(romeo.ask("set", None, &query("<remove/>")).await, "");
    for session in [&romeo.session, &other.session] {
        assert_eq!(session.ended(), Some(crate::session::End::Removed));
    }
    assert_eq!(romeo.read(), None);
    assert_eq!(world.directory.find(&jid("romeo@localhost")).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_removes_nothing() {
    let world = open();
    world.account("romeo@localhost").await;
    let mut romeo = world.connect("romeo@localhost/orchard").await;
    world.store.fail_writes(crate::storage::StoreError::Unavailable("away".to_owned()));
    let answer = romeo.ask("set", Some("localhost"), &query("<remove/>")).await;
    assert_eq!(answer, "wait resource-constraint");
    assert_eq!(romeo.session.ended(), None);
}
