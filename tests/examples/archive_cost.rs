//! What an archive costs: CPU time per message when it fills, and how long a page takes, at any depth, for an
//! owner of a fiftieth of all messages. In the SQLite store, or in an empty PostgreSQL database, where the
//! messages are spread over a year's parts.
//!
//! ```text
//! cargo run --release -p meerkat-tests --example archive_cost [MESSAGES [FOLDER | postgres://...]]
//! ```
//!
//! Where FOLDER has a `meerkat.db`, or the database has accounts, it is taken as one that this made, with so many
//! messages, and only the pages are measured. CPU time is this process's, the database's not among it.
//!
//! With the default of a million messages the heavy owner has 20 000; the figures in ARCHITECTURE.md are
//! of ten million.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use server::plugins::postgres::{self, Postgres};
use server::plugins::sqlite::{Options, Sqlite};
use server::storage::archive::{End, Filter, Keep, Peer};
use server::storage::{AccountNumber, Draft, Job, MessageId, Owner, Role, Store, Write, Written};
use smallvec::smallvec;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tempfile::TempDir;
use xmpp_core::BareJid;

const OWNERS: u64 = 1_000;
/// Has a message of every fifty.
const HEAVY: AccountNumber = AccountNumber(1);
const RARE: Peer = Peer(999);
const BATCH: u64 = 256;
const START: u64 = 1_795_261_800_000;
const PAGE: usize = 50;
const PAGES: u64 = 2_000;
const MONTHS: u64 = 12;

#[tokio::main(worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let messages: u64 = arguments.next().and_then(|number| number.parse().ok()).unwrap_or(1_000_000);
    let folder = arguments.next().unwrap_or_else(|| std::env::temp_dir().display().to_string());
    if folder.starts_with("postgres") {
        return in_postgres(&folder, messages).await;
    }
    let made = Path::new(&folder).join("meerkat.db");
    if made.exists() {
        let store = Sqlite::open(Options::new(made)).await.expect("opens");
        pages(&store, messages, (MessageId(0), MessageId(messages))).await;
        return store.close().await;
    }
    let folder = TempDir::new_in(folder).expect("a folder");
    let path = folder.path().join("meerkat.db");
    let store = Sqlite::open(Options::new(path.clone())).await.expect("opens");
    accounts(&store).await;
    let ids = fill(&store, messages, None).await;
    println!("the file has {} MiB", path.metadata().map_or(0, |metadata| metadata.len() >> 20));
    pages(&store, messages, ids).await;
    store.close().await;
}

async fn in_postgres(url: &str, messages: u64) {
    let store = Postgres::open(postgres::Options::new(url).expect("a URL")).await.expect("opens");
    let mut connection = PgConnection::connect(url).await.expect("it is there");
    let made = sqlx::query_as("SELECT min(id), max(id) FROM message").fetch_one(&mut connection).await;
    let ids = match made.expect("reads") {
        (Some(first), Some(last)) => {
            (MessageId(i64::cast_unsigned(first)), MessageId(i64::cast_unsigned(last)))
        }
        (None, _) | (_, None) => {
            accounts(&store).await;
            let ids = fill(&store, messages, Some(&mut connection)).await;
            sqlx::raw_sql("VACUUM ANALYZE").execute(&mut connection).await.expect("tidies up");
            ids
        }
    };
    let size = sqlx::query_scalar("SELECT pg_database_size(current_database()) >> 20");
    let size: i64 = size.fetch_one(&mut connection).await.expect("reads");
    println!("the database has {size} MiB");
    pages(&store, messages, ids).await;
    store.close().await;
}

async fn accounts(store: &dyn Store) {
    for roster_epoch in 0..OWNERS {
        let jid = BareJid::parse(&format!("user{roster_epoch}@example.com")).expect("an address");
        let write = Write::CreateAccount { jid, secrets: vec![], time: 0, roster_epoch };
        assert!(matches!(store.write(write).await, Ok(Written::Account(_))));
    }
}

