//! How the database goes about each question to an archive, as it says itself (auto_explain): by indexes, one
//! part after the other, and no further than the page goes.

use std::time::Duration;

use meerkat_tests::postgres::PostgresServer;
use server::plugins::postgres::Postgres;
use server::storage::archive::{End, Filter, Peer};
use server::storage::{AccountNumber, Archive, MessageId, OfflineQueue, Store, Write};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

use crate::stage::{create, options};

/// Messages in each of these months, every tenth in the archive of one owner.
const MONTHS: i64 = 8;
const IN_A_MONTH: i64 = 5_000;
const OWNED: i64 = MONTHS * IN_A_MONTH / 10;
const PAGE: usize = 50;

const SETTINGS: &str = "fsync = off
    full_page_writes = off
    session_preload_libraries = 'auto_explain'
    auto_explain.log_min_duration = 0
    auto_explain.log_analyze = on
    auto_explain.log_timing = off
    auto_explain.log_nested_statements = on";

struct Filled {
    server: PostgresServer,
    url: String,
    owner: AccountNumber,
    /// Of the owner's messages, in order.
    ids: Vec<MessageId>,
}

impl Filled {
    async fn new() -> Filled {
        let server = PostgresServer::start(SETTINGS);
        let url = server.database().await;
        let store = open(&url, false).await;
        let owner = create(&store, "juliet@example.com").await.expect("creates");
        create(&store, "romeo@example.com").await.expect("creates");
        store.close().await;
        let sql = format!(
            "SET auto_explain.log_min_duration = -1;
             DO $$ DECLARE least bigint := 0; BEGIN
                 DROP TABLE message_first, archive_first, message_text_first;
                 DELETE FROM part WHERE name = 'first';
                 FOR age IN REVERSE {MONTHS} .. 0 LOOP
                     PERFORM meerkat_make_part((meerkat_month(meerkat_now(), -age)).name, least,
                         (meerkat_month(meerkat_now(), 1 - age)).first);
                     least := (meerkat_month(meerkat_now(), 1 - age)).first;
                 END LOOP;
             END $$;
             CREATE TEMP TABLE old AS
             SELECT (meerkat_month(meerkat_now(), -age)).first + ((n * 400000) << 20) AS id, n,
                 (age * {IN_A_MONTH} + n) % 10 = 0 AS own
             FROM generate_series(1, {MONTHS}) AS age, generate_series(1::bigint, {IN_A_MONTH}) AS n;
             INSERT INTO message SELECT id, to_timestamp((id >> 20) / 1000.0), ARRAY[1, 2],
                 ('<message><body>word' || n % 100 || ' ' || repeat('x', 300) || '</body></message>')::bytea FROM old;
             INSERT INTO archive SELECT 1, id, n / 10 % 20, n % 20 = 0 FROM old WHERE own;
             INSERT INTO archive SELECT 2 + n % 100, id, 1, false FROM old;
             INSERT INTO waiting SELECT 1, id, 2 FROM old WHERE own;
             SELECT setval('message_id', meerkat_now());
             ANALYZE"
        );
        let mut connection = PgConnection::connect(&url).await.expect("it is there");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.expect("valid SQL");
        let ids: Vec<i64> = sqlx::query_scalar("SELECT id FROM archive WHERE owner = 1 ORDER BY id")
            .fetch_all(&mut connection)
            .await
            .expect("reads");
        assert_eq!((owner, ids.len() as i64), (AccountNumber(1), OWNED));
        let ids = ids.into_iter().map(|id| MessageId(id as u64)).collect();
        Filled { server, url, owner, ids }
    }

    /// The plans of what was asked since the last look: each with its statement.
    fn plans(&self) -> Vec<String> {
        let log = self.server.log();
        let log = log.rsplit(LOOKED).next().unwrap_or_default();
        let plans = log.split("LOG:  duration:").skip(1);
        plans.filter(|plan| plan.contains("Query Text:")).map(str::to_owned).collect()
    }

    async fn look(&self) {
        let mut connection = PgConnection::connect(&self.url).await.expect("it is there");
        let say = format!("DO $$ BEGIN RAISE LOG '{LOOKED}'; END $$");
        sqlx::raw_sql(AssertSqlSafe(say)).execute(&mut connection).await.expect("valid SQL");
    }
}

