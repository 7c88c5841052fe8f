//! A database that is late, goes away, comes back, hangs, kills connections, or takes no writes.
//!
//! Whoever was told that a message is saved finds it, once; whoever was told that it is not does not.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use meerkat_tests::postgres::PostgresServer;
use server::plugins::postgres::Postgres;
use server::storage::{AccountNumber, OfflineQueue, Store, StoreError, Users, Write};
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use crate::stage::{bare, create, open, save, waiting};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_late_is_waited_for() {
    let server = PostgresServer::stopped("");
    let url = server.url("postgres");
    let opening = tokio::spawn(async move { open(&url).await });
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!opening.is_finished());
    server.tell("start");
    let store =
        tokio::time::timeout(Duration::from_secs(20), opening).await.expect("in time").expect("opens");
    create(&store, "romeo@example.com").await.expect("creates");
}

/// Every now and then all connections of the store are ended, whatever they are doing.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn killed_connections_lose_and_repeat_nothing() {
    let server = PostgresServer::shared();
    let url = server.database().await;
    let store = open(&url).await;
    let load = Load::start(&store, 8).await;
    let mut killer = PgConnection::connect(&url).await.expect("it is there");
    let mut killed = 0;
    for round in 0..60 {
        tokio::time::sleep(Duration::from_millis(20 + round * 37 % 200)).await;
        let ended: i64 = sqlx::query_scalar(
            "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = 'meerkat'",
        )
        .fetch_one(&mut killer)
        .await
        .expect("kills");
        killed += ended;
    }
    let said = load.stop().await;
    println!("{killed} connections killed, {said}");
    assert!(killed > 20, "{killed} connections");
    said.check(&store).await;
    assert!(said.saved.len() > 20, "{said}");
    assert!(said.refused.is_empty(), "a connection can be made anew: {said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_database_that_goes_and_comes_back_loses_and_repeats_nothing() {
    let server = Arc::new(PostgresServer::start(""));
    let store = open(&server.url("postgres")).await;
    let load = Load::start(&store, 8).await;
    for word in ["stop", "kill"] {
        tokio::time::sleep(Duration::from_millis(300)).await;
        tell(&server, word).await;
        // Longer than a commit is looked up.
        tokio::time::sleep(Duration::from_secs(7)).await;
        let began = Instant::now();
        let refused = save(&store, &[load.owner], "while it is away").await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
        assert!(began.elapsed() < Duration::from_secs(1), "nobody is kept waiting: {:?}", began.elapsed());
        let said = refused.map_err(|error| error.to_string()).expect_err("see above");
        assert!(said.contains(&format!("127.0.0.1:{} (storage.postgres.url)", server.port())), "{said}");
        assert!(matches!(store.health().await, Err(StoreError::Unavailable(_))));
        tell(&server, "start").await;
        let began = Instant::now();
        while store.health().await.is_err() || save(&store, &[load.owner], &word_of(began)).await.is_err() {
            assert!(began.elapsed() < Duration::from_secs(10), "it does not resume");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let said = load.stop().await;
    println!("{said}");
    said.check(&store).await;
    assert!(said.saved.len() > 50 && !said.refused.is_empty(), "{said}");
}

fn word_of(began: Instant) -> String {
    format!("resumed {:?}", began.elapsed())
}

async fn tell(server: &Arc<PostgresServer>, word: &'static str) {
    let server = server.clone();
    tokio::task::spawn_blocking(move || server.tell(word)).await.expect("it does");
}

/// The processes of its connections are stopped in the middle of whatever they do, and go on later: then
/// a commit must not happen that was looked up and not found.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn connections_that_hang_lose_and_repeat_nothing() {
    let server = PostgresServer::start("");
    let url = server.url("postgres");
    let store = open(&url).await;
    let load = Load::start(&store, 4).await;
    let mut watcher = PgConnection::connect(&url).await.expect("it is there");
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let pids: Vec<i32> =
            sqlx::query_scalar("SELECT pid FROM pg_stat_activity WHERE application_name = 'meerkat'")
                .fetch_all(&mut watcher)
                .await
                .expect("reads");
        signal(&pids, "STOP");
        tokio::time::sleep(Duration::from_millis(5500)).await;
        signal(&pids, "CONT");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let said = load.stop().await;
    println!("{said}");
    said.check(&store).await;
    assert!(said.saved.len() > 50, "{said}");
}

fn signal(pids: &[i32], name: &str) {
    let pids = pids.iter().map(i32::to_string);
    let sent = std::process::Command::new("kill").arg(format!("-{name}")).args(pids).status();
    assert!(sent.expect("kill starts").success());
}

/// After a failover the old primary may come back as a replica.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_database_takes_nothing_and_recovers() {
    let server = PostgresServer::start("");
    let store = open(&server.url("postgres")).await;
    let romeo = create(&store, "romeo@example.com").await.expect("creates");
    save(&store, &[romeo], "before").await.expect("saves");
    server.execute("postgres", "ALTER SYSTEM SET default_transaction_read_only = on").await;
    server.execute("postgres", "SELECT pg_reload_conf()").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    for refused in [
        save(&store, &[romeo], "meanwhile").await.map(|_| ()),
        create(&store, "juliet@example.com").await.map(|_| ()),
        store.health().await,
    ] {
        let Err(StoreError::Unavailable(said)) = refused else { panic!("{refused:?}") };
        assert!(said.contains("read-only"), "{said}");
    }
    server.execute("postgres", "ALTER SYSTEM RESET ALL").await;
    server.execute("postgres", "SELECT pg_reload_conf()").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    save(&store, &[romeo], "after").await.expect("saves");
    create(&store, "juliet@example.com").await.expect("creates");
    assert_eq!(waiting(&store, romeo).await.keys().collect::<Vec<_>>(), ["after", "before"]);
}

