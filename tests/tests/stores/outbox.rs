//! The outbox: what the event stream must not miss is there with the commit that made it, and goes when it was
//! confirmed.

use server::storage::outbox::{AccountChange, Bounds, Item, WhenFull};
use server::storage::{Deleted, MessageId, OutboxRow, OutboxSize, Place, Role, StoreError, Write, Written};
use xmpp_core::sasl::ScramHash;

use crate::stage::{Stage, bare, draft, secret};

crate::on_every_store![
    without_a_stream_nothing_is_written,
    what_is_saved_is_told_in_the_order_of_ids,
    what_becomes_of_an_account_is_told,
    what_was_refused_is_not_told,
    exactly_what_was_confirmed_goes,
    it_survives_a_restart,
    rows_are_read_up_to_a_bound,
    the_oldest_are_thrown_away,
    messages_wait_where_the_outbox_is_full,
    a_large_saving_is_several_rows,
    many_savers_at_once_leave_every_message_once,
];

const WIDE: Bounds = Bounds { max_bytes: 1 << 30, when_full: WhenFull::Drop };
const EVERYTHING: (u64, u32) = (u64::MAX, 100_000);
const SENT: Role = Role { waits: false, archived: true, sent: true };
const RECEIVED: Role = Role { waits: true, archived: true, sent: false };

async fn rows(stage: &Stage) -> Vec<OutboxRow> {
    let rows = stage.store.outbox(Place(0), EVERYTHING.0, EVERYTHING.1).await.expect("reads");
    assert!(rows.is_sorted_by_key(|row| row.place), "the oldest first");
    rows
}

/// Bodies with their ids, and accounts with what became of them, in the order in which they are told.
async fn told(stage: &Stage) -> (Vec<(String, MessageId)>, Vec<(String, AccountChange)>) {
    let (mut messages, mut accounts) = (Vec::new(), Vec::new());
    for item in rows(stage).await.iter().flat_map(|row| row.items().expect("whole")) {
        match item {
            Item::Message(message) => {
                messages.push((String::from_utf8_lossy(&message.stanza).into_owned(), message.id));
            }
            Item::Account(event) => accounts.push((event.account.to_string(), event.change)),
        }
    }
    (messages, accounts)
}

async fn deleted(stage: &Stage, write: Write) -> Deleted {
    match stage.done(write).await {
        Written::Deleted(deleted) => deleted,
        other => panic!("{other:?} says not what was deleted"),
    }
}

async fn size(stage: &Stage) -> OutboxSize {
    let size = stage.store.outbox_size().await.expect("reads");
    let rows = rows(stage).await;
    let bytes: usize = rows.iter().map(|row| row.content.len()).sum();
    assert_eq!((size.rows, size.bytes), (rows.len() as u64, bytes as u64));
    assert_eq!(size.oldest.is_some(), size.rows > 0);
    size
}

async fn without_a_stream_nothing_is_written(stage: Stage) {
    let romeo = stage.create("romeo@example.com").await;
    stage.queue(romeo, "hi").await;
    assert_eq!(size(&stage).await, OutboxSize::default());
    let none = deleted(&stage, Write::DiscardEvents { bytes: 9, before: 32_503_680_000_000, limit: 9 }).await;
    assert_eq!(none, Deleted::default());
}

async fn what_is_saved_is_told_in_the_order_of_ids(stage: Stage) {
    let stage = stage.with_outbox(WIDE).await;
    let romeo = stage.create("romeo@example.com").await;
    let juliet = stage.create("juliet@example.com").await;
    let bodies: Vec<String> = (0..50).map(|n| format!("<message>{n} \u{1f339}</message>")).collect();
    let mut ids = Vec::new();
    for part in bodies.chunks(7) {
        let owners = [(romeo, SENT), (juliet, RECEIVED)];
        ids.extend(stage.save(part.iter().map(|body| draft(owners, body)).collect()).await);
    }
    let (messages, _) = told(&stage).await;
    let expected: Vec<(String, MessageId)> = bodies.into_iter().zip(ids).collect();
    assert_eq!(messages, expected);
    let items = rows(&stage).await.iter().flat_map(|row| row.items().expect("whole")).collect::<Vec<_>>();
    let Some(Item::Message(last)) = items.last() else { panic!("a message") };
    assert_eq!(last.time, 1_795_261_800_123);
    let owners: Vec<_> = last.owners.iter().map(|owner| (owner.account, owner.role)).collect();
    assert_eq!(owners, [(romeo, SENT), (juliet, RECEIVED)]);
}

