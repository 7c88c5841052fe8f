//! The parts of messages and archives: made ahead, dropped when nobody keeps them, and never in the way of a save.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use meerkat_tests::postgres::PostgresServer;
use server::plugins::postgres::Postgres;
use server::storage::archive::{End, Filter, Keep, Tended};
use server::storage::{
    AccountNumber, Archive, Draft, Job, Lease, Leases, MessageId, Millis, OfflineQueue, Owner, Peer, Role,
    Store, StoreError, Verified,
};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

use crate::stage::{create, open, save};

const ARCHIVED: Role = Role { waits: false, archived: true, sent: false };
const WAITS: Role = Role { waits: true, archived: true, sent: false };

async fn execute(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.expect("it is there");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.expect("valid SQL");
}

async fn number(url: &str, sql: &'static str) -> i64 {
    let mut connection = PgConnection::connect(url).await.expect("it is there");
    sqlx::query_scalar(sql).fetch_one(&mut connection).await.expect("valid SQL")
}

async fn names(url: &str) -> Vec<String> {
    let mut connection = PgConnection::connect(url).await.expect("it is there");
    sqlx::query_scalar("SELECT name FROM part ORDER BY first")
        .fetch_all(&mut connection)
        .await
        .expect("valid SQL")
}

async fn lease(store: &Postgres) -> Lease {
    let time = Duration::from_secs(60);
    store.lease(Job::Partitions, "test", time).await.expect("asks").expect("it is free")
}

fn draft(time: Millis, owners: &[(AccountNumber, Role)]) -> Draft {
    let own =
        |(account, role): &(AccountNumber, Role)| Owner { account: *account, role: *role, peer: Peer(1) };
    Draft { time, owners: owners.iter().map(own).collect(), stanza: "<message/>".into() }
}

async fn archive(store: &Postgres, owner: AccountNumber) -> Vec<MessageId> {
    let messages = store.archived(owner, &Filter::default(), End::Oldest, 9_999).await.expect("reads");
    messages.iter().map(|message| message.id).collect()
}

/// So many months lie behind this one, each with messages of the first of it, from the middle to its end: all
/// in the archive of an owner, and every second one waits for another, who has it in his archive too.
async fn aged(url: &str, months: i64, (owner, other): (AccountNumber, AccountNumber)) {
    let (owner, other) = (owner.0, other.0);
    let sql = format!(
        "DO $$ DECLARE least bigint := 0; BEGIN
             DROP TABLE message_first, archive_first, message_text_first;
             DELETE FROM part WHERE name = 'first';
             FOR age IN REVERSE {months} .. 0 LOOP
                 PERFORM meerkat_make_part((meerkat_month(meerkat_now(), -age)).name, least,
                     (meerkat_month(meerkat_now(), 1 - age)).first);
                 least := (meerkat_month(meerkat_now(), 1 - age)).first;
             END LOOP;
         END $$;
         CREATE TEMP TABLE old AS
         SELECT (meerkat_month(meerkat_now(), -age)).first + ((day * 86400000::bigint) << 20) AS id, day % 2 = 1 AS waits
         FROM generate_series(1, {months}) AS age, generate_series(0, 19) AS day;
         INSERT INTO message SELECT id, to_timestamp((id >> 20) / 1000.0), ARRAY[{owner}, {other}], '<message/>'
         FROM old;
         INSERT INTO archive SELECT {owner}, id, 1, true FROM old;
         INSERT INTO archive SELECT {other}, id, 1, false FROM old WHERE waits;
         INSERT INTO waiting SELECT {other}, id, 2 FROM old WHERE waits;
         -- Nobody else has these.
         INSERT INTO message SELECT id + 1, to_timestamp((id >> 20) / 1000.0), NULL, '<message/>' FROM old;
         INSERT INTO waiting SELECT {other}, id + 1, 0 FROM old;
         SELECT setval('message_id', meerkat_now())"
    );
    execute(url, &sql).await;
}

/// When a month began, so many behind this one.
async fn month(url: &str, age: i32) -> Millis {
    let mut connection = PgConnection::connect(url).await.expect("it is there");
    let first = sqlx::query_scalar("SELECT first >> 20 FROM meerkat_month(meerkat_now(), $1)").bind(-age);
    let first: i64 = first.fetch_one(&mut connection).await.expect("valid SQL");
    first as Millis
}

