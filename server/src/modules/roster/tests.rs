use crate::storage::{Rosters, StoreError, Subscription, Write};
use crate::testing::{Client, Stage, bare};

const GET: &str = "<iq type='get' id='g'><query xmlns='jabber:iq:roster'/></iq>";

async fn set(client: &Client, item: &str) {
    let xml = format!("<iq type='set' id='s'><query xmlns='jabber:iq:roster'>{item}</query></iq>");
    client.send(&xml).await;
}

/// The error that answered the last set: condition and type.
async fn error(client: &mut Client) -> (String, String) {
    let stanzas = client.stanzas().await;
    let error = stanzas.last().and_then(|stanza| stanza.error()).expect("an error");
    (error.condition.as_str().to_owned(), error.type_.as_str().to_owned())
}

fn push(to: &str, ver: u64, item: &str) -> String {
    format!(
        "<iq from='romeo@example.com' to='{to}' id='push' type='set'>\
         <query xmlns='jabber:iq:roster' ver='e-{ver}'>{item}</query></iq>"
    )
}

/// Sections 2.1.6, 2.2 and 2.3.2.
#[tokio::test(start_paused = true)]
async fn a_change_is_pushed_to_interested_resources_and_to_nobody_else() {
    let stage = Stage::new().await;
    let mut orchard = stage.login("romeo@example.com/orchard").await;
    let mut garden = stage.bind("romeo@example.com/garden").await;
    let mut hall = stage.bind("romeo@example.com/hall").await;
    let mut juliet = stage.login("juliet@example.com/balcony").await;
    garden.send(GET).await;
    assert_eq!(
        garden.received().await,
        [
            "<iq to='romeo@example.com/garden' id='g' type='result'><query xmlns='jabber:iq:roster' ver='e-0'/></iq>"
        ]
    );
    let item = "<item jid='nurse@example.com' name='Nurse'><group>Servants</group><group>Kind</group></item>";
    set(&orchard, item).await;
    let pushed = "<item jid='nurse@example.com' name='Nurse' subscription='none'>\
                  <group>Servants</group><group>Kind</group></item>";
    let ids: Vec<_> = orchard.stanzas().await.iter().map(|stanza| stanza.id.clone()).collect();
    let garden_push = garden.stanzas().await;
    assert_eq!(ids.len(), 2, "a push, then the result");
    assert_eq!(ids[1].as_deref(), Some("s"));
    assert_ne!(ids[0], garden_push[0].id, "an id of its own for each");
    assert_eq!(crate::testing::text(&garden_push[0]), push("romeo@example.com/garden", 1, pushed));
    assert_eq!(garden_push.len(), 1);
    assert!(hall.received().await.is_empty() && juliet.received().await.is_empty());
}

/// Section 2.4: an item is what the client set last.
#[tokio::test(start_paused = true)]
async fn a_set_replaces_name_and_groups_and_keeps_the_subscription() {
    let stage = Stage::new().await;
    let mut romeo = stage.login("romeo@example.com/orchard").await;
    stage.put_item("romeo@example.com", "nurse@example.com", Subscription::To).await;
    set(
        &romeo,
        "<item jid='nurse@example.com' name='N' ask='subscribe' approved='true' subscription='both'>\
         <group>x</group></item>",
    )
    .await;
    set(&romeo, "<item jid='Nurse@example.com'/>").await;
    romeo.received().await;
    romeo.send(GET).await;
    assert_eq!(
        romeo.received().await,
        [
            "<iq to='romeo@example.com/orchard' id='g' type='result'><query xmlns='jabber:iq:roster' ver='e-3'>\
          <item jid='nurse@example.com' subscription='to'/></query></iq>"
        ]
    );
}