/// What is looked at is what is done, and not how long it takes.
async fn open(url: &str, full_text: bool) -> Postgres {
    let mut options = options(url);
    options.statement_limit = Duration::from_secs(60);
    options.full_text = full_text;
    Postgres::open(options).await.expect("opens")
}

/// A line in the log between two questions. (What a statement is itself stands there too, but without this end.)
const LOOKED: &str = "looked at until here";

/// Rows of this table that a plan has read, over all its parts and rounds.
fn read(plan: &str, table: &str) -> u64 {
    let of_table =
        plan.lines().filter(|line| line.contains(" Scan") && line.contains(&format!(" on {table}_")));
    let number = |line: &str, name: &str| -> u64 {
        let value = line.split(&format!("{name}=")).nth(1).unwrap_or_default();
        value.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0)
    };
    // Before `actual` are guesses.
    let actual = |line: &str| line.split("(actual").nth(1).unwrap_or_default().to_owned();
    of_table.map(actual).map(|line| number(&line, "rows") * number(&line, "loops")).sum()
}

fn page_questions(ids: &[MessageId]) -> Vec<(&'static str, Filter, u64)> {
    let all = Filter::default();
    let at = |n: usize| Some(ids[n]);
    let time = |n: usize| Some(ids[n].0 >> 20);
    let middle = ids.len() / 2;
    let nurse = Some(Peer(7));
    // Times are not in the index: ten minutes' messages on either side are looked at.
    let page = PAGE as u64;
    vec![
        ("all", all.clone(), page),
        ("behind an id", Filter { after: at(middle), ..all.clone() }, page),
        ("before an id", Filter { before: at(middle), ..all.clone() }, page),
        ("of a peer", Filter { with: nurse, ..all.clone() }, page),
        ("of a peer, behind an id", Filter { with: nurse, after: at(middle), ..all.clone() }, page),
        ("of a peer, before an id", Filter { with: nurse, before: at(middle), ..all.clone() }, page),
        ("from a time on", Filter { start: time(middle), ..all.clone() }, page + 2),
        ("up to a time", Filter { end: time(middle), ..all.clone() }, page + 2),
        (
            "between times, of a peer",
            Filter { start: time(100), end: time(middle), with: nurse, ..all.clone() },
            page + 2,
        ),
        ("what was sent", Filter { sent: true, ..all.clone() }, page * 2 + 2),
        ("ids", Filter { ids: Some(ids.iter().step_by(500).copied().collect()), ..all.clone() }, page),
        ("ids of a peer", Filter { ids: Some(ids[..20].to_vec()), with: nurse, ..all }, page),
    ]
}

fn is_by_index(name: &str, plan: &str) {
    for table in ["message", "archive", "waiting"] {
        for scan in [format!("Seq Scan on {table}"), format!("Bitmap Heap Scan on {table}")] {
            assert!(!plan.contains(&scan), "{name}: {scan}\n{plan}");
        }
    }
    assert!(!plan.contains("JIT:"), "{name}: {plan}");
}

#[tokio::test]
async fn a_page_is_a_seek_and_its_rows() {
    let filled = Filled::new().await;
    // A new statement, and one that was asked so often that its plan is for any values.
    for attempt in 0..2 {
        let store = open(&filled.url, false).await;
        for (name, filter, most) in page_questions(&filled.ids) {
            for end in [End::Oldest, End::Newest] {
                filled.look().await;
                let page = store.archived(filled.owner, &filter, end, PAGE).await.expect("reads");
                assert!(!page.is_empty(), "{name}");
                let plans = filled.plans();
                let plan =
                    plans.iter().find(|plan| plan.contains("FROM archive") || plan.contains("AS found"));
                let plan = plan.unwrap_or_else(|| panic!("{name}: {plans:#?}"));
                is_by_index(name, plan);
                let is_sorted = plan.contains("Sort");
                assert!(!is_sorted || name.starts_with("ids"), "{name}, {end:?}, {attempt}: {plan}");
                assert!(read(plan, "message") <= most, "{name}, {end:?}: more than {most} messages\n{plan}");
                assert!(read(plan, "archive") <= most, "{name}, {end:?}: more than {most} entries\n{plan}");
                for plan in plans.iter().filter(|plan| plan.contains("RECURSIVE search")) {
                    is_by_index(name, plan);
                    // Halving the ids.
                    assert!(read(plan, "message") < 150, "{name}: {plan}");
                }
            }
        }
        store.close().await;
    }
}

