//! Roster items, versions and removals (RFC 6121 section 2; behaviour 137).

use bytes::Bytes;
use server::storage::roster::REMEMBERED_REMOVALS;
use server::storage::{
    AccountNumber, RosterChange, RosterItem, RosterVersion, StoreError, Subscription, Write, Written,
};

use crate::stage::{Stage, bare};

crate::on_every_store![
    an_item_is_set_and_set_again,
    a_roster_is_bounded,
    changes_behind_a_version_come_in_order,
    a_version_of_another_life_says_nothing,
    removals_are_forgotten_some_day,
    an_item_that_came_back_is_not_removed,
    an_unknown_item_cannot_be_removed,
    the_operators_hand_sets_a_state_of_the_tables,
];

fn set(owner: AccountNumber, contact: &str, name: &str, groups: &[&str]) -> Write {
    let groups = groups.iter().map(|group| group.to_string()).collect();
    Write::SetRosterItem { owner, contact: bare(contact), name: name.to_owned(), groups, limit: 1000 }
}

fn remove(owner: &str, contact: &str) -> Write {
    Write::RemoveRosterItem { owner: bare(owner), contact: bare(contact), contact_is_local: false }
}

/// The changes as short lines.
async fn since(stage: &Stage, owner: AccountNumber, counter: u64) -> Option<Vec<String>> {
    let version = RosterVersion { epoch: 7, counter };
    let changes = stage.store.roster_since(owner, version).await.expect("the store reads")?;
    let line = |change: &RosterChange| match change {
        RosterChange::Put(item, at) => format!("{} {:?} #{}", item.contact, item.name, at.counter),
        RosterChange::Removed(contact, at) => format!("{contact} removed #{}", at.counter),
    };
    Some(changes.iter().map(line).collect())
}

async fn an_item_is_set_and_set_again(stage: Stage) {
    let romeo = stage.create("romeo@example.com").await;
    let version = |counter| RosterVersion { epoch: 7, counter };
    let mut item = RosterItem { name: "Juliet".into(), ..RosterItem::new(bare("juliet@example.com")) };
    item.groups = vec!["Friends".into(), "A \"group\", with <all> of 'it'".into()];
    let groups: Vec<&str> = item.groups.iter().map(String::as_str).collect();
    let first = stage.done(set(romeo, "juliet@example.com", "Juliet", &groups)).await;
    assert_eq!(first, Written::Item(item.clone(), version(1)));

    // A set that changes nothing is pushed, too, and a version is of one push only (section 2.6.3).
    stage.done(set(romeo, "juliet@example.com", "Juliet", &groups)).await;
    item.name = String::new();
    item.groups = vec![];
    let third = stage.done(set(romeo, "juliet@example.com", "", &[])).await;
    assert_eq!(third, Written::Item(item.clone(), version(3)));
    let stage = stage.restarted().await;
    let roster = stage.store.roster(romeo).await.expect("reads");
    assert_eq!((roster.version, roster.items), (version(3), vec![item]));
}

async fn a_roster_is_bounded(stage: Stage) {
    let owner = stage.create("romeo@example.com").await;
    let set = |contact: &str| {
        let (name, groups) = (String::new(), vec![]);
        Write::SetRosterItem { owner, contact: bare(contact), name, groups, limit: 2 }
    };
    stage.done(set("a@example.com")).await;
    stage.done(set("b@example.com")).await;
    assert!(matches!(stage.write(set("c@example.com")).await, Err(StoreError::Full(_))));
    let put = Write::PutRosterItem { owner, item: RosterItem::new(bare("c@example.com")), limit: 2 };
    assert!(matches!(stage.write(put).await, Err(StoreError::Full(_))));
    stage.done(set("b@example.com")).await;
    assert_eq!(stage.store.roster(owner).await.expect("reads").version.counter, 3);
}

