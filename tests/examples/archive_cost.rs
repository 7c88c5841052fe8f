//! What an archive costs in the SQLite store: CPU time per message when it fills, and how long a page
//! takes, at any depth, for an owner of a fiftieth of all messages.
//!
//! ```text
//! cargo run --release -p meerkat-tests --example archive_cost [MESSAGES [FOLDER]]
//! ```
//!
//! With the default of a million messages the heavy owner has 20 000; the figures in ARCHITECTURE.md are
//! of ten million.

use std::time::{Duration, Instant};

use bytes::Bytes;
use server::plugins::sqlite::{Options, Sqlite};
use server::storage::archive::{End, Filter, Peer};
use server::storage::{AccountNumber, Archive, Draft, MessageId, Owner, Role, Store, Write, Written};
use smallvec::smallvec;
use tempfile::TempDir;
use xmpp_core::BareJid;

const OWNERS: u64 = 1_000;
/// Has a message of every fifty.
const HEAVY: AccountNumber = AccountNumber(1);
const BATCH: u64 = 256;
const START: u64 = 1_795_261_800_000;
const PAGE: usize = 50;
const PAGES: u64 = 2_000;

#[tokio::main(worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let messages: u64 = arguments.next().and_then(|number| number.parse().ok()).unwrap_or(1_000_000);
    let folder = arguments.next().unwrap_or_else(|| std::env::temp_dir().display().to_string());
    let folder = TempDir::new_in(folder).expect("a folder");
    let path = folder.path().join("meerkat.db");
    let store = Sqlite::open(Options::new(path.clone())).await.expect("opens");
    for roster_epoch in 0..OWNERS {
        let jid = BareJid::parse(&format!("user{roster_epoch}@example.com")).expect("an address");
        let write = Write::CreateAccount { jid, secrets: vec![], time: 0, roster_epoch };
        assert!(matches!(store.write(write).await, Ok(Written::Account(_))));
    }
    let last = fill(&store, messages).await;
    println!("the file has {} MiB", path.metadata().map_or(0, |metadata| metadata.len() >> 20));
    pages(&store, messages, last).await;
    store.close().await;
}

async fn fill(store: &Sqlite, messages: u64) -> MessageId {
    let (start, used) = (Instant::now(), cpu());
    let mut last = MessageId(0);
    for first in (0..messages).step_by(BATCH as usize) {
        let drafts = (first..first + BATCH).map(draft).collect();
        last = *store.save(drafts).await.expect("saves").last().expect("an id");
    }
    let (time, cpu) = (start.elapsed().as_secs_f64(), (cpu() - used).as_secs_f64());
    let rate = messages as f64 / time;
    println!("filled: {:.1} us of CPU a message, {rate:.0} messages/s", cpu * 1e6 / messages as f64);
    last
}

/// Two owners for each message, as between two accounts.
fn draft(number: u64) -> Draft {
    let random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let sender = if number.is_multiple_of(50) { HEAVY } else { AccountNumber(random % (OWNERS - 1) + 2) };
    let recipient = AccountNumber((random >> 12) % (OWNERS - 1) + 2);
    let archived = |sent| Role { waits: false, archived: true, sent };
    let owners = smallvec![
        Owner { account: sender, role: archived(true), peer: Peer(recipient.0 % 20) },
        Owner { account: recipient, role: archived(false), peer: Peer(sender.0 % 20) },
    ];
    let stanza = Bytes::from(format!("{:a<400}", format!("<message id='{number}'>")));
    Draft { time: START + number * 100, owners, stanza }
}

/// What the page of a number asks for.
type Question<'a> = Box<dyn Fn(u64) -> (Filter, End) + 'a>;

async fn pages(store: &Sqlite, messages: u64, last: MessageId) {
    let at = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % messages;
    let all = Filter::default();
    let kinds: [(&str, Question<'_>); 5] = [
        ("the last page", Box::new(|_| (Filter::default(), End::Newest))),
        (
            "behind an id",
            Box::new(|n| {
                (Filter { after: Some(MessageId(at(n) * last.0 / messages)), ..all.clone() }, End::Oldest)
            }),
        ),
        (
            "before an id",
            Box::new(|n| {
                (Filter { before: Some(MessageId(at(n) * last.0 / messages)), ..all.clone() }, End::Newest)
            }),
        ),
        (
            "behind an id, with one peer",
            Box::new(|n| {
                let after = Some(MessageId(at(n) * last.0 / messages));
                (Filter { after, with: Some(Peer(n % 20)), ..all.clone() }, End::Oldest)
            }),
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