/// Sections 2.1.5 and 2.3.3.
#[tokio::test(start_paused = true)]
async fn what_a_set_may_not_be() {
    let stage = Stage::new().await;
    let mut romeo = stage.login("romeo@example.com/orchard").await;
    stage.account("juliet@example.com").await;
    let long = "x".repeat(1024);
    for (item, condition) in [
        ("", "bad-request"),
        ("<item jid='a@b'/><item jid='c@d'/>", "bad-request"),
        ("<item/>", "bad-request"),
        ("<item jid='a@@b'/>", "jid-malformed"),
        ("<item jid='a@b'><group>g</group><group>g</group></item>", "bad-request"),
        ("<item jid='a@b'><group/></item>", "not-acceptable"),
        (&format!("<item jid='a@b' name='{long}'/>"), "not-acceptable"),
        (&format!("<item jid='a@b'><group>{long}</group></item>"), "not-acceptable"),
    ] {
        set(&romeo, item).await;
        assert_eq!(error(&mut romeo).await, (condition.to_owned(), "modify".to_owned()), "{item}");
    }
    set(&romeo, "<item jid='nobody@example.com' subscription='remove'/>").await;
    assert_eq!(error(&mut romeo).await.0, "item-not-found");
    for (to, condition) in [
        // The same for both, so that it does not show whose account exists.
        ("juliet@example.com", "forbidden"),
        ("nobody@example.com", "forbidden"),
        ("example.com", "service-unavailable"),
    ] {
        for (type_, item) in [("set", "<item jid='a@b'/>"), ("get", "")] {
            let xml = format!(
                "<iq type='{type_}' id='s' to='{to}'><query xmlns='jabber:iq:roster'>{item}</query></iq>"
            );
            romeo.send(&xml).await;
            assert_eq!(error(&mut romeo).await.0, condition, "{to}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_roster_has_a_limit() {
    let mut config = crate::config::Config::default();
    config.limits.roster_items = 2;
    config.limits.roster_item_groups = 1;
    let stage = Stage::with(config, crate::router::Save::Always).await;
    let mut romeo = stage.login("romeo@example.com/orchard").await;
    for contact in ["a@example.com", "b@example.com", "a@example.com"] {
        set(&romeo, &format!("<item jid='{contact}'/>")).await;
        assert_eq!(romeo.stanzas().await.last().unwrap().error(), None, "{contact}");
    }
    set(&romeo, "<item jid='c@example.com'/>").await;
    assert_eq!(error(&mut romeo).await, ("resource-constraint".to_owned(), "wait".to_owned()));
    set(&romeo, "<item jid='a@example.com'><group>g</group><group>h</group></item>").await;
    assert_eq!(error(&mut romeo).await.0, "not-acceptable");
    romeo.send("<presence type='subscribe' to='c@example.com'/>").await;
    assert_eq!(error(&mut romeo).await.0, "resource-constraint");
}

/// Section 2.5.2: both directions of the subscription end, and each sees the other go.
#[tokio::test(start_paused = true)]
async fn a_removal_ends_the_subscription() {
    let stage = Stage::new().await;
    stage.befriend("romeo@example.com", "juliet@example.com").await;
    let mut romeo = stage.login("romeo@example.com/orchard").await;
    let mut juliet = stage.login("juliet@example.com/balcony").await;
    romeo.received().await;
    set(&romeo, "<item jid='juliet@example.com' subscription='remove'/>").await;
    assert_eq!(
        romeo.received().await,
        [
            push("romeo@example.com/orchard", 2, "<item jid='juliet@example.com' subscription='remove'/>"),
            "<presence from='juliet@example.com/balcony' to='romeo@example.com' type='unavailable'/>"
                .to_owned(),
            "<iq to='romeo@example.com/orchard' id='s' type='result'/>".to_owned(),
        ]
    );
    let push_to_juliet = |ver, subscription| {
        format!(
            "<iq from='juliet@example.com' to='juliet@example.com/balcony' id='push' type='set'>\
             <query xmlns='jabber:iq:roster' ver='e-{ver}'>\
             <item jid='romeo@example.com' subscription='{subscription}'/></query></iq>"
        )
    };
    assert_eq!(
        juliet.received().await,
        [
            "<presence from='romeo@example.com' to='juliet@example.com' type='unsubscribe'/>".to_owned(),
            push_to_juliet(2, "to"),
            "<presence from='romeo@example.com/orchard' to='juliet@example.com' type='unavailable'/>"
                .to_owned(),
            "<presence from='romeo@example.com' to='juliet@example.com' type='unsubscribed'/>".to_owned(),
            push_to_juliet(3, "none"),
        ]
    );
    // What either says from now on the other does not see.
    romeo.send("<presence><show>away</show></presence>").await;
    assert!(juliet.received().await.is_empty());
}

/// Section 2.6.3, behaviours 59 and 137.
#[tokio::test(start_paused = true)]
async fn versions() {
    let stage = Stage::new().await;
    let mut romeo = stage.login("romeo@example.com/orchard").await;
    for contact in ["a@example.com", "b@example.com", "c@example.com"] {
        set(&romeo, &format!("<item jid='{contact}'/>")).await;
    }
    set(&romeo, "<item jid='a@example.com' name='A'/>").await;
    set(&romeo, "<item jid='b@example.com' subscription='remove'/>").await;
    romeo.received().await;
    let full = "<query xmlns='jabber:iq:roster' ver='e-5'>\
                <item jid='a@example.com' name='A' subscription='none'/>\
                <item jid='c@example.com' subscription='none'/></query>";
    let to = "romeo@example.com/orchard";
    let result = |content: &str| match content {
        "" => format!("<iq to='{to}' id='g' type='result'/>"),
        content => format!("<iq to='{to}' id='g' type='result'>{content}</iq>"),
    };
    let c = push(to, 3, "<item jid='c@example.com' subscription='none'/>");
    let a = push(to, 4, "<item jid='a@example.com' name='A' subscription='none'/>");
    let b = push(to, 5, "<item jid='b@example.com' subscription='remove'/>");
    for (ver, expected) in [
        ("", vec![result(full)]),
        ("nonsense", vec![result(full)]),
        ("f-5", vec![result(full)]),
        ("e-6", vec![result(full)]),
        ("e-5", vec![result("")]),
        ("e-4", vec![result(""), b.clone()]),
        ("e-2", vec![result(""), c, a, b]),
    ] {
        let xml = format!("<iq type='get' id='g'><query xmlns='jabber:iq:roster' ver='{ver}'/></iq>");
        romeo.send(&xml).await;
        assert_eq!(romeo.received().await, expected, "ver={ver:?}");
    }
}

/// What is only pending in is not in a roster (section A.1).
#[tokio::test(start_paused = true)]
async fn a_request_is_no_item() {
    let stage = Stage::new().await;
    let mut romeo = stage.login("romeo@example.com/orchard").await;
    let juliet = stage.login("juliet@example.com/balcony").await;
    juliet.send("<presence type='subscribe' to='romeo@example.com'/>").await;
    assert_eq!(
        romeo.received().await,
        ["<presence from='juliet@example.com' to='romeo@example.com' type='subscribe'/>"]
    );
    romeo.send(GET).await;
    assert_eq!(
        romeo.received().await,
        [
            "<iq to='romeo@example.com/orchard' id='g' type='result'><query xmlns='jabber:iq:roster' ver='e-0'/></iq>"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_waited_for() {
    let stage = Stage::new().await;
    let mut romeo = stage.login("romeo@example.com/orchard").await;
    stage.store.fail_writes(StoreError::Unavailable("a test".to_owned()));
    set(&romeo, "<item jid='a@example.com'/>").await;
    assert_eq!(error(&mut romeo).await, ("resource-constraint".to_owned(), "wait".to_owned()));
    stage.store.heal();
    stage.store.fail_reads(StoreError::Unavailable("a test".to_owned()));
    romeo.send(GET).await;
    assert_eq!(error(&mut romeo).await, ("resource-constraint".to_owned(), "wait".to_owned()));
    stage.store.heal();
    set(&romeo, "<item jid='a@example.com'/>").await;
    assert_eq!(romeo.received().await.len(), 2, "it is still interested");
}

/// A roster that changes while it is read for a client reaches it in the right order.
#[tokio::test(start_paused = true)]
async fn a_change_while_the_roster_is_read_comes_behind_it() {
    let stage = Stage::new().await;
    let mut romeo = stage.bind("romeo@example.com/orchard").await;
    let owner = stage.account("romeo@example.com").await;
    romeo.session.begin_list(crate::session::Wants::Roster);
    let write = Write::SetRosterItem {
        owner,
        contact: bare("a@example.com"),
        name: String::new(),
        groups: Vec::new(),
        limit: 10,
    };
    let before = stage.store.roster(owner).await.unwrap().version;
    stage.router.change_rosters(&[bare("romeo@example.com")], write).await.unwrap();
    assert!(romeo.received().await.is_empty());
    super::catch_up(&romeo.session, &stage.router, owner, before, Vec::new()).await;
    assert_eq!(
        romeo.received().await,
        [push("romeo@example.com/orchard", 1, "<item jid='a@example.com' subscription='none'/>")]
    );
}