/// The first id and the last. `months`: a month goes by with each twelfth.
async fn fill(
    store: &dyn Store,
    messages: u64,
    mut months: Option<&mut PgConnection>,
) -> (MessageId, MessageId) {
    let (start, used) = (Instant::now(), cpu());
    let (mut oldest, mut last) = (None, MessageId(0));
    let month = (messages / MONTHS).next_multiple_of(BATCH);
    for first in (0..messages).step_by(BATCH as usize) {
        if let Some(connection) = months.as_deref_mut()
            && first > 0
            && first.is_multiple_of(month)
        {
            let next = "SELECT setval('message_id', (meerkat_month(meerkat_now(), 1)).first)";
            sqlx::raw_sql(next).execute(connection).await.expect("valid SQL");
            let lease =
                store.lease(Job::Partitions, "measuring", Duration::from_secs(60)).await.expect("asks");
            let tended = store.tend_archives(&lease.expect("it is free"), &Keep::default()).await;
            tended.expect("makes a month");
        }
        let drafts = (first..first + BATCH).map(draft).collect();
        let ids = store.save(drafts).await.expect("saves");
        oldest = oldest.or(ids.first().copied());
        last = *ids.last().expect("an id");
    }
    let (time, cpu) = (start.elapsed().as_secs_f64(), (cpu() - used).as_secs_f64());
    let rate = messages as f64 / time;
    println!("filled: {:.1} us of CPU a message, {rate:.0} messages/s", cpu * 1e6 / messages as f64);
    (oldest.unwrap_or_default(), last)
}

/// Two owners for each message, as between two accounts.
fn draft(number: u64) -> Draft {
    let random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let sender = if number.is_multiple_of(50) { HEAVY } else { AccountNumber(random % (OWNERS - 1) + 2) };
    let recipient = AccountNumber((random >> 12) % (OWNERS - 1) + 2);
    let archived = |sent| Role { waits: false, archived: true, sent };
    // Of one peer the heavy owner has only a message in a thousand.
    let peer = if number.is_multiple_of(50_000) { RARE } else { Peer(recipient.0 % 20) };
    let owners = smallvec![
        Owner { account: sender, role: archived(true), peer },
        Owner { account: recipient, role: archived(false), peer: Peer(sender.0 % 20) },
    ];
    let stanza = Bytes::from(format!("{:a<400}", format!("<message id='{number}'>")));
    Draft { time: START + number * 100, owners, stanza }
}

/// What the page of a number asks for.
type Question<'a> = Box<dyn Fn(u64) -> (Filter, End) + 'a>;

async fn pages(store: &dyn Store, messages: u64, (first, last): (MessageId, MessageId)) {
    let at = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % messages;
    let place =
        |n: u64| MessageId(first.0 + ((last.0 - first.0) as f64 * (at(n) as f64 / messages as f64)) as u64);
    let all = Filter::default();
    let kinds: [(&str, Question<'_>); 7] = [
        ("the last page", Box::new(|_| (Filter::default(), End::Newest))),
        ("behind an id", Box::new(|n| (Filter { after: Some(place(n)), ..all.clone() }, End::Oldest))),
        ("before an id", Box::new(|n| (Filter { before: Some(place(n)), ..all.clone() }, End::Newest))),
        (
            "behind an id, with one peer",
            Box::new(|n| {
                let after = Some(place(n));
                (Filter { after, with: Some(Peer(n % 20)), ..all.clone() }, End::Oldest)
            }),
        ),
        (
            "with a peer of few messages",
            Box::new(|n| {
                let before = Some(place(n));
                (Filter { before, with: Some(RARE), ..all.clone() }, End::Newest)
            }),
        ),
        (
            "the last before a time",
            Box::new(|n| (Filter { end: Some(START + at(n) * 100), ..all.clone() }, End::Newest)),
        ),
        (
            "from a time on",
            Box::new(|n| (Filter { start: Some(START + at(n) * 100), ..all.clone() }, End::Oldest)),
        ),
    ];
    for (name, filter) in kinds {
        let mut times: Vec<Duration> = Vec::new();
        for n in 0..PAGES {
            let (filter, end) = filter(n);
            let start = Instant::now();
            store.archived(HEAVY, &filter, end, PAGE).await.expect("reads");
            times.push(start.elapsed());
        }
        times.sort_unstable();
        let quantile = |of: usize| times[times.len() * of / 100].as_secs_f64() * 1e3;
        println!("{name}: p50 {:.2} ms, p99 {:.2} ms", quantile(50), quantile(99));
    }
}

/// What this process used so far, all threads (proc_pid_stat(5): utime and stime, in hundredths).
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).and_then(|ticks| ticks.parse().ok()).unwrap_or(0u64);
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}
