use crate::storage::Subscription;
use crate::testing::{Client, Stage};

const ROMEO: &str = "romeo@example.com";
const JULIET: &str = "juliet@example.com";
const ORCHARD: &str = "romeo@example.com/orchard";
const BALCONY: &str = "juliet@example.com/balcony";

/// `type from show`, of each presence.
async fn seen(client: &mut Client) -> Vec<String> {
    let stanzas = client.stanzas().await;
    let seen = stanzas.iter().filter(|stanza| stanza.kind == xmpp_core::Kind::Presence).map(|stanza| {
        let type_ = stanza.type_.as_str().unwrap_or("available");
        let from = stanza.from.as_ref().map_or("", |from| from.as_str());
        let show = stanza.payload.text_of("show", xmpp_core::ns::CLIENT).unwrap_or_default();
        format!("{type_} {from} {show}").trim_end().to_owned()
    });
    seen.collect()
}

/// Section 4.2.2: to contacts with a subscription, to the own resources, and theirs to it.
#[tokio::test(start_paused = true)]
async fn initial_presence() {
    let stage = Stage::new().await;
    stage.put_item(ROMEO, JULIET, Subscription::Both).await;
    stage.put_item(JULIET, ROMEO, Subscription::Both).await;
    // Mercutio sees Romeo and is not seen by him; with Tybalt it is the other way round.
    stage.put_item(ROMEO, "mercutio@example.com", Subscription::From).await;
    stage.put_item("mercutio@example.com", ROMEO, Subscription::To).await;
    stage.put_item(ROMEO, "tybalt@example.net", Subscription::To).await;
    stage.put_item("tybalt@example.net", ROMEO, Subscription::From).await;
    let mut juliet = stage.login(BALCONY).await;
    let mut chamber = stage.bind("juliet@example.com/chamber").await;
    let mut mercutio = stage.login("mercutio@example.com/street").await;
    let mut tybalt = stage.login("tybalt@example.net/street").await;
    let mut garden = stage.login("romeo@example.com/garden").await;
    juliet.send("<presence><show>away</show><priority>-1</priority></presence>").await;
    for client in [&mut juliet, &mut mercutio, &mut tybalt, &mut garden] {
        client.received().await;
    }
    let mut orchard = stage.bind(ORCHARD).await;
    orchard.send("<presence id='p'><show>chat</show></presence>").await;
    assert_eq!(
        juliet.received().await,
        [
            "<presence from='romeo@example.com/orchard' to='juliet@example.com' id='p'><show>chat</show></presence>"
        ]
    );
    assert_eq!(seen(&mut chamber).await, [""; 0], "connected and not available");
    assert_eq!(seen(&mut mercutio).await, ["available romeo@example.com/orchard chat"]);
    assert_eq!(seen(&mut tybalt).await, [""; 0]);
    assert_eq!(seen(&mut garden).await, ["available romeo@example.com/orchard chat"]);
    assert_eq!(
        seen(&mut orchard).await,
        [
            "available romeo@example.com/orchard chat",
            "available juliet@example.com/balcony away",
            "available tybalt@example.net/street",
            "available romeo@example.com/garden",
        ]
    );
    // Section 4.4.2: what comes later is only told.
    orchard.send("<presence><show>dnd</show></presence>").await;
    assert_eq!(seen(&mut orchard).await, ["available romeo@example.com/orchard dnd"]);
    assert_eq!(seen(&mut juliet).await, ["available romeo@example.com/orchard dnd"]);
}

/// Only the contact's own roster says who sees it (section 4.3.2).
#[tokio::test(start_paused = true)]
async fn a_roster_that_claims_too_much_shows_nothing() {
    let stage = Stage::new().await;
    stage.put_item(ROMEO, JULIET, Subscription::To).await;
    let _juliet = stage.login(BALCONY).await;
    let mut romeo = stage.bind(ORCHARD).await;
    romeo.send("<presence/>").await;
    assert_eq!(seen(&mut romeo).await, ["available romeo@example.com/orchard"]);
}

