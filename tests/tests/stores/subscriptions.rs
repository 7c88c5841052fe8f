//! Subscriptions as a store keeps them; the tables themselves are tested where they stand.

use bytes::Bytes;
use server::storage::subscription::{Effect, Verb};
use server::storage::{
    AccountNumber, RosterItem, RosterLimits, RosterVersion, StoreError, Subscription, Write, Written,
};

use crate::stage::{Stage, bare};

crate::on_every_store![
    two_accounts_become_friends_and_part,
    a_request_waits_over_a_restart_and_is_no_item,
    requests_are_bounded_apart_from_the_roster,
    half_a_subscription_with_another_server,
    a_removed_account_leaves_the_rosters_of_others,
    nobody_there_is_silence,
];

const REQUEST: Bytes = Bytes::from_static(b"<presence type='subscribe'><nick>R</nick></presence>");

fn send(from: &str, verb: Verb, to: &str) -> Write {
    let local = |jid: &str| jid.ends_with("@example.com");
    Write::Subscribe {
        from: bare(from),
        to: bare(to),
        verb,
        from_is_local: local(from),
        to_is_local: local(to),
        stanza: REQUEST,
        limits: RosterLimits { items: 3, requests: 3 },
    }
}

async fn effects(stage: &Stage, write: Write) -> Vec<Effect> {
    match stage.done(write).await {
        Written::Effects(effects) => effects,
        other => panic!("{other:?} are no effects"),
    }
}

async fn only_item(stage: &Stage, owner: AccountNumber) -> RosterItem {
    let roster = stage.store.roster(owner).await.expect("reads");
    assert_eq!(roster.items.len(), 1);
    roster.items.into_iter().next().expect("one")
}

const ROMEO: &str = "romeo@example.com";
const JULIET: &str = "juliet@example.com";

async fn two_accounts_become_friends_and_part(stage: Stage) {
    let (romeo, juliet) = (stage.create(ROMEO).await, stage.create(JULIET).await);
    let asked = effects(&stage, send(ROMEO, Verb::Subscribe, JULIET)).await;
    let (from, to) = (bare(ROMEO), bare(JULIET));
    let version = RosterVersion { epoch: 7, counter: 1 };
    let item = RosterItem { ask: true, ..RosterItem::new(to.clone()) };
    let deliver = Effect::Deliver { from: from.clone(), to, verb: Verb::Subscribe, stanza: Some(REQUEST) };
    assert_eq!(asked, [Effect::Push { owner: from, item, version }, deliver]);

    effects(&stage, send(JULIET, Verb::Subscribed, ROMEO)).await;
    effects(&stage, send(JULIET, Verb::Subscribe, ROMEO)).await;
    effects(&stage, send(ROMEO, Verb::Subscribed, JULIET)).await;
    let stage = stage.restarted().await;
    for (owner, counter) in [(romeo, 3), (juliet, 3)] {
        let item = only_item(&stage, owner).await;
        assert_eq!((item.subscription, item.ask, item.request), (Subscription::Both, false, None));
        assert_eq!(stage.store.roster(owner).await.expect("reads").version.counter, counter);
    }

    let remove =
        Write::RemoveRosterItem { owner: bare(ROMEO), contact: bare(JULIET), contact_is_local: true };
    assert_eq!(effects(&stage, remove).await.len(), 7);
    assert!(stage.store.roster(romeo).await.expect("reads").items.is_empty());
    assert_eq!(only_item(&stage, juliet).await.subscription, Subscription::None);
    let version = RosterVersion { epoch: 7, counter: 3 };
    let changes = stage.store.roster_since(juliet, version).await.expect("reads").expect("known");
    assert_eq!(changes.len(), 1);
}