async fn what_becomes_of_an_account_is_told(stage: Stage) {
    let stage = stage.with_outbox(WIDE).await;
    let jid = bare("romeo@example.com");
    stage.create("romeo@example.com").await;
    stage.done(Write::SetSecrets { jid: jid.clone(), secrets: vec![secret(ScramHash::Sha256)] }).await;
    stage.done(Write::SetBan { jid: jid.clone(), reason: Some("spam \"and\" worse".to_owned()) }).await;
    stage.done(Write::SetBan { jid: jid.clone(), reason: None }).await;
    stage.remove("romeo@example.com").await;
    stage.create("romeo@example.com").await;
    let changes: Vec<AccountChange> = told(&stage).await.1.into_iter().map(|told| told.1).collect();
    use AccountChange::*;
    assert_eq!(changes, [Created, PasswordChanged, Banned, Unbanned, Removed, Created]);
    let items: Vec<Item> = rows(&stage).await.iter().flat_map(|row| row.items().expect("whole")).collect();
    let Item::Account(ban) = &items[2] else { panic!("an account") };
    assert_eq!((&ban.account, ban.reason.as_deref()), (&jid, Some("spam \"and\" worse")));
    assert!(ban.time > 1_700_000_000_000, "it has a time");
}

async fn what_was_refused_is_not_told(stage: Stage) {
    let stage = stage.with_outbox(WIDE).await;
    stage.create("romeo@example.com").await;
    let again =
        Write::CreateAccount { jid: bare("romeo@example.com"), secrets: vec![], time: 1, roster_epoch: 7 };
    for write in [again, Write::RemoveAccount { jid: bare("nobody@example.com") }] {
        assert!(matches!(stage.write(write).await, Err(StoreError::Conflict(_))));
    }
    assert_eq!(told(&stage).await.1, [("romeo@example.com".to_owned(), AccountChange::Created)]);
}

async fn exactly_what_was_confirmed_goes(stage: Stage) {
    let stage = stage.with_outbox(WIDE).await;
    let romeo = stage.create("romeo@example.com").await;
    for n in 0..4 {
        stage.queue(romeo, &format!("{n}")).await;
    }
    let all = rows(&stage).await;
    assert_eq!(all.len(), 5);
    let confirmed = vec![all[0].place, all[3].place];
    let bytes = (all[0].content.len() + all[3].content.len()) as u64;
    let confirm = Write::ConfirmEvents { places: confirmed };
    assert_eq!(deleted(&stage, confirm.clone()).await, Deleted { rows: 2, events: 2, bytes });
    // Said twice, or of what never was: nothing happens.
    assert_eq!(deleted(&stage, confirm).await, Deleted::default());
    let never = Write::ConfirmEvents { places: vec![Place(1 << 40)] };
    assert_eq!(deleted(&stage, never).await, Deleted::default());
    let left: Vec<Place> = rows(&stage).await.iter().map(|row| row.place).collect();
    assert_eq!(left, [all[1].place, all[2].place, all[4].place]);
    // A place is not given again, not even when everything is gone.
    deleted(&stage, Write::ConfirmEvents { places: left.clone() }).await;
    let stage = stage.restarted().await;
    stage.queue(romeo, "later").await;
    assert!(rows(&stage).await[0].place > left[2]);
}

async fn it_survives_a_restart(stage: Stage) {
    let stage = stage.with_outbox(WIDE).await;
    let romeo = stage.create("romeo@example.com").await;
    let id = stage.queue(romeo, "hi").await;
    let before = rows(&stage).await;
    let stage = stage.restarted().await;
    assert_eq!(rows(&stage).await, before);
    assert_eq!(told(&stage).await.0, [("hi".to_owned(), id)]);
}

async fn rows_are_read_up_to_a_bound(stage: Stage) {
    let stage = stage.with_outbox(WIDE).await;
    let romeo = stage.create("romeo@example.com").await;
    for n in 0..5 {
        stage.queue(romeo, &format!("{n}{}", "x".repeat(1_000))).await;
    }
    let read = async |bytes, rows| stage.store.outbox(Place(0), bytes, rows).await.expect("reads").len();
    // The account's row is a small one.
    assert_eq!(read(1, 100).await, 1);
    assert_eq!(read(1_000, 100).await, 2);
    assert_eq!(read(2_000, 100).await, 3);
    assert_eq!(read(u64::MAX, 100).await, 6);
    assert_eq!(read(u64::MAX, 4).await, 4);
    // From a place on, whose row need not be there any more.
    let all = rows(&stage).await;
    deleted(&stage, Write::ConfirmEvents { places: vec![all[3].place] }).await;
    let behind = stage.store.outbox(all[3].place, u64::MAX, 100).await.expect("reads");
    assert_eq!(behind, all[4..]);
}