async fn changes_behind_a_version_come_in_order(stage: Stage) {
    let romeo = stage.create("romeo@example.com").await;
    for (contact, name) in [("a", "1"), ("b", "2"), ("c", "3"), ("a", "4")] {
        stage.done(set(romeo, &format!("{contact}@example.com"), name, &[])).await;
    }
    stage.done(remove("romeo@example.com", "b@example.com")).await;
    stage.done(set(romeo, "d@example.com", "6", &[])).await;
    let stage = stage.restarted().await;
    let all = [
        "c@example.com \"3\" #3",
        "a@example.com \"4\" #4",
        "b@example.com removed #5",
        "d@example.com \"6\" #6",
    ];
    assert_eq!(since(&stage, romeo, 0).await.expect("known"), all);
    assert_eq!(since(&stage, romeo, 3).await.expect("known"), all[1..]);
    assert_eq!(since(&stage, romeo, 5).await.expect("known"), all[3..]);
    assert_eq!(since(&stage, romeo, 6).await, Some(vec![]));
    assert_eq!(since(&stage, romeo, 7).await, None);
}

async fn a_version_of_another_life_says_nothing(stage: Stage) {
    let first = stage.create("romeo@example.com").await;
    stage.done(set(first, "a@example.com", "", &[])).await;
    stage.remove("romeo@example.com").await;
    assert_eq!(since(&stage, first, 0).await, None);
    assert!(stage.store.roster(first).await.expect("reads").items.is_empty());
    let (jid, secrets) = (bare("romeo@example.com"), vec![]);
    let again = Write::CreateAccount { jid, secrets, time: 1, roster_epoch: 8 };
    let Written::Account(second) = stage.done(again).await else { panic!("no account") };
    assert_eq!(since(&stage, second, 0).await, None);
    assert!(stage.store.roster(second).await.expect("reads").items.is_empty());
}

async fn removals_are_forgotten_some_day(stage: Stage) {
    let romeo = stage.create("romeo@example.com").await;
    // Each round moves the version by two: set, then removed.
    for round in 0..REMEMBERED_REMOVALS + 1 {
        let contact = format!("c{round}@example.com");
        stage.done(set(romeo, &contact, "", &[])).await;
        stage.done(remove("romeo@example.com", &contact)).await;
    }
    let stage = stage.restarted().await;
    assert_eq!(since(&stage, romeo, 1).await, None);
    assert_eq!(since(&stage, romeo, 2).await.map(|changes| changes.len()), Some(REMEMBERED_REMOVALS));
}

async fn an_item_that_came_back_is_not_removed(stage: Stage) {
    let romeo = stage.create("romeo@example.com").await;
    stage.done(set(romeo, "a@example.com", "1", &[])).await;
    stage.done(remove("romeo@example.com", "a@example.com")).await;
    stage.done(set(romeo, "a@example.com", "3", &[])).await;
    assert_eq!(since(&stage, romeo, 1).await.expect("known"), ["a@example.com \"3\" #3"]);
}

async fn an_unknown_item_cannot_be_removed(stage: Stage) {
    let romeo = stage.create("romeo@example.com").await;
    let refused = stage.write(remove("romeo@example.com", "a@example.com")).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))));
    assert_eq!(stage.store.roster(romeo).await.expect("reads").version.counter, 0);
}

async fn the_operators_hand_sets_a_state_of_the_tables(stage: Stage) {
    let romeo = stage.create("romeo@example.com").await;
    let item = RosterItem {
        subscription: Subscription::Both,
        ask: true,
        request: Some(Bytes::from_static(b"<presence/>")),
        listed: false,
        ..RosterItem::new(bare("juliet@example.com"))
    };
    // Nothing is pending where everything is granted, and an item that was put is one.
    let put = RosterItem { ask: false, request: None, listed: true, ..item.clone() };
    let written = stage.done(Write::PutRosterItem { owner: romeo, item, limit: 10 }).await;
    assert_eq!(written, Written::Item(put.clone(), RosterVersion { epoch: 7, counter: 1 }));
    assert_eq!(stage.store.roster(romeo).await.expect("reads").items, [put]);
}