/// What is full is the disk of the tables; the one of the write-ahead log is another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_and_a_freed_one_takes_again() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let Some(server) = PostgresServer::with_small_disk(folder.path(), 24) else {
        eprintln!("This machine lets nobody mount a disk.");
        return;
    };
    let tablespace = format!("CREATE TABLESPACE small LOCATION '{}'", folder.path().display());
    server.execute("postgres", &tablespace).await;
    server.execute("postgres", "CREATE DATABASE meerkat TABLESPACE small").await;
    server
        .execute("meerkat", "CREATE TABLE ballast AS SELECT md5(n::text) FROM generate_series(1, 60000) AS n")
        .await;
    let store = open(&server.url("meerkat")).await;
    let romeo = create(&store, "romeo@example.com").await.expect("creates");
    let mut saved = BTreeSet::new();
    let refused = loop {
        // What compresses would never fill a disk.
        let body: String = (0..4000u64).map(|n| format!("{:x}", (n + saved.len() as u64).pow(5))).collect();
        match save(&store, &[romeo], &body).await {
            Ok(_) => saved.insert(body),
            Err(refused) => break refused,
        };
        assert!(saved.len() < 2000, "the disk is never full");
    };
    let StoreError::Full(said) = refused else { panic!("{refused:?}") };
    assert!(said.contains("no room left") && said.contains("storage.postgres.url"), "{said}");
    assert_eq!(waiting(&store, romeo).await.into_keys().collect::<BTreeSet<_>>(), saved);

    server.execute("meerkat", "DROP TABLE ballast").await;
    save(&store, &[romeo], "after").await.expect("saves");
    assert_eq!(waiting(&store, romeo).await.len(), saved.len() + 1);
}

/// Senders who save message after message, and what they were told.
struct Load {
    owner: AccountNumber,
    over: Arc<AtomicBool>,
    senders: tokio::task::JoinSet<Said>,
}

#[derive(Default)]
struct Said {
    owner: Option<AccountNumber>,
    saved: BTreeSet<String>,
    refused: BTreeSet<String>,
    /// Accounts made, of which the same holds.
    accounts: BTreeSet<String>,
}

impl Load {
    async fn start(store: &Arc<Postgres>, senders: usize) -> Load {
        let owner = create(store, "owner@example.com").await.expect("creates");
        let over = Arc::new(AtomicBool::new(false));
        let mut load = Load { owner, over: over.clone(), senders: tokio::task::JoinSet::new() };
        for sender in 0..senders {
            load.senders.spawn(send(store.clone(), owner, sender, over.clone()));
        }
        load
    }

    async fn stop(self) -> Said {
        self.over.store(true, Ordering::SeqCst);
        let mut all = Said { owner: Some(self.owner), ..Said::default() };
        for said in self.senders.join_all().await {
            all.saved.extend(said.saved);
            all.refused.extend(said.refused);
            all.accounts.extend(said.accounts);
        }
        all
    }
}

async fn send(store: Arc<Postgres>, owner: AccountNumber, sender: usize, over: Arc<AtomicBool>) -> Said {
    let mut said = Said::default();
    for number in 0.. {
        if over.load(Ordering::SeqCst) {
            break;
        }
        let body = format!("{sender}.{number}");
        match save(&store, &[owner], &body).await {
            Ok(_) => said.saved.insert(body),
            Err(StoreError::Unavailable(_)) => said.refused.insert(body),
            Err(error) => panic!("{error:?}"),
        };
        let jid = format!("user{sender}-{number}@example.com");
        match create(&store, &jid).await {
            Ok(_) => drop(said.accounts.insert(jid)),
            Err(StoreError::Unavailable(_)) => {
                // A refused write may be tried again: nothing of it is there.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    said
}

impl Said {
    async fn check(&self, store: &Postgres) {
        let owner = self.owner.expect("set");
        let there = waiting(store, owner).await;
        let lost: Vec<&String> = self.saved.iter().filter(|body| !there.contains_key(*body)).collect();
        assert!(lost.is_empty(), "{lost:?} were acknowledged, and are lost");
        let kept: Vec<&String> = self.refused.iter().filter(|body| there.contains_key(*body)).collect();
        assert!(kept.is_empty(), "{kept:?} were refused, and are there");
        for jid in &self.accounts {
            assert!(store.account(&bare(jid)).await.expect("reads").is_some(), "{jid} is lost");
        }
        store.count_waiting(owner).await.expect("counts");
        store.write(Write::RemoveAccount { jid: bare("owner@example.com") }).await.expect("removes");
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (saved, refused, accounts) = (self.saved.len(), self.refused.len(), self.accounts.len());
        write!(f, "{saved} messages saved, {refused} refused, {accounts} accounts made")
    }
}