async fn the_oldest_are_thrown_away(stage: Stage) {
    let stage = stage.with_outbox(WIDE).await;
    let romeo = stage.create("romeo@example.com").await;
    for n in 0..6 {
        stage.queue(romeo, &format!("{n}{}", "x".repeat(1_000))).await;
    }
    let none = deleted(&stage, Write::DiscardEvents { bytes: 0, before: 0, limit: 99 }).await;
    assert_eq!(none, Deleted::default());
    let gone = deleted(&stage, Write::DiscardEvents { bytes: 3_000, before: 0, limit: 99 }).await;
    assert_eq!((gone.rows, gone.events), (4, 4));
    let left: Vec<char> = told(&stage).await.0.iter().filter_map(|told| told.0.chars().next()).collect();
    assert_eq!(left, ['3', '4', '5']);
    // By age: everything was written before the end of time.
    let old = |limit| Write::DiscardEvents { bytes: 0, before: 32_503_680_000_000, limit };
    assert_eq!(deleted(&stage, old(2)).await.rows, 2);
    assert_eq!(deleted(&stage, old(99)).await.rows, 1);
    assert_eq!(size(&stage).await, OutboxSize::default());
}

async fn messages_wait_where_the_outbox_is_full(stage: Stage) {
    let stage = stage.with_outbox(Bounds { max_bytes: 3_000, when_full: WhenFull::Wait }).await;
    let romeo = stage.create("romeo@example.com").await;
    let body = "x".repeat(1_500);
    stage.queue(romeo, &body).await;
    stage.queue(romeo, &body).await;
    // Also after a restart, when nobody has counted yet.
    let stage = stage.restarted().await;
    stage.store.outbox_size().await.expect("reads");
    let refused = stage.store.save(vec![draft([(romeo, Role::QUEUED)], "no")]).await;
    assert!(
        matches!(&refused, Err(StoreError::Full(why)) if why.contains("outbox.max_bytes")),
        "{refused:?}"
    );
    // What is not a message goes on: an operator must be able to ban.
    stage.done(Write::SetBan { jid: bare("romeo@example.com"), reason: Some("spam".to_owned()) }).await;
    let places = rows(&stage).await.iter().map(|row| row.place).take(2).collect();
    deleted(&stage, Write::ConfirmEvents { places }).await;
    stage.queue(romeo, "yes").await;
    assert_eq!(stage.bodies(romeo).await, [body.clone(), body, "yes".to_owned()]);
}

async fn a_large_saving_is_several_rows(stage: Stage) {
    let stage = stage.with_outbox(WIDE).await;
    let romeo = stage.create("romeo@example.com").await;
    let body = "\u{1f600}".repeat(60_000);
    let drafts = (0..12).map(|n| draft([(romeo, Role::QUEUED)], &format!("{n} {body}"))).collect();
    let ids = stage.save(drafts).await;
    assert_eq!(rows(&stage).await.len(), 1 + 3);
    assert_eq!(told(&stage).await.0.iter().map(|told| told.1).collect::<Vec<_>>(), ids);
}

async fn many_savers_at_once_leave_every_message_once(stage: Stage) {
    let stage = stage.with_outbox(WIDE).await;
    let romeo = stage.create("romeo@example.com").await;
    let stage = std::sync::Arc::new(stage);
    let savers: Vec<_> = (0..20)
        .map(|saver| {
            let stage = stage.clone();
            tokio::spawn(async move {
                for n in 0..10 {
                    stage.queue(romeo, &format!("{saver} {n}")).await;
                    if n == 5 {
                        stage.create(&format!("{saver}@example.com")).await;
                    }
                }
            })
        })
        .collect();
    for saver in savers {
        saver.await.expect("saves");
    }
    let (messages, accounts) = told(&stage).await;
    assert!(messages.is_sorted_by_key(|told| told.1), "in the order of ids");
    let mut bodies: Vec<&str> = messages.iter().map(|told| told.0.as_str()).collect();
    bodies.sort_unstable();
    bodies.dedup();
    assert_eq!((messages.len(), bodies.len(), accounts.len()), (200, 200, 21));
}
