//! Several servers on one database.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use meerkat_tests::postgres::PostgresServer;
use server::plugins::postgres::Postgres;
use server::storage::subscription::Verb;
use server::storage::{
    AccountNumber, Draft, MessageId, OfflineQueue, Owner, Peer, Role, RosterLimits, Rosters, Store,
    StoreError, Subscription, Write,
};
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use crate::stage::{bare, create, open, save, waiting};

const SENDERS: usize = 8;
const EACH: usize = 200;

/// Who reads on behind the last id that it saw misses nothing (messages.md, rule 6).
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ids_increase_in_commit_order_over_two_servers() {
    let url = PostgresServer::shared().database().await;
    let stores = [open(&url).await, open(&url).await];
    let romeo = create(&stores[0], "romeo@example.com").await.expect("creates");
    let written = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn(read_on(open(&url).await, romeo, written.clone()));
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..SENDERS {
        let store = stores[sender % 2].clone();
        senders.spawn(async move {
            let mut newest = MessageId(0);
            for number in 0..EACH {
                let id = save(&store, &[romeo], &format!("{sender}.{number}")).await.expect("saves");
                assert!(id > newest, "{id:?} comes after {newest:?}");
                newest = id;
            }
        });
    }
    senders.join_all().await;
    written.store(true, Ordering::SeqCst);
    let read = reader.await.expect("reads");
    assert_eq!(read, SENDERS * EACH, "the reader missed some");
    assert_eq!(waiting(&stores[1], romeo).await.len(), SENDERS * EACH);
}

/// How many come, page by page, each behind the last of the page before.
async fn read_on(store: Arc<Postgres>, owner: AccountNumber, written: Arc<AtomicBool>) -> usize {
    let (mut after, mut count) = (MessageId(0), 0);
    loop {
        let was_written = written.load(Ordering::SeqCst);
        let page = store.waiting(owner, after, 50).await.expect("reads");
        count += page.len();
        match page.last() {
            Some(last) => after = last.id,
            None if was_written => return count,
            None => {}
        }
    }
}

/// Two sessions, on two servers, take the last two entries of each message at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_message_goes_when_both_its_owners_took_it_at_once() {
    let url = PostgresServer::shared().database().await;
    let stores = [open(&url).await, open(&url).await];
    let romeo = create(&stores[0], "romeo@example.com").await.expect("creates");
    let juliet = create(&stores[1], "juliet@example.com").await.expect("creates");
    for round in 0..10 {
        let mut ids = Vec::new();
        for number in 0..50 {
            let body = format!("{round}.{number}");
            ids.push(save(&stores[0], &[romeo, juliet], &body).await.expect("saves"));
        }
        for id in ids {
            stores[0].taken(romeo, id);
            stores[1].taken(juliet, id);
        }
    }
    stores[0].close().await;
    stores[1].close().await;
    let mut connection = PgConnection::connect(&url).await.expect("it is there");
    let left: (i64, i64) =
        sqlx::query_as("SELECT (SELECT count(*) FROM waiting), (SELECT count(*) FROM message)")
            .fetch_one(&mut connection)
            .await
            .expect("reads");
    assert_eq!(left, (0, 0));
}

