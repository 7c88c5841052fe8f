//! Messages: saved in order, waiting until taken, gone with their last owner (messages.md, rule 8).

use server::storage::{AccountNumber, MessageId, Role, StoreError};

use crate::stage::{Stage, bare, draft};

crate::on_every_store![
    ids_increase_and_are_never_given_again,
    what_waits_comes_in_order_and_in_pages,
    what_is_taken_waits_no_more,
    a_taking_of_nothing_is_ignored,
    each_owner_waits_for_itself,
    what_was_sent_or_is_nobodys_never_waits,
    a_new_account_inherits_nothing,
    a_draft_for_an_account_that_went_is_nobodys,
    a_long_queue_stays_right,
    savings_at_once_are_each_in_one_piece,
    a_message_without_bounds_is_refused,
    the_store_is_well_until_it_is_closed,
];

const ARCHIVED: Role = Role { waits: true, archived: true, sent: false };
const SENT: Role = Role { waits: false, archived: true, sent: true };

async fn ids_increase_and_are_never_given_again(stage: Stage) {
    let romeo = stage.create("romeo@example.com").await;
    let mut newest = MessageId(0);
    let mut stage = stage;
    for round in 0..3 {
        for _ in 0..3 {
            let id = stage.queue(romeo, "x").await;
            assert!(id > newest, "{id:?} comes after {newest:?} in round {round}");
            newest = id;
            stage.store.taken(romeo, id);
        }
        stage = stage.restarted().await;
    }
    assert_eq!(stage.bodies(romeo).await, [""; 0]);
}

async fn what_waits_comes_in_order_and_in_pages(stage: Stage) {
    let romeo = stage.create("romeo@example.com").await;
    let drafts = (0..10).map(|n| draft([(romeo, Role::QUEUED)], &n.to_string())).collect();
    let ids = stage.save(drafts).await;
    assert!(ids.is_sorted());
    let stage = stage.restarted().await;
    let page = stage.store.waiting(romeo, ids[3], 4).await.expect("reads");
    let bodies: Vec<&[u8]> = page.iter().map(|message| &*message.stanza).collect();
    assert_eq!(bodies, [b"4", b"5", b"6", b"7"]);
    assert_eq!(page.iter().map(|message| message.id).collect::<Vec<_>>(), ids[4..8]);
    assert!(page.iter().all(|message| message.time == 1_795_261_800_123));
    assert_eq!(stage.store.waiting(romeo, ids[9], 4).await.expect("reads").len(), 0);
    assert_eq!(stage.store.waiting(romeo, MessageId(u64::MAX >> 1), 4).await.expect("reads").len(), 0);
    assert_eq!(stage.store.waiting(romeo, MessageId(0), 0).await.expect("reads").len(), 0);
}

async fn what_is_taken_waits_no_more(stage: Stage) {
    let romeo = stage.create("romeo@example.com").await;
    let drafts = ["a", "b", "c"].map(|body| draft([(romeo, Role::QUEUED)], body));
    let ids = stage.save(drafts.into()).await;
    assert_eq!(stage.store.count_waiting(romeo).await, Ok(3));
    stage.store.taken(romeo, ids[1]);
    assert_eq!(stage.bodies(romeo).await, ["a", "c"]);
    let stage = stage.restarted().await;
    assert_eq!(stage.bodies(romeo).await, ["a", "c"]);
    stage.store.taken(romeo, ids[0]);
    stage.store.taken(romeo, ids[2]);
    assert_eq!(stage.bodies(romeo).await, [""; 0]);
}

async fn a_taking_of_nothing_is_ignored(stage: Stage) {
    let romeo = stage.create("romeo@example.com").await;
    let juliet = stage.create("juliet@example.com").await;
    let id = stage.queue(romeo, "his").await;
    let other = stage.queue(romeo, "his too").await;
    for (owner, id) in
        [(juliet, id), (AccountNumber(999), id), (romeo, MessageId(0)), (romeo, MessageId(id.0 + 999))]
    {
        stage.store.taken(owner, id);
    }
    stage.store.taken(romeo, other);
    stage.store.taken(romeo, other);
    assert_eq!(stage.bodies(romeo).await, ["his"]);
    let stage = stage.restarted().await;
    assert_eq!(stage.bodies(romeo).await, ["his"]);
}

async fn each_owner_waits_for_itself(stage: Stage) {
    let romeo = stage.create("romeo@example.com").await;
    let juliet = stage.create("juliet@example.com").await;
    let both = [(romeo, Role::QUEUED), (juliet, Role::QUEUED)];
    let ids = stage.save(vec![draft(both, "both"), draft([(juliet, Role::QUEUED)], "hers")]).await;
    stage.store.taken(juliet, ids[0]);
    let stage = stage.restarted().await;
    assert_eq!(stage.bodies(romeo).await, ["both"]);
    assert_eq!(stage.bodies(juliet).await, ["hers"]);
    stage.remove("juliet@example.com").await;
    assert_eq!(stage.bodies(romeo).await, ["both"]);
    assert_eq!(stage.bodies(juliet).await, [""; 0]);
}

async fn what_was_sent_or_is_nobodys_never_waits(stage: Stage) {
    let romeo = stage.create("romeo@example.com").await;
    let juliet = stage.create("juliet@example.com").await;
    let ids = stage.save(vec![draft([(romeo, SENT), (juliet, ARCHIVED)], "x"), draft([], "nobody's")]).await;
    assert_eq!(ids.len(), 2);
    assert_eq!(stage.bodies(romeo).await, [""; 0]);
    assert_eq!(stage.bodies(juliet).await, ["x"]);
    stage.store.taken(romeo, ids[0]);
    stage.store.taken(juliet, ids[0]);
    assert_eq!(stage.bodies(juliet).await, [""; 0]);
}

