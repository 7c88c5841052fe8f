//! What a durable message costs in the SQLite store: CPU time of the whole process per message, and how
//! large the file stays.
//!
//! ```text
//! cargo run --release -p meerkat-tests --example store_cost [MESSAGES [FOLDER]]
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use server::plugins::sqlite::{Options, Sqlite};
use server::storage::{AccountNumber, Draft, MessageId, OfflineQueue, Owner, Store, Write, Written};
use smallvec::smallvec;
use tempfile::TempDir;
use xmpp_core::BareJid;

const OWNERS: u64 = 10_000;

#[tokio::main(worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let messages: u64 = arguments.next().and_then(|number| number.parse().ok()).unwrap_or(200_000);
    let folder = arguments.next().unwrap_or_else(|| std::env::temp_dir().display().to_string());
    for batch in [1, 16, 64, 256] {
        let messages = if batch == 1 { messages / 10 } else { messages };
        play(&folder, &format!("taken at once, batches of {batch}"), messages, batch, Taken::AtOnce).await;
    }
    play(&folder, "taken 10 000 later, batches of 64", messages, 64, Taken::Later(10_000)).await;
    play(&folder, "never taken, batches of 64", messages, 64, Taken::Never).await;
    senders(&folder, messages).await;
}

enum Taken {
    AtOnce,
    Later(usize),
    Never,
}

async fn play(folder: &str, name: &str, messages: u64, batch: u64, taken: Taken) {
    let folder = TempDir::new_in(folder).expect("a folder");
    let store = open(&folder).await;
    let mut given = std::collections::VecDeque::new();
    let mut sizes = Vec::new();
    let start = Measure::start();
    let mut sent = 0;
    while sent < messages {
        let drafts: Vec<Draft> = (sent..sent + batch).map(draft).collect();
        let owners: Vec<AccountNumber> = drafts.iter().map(|draft| draft.owners[0].account).collect();
        let ids = store.save(drafts).await.expect("saves");
        given.extend(owners.into_iter().zip(ids));
        let keep = match taken {
            Taken::AtOnce => 0,
            Taken::Later(number) => number,
            Taken::Never => usize::MAX,
        };
        while given.len() > keep
            && let Some((owner, id)) = given.pop_front()
        {
            store.taken(owner, id);
        }
        sent += batch;
        if sent % (messages / 4).next_multiple_of(batch) < batch {
            sizes.push(size(&folder));
        }
    }
    start.say(name, sent);
    store.close().await;
    println!("    file after each quarter: {sizes:?} KiB; closed: {} KiB", size(&folder));
}

/// Many who send one message each, and wait for it.
async fn senders(folder: &str, messages: u64) {
    const SENDERS: u64 = 256;
    let folder = TempDir::new_in(folder).expect("a folder");
    let store = open(&folder).await;
    let start = Measure::start();
    let mut tasks = tokio::task::JoinSet::new();
    for sender in 0..SENDERS {
        let store = store.clone();
        tasks.spawn(async move {
            for number in 0..messages / SENDERS {
                let draft = draft(sender * 1000 + number);
                let owner = draft.owners[0].account;
                let ids: Vec<MessageId> = store.save(vec![draft]).await.expect("saves");
                store.taken(owner, ids[0]);
            }
        });
    }
    tasks.join_all().await;
    start.say(&format!("{SENDERS} senders of one message at a time"), messages);
    store.close().await;
}

async fn open(folder: &TempDir) -> Arc<Sqlite> {
    let store = Arc::new(Sqlite::open(Options::new(folder.path().join("meerkat.db"))).await.expect("opens"));
    let mut accounts = tokio::task::JoinSet::new();
    for roster_epoch in 0..OWNERS {
        let jid = BareJid::parse(&format!("user{roster_epoch}@example.com")).expect("an address");
        let store = store.clone();
        accounts.spawn(async move {
            let write = Write::CreateAccount { jid, secrets: vec![], time: 0, roster_epoch };
            assert!(matches!(store.write(write).await, Ok(Written::Account(_))));
        });
    }
    accounts.join_all().await;
    store
}

fn draft(number: u64) -> Draft {
    let account = AccountNumber(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % OWNERS + 1);
    let stanza = Bytes::from(format!("{:a<400}", format!("<message id='{number}'>")));
    Draft { time: 1_795_261_800_000 + number, owners: smallvec![Owner::queued(account)], stanza }
}

fn size(folder: &TempDir) -> u64 {
    folder.path().join("meerkat.db").metadata().map_or(0, |metadata| metadata.len() >> 10)
}

struct Measure {
    start: Instant,
    cpu: Duration,
}

impl Measure {
    fn start() -> Measure {
        Measure { start: Instant::now(), cpu: cpu() }
    }

    fn say(&self, name: &str, messages: u64) {
        let (time, cpu) = (self.start.elapsed(), cpu() - self.cpu);
        let (each, rate) = (cpu.as_secs_f64() * 1e6 / messages as f64, messages as f64 / time.as_secs_f64());
        println!("{name}: {each:.1} us of CPU a message, {rate:.0} messages/s");
    }
}

/// What this process used so far, all threads (proc_pid_stat(5): utime and stime, in hundredths).
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap_or(0)).sum();
    Duration::from_millis(ticks * 10)
}