/// Section 4.5.2: with what it says, or in the server's words, but once.
#[tokio::test(start_paused = true)]
async fn unavailable_comes_once() {
    let stage = Stage::new().await;
    stage.befriend(ROMEO, JULIET).await;
    let mut juliet = stage.login(BALCONY).await;
    let mut garden = stage.login("romeo@example.com/garden").await;
    let mut orchard = stage.login(ORCHARD).await;
    juliet.received().await;
    garden.received().await;
    orchard.send("<presence type='unavailable'><status>bye</status></presence>").await;
    assert_eq!(
        juliet.received().await,
        ["<presence from='romeo@example.com/orchard' to='juliet@example.com' type='unavailable'>\
          <status>bye</status></presence>"]
    );
    assert_eq!(seen(&mut garden).await, ["unavailable romeo@example.com/orchard"]);
    assert_eq!(seen(&mut orchard).await, ["unavailable romeo@example.com/orchard"]);
    orchard.send("<presence type='unavailable'/>").await;
    orchard.end().await;
    assert_eq!(seen(&mut juliet).await, [""; 0]);
    garden.end().await;
    assert_eq!(seen(&mut juliet).await, ["unavailable romeo@example.com/garden"]);
    // A session that never was available has nothing to take back.
    stage.bind(ORCHARD).await.end().await;
    assert_eq!(seen(&mut juliet).await, [""; 0]);
}

/// A session that has ended says nothing any more, even if its last words are still on their way.
#[tokio::test(start_paused = true)]
async fn an_ended_session_is_not_shown() {
    let stage = Stage::new().await;
    stage.befriend(ROMEO, JULIET).await;
    let mut juliet = stage.login(BALCONY).await;
    let romeo = stage.bind(ORCHARD).await;
    romeo.session.end(crate::session::End::Kicked);
    romeo.send("<presence/>").await;
    romeo.end().await;
    assert_eq!(seen(&mut juliet).await, [""; 0]);
}

/// Behaviour 30: whoever takes an address over is not called gone when its predecessor ends late.
#[tokio::test(start_paused = true)]
async fn a_replaced_session_does_not_take_its_successor_along() {
    let stage = Stage::new().await;
    stage.befriend(ROMEO, JULIET).await;
    let mut juliet = stage.login(BALCONY).await;
    for shows_itself_first in [false, true] {
        let old = stage.login(ORCHARD).await;
        juliet.received().await;
        let new = stage.bind(ORCHARD).await;
        old.session.end(crate::session::End::Replaced);
        if shows_itself_first {
            new.send("<presence/>").await;
            old.end().await;
            assert_eq!(seen(&mut juliet).await, ["available romeo@example.com/orchard"]);
        } else {
            old.end().await;
            new.send("<presence/>").await;
            let expected = ["unavailable romeo@example.com/orchard", "available romeo@example.com/orchard"];
            assert_eq!(seen(&mut juliet).await, expected);
        }
        new.end().await;
        assert_eq!(seen(&mut juliet).await, ["unavailable romeo@example.com/orchard"]);
    }
}

/// Section 4.7.2.3.
#[tokio::test(start_paused = true)]
async fn priorities() {
    let stage = Stage::new().await;
    let mut romeo = stage.bind(ORCHARD).await;
    for (priority, valid) in [
        ("127", true),
        ("-128", true),
        (" 5 ", true),
        ("128", false),
        ("-129", false),
        ("1.5", false),
        ("", false),
    ] {
        for to in ["", " to='juliet@example.com'"] {
            romeo.send(&format!("<presence{to}><priority>{priority}</priority></presence>")).await;
            let errors = romeo.stanzas().await.iter().filter_map(|stanza| stanza.error()).collect::<Vec<_>>();
            let conditions: Vec<_> = errors.iter().map(|error| error.condition.as_str()).collect();
            assert_eq!(conditions.is_empty(), valid, "{priority}");
            assert!(conditions.iter().all(|condition| *condition == "bad-request"), "{conditions:?}");
        }
    }
    assert_eq!(romeo.session.presence().expect("presence").priority, 5);
}