fn keep(before: Millis) -> Keep {
    Keep { domains: vec!["example.com".to_owned()], before: Some(before) }
}

async fn pair(store: &Postgres) -> (AccountNumber, AccountNumber) {
    let romeo = create(store, "romeo@example.com").await.expect("creates");
    (romeo, create(store, "juliet@example.com").await.expect("creates"))
}

#[tokio::test]
async fn this_month_and_the_next_two_are_there_from_the_start() {
    let url = PostgresServer::shared().database().await;
    let store = open(&url).await;
    let names = names(&url).await;
    assert_eq!((names.len(), names[0].as_str(), names[3].as_str()), (4, "first", "rest"), "{names:?}");
    let nothing = store.tend_archives(&lease(&store).await, &Keep::default()).await;
    assert_eq!(nothing, Ok(Tended::default()));
    assert_eq!(number(&url, "SELECT count(*) FROM message_rest").await, 0);
}

/// As after a server was away for months, or when nobody may make tables any more.
#[tokio::test]
async fn what_comes_without_a_month_is_saved_and_gets_one_later() {
    let url = PostgresServer::shared().database().await;
    let store = open(&url).await;
    let (romeo, juliet) = pair(&store).await;
    let mut ids = Vec::new();
    for ahead in [0, 2, 5] {
        // The clock goes on, and ids with it.
        let clock = format!("SELECT setval('message_id', (meerkat_month(meerkat_now(), {ahead})).first + 7)");
        execute(&url, &clock).await;
        let drafts = (0..20).map(|n| draft(n, &[(romeo, ARCHIVED), (juliet, WAITS)])).collect();
        ids.extend(store.save(drafts).await.expect("saves"));
    }
    assert_eq!(number(&url, "SELECT count(*) FROM message_rest").await, 20);
    let found = server::plugins::postgres::tools::check(&crate::stage::options(&url)).await.expect("checks");
    assert!(found.iter().any(|finding| finding.contains("month was not made")), "{found:?}");
    assert_eq!(archive(&store, romeo).await, ids);

    let tended = store.tend_archives(&lease(&store).await, &Keep::default()).await.expect("tends");
    assert_eq!(tended.made.len(), 3, "{tended:?}");
    assert_eq!(number(&url, "SELECT count(*) FROM message_rest").await, 0);
    assert_eq!(names(&url).await.len(), 7);
    ids.push(save(&store, &[romeo], "<message/>").await.expect("saves"));
    let archived = &ids[..60];
    assert_eq!(archive(&store, romeo).await, archived);
    assert_eq!(store.waiting(juliet, MessageId(0), 99).await.expect("reads").len(), 60);
    let verified = store.verify_archives().await.expect("reads");
    assert_eq!((verified.messages, verified.faults()), (61, 0), "{verified:?}");
}

#[tokio::test]
async fn a_month_that_nobody_keeps_goes_and_what_waits_of_it_stays() {
    let url = PostgresServer::shared().database().await;
    let store = open(&url).await;
    let (romeo, juliet) = pair(&store).await;
    aged(&url, 5, (romeo, juliet)).await;
    let before = store.waiting(juliet, MessageId(0), 999).await.expect("reads");
    assert_eq!((before.len(), archive(&store, romeo).await.len()), (150, 100));

    // A day into the fourth month: three can go.
    let three = keep(month(&url, 2).await + 86_400_000);
    let tended = store.tend_archives(&lease(&store).await, &three).await.expect("tends");
    assert_eq!((tended.dropped.len(), tended.still_waiting), (3, 90), "{tended:?}");
    let names = names(&url).await;
    assert_eq!((names.len(), names[0].as_str()), (7, "kept"), "{names:?}");
    assert_eq!((archive(&store, romeo).await.len(), archive(&store, juliet).await.len()), (40, 20));
    let after = store.waiting(juliet, MessageId(0), 999).await.expect("reads");
    let ids = |messages: &[server::storage::Saved]| messages.iter().map(|one| one.id).collect::<Vec<_>>();
    assert_eq!(ids(&after), ids(&before));
    assert_eq!(after.iter().filter(|message| message.archived).count(), 20);
    let seen = store.verify_archives().await.expect("reads");
    let all = Verified { messages: 90 + 80, archived: 60, waiting: 150, ..Verified::default() };
    assert_eq!(seen, all);
    assert_eq!(store.tend_archives(&lease(&store).await, &three).await, Ok(Tended::default()));

    // One more, so that what was kept before is kept on.
    let tended = store.tend_archives(&lease(&store).await, &keep(month(&url, 1).await)).await.expect("tends");
    assert_eq!((tended.dropped.len(), tended.still_waiting), (1, 30), "{tended:?}");
    for message in store.waiting(juliet, MessageId(0), 999).await.expect("reads") {
        store.taken(juliet, message.id);
    }
    store.close().await;
    assert_eq!(number(&url, "SELECT count(*) FROM message_kept").await, 0);
    assert_eq!(number(&url, "SELECT count(*) FROM message").await, 20, "of the last month, in archives");
}