#[tokio::test]
async fn counting_waiting_and_purging_go_by_indexes_and_stop() {
    let filled = Filled::new().await;
    let store = open(&filled.url, false).await;
    let (owner, all) = (filled.owner, Filter::default());
    let peer = Filter { with: Some(Peer(7)), ..all.clone() };
    for (name, filter) in [("all", &all), ("of a peer", &peer)] {
        filled.look().await;
        assert_eq!(store.count_archived(owner, filter, 100).await, Ok(100));
        let plans = filled.plans();
        is_by_index(name, &plans[0]);
        assert_eq!((read(&plans[0], "archive"), read(&plans[0], "message")), (100, 0), "{}", plans[0]);
    }
    filled.look().await;
    let middle = filled.ids[filled.ids.len() / 2];
    let waiting = store.waiting(owner, middle, 20).await.expect("reads");
    assert_eq!(waiting.len(), 20);
    let plan = filled.plans().concat();
    is_by_index("waiting", &plan);
    assert!(!plan.contains("Sort") && read(&plan, "message") <= 20, "{plan}");

    filled.look().await;
    let before = filled.ids[30].0 >> 20;
    store.write(Write::PurgeArchive { owner, before, limit: 20 }).await.expect("purges");
    let plan = filled.plans().concat();
    is_by_index("purge", &plan);
    assert!(read(&plan, "message") < 200 && read(&plan, "archive") < 200, "{plan}");

    // Of these the archive needs half no more.
    filled.look().await;
    filled.ids[..40].iter().for_each(|id| store.taken(owner, *id));
    store.close().await;
    let plan = filled.plans().concat();
    is_by_index("take", &plan);
    assert!(plan.contains("meerkat_take") && read(&plan, "message") < 500, "{plan}");
}

/// A look at everything is made of looks at a little.
#[tokio::test]
async fn verifying_goes_slice_by_slice() {
    let filled = Filled::new().await;
    let store = open(&filled.url, false).await;
    filled.look().await;
    let seen = store.verify_archives().await.expect("reads");
    assert_eq!((seen.messages as i64, seen.waiting as i64), (MONTHS * IN_A_MONTH, OWNED));
    let plans = filled.plans();
    assert!(plans.len() > 80, "{}", plans.len());
    for plan in plans.iter().filter(|plan| plan.contains("LIMIT $3")) {
        is_by_index("verify", plan);
        let rows = read(plan, "message") + read(plan, "archive");
        // Each part is asked for its first; an entry has its message.
        assert!(rows <= 2 * 5_000 + 100, "{rows}: {plan}");
    }
    store.close().await;
}

/// Words are found in an index, for their owner; what is found is read in order, and no further than the page goes.
#[tokio::test]
async fn words_are_found_by_an_index() {
    let filled = Filled::new().await;
    let store = open(&filled.url, true).await;
    let filter = Filter { text: Some("word10".to_owned()), ..Filter::default() };
    let mut found = Vec::new();
    // The first few searches find what is indexed by then.
    for _ in 0..200 {
        filled.look().await;
        found = store.archived(filled.owner, &filter, End::Newest, 10).await.expect("reads");
        let count = store.count_archived(filled.owner, &filter, 9_999).await.expect("counts");
        if count as i64 == MONTHS * IN_A_MONTH / 100 {
            break;
        }
    }
    assert_eq!(found.len(), 10);
    let plans = filled.plans();
    let plan = plans.iter().find(|plan| plan.contains("words @@") && plan.contains("DESC")).expect("a plan");
    for table in ["message", "archive"] {
        assert!(!plan.contains(&format!("Seq Scan on {table}")), "{plan}");
    }
    assert!(plan.contains("Bitmap Index Scan on message_text_"), "{plan}");
    assert!(read(plan, "archive") <= 11 && read(plan, "message_2") <= 11, "{plan}");
    store.close().await;
}
