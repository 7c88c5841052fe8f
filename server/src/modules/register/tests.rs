use std::time::Duration;

use super::*;
use crate::testing::Stage;

const HERE: &str = "192.0.2.1";

async fn open() -> Stage {
    Stage::configured(|config| config.modules.register.enabled = true).await
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
async fn early(stage: &Stage, from: &str, xml: &str) -> Option<String> {
    let stanza = Stanza::read(xml.as_bytes()).expect("a stanza");
    let address = from.parse().expect("an address");
    let reply = stage.router.answer_before_login(&stanza, "example.com", address).await?;
    let mut xml = Vec::new();
    reply.write(&mut xml);
    String::from_utf8(xml).ok()
}

async fn set(stage: &Stage, from: &str, query: &str) -> String {
    let iq = format!("<iq type='set' id='r' to='example.com'>{query}</iq>");
    let reply = early(stage, from, &iq).await.expect("an answer");
    let reply = Stanza::read(reply.as_bytes()).expect("a stanza");
    assert_eq!(reply.id.as_deref(), Some("r"));
    reply.error().map(|error| error.condition.as_str().to_owned()).unwrap_or_default()
}

/// Section 3.1.
#[tokio::test(start_paused = true)]
async fn who_has_no_account_makes_one() {
    let stage = open().await;
    let get = "<iq type='get' id='r'><query xmlns='jabber:iq:register'/></iq>";
    let fields = early(&stage, HERE, get).await.expect("an answer");
    assert_eq!(
        fields,
        "<iq from='example.com' id='r' type='result'><query xmlns='jabber:iq:register'>\
         <instructions>Choose a user name and a password.</instructions><username/><password/><x xmlns='jabber:x:data' type='form'><title>A new account</title>\
         <instructions>Choose a user name and a password.</instructions>\
         <field type='hidden' var='FORM_TYPE'><value>jabber:iq:register</value></field>\
         <field type='text-single' var='username' label='User name'><required/></field>\
         <field type='text-private' var='password' label='Password'><required/></field></x></query></iq>"
    );
    assert_eq!(set(&stage, HERE, &wanted("Romeo", "wherefore")).await, "");
    assert_eq!(stage.directory.check_password(&jid("romeo@example.com"), "wherefore").await, Ok(true));
    assert_eq!(set(&stage, HERE, &wanted("romeo", "therefore")).await, "conflict");
    assert_eq!(stage.directory.check_password(&jid("romeo@example.com"), "wherefore").await, Ok(true));
}

/// Section 4.
#[tokio::test(start_paused = true)]
async fn a_form_says_the_same_as_the_fields() {
    let stage = open().await;
    let form = |type_: &str, form_type: &str, username: &str| {
        let field = |var, value| format!("<field var='{var}'><value>{value}</value></field>");
        let fields = [("FORM_TYPE", form_type), ("username", username), ("password", "p")];
        let fields: String = fields.map(|(var, value)| field(var, value)).concat();
        query(&format!("<x xmlns='jabber:x:data' type='{type_}'>{fields}</x>"))
    };
    assert_eq!(set(&stage, HERE, &form("submit", ns::REGISTER, "Romeo")).await, "");
    assert_eq!(stage.directory.check_password(&jid("romeo@example.com"), "p").await, Ok(true));
    assert_eq!(set(&stage, HERE, &form("submit", ns::REGISTER, "romeo")).await, "conflict");
    assert_eq!(set(&stage, HERE, &form("submit", ns::REGISTER, "")).await, "not-acceptable");
    assert_eq!(set(&stage, HERE, &form("submit", "urn:example:else", "b")).await, "not-acceptable");
    assert_eq!(set(&stage, HERE, &form("cancel", ns::REGISTER, "b")).await, "bad-request");
    assert_eq!(stage.directory.count("example.com").await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_complete_or_no_name_makes_none() {
    let stage = open().await;
    for refused in [
        query("<username>romeo</username>"),
        query("<password>wherefore</password>"),
        wanted("romeo", ""),
        wanted("", "wherefore"),
        wanted("ro meo", "wherefore"),
        wanted("romeo@example.com", "wherefore"),
        query(""),
    ] {
        assert_eq!(set(&stage, HERE, &refused).await, "not-acceptable", "{refused}");
    }
    assert_eq!(set(&stage, HERE, &query("<remove/>")).await, "unexpected-request");
    assert_eq!(set(&stage, HERE, &query("<remove/><username/>")).await, "bad-request");
    assert_eq!(stage.directory.count("example.com").await, Ok(0));
}

/// Behaviour 13.
#[tokio::test(start_paused = true)]
async fn only_registration_is_answered_before_authentication() {
    let stage = open().await;
    for other in [
        "<message to='example.com'><body>hi</body></message>",
        "<iq type='get' id='1' to='example.com'><query xmlns='jabber:iq:version'/></iq>",
        "<iq type='get' id='1' to='romeo@example.com'><query xmlns='jabber:iq:register'/></iq>",
        "<iq type='get' id='1' to='elsewhere.example'><query xmlns='jabber:iq:register'/></iq>",
        "<iq type='result' id='1'><query xmlns='jabber:iq:register'/></iq>",
    ] {
        assert_eq!(early(&stage, HERE, other).await, None, "{other}");
    }
    let off = Stage::new().await;
    assert_eq!(set(&off, HERE, &wanted("romeo", "wherefore")).await, "service-unavailable");
    assert!(off.router.host().register.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_address_makes_so_many_accounts_in_a_while() {
    let stage = Stage::configured(|config| {
        config.modules.register.enabled = true;
        config.modules.register.registrations_per_address = Limit::AtMost(2);
        config.modules.register.registrations_per_address_seconds = 600;
    })
    .await;
    assert_eq!(set(&stage, HERE, &wanted("a", "p")).await, "");
    // A name that is taken costs none of them.
    assert_eq!(set(&stage, HERE, &wanted("a", "p")).await, "conflict");
    assert_eq!(set(&stage, HERE, &wanted("b", "p")).await, "");
    assert_eq!(set(&stage, HERE, &wanted("c", "p")).await, "resource-constraint");
    assert_eq!(set(&stage, "::ffff:192.0.2.1", &wanted("c", "p")).await, "resource-constraint");
    assert_eq!(set(&stage, "192.0.2.2", &wanted("c", "p")).await, "");
    tokio::time::advance(Duration::from_secs(600)).await;
    assert_eq!(set(&stage, HERE, &wanted("d", "p")).await, "");

    assert_eq!(set(&stage, "2001:db8::1", &wanted("e", "p")).await, "");
    assert_eq!(set(&stage, "2001:db8::2", &wanted("f", "p")).await, "");
    assert_eq!(set(&stage, "2001:db8::3", &wanted("g", "p")).await, "resource-constraint");
    assert_eq!(set(&stage, "2001:db8:0:1::1", &wanted("g", "p")).await, "");
}

/// Who asks for names that are taken learns of accounts, and must not go on for ever.
#[tokio::test(start_paused = true)]
async fn tries_have_a_bound_too() {
    let stage = Stage::configured(|config| {
        config.modules.register.enabled = true;
        config.modules.register.registrations_per_address = Limit::AtMost(1);
    })
    .await;
    stage.account("romeo@example.com").await;
    for _ in 0..TRIES_PER_ACCOUNT {
        assert_eq!(set(&stage, HERE, &wanted("romeo", "p")).await, "conflict");
    }
    assert_eq!(set(&stage, HERE, &wanted("romeo", "p")).await, "resource-constraint");
    assert_eq!(set(&stage, HERE, &wanted("free", "p")).await, "resource-constraint");
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_there_is_none() {
    let stage = Stage::configured(|config| {
        config.modules.register.enabled = true;
        config.modules.register.registrations_per_address = Limit::None;
    })
    .await;
    for number in 0..30 {
        assert_eq!(set(&stage, HERE, &wanted(&format!("user{number}"), "p")).await, "");
    }
}

/// Section 3.1: to those who have one, what is on file.
#[tokio::test(start_paused = true)]
async fn who_has_an_account_is_told_so() {
    let stage = open().await;
    stage.account("romeo@example.com").await;
    let mut romeo = stage.bind("romeo@example.com/orchard").await;
    let expected = query("<registered/><username>romeo</username><password/>");
    for to in [None, Some("example.com"), Some("romeo@example.com")] {
        assert_eq!(romeo.ask("get", to, &query("")).await, expected);
    }
    for to in ["juliet@example.com", "nobody@example.com"] {
        let answer = romeo.ask("get", Some(to), &query("")).await;
        assert_eq!(answer, "cancel service-unavailable");
    }
}

/// Section 3.3.
#[tokio::test(start_paused = true)]
async fn a_password_is_changed_by_its_owner() {
    let stage = open().await;
    stage.directory.create(&jid("romeo@example.com"), "wherefore").await.expect("made");
    stage.directory.create(&jid("juliet@example.com"), "art thou").await.expect("made");
    let mut romeo = stage.bind("romeo@example.com/orchard").await;
    let to = Some("example.com");
    assert_eq!(romeo.ask("set", to, &wanted("ROMEO", "therefore")).await, "");
    assert_eq!(stage.directory.check_password(&jid("romeo@example.com"), "therefore").await, Ok(true));

    assert_eq!(romeo.ask("set", to, &wanted("juliet", "mine")).await, "cancel not-allowed");
    assert_eq!(romeo.ask("set", to, &wanted("paris", "mine")).await, "cancel not-allowed");
    assert_eq!(romeo.ask("set", to, &wanted("romeo", "")).await, "modify bad-request");
    assert_eq!(romeo.ask("set", to, &query("<password>x</password>")).await, "modify bad-request");
    assert_eq!(romeo.ask("set", to, &wanted("romeo", "a\u{7f}")).await, "modify not-acceptable");
    assert_eq!(stage.directory.check_password(&jid("romeo@example.com"), "therefore").await, Ok(true));
    assert_eq!(stage.directory.check_password(&jid("juliet@example.com"), "art thou").await, Ok(true));
}

/// Section 3.2.
#[tokio::test(start_paused = true)]
async fn an_account_is_removed_by_its_owner() {
    let stage = open().await;
    stage.account("romeo@example.com").await;
    let mut romeo = stage.bind("romeo@example.com/orchard").await;
    let other = stage.bind("romeo@example.com/street").await;
    let to = Some("example.com");
    assert_eq!(romeo.ask("set", to, &query("<remove/><username/>")).await, "modify bad-request");
    assert_eq!(romeo.ask("set", None, &query("<remove/>")).await, "");
    for session in [&romeo.session, &other.session] {
        assert_eq!(session.ended(), Some(crate::session::End::Removed));
    }
    assert_eq!(stage.directory.find(&jid("romeo@example.com")).await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_removes_nothing() {
    let stage = open().await;
    stage.account("romeo@example.com").await;
    let mut romeo = stage.bind("romeo@example.com/orchard").await;
    stage.store.fail_writes(crate::storage::StoreError::Unavailable("away".to_owned()));
    let answer = romeo.ask("set", Some("example.com"), &query("<remove/>")).await;
    assert_eq!(answer, "wait resource-constraint");
    assert_eq!(romeo.session.ended(), None);
}

#[tokio::test(start_paused = true)]
async fn a_welcome_waits_for_who_has_registered() {
    let stage = Stage::configured(|config| {
        config.modules.register.enabled = true;
        config.modules.register.welcome_message = "Welcome to fair Verona".to_owned();
    })
    .await;
    assert_eq!(set(&stage, HERE, &wanted("romeo", "p")).await, "");
    let mut romeo = stage.bind("romeo@example.com/orchard").await;
    romeo.send("<presence/>").await;
    let received = romeo.received().await;
    let welcome = received.iter().find(|stanza| stanza.contains("Welcome to fair Verona"));
    let welcome = welcome.unwrap_or_else(|| panic!("no welcome: {received:?}"));
    assert!(welcome.starts_with("<message from='example.com' to='romeo@example.com'"), "{welcome}");
}