/// Months are dropped as a whole, so nothing in them may be wanted by anybody.
#[tokio::test]
async fn a_month_stays_while_anything_in_it_is_kept() {
    let url = PostgresServer::shared().database().await;
    let store = open(&url).await;
    let (romeo, juliet) = pair(&store).await;
    aged(&url, 3, (romeo, juliet)).await;
    let held = lease(&store).await;
    let all = month(&url, 0).await;
    // One domain keeps everything; a month is not over; there are accounts of another domain.
    let keeps = Keep { before: None, ..keep(all) };
    assert_eq!(store.tend_archives(&held, &keeps).await, Ok(Tended::default()));
    assert_eq!(store.tend_archives(&held, &keep(month(&url, 2).await - 1)).await, Ok(Tended::default()));
    create(&store, "nurse@example.org").await.expect("creates");
    assert_eq!(store.tend_archives(&held, &keep(all)).await, Ok(Tended::default()));
    let both = Keep { domains: vec!["example.org".to_owned(), "example.com".to_owned()], ..keep(all) };
    // Its id says that it is old, and its time does not.
    execute(
        &url,
        "UPDATE message SET time = now() WHERE id = (SELECT max(id) FROM message WHERE id < (
        SELECT behind FROM part ORDER BY first OFFSET 1 LIMIT 1))",
    )
    .await;
    let tended = store.tend_archives(&held, &both).await.expect("tends");
    assert_eq!(tended.dropped.len(), 1, "{tended:?}");
    assert_eq!(archive(&store, romeo).await.len(), 40);

    // Who lost the lease drops nothing, whatever he was about to do.
    execute(&url, "UPDATE message SET time = to_timestamp((id >> 20) / 1000.0)").await;
    store.release(&held).await.expect("releases");
    let refused = store.tend_archives(&held, &both).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    assert_eq!(archive(&store, romeo).await.len(), 40);
    // This month stays, even when a clock says that it is long ago.
    let tended = store.tend_archives(&lease(&store).await, &Keep { before: Some(u64::MAX), ..both }).await;
    assert_eq!(tended.map(|tended| tended.dropped.len()), Ok(2));
    save(&store, &[juliet], "<message/>").await.expect("saves");
}

/// A server without archives must not have more and more parts.
#[tokio::test]
async fn a_month_goes_when_no_archive_has_anything_of_it() {
    let url = PostgresServer::shared().database().await;
    let store = open(&url).await;
    let (romeo, juliet) = pair(&store).await;
    aged(&url, 3, (romeo, juliet)).await;
    let waiting = store.waiting(juliet, MessageId(0), 999).await.expect("reads").len();
    execute(
        &url,
        "DELETE FROM archive WHERE id < (SELECT behind FROM part ORDER BY first OFFSET 1 LIMIT 1);
        SELECT meerkat_sweep(array_agg(id)) FROM message",
    )
    .await;
    let tended = store.tend_archives(&lease(&store).await, &Keep::default()).await.expect("tends");
    assert_eq!((tended.dropped.len(), tended.still_waiting), (2, 60), "{tended:?}");
    assert_eq!(store.waiting(juliet, MessageId(0), 999).await.expect("reads").len(), waiting);
    assert_eq!(archive(&store, romeo).await.len(), 20);
    assert_eq!(store.verify_archives().await.expect("reads").faults(), 0);
}