/// Section 4.6: remembered, and told of the end; not broadcast to.
#[tokio::test(start_paused = true)]
async fn directed_presence() {
    let stage = Stage::new().await;
    stage.befriend(ROMEO, JULIET).await;
    let mut juliet = stage.login(BALCONY).await;
    let mut tybalt = stage.login("tybalt@example.net/street").await;
    let mut mercutio = stage.bind("mercutio@example.com/street").await;
    for before in [false, true] {
        let mut romeo = stage.bind(ORCHARD).await;
        if before {
            romeo.send("<presence/>").await;
        }
        // To a bare address; to a full one, of a session that is not available itself; to a contact.
        for to in ["tybalt@example.net", "mercutio@example.com/street", JULIET] {
            romeo.send(&format!("<presence to='{to}'><show>xa</show></presence>")).await;
        }
        assert_eq!(seen(&mut tybalt).await, ["available romeo@example.com/orchard xa"]);
        assert_eq!(seen(&mut mercutio).await, ["available romeo@example.com/orchard xa"]);
        romeo.send("<presence><show>dnd</show></presence>").await;
        assert_eq!(seen(&mut tybalt).await, [""; 0]);
        romeo.send("<presence to='tybalt@example.net' type='unavailable'/>").await;
        assert_eq!(seen(&mut tybalt).await, ["unavailable romeo@example.com/orchard"]);
        match before {
            true => romeo.send("<presence type='unavailable'/>").await,
            false => crate::router::Fate::Decided,
        };
        romeo.received().await;
        romeo.end().await;
        assert_eq!(seen(&mut mercutio).await, ["unavailable romeo@example.com/orchard"]);
        assert_eq!(seen(&mut tybalt).await, [""; 0], "it was told");
        let gone = seen(&mut juliet).await;
        assert_eq!(gone.iter().filter(|seen| seen.starts_with("unavailable")).count(), 1, "{gone:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_cannot_be_told_of_the_end_is_not_told_of_the_beginning() {
    let mut config = crate::config::Config::default();
    config.limits.directed_presences = 1;
    let stage = Stage::with(config, crate::router::Save::Always).await;
    let mut romeo = stage.bind(ORCHARD).await;
    let mut tybalt = stage.login("tybalt@example.net/street").await;
    romeo.send("<presence to='juliet@example.com'/>").await;
    romeo.send("<presence to='juliet@example.com'/>").await;
    romeo.send("<presence to='tybalt@example.net'/>").await;
    let errors: Vec<_> = romeo.stanzas().await.iter().filter_map(|stanza| stanza.error()).collect();
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].condition.as_str(), "resource-constraint");
    assert_eq!(seen(&mut tybalt).await, [""; 0]);
}

/// Sections 4.3.2 and 4.6.6.
#[tokio::test(start_paused = true)]
async fn probes() {
    let stage = Stage::new().await;
    stage.befriend(ROMEO, JULIET).await;
    let mut romeo = stage.login(ORCHARD).await;
    let mut tybalt = stage.login("tybalt@example.net/street").await;
    let juliet = stage.login(BALCONY).await;
    juliet.send("<presence id='j'><show>away</show></presence>").await;
    romeo.received().await;
    let probe = |to: &str| format!("<presence type='probe' id='p' to='{to}'/>");
    romeo.send(&probe(JULIET)).await;
    assert_eq!(
        romeo.received().await,
        ["<presence from='juliet@example.com/balcony' to='romeo@example.com/orchard' id='j'>\
          <show>away</show></presence>"]
    );
    // Of one resource only that it is there.
    romeo.send(&probe(BALCONY)).await;
    assert_eq!(
        romeo.received().await,
        ["<presence from='juliet@example.com/balcony' to='romeo@example.com/orchard'/>"]
    );
    for to in [JULIET, BALCONY, "nobody@example.com", "example.com"] {
        tybalt.send(&probe(to)).await;
        assert_eq!(tybalt.received().await, [""; 0], "{to}");
    }
    juliet.send("<presence to='tybalt@example.net'/>").await;
    tybalt.received().await;
    tybalt.send(&probe(BALCONY)).await;
    assert_eq!(seen(&mut tybalt).await, ["available juliet@example.com/balcony"]);
    tybalt.send(&probe(JULIET)).await;
    assert_eq!(seen(&mut tybalt).await, [""; 0]);
    // One's own account.
    romeo.send(&probe(ROMEO)).await;
    romeo.send("<presence type='probe'/>").await;
    assert_eq!(seen(&mut romeo).await, ["available romeo@example.com/orchard"; 2]);
    juliet.end().await;
    romeo.received().await;
    romeo.send(&probe(JULIET)).await;
    let answer = romeo.received().await.remove(0);
    let start = "<presence from='juliet@example.com' to='romeo@example.com/orchard' id='p' type='unavailable'>\
                 <delay xmlns='urn:xmpp:delay' from='example.com' stamp='";
    assert!(answer.starts_with(start), "{answer}");
}