async fn a_request_waits_over_a_restart_and_is_no_item(stage: Stage) {
    let juliet = stage.create(JULIET).await;
    for asker in [ROMEO, "paris@example.com"] {
        stage.create(asker).await;
        effects(&stage, send(asker, Verb::Subscribe, JULIET)).await;
    }
    // A client's own entry for who asks does not answer the request.
    let (name, groups) = ("Paris".to_owned(), vec![]);
    let contact = bare("paris@example.com");
    stage.done(Write::SetRosterItem { owner: juliet, contact, name, groups, limit: 3 }).await;

    let stage = stage.restarted().await;
    let requests = stage.store.subscription_requests(juliet).await.expect("reads");
    let expected = ["paris@example.com", ROMEO].map(|jid| (bare(jid), REQUEST));
    assert_eq!(requests, expected);
    let roster = stage.store.roster(juliet).await.expect("reads");
    let listed = roster.items.iter().map(|item| (item.contact.to_string(), item.listed));
    assert_eq!(
        listed.collect::<Vec<_>>(),
        [("paris@example.com".to_owned(), true), (ROMEO.to_owned(), false)]
    );
    // Nothing was pushed for a request alone.
    assert_eq!(roster.version.counter, 1);
    let version = RosterVersion { epoch: 7, counter: 0 };
    let changes = stage.store.roster_since(juliet, version).await.expect("reads").expect("known");
    assert_eq!(changes.len(), 1);

    effects(&stage, send(JULIET, Verb::Unsubscribed, ROMEO)).await;
    let requests = stage.store.subscription_requests(juliet).await.expect("reads");
    assert_eq!(requests, expected[..1]);
    assert_eq!(stage.store.roster(juliet).await.expect("reads").items.len(), 1);
}

async fn requests_are_bounded_apart_from_the_roster(stage: Stage) {
    let juliet = stage.create(JULIET).await;
    for number in 0..5 {
        effects(&stage, send(&format!("suitor{number}@example.net"), Verb::Subscribe, JULIET)).await;
    }
    assert_eq!(stage.store.subscription_requests(juliet).await.expect("reads").len(), 3);
    // Whoever floods her with requests does not fill her roster.
    effects(&stage, send(JULIET, Verb::Subscribe, ROMEO)).await;
    for number in 0..2 {
        effects(&stage, send(JULIET, Verb::Subscribed, &format!("suitor{number}@example.net"))).await;
    }
    let refused = stage.write(send(JULIET, Verb::Subscribe, "nurse@example.com")).await;
    assert!(matches!(refused, Err(StoreError::Full(_))));
    let roster = stage.store.roster(juliet).await.expect("reads");
    assert_eq!(roster.items.iter().filter(|item| item.listed).count(), 3);
}

async fn half_a_subscription_with_another_server(stage: Stage) {
    let romeo = stage.create(ROMEO).await;
    let remote = "juliet@example.net";
    let asked = effects(&stage, send(ROMEO, Verb::Subscribe, remote)).await;
    assert!(matches!(asked[..], [Effect::Push { .. }, Effect::Deliver { .. }]), "{asked:?}");
    let granted = effects(&stage, send(remote, Verb::Subscribed, ROMEO)).await;
    assert!(matches!(granted[..], [Effect::Deliver { .. }, Effect::Push { .. }]), "{granted:?}");
    assert_eq!(only_item(&stage, romeo).await.subscription, Subscription::To);
    assert_eq!(effects(&stage, send(remote, Verb::Subscribed, ROMEO)).await, []);
}

async fn a_removed_account_leaves_the_rosters_of_others(stage: Stage) {
    let (romeo, juliet) = (stage.create(ROMEO).await, stage.create(JULIET).await);
    for (from, to) in [(ROMEO, JULIET), (JULIET, ROMEO)] {
        effects(&stage, send(from, Verb::Subscribe, to)).await;
        effects(&stage, send(to, Verb::Subscribed, from)).await;
    }
    effects(&stage, send(ROMEO, Verb::Subscribe, "paris@example.net")).await;
    let told = effects(&stage, Write::RemoveAccount { jid: bare(ROMEO) }).await;
    let delivered = told.iter().filter_map(|effect| match effect {
        Effect::Deliver { to, verb, .. } => Some((to.to_string(), *verb)),
        _ => None,
    });
    assert_eq!(
        delivered.collect::<Vec<_>>(),
        [
            (JULIET.to_owned(), Verb::Unsubscribe),
            (JULIET.to_owned(), Verb::Unsubscribed),
            ("paris@example.net".to_owned(), Verb::Unsubscribe),
        ]
    );
    let item = only_item(&stage, juliet).await;
    assert_eq!((item.subscription, item.listed), (Subscription::None, true));
    assert!(stage.store.roster(romeo).await.expect("reads").items.is_empty());
}

async fn nobody_there_is_silence(stage: Stage) {
    stage.create(ROMEO).await;
    assert_eq!(effects(&stage, send("nobody@example.com", Verb::Subscribe, ROMEO)).await, []);
    let asked = effects(&stage, send(ROMEO, Verb::Subscribe, "nobody@example.com")).await;
    assert!(matches!(asked[..], [Effect::Push { .. }]), "{asked:?}");
    assert_eq!(effects(&stage, send("x@example.net", Verb::Unsubscribed, "nobody@example.com")).await, []);
}