async fn a_new_account_inherits_nothing(stage: Stage) {
    let first = stage.create("romeo@example.com").await;
    stage.queue(first, "for the first").await;
    stage.remove("romeo@example.com").await;
    let second = stage.create("romeo@example.com").await;
    stage.queue(second, "for the second").await;
    let stage = stage.restarted().await;
    assert_eq!(stage.bodies(first).await, [""; 0]);
    assert_eq!(stage.bodies(second).await, ["for the second"]);
    let account = stage.store.account(&bare("romeo@example.com")).await.expect("reads");
    assert_eq!(account.map(|account| account.number), Some(second));
}

async fn a_draft_for_an_account_that_went_is_nobodys(stage: Stage) {
    let romeo = stage.create("romeo@example.com").await;
    let juliet = stage.create("juliet@example.com").await;
    stage.remove("romeo@example.com").await;
    stage.save(vec![draft([(romeo, Role::QUEUED), (juliet, Role::QUEUED)], "late")]).await;
    let stage = stage.restarted().await;
    assert_eq!(stage.bodies(romeo).await, [""; 0]);
    assert_eq!(stage.bodies(juliet).await, ["late"]);
}

/// Long enough for a store that makes its entries in bulk to have made some of them, and not others.
async fn a_long_queue_stays_right(stage: Stage) {
    const MESSAGES: usize = 5000;
    let romeo = stage.create("romeo@example.com").await;
    let juliet = stage.create("juliet@example.com").await;
    let mut ids = Vec::new();
    for first in (0..MESSAGES).step_by(50) {
        let owner = |n: usize| if n.is_multiple_of(5) { juliet } else { romeo };
        let drafts = (first..first + 50).map(|n| draft([(owner(n), Role::QUEUED)], &n.to_string()));
        ids.extend(stage.save(drafts.collect()).await);
        // Romeo takes some at once, and some long after.
        for n in (first..first + 50).filter(|n| n % 5 == 1) {
            stage.store.taken(romeo, ids[n]);
            if n > 2000 {
                stage.store.taken(romeo, ids[n - 2000 + 1]);
            }
        }
    }
    let expected = |n: &usize| n % 5 == 3 || n % 5 == 4 || (n % 5 == 2 && *n + 2000 > MESSAGES);
    let romeos: Vec<String> = (0..MESSAGES).filter(expected).map(|n| n.to_string()).collect();
    let juliets: Vec<String> = (0..MESSAGES).step_by(5).map(|n| n.to_string()).collect();
    assert_eq!(stage.bodies(romeo).await, romeos);
    let stage = stage.restarted().await;
    assert_eq!(stage.bodies(romeo).await, romeos);
    assert_eq!(stage.bodies(juliet).await, juliets);
    // A page over both kinds of entries.
    let page = stage.store.waiting(juliet, ids[1000], 700).await.expect("reads");
    let bodies: Vec<_> = page.iter().map(|message| String::from_utf8_lossy(&message.stanza)).collect();
    assert_eq!(bodies, juliets[201..901]);

    stage.remove("juliet@example.com").await;
    assert_eq!(stage.bodies(juliet).await, [""; 0]);
    assert_eq!(stage.bodies(romeo).await, romeos);
}

async fn savings_at_once_are_each_in_one_piece(stage: Stage) {
    let romeo = stage.create("romeo@example.com").await;
    let mut savings = tokio::task::JoinSet::new();
    for task in 0..20 {
        let store = stage.store.clone();
        savings.spawn(async move {
            let drafts = (0..10).map(|n| draft([(romeo, Role::QUEUED)], &format!("{task}.{n}"))).collect();
            (task, store.save(drafts).await.expect("saves"))
        });
    }
    let saved = savings.join_all().await;
    let waiting = stage.waiting(romeo).await;
    assert_eq!(waiting.len(), 200);
    for (task, ids) in saved {
        assert!(ids.is_sorted());
        for (n, id) in ids.iter().enumerate() {
            let message = waiting.iter().find(|message| message.id == *id).expect("it waits");
            assert_eq!(message.stanza, format!("{task}.{n}"));
        }
    }
}

async fn a_message_without_bounds_is_refused(stage: Stage) {
    let romeo = stage.create("romeo@example.com").await;
    let huge = draft([(romeo, Role::QUEUED)], &"x".repeat(5 << 20));
    let refused = stage.store.save(vec![draft([(romeo, Role::QUEUED)], "x"), huge]).await;
    assert!(matches!(refused, Err(StoreError::Full(_))), "{:?}", refused.map(|ids| ids.len()));
    assert_eq!(stage.bodies(romeo).await, [""; 0]);
    let large = "x".repeat(1 << 20);
    stage.queue(romeo, &large).await;
    assert_eq!(stage.restarted().await.bodies(romeo).await, [large]);
}

async fn the_store_is_well_until_it_is_closed(stage: Stage) {
    assert_eq!(stage.store.health().await, Ok(()));
    stage.store.close().await;
    stage.store.close().await;
    let romeo = bare("romeo@example.com");
    let saved = stage.store.save(vec![]).await;
    assert!(matches!(saved, Err(StoreError::Unavailable(_))), "{saved:?}");
    assert!(matches!(stage.store.account(&romeo).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(stage.store.health().await, Err(StoreError::Unavailable(_))));
}