#[tokio::test]
async fn what_one_server_does_the_other_sees() {
    let url = PostgresServer::shared().database().await;
    let (one, other) = (open(&url).await, open(&url).await);
    let romeo = create(&one, "romeo@example.com").await.expect("creates");
    assert_eq!(other.count_waiting(romeo).await, Ok(0));
    let first = save(&one, &[romeo], "first").await.expect("saves");
    save(&one, &[romeo], "second").await.expect("saves");
    assert_eq!(waiting(&other, romeo).await.len(), 2);
    other.taken(romeo, first);
    assert_eq!(waiting(&other, romeo).await.len(), 1);
    // A little after the fact (messages.md, rule 8); a count may be as old as that.
    for _ in 0..100 {
        if waiting(&one, romeo).await.len() == 1 && one.count_waiting(romeo).await == Ok(1) {
            assert_eq!(other.count_waiting(romeo).await, Ok(1));
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the other server never learned of it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_account_is_made_once() {
    let url = PostgresServer::shared().database().await;
    let stores = [open(&url).await, open(&url).await];
    for round in 0..20 {
        let jid = format!("user{round}@example.com");
        let (one, other) = tokio::join!(create(&stores[0], &jid), create(&stores[1], &jid));
        let refused = match (one, other) {
            (Ok(_), Err(refused)) | (Err(refused), Ok(_)) => refused,
            both => panic!("{both:?}"),
        };
        assert!(matches!(refused, StoreError::Conflict(_)), "{refused:?}");
    }
}

/// Each asks the other at the same time, on two servers, while a third party comes and goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_who_become_friends_at_once_both_are() {
    let url = PostgresServer::shared().database().await;
    let stores = [open(&url).await, open(&url).await];
    let names = ["romeo@example.com", "juliet@example.com"];
    let romeo = create(&stores[0], names[0]).await.expect("creates");
    let juliet = create(&stores[0], names[1]).await.expect("creates");
    for _ in 0..20 {
        for verb in [Verb::Subscribe, Verb::Subscribed] {
            let (one, other) =
                tokio::join!(send(&stores[0], verb, names), send(&stores[1], verb, [names[1], names[0]]));
            one.and(other).expect("both are taken");
        }
        for owner in [romeo, juliet] {
            let roster = stores[1].roster(owner).await.expect("reads");
            assert_eq!(roster.items[0].subscription, Subscription::Both, "{roster:?}");
        }
        let part = Write::RemoveRosterItem {
            owner: bare(names[0]),
            contact: bare(names[1]),
            contact_is_local: true,
        };
        stores[0].write(part).await.expect("removes");
    }
    for _ in 0..20 {
        let (removed, asked) = tokio::join!(
            stores[0].write(Write::RemoveAccount { jid: bare(names[0]) }),
            send(&stores[1], Verb::Subscribe, [names[1], names[0]])
        );
        removed.expect("removes");
        asked.expect("asks");
        create(&stores[0], names[0]).await.expect("creates");
    }
}

async fn send(store: &Postgres, verb: Verb, [from, to]: [&str; 2]) -> Result<(), StoreError> {
    let write = Write::Subscribe {
        from: bare(from),
        to: bare(to),
        verb,
        from_is_local: true,
        to_is_local: true,
        stanza: "<presence/>".into(),
        limits: RosterLimits { items: 10, requests: 10 },
    };
    store.write(write).await.map(|_| ())
}

/// What the chores do to it a minute later, some entries at a time.
#[tokio::test]
async fn what_an_account_left_goes_and_what_others_need_stays() {
    let url = PostgresServer::shared().database().await;
    let store = open(&url).await;
    let romeo = create(&store, "romeo@example.com").await.expect("creates");
    let juliet = create(&store, "juliet@example.com").await.expect("creates");
    let archived = Role { waits: true, archived: true, sent: false };
    let own = |account, role| Owner { account, role, peer: Peer(1) };
    for owners in [
        vec![Owner::queued(romeo)],
        vec![Owner::queued(romeo), Owner::queued(juliet)],
        vec![own(romeo, archived)],
        vec![own(romeo, archived), own(juliet, archived)],
    ] {
        let draft = |n: u32| Draft { time: 1, owners: owners.clone().into(), stanza: n.to_string().into() };
        store.save((0..5).map(draft).collect()).await.expect("saves");
    }
    store.write(Write::RemoveAccount { jid: bare("romeo@example.com") }).await.expect("removes");
    let mut connection = PgConnection::connect(&url).await.expect("it is there");
    let mut slices = 0;
    loop {
        let forget = sqlx::query_scalar("SELECT meerkat_forget(number, 3) FROM account_removed");
        let done: bool = forget.fetch_one(&mut connection).await.expect("forgets");
        slices += 1;
        if done {
            break;
        }
    }
    assert!(slices > 5, "{slices}");
    let left: Vec<i64> = sqlx::query_scalar(
        "SELECT ARRAY[(SELECT count(*) FROM waiting), (SELECT count(*) FROM archive),
             (SELECT count(*) FROM message), (SELECT count(*) FROM account_removed)]",
    )
    .fetch_one(&mut connection)
    .await
    .expect("reads");
    assert_eq!(left, [10, 5, 10, 0]);
    assert_eq!(store.waiting(juliet, MessageId(0), 100).await.expect("reads").len(), 10);
}