/// Behaviours 50 and 133.
#[tokio::test(start_paused = true)]
async fn presence_of_strangers() {
    let stage = Stage::new().await;
    let tybalt = stage.bind("tybalt@example.net/street").await;
    let mut juliet = stage.login(BALCONY).await;
    let mut chamber = stage.bind("juliet@example.com/chamber").await;
    juliet.send("<presence><priority>-1</priority></presence>").await;
    juliet.received().await;
    tybalt.send("<presence to='juliet@example.com'/>").await;
    assert_eq!(
        juliet.received().await,
        ["<presence from='tybalt@example.net/street' to='juliet@example.com'/>"]
    );
    assert_eq!(chamber.received().await, [""; 0]);
    tybalt.send("<presence to='juliet@example.com/chamber' type='unavailable'/>").await;
    assert_eq!(seen(&mut chamber).await, ["unavailable tybalt@example.net/street"]);
    for to in ["juliet@example.com/nowhere", "nobody@example.com", "nobody@example.com/x", "example.com"] {
        tybalt.send(&format!("<presence to='{to}'/>")).await;
    }
    let mut tybalt = tybalt;
    assert_eq!(tybalt.received().await, [""; 0]);
}

/// Behaviour 71: an error is not answered, and nobody is forgotten for it.
#[tokio::test(start_paused = true)]
async fn an_error_makes_no_loop() {
    let stage = Stage::new().await;
    stage.befriend(ROMEO, JULIET).await;
    let mut romeo = stage.login(ORCHARD).await;
    let mut juliet = stage.login(BALCONY).await;
    romeo.received().await;
    let error = "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    for to in
        [format!(" to='{ORCHARD}'"), format!(" to='{ROMEO}'"), " to='romeo@example.com/x'".into(), "".into()]
    {
        juliet.send(&format!("<presence type='error'{to}>{error}</presence>")).await;
    }
    assert_eq!(seen(&mut romeo).await, ["error juliet@example.com/balcony"]);
    assert_eq!(juliet.received().await, [""; 0]);
    romeo.send("<presence><show>dnd</show></presence>").await;
    assert_eq!(seen(&mut juliet).await, ["available romeo@example.com/orchard dnd"]);
}

/// What waits goes to the first session that is willing, and to the next one when it is no more
/// (messages.md, rule 10).
#[tokio::test(start_paused = true)]
async fn what_waits_is_for_who_is_willing() {
    let stage = Stage::new().await;
    stage.account(JULIET).await;
    let romeo = stage.bind(ORCHARD).await;
    for body in ["1", "2"] {
        romeo.send(&format!("<message to='{JULIET}' type='chat'><body>{body}</body></message>")).await;
    }
    let mut shy = stage.bind("juliet@example.com/shy").await;
    shy.send("<presence><priority>-1</priority></presence>").await;
    let mut first = stage.bind(BALCONY).await;
    assert!(!shy.received().await.concat().contains("body"));
    // What comes while the backlog is read stands behind it.
    first.send("<presence/>").await;
    romeo.send(&format!("<message to='{JULIET}' type='chat'><body>3</body></message>")).await;
    let bodies: Vec<_> = first
        .stanzas()
        .await
        .iter()
        .filter_map(|stanza| stanza.payload.text_of("body", xmpp_core::ns::CLIENT))
        .collect();
    assert_eq!(bodies, ["1", "2", "3"]);
    shy.send("<presence/>").await;
    assert!(!shy.received().await.concat().contains("body"), "taken by the first");
    first.send("<presence><priority>-1</priority></presence>").await;
    shy.send("<presence><priority>-1</priority></presence>").await;
    romeo.send(&format!("<message to='{JULIET}' type='chat'><body>4</body></message>")).await;
    first.received().await;
    shy.received().await;
    shy.send("<presence/>").await;
    assert!(shy.received().await.concat().contains("<body>4</body>"));
}

/// A session's mailbox takes more contacts than it has places: they are asked for as it empties.
#[tokio::test(start_paused = true)]
async fn more_contacts_than_the_mailbox_holds() {
    let stage = Stage::new().await;
    let mut contacts = Vec::new();
    for number in 0..2_100 {
        let contact = format!("contact{number}@example.net");
        stage.befriend(ROMEO, &contact).await;
        contacts.push(stage.bind(&format!("{contact}/x")).await);
        contacts.last().expect("one").send("<presence/>").await;
    }
    let romeo = stage.bind(ORCHARD).await;
    let (session, router) = (romeo.session.clone(), stage.router.clone());
    let submitted = tokio::spawn(async move {
        let presence = xmpp_core::Stanza::presence(xmpp_core::Type::None).with_from(session.jid.clone());
        router.submit(&session, presence).await;
    });
    let mut romeo = romeo;
    let mut seen = 0;
    while seen < 2_101 {
        let stanzas = romeo.stanzas().await;
        assert!(!stanzas.is_empty(), "{seen}");
        assert_eq!(romeo.session.ended(), None);
        seen += stanzas.len();
    }
    submitted.await.expect("done");
}