/// A month goes while messages come, are read and are taken: nobody is told more than to wait a moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn messages_come_and_go_while_months_are_made_and_dropped() {
    let url = PostgresServer::shared().database().await;
    let store = open(&url).await;
    let (romeo, juliet) = pair(&store).await;
    aged(&url, 6, (romeo, juliet)).await;
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut busy = tokio::task::JoinSet::new();
    for reads in [false, true] {
        let (store, stop) = (store.clone(), stop.clone());
        busy.spawn(async move {
            let mut rounds = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                if reads {
                    for message in store.waiting(juliet, MessageId(0), 3).await.expect("reads") {
                        store.taken(juliet, message.id);
                    }
                    store.archived(romeo, &Filter::default(), End::Newest, 50).await.expect("reads");
                } else {
                    let drafts = vec![draft(1, &[(romeo, ARCHIVED), (juliet, WAITS)])];
                    store.save(drafts).await.expect("saves");
                }
                rounds += 1;
            }
            rounds
        });
    }
    let held = lease(&store).await;
    let mut months = Vec::new();
    for age in (0..6).rev() {
        months.push(month(&url, age).await);
    }
    for before in months {
        let tended = store.tend_archives(&held, &keep(before)).await.expect("tends");
        assert_eq!(tended.dropped.len(), 1);
        let clock = "SELECT setval('message_id', (meerkat_month(meerkat_now(), 1)).first)";
        execute(&url, clock).await;
        let tended = store.tend_archives(&held, &Keep::default()).await.expect("tends");
        assert_eq!(tended.made.len(), 1, "{tended:?}");
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let rounds: Vec<u64> = busy.join_all().await;
    assert!(rounds.iter().all(|rounds| *rounds > 5), "{rounds:?}");
    store.close().await;
    let store = open(&url).await;
    let seen = store.verify_archives().await.expect("reads");
    assert_eq!(seen.faults(), 0, "{seen:?}");
}

/// What is there becomes the first part, with its ids.
#[tokio::test]
async fn a_database_of_before_is_taken_over() {
    let url = PostgresServer::shared().database().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/src/plugins/postgres/migrations");
    let mut sql =
        "CREATE TABLE meerkat_schema (one boolean PRIMARY KEY CHECK (one), version integer NOT NULL,
        changed timestamptz NOT NULL); INSERT INTO meerkat_schema VALUES (true, 2, now());"
            .to_owned();
    for file in ["0001.sql", "0002.sql"] {
        sql += &std::fs::read_to_string(folder.join(file)).expect("a migration");
    }
    sql += "INSERT INTO account (jid, domain, created, roster_epoch)
            SELECT jid || '@example.com', 'example.com', now(), 1 FROM unnest(ARRAY['romeo', 'juliet']) AS j (jid);
        SELECT meerkat_save(1, 'old', n, ARRAY[1, 2], ARRAY['<message/>', '<message/>']::bytea[], ARRAY['{1,2}', NULL],
            ARRAY[1, 1, 2], ARRAY[1, 2, 2], ARRAY[6, 3, 9]::smallint[], ARRAY[1, 1, 1])
        FROM generate_series(1, 300) AS n;
        -- As from a copy, whose ids are no times.
        INSERT INTO message SELECT id, 'epoch', ARRAY[1], '<message/>' FROM generate_series(1, 10) AS id;
        INSERT INTO archive SELECT 1, id, 1, false FROM generate_series(1, 10) AS id;";
    execute(&url, &sql).await;
    let store = open(&url).await;
    let (romeo, juliet) = (AccountNumber(1), AccountNumber(2));
    let seen = store.verify_archives().await.expect("reads");
    let all = Verified { messages: 610, archived: 610, waiting: 600, ..Verified::default() };
    assert_eq!(seen, all);
    let newest = *archive(&store, romeo).await.last().expect("messages");
    assert!(save(&store, &[juliet], "<message/>").await.expect("saves") > newest);
    assert_eq!(store.waiting(juliet, MessageId(0), 9_999).await.expect("reads").len(), 601);
    assert_eq!(number(&url, "SELECT count(*) FROM message_first").await, 611);
}
