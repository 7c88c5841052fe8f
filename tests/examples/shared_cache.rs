//! What each thing that Redis keeps gains: how long it takes to read it from the database, from Redis, and from what the
//! server remembers with a look at Redis, one after the other; and the CPU time of the service that is asked.
//!
//! ```text
//! cargo run --release -p meerkat-tests --example shared_cache [READS]
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use meerkat_tests::postgres::PostgresServer;
use meerkat_tests::redis::{Kind, RedisServer};
use server::accounts::Accounts;
use server::accounts::preferences::{COLLECTION, KEY};
use server::accounts::shared::SharedAccounts;
use server::config::redis_url::RedisUrl;
use server::plugins::postgres::Postgres;
use server::plugins::redis::{Options, Redis};
use server::plugins::sqlite::{self, Sqlite};
use server::storage::{AccountNumber, RosterItem, Store, Subscription, Write, Written};
use server::telemetry::metrics::Metrics;
use tempfile::TempDir;
use xmpp_core::{BareJid, Jid};

const ACCOUNTS: u64 = 64;
const BLOCKED: u64 = 5;
const PREFERENCES: &str = "<prefs xmlns='urn:xmpp:mam:2' default='roster'><always><jid>nurse@localhost</jid></always><never/></prefs>";

#[tokio::main(worker_threads = 2)]
async fn main() {
    let reads: u64 = std::env::args().nth(1).and_then(|number| number.parse().ok()).unwrap_or(2_000);
    let database = PostgresServer::start("");
    let url = database.database().await;
    let folder = TempDir::new().expect("a folder");
    let small = sqlite::Options::new(folder.path().join("meerkat.db"));
    let stores: [(&str, Arc<dyn Store>, u32); 2] = [
        ("SQLite", Arc::new(Sqlite::open(small).await.expect("opens")), std::process::id()),
        (
            "PostgreSQL",
            Arc::new(
                Postgres::open(server::plugins::postgres::Options::new(&url).expect("a URL"))
                    .await
                    .expect("opens"),
            ),
            database.pid(),
        ),
    ];
    println!("{:<44}{:>10}{:>10}{:>14}", "", "median us", "p99 us", "service's us");
    for contacts in [20, 100] {
        for (name, store, service) in &stores {
            let numbers = fill(&**store, contacts).await;
            one_by_one(name, &**store, *service, &numbers, contacts, reads).await;
        }
        shared(stores[1].1.clone(), contacts, reads).await;
    }
}

fn jid(number: u64, contacts: u64) -> BareJid {
    BareJid::parse(&format!("user{number}of{contacts}@localhost")).expect("an address")
}

async fn fill(store: &dyn Store, contacts: u64) -> Vec<AccountNumber> {
    let mut numbers = Vec::new();
    for account in 0..ACCOUNTS {
        let jid = jid(account, contacts);
        let write = Write::CreateAccount { jid, secrets: vec![], time: 0, roster_epoch: account };
        let Ok(Written::Account(owner)) = store.write(write).await else { panic!("no account") };
        numbers.push(owner);
        let jids = (0..BLOCKED).map(|number| Jid::parse(&format!("enemy{number}@example.net")).expect("one"));
        store.write(Write::Block { owner, jids: jids.collect(), limit: 100 }).await.expect("writes");
        let (collection, key) = (COLLECTION.to_owned(), KEY.to_owned());
        let value = Bytes::from_static(PREFERENCES.as_bytes());
        let write = Write::SetItem { owner, collection, key, value, limit_bytes: 10_000 };
        store.write(write).await.expect("writes");
        for contact in 0..contacts {
            let contact = BareJid::parse(&format!("contact{contact}@localhost")).expect("an address");
            let item = RosterItem { subscription: Subscription::Both, ..RosterItem::new(contact) };
            store.write(Write::PutRosterItem { owner, item, limit: 1_000 }).await.expect("writes");
        }
    }
    numbers
}

async fn one_by_one(
    name: &str,
    store: &dyn Store,
    service: u32,
    numbers: &[AccountNumber],
    contacts: u64,
    reads: u64,
) {
    let pick = |read: u64| (read % ACCOUNTS) as usize;
    let line = |what: &str| format!("{name}: {what}, {contacts} contacts");
    measure(&line("existence"), service, reads, async |read| {
        store.account(&jid(read % ACCOUNTS, contacts)).await.expect("reads").expect("there");
    })
    .await;
    measure(&line("block list"), service, reads, async |read| {
        assert!(!store.blocked(numbers[pick(read)]).await.expect("reads").is_empty());
    })
    .await;
    measure(&line("preferences"), service, reads, async |read| {
        store.item(numbers[pick(read)], COLLECTION, KEY).await.expect("reads").expect("there");
    })
    .await;
    measure(&line("roster"), service, reads, async |read| {
        assert_eq!(store.roster(numbers[pick(read)]).await.expect("reads").items.len() as u64, contacts);
    })
    .await;
}

/// The whole account, as a message asks for it.
async fn shared(store: Arc<dyn Store>, contacts: u64, reads: u64) {
    let redis = RedisServer::start(Kind::Plain);
    let cache = Redis::open(Options {
        url: RedisUrl::parse(&redis.url()).expect("a URL"),
        authority: None,
        cluster: false,
        timeout: Duration::from_secs(1),
        prefix: "meerkat:cost:".to_owned(),
        watch: Arc::new(Metrics::default()),
    });
    let lifetime = Duration::from_secs(3_600);
    let open = || {
        SharedAccounts::new(store.clone(), cache.clone(), b"key", lifetime, Duration::from_secs(10), 1 << 20)
    };
    let (remembering, forgetful) = (open(), open());
    while !(remembering.is_used() && forgetful.is_used()) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let remembering = Accounts::new(store.clone(), 100_000, Some(remembering));
    let forgetful = Accounts::new(store.clone(), 1, Some(forgetful));
    let alone = Accounts::new(store.clone(), 1, None);
    let line = |what: &str| format!("{what}, {contacts} contacts");
    let find = async |accounts: &Accounts, read: u64| {
        accounts.find(&jid(read % ACCOUNTS, contacts)).get().await.expect("reads").expect("there");
    };
    let service = redis.pid();
    measure(&line("all, database alone"), service, reads, async |read| find(&alone, read).await).await;
    measure(&line("all, database, then put"), service, ACCOUNTS, async |read| find(&remembering, read).await)
        .await;
    measure(&line("all, Redis"), service, reads, async |read| find(&forgetful, read).await).await;
    measure(&line("all, remembered, looked up"), service, reads, async |read| find(&remembering, read).await)
        .await;
    let nobody = async |accounts: &Accounts, read: u64| {
        let jid = BareJid::parse(&format!("nobody{}@localhost", read % ACCOUNTS)).expect("an address");
        assert!(accounts.find(&jid).get().await.expect("reads").is_none());
    };
    measure("nobody, database alone", service, reads, async |read| nobody(&alone, read).await).await;
    measure("nobody, database, then put", service, ACCOUNTS, async |read| nobody(&forgetful, read).await)
        .await;
    measure("nobody, Redis", service, reads, async |read| nobody(&forgetful, read).await).await;
}

async fn measure(what: &str, service: u32, reads: u64, ask: impl AsyncFn(u64)) {
    let (used, mut took) = (cpu(service), Vec::new());
    for read in 0..reads {
        let began = Instant::now();
        ask(read).await;
        took.push(began.elapsed().as_secs_f64() * 1e6);
    }
    let used = (cpu(service) - used).as_secs_f64() * 1e6 / reads as f64;
    took.sort_by(f64::total_cmp);
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    println!("{what:<44}{:>10.0}{:>10.0}{used:>14.0}", at(0.5), at(0.99));
}

/// Of a process and its children.
fn cpu(process: u32) -> Duration {
    let process = process.to_string();
    let mut ticks = 0;
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let Some((_, fields)) = stat.rsplit_once(") ") else { continue };
        let fields: Vec<&str> = fields.split(' ').collect();
        if entry.file_name() == *process || fields[1] == process {
            ticks += fields[11..13].iter().filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>();
        }
    }
    Duration::from_millis(ticks * 10)
}
