//! Nodes on one store and one cache, while the cache fails in every way that there is.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::sleep;
use xmpp_core::Jid;

use super::*;
use crate::accounts::Accounts;
use crate::plugins::memory::Memory;
use crate::storage::cache::{Attempt, CacheError, CacheFut, FailureCounts, Failures, Identity};
use crate::storage::{AccountNumber, Rosters, Store, StoreError, Write, Written};

const STATEMENT: Duration = Duration::from_secs(10);
const LIFETIME: Duration = Duration::from_secs(60);

/// What Redis does, by the words of `plugins/redis/scripts.rs`.
#[derive(Clone)]
struct Service {
    identity: u64,
    /// It forgets nothing when it is told of a change.
    careless: bool,
    entries: HashMap<String, Entry>,
}

#[derive(Clone, Default)]
struct Entry {
    version: Option<(Token, Token)>,
    value: Option<Bytes>,
    changes: HashSet<u64>,
    until: Option<Instant>,
}

/// A node's way to it.
struct Wire {
    service: Arc<Mutex<Service>>,
    weather: Arc<Mutex<Weather>>,
    random: Mutex<StdRng>,
    looks: AtomicUsize,
    hits: AtomicUsize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Weather {
    Fine,
    /// No connection.
    Away,
    /// No answers; what was asked is done at some later time, or never.
    Silent,
}

impl Service {
    fn entry(&mut self, key: &str) -> &mut Entry {
        let entry = self.entries.entry(key.to_owned()).or_default();
        if entry.until.is_some_and(|until| until <= Instant::now()) {
            *entry = Entry::default();
        }
        entry
    }

    fn look(&mut self, epoch: Token, key: &str, known: Option<Token>) -> Look {
        let entry = self.entry(key);
        if !entry.changes.is_empty() {
            return Look::Changing;
        }
        match (entry.version, &entry.value) {
            (Some((in_epoch, version)), value) if in_epoch == epoch => match value {
                _ if known == Some(version) => Look::Same,
                Some(value) => Look::Value(version, value.clone()),
                None => Look::Absent(version),
            },
            _ => {
                let version = Token(rand::random());
                let until = Some(Instant::now() + Duration::from_secs(10));
                *entry = Entry { version: Some((epoch, version)), until, ..Entry::default() };
                Look::Absent(version)
            }
        }
    }

    fn put(&mut self, epoch: Token, key: &str, token: Token, value: Option<Bytes>, lifetime: Duration) {
        let entry = self.entry(key);
        if entry.version == Some((epoch, token)) && entry.changes.is_empty() {
            entry.value = value.or(entry.value.take());
            entry.until = Some(Instant::now() + lifetime);
        }
    }

    fn begin(&mut self, key: &str, change: Token, lifetime: Duration) {
        if self.careless {
            return;
        }
        let entry = self.entry(key);
        (entry.version, entry.value) = (None, None);
        entry.changes.insert(change.0);
        entry.until = Some(Instant::now() + lifetime);
    }

    fn end(&mut self, key: &str, change: Token) {
        if self.careless {
            return;
        }
        let entry = self.entry(key);
        (entry.version, entry.value) = (None, None);
        entry.changes.remove(&change.0);
    }
}

impl Wire {
    fn new(service: &Arc<Mutex<Service>>, seed: u64) -> Arc<Wire> {
        Arc::new(Wire {
            service: service.clone(),
            weather: Arc::new(Mutex::new(Weather::Fine)),
            random: Mutex::new(StdRng::seed_from_u64(seed)),
            looks: AtomicUsize::new(0),
            hits: AtomicUsize::new(0),
        })
    }

    fn micros(&self, most: u64) -> Duration {
        Duration::from_micros(self.random.lock().random_range(0..most))
    }

    /// What was asked arrives a little later, and its answer a little later still.
    async fn ask<T: Send + 'static>(
        &self,
        of: Identity,
        ask: impl FnOnce(&mut Service) -> T + Send + 'static,
    ) -> Result<T, CacheError> {
        if self.identity() != Some(of) {
            return Err(CacheError::Away);
        }
        sleep(self.micros(4_000)).await;
        // The connection is to one process, and ends with it.
        let (service, late) = (self.service.clone(), self.micros(2_000_000));
        let ask = move || {
            let mut service = service.lock();
            (service.identity == of.0).then(|| ask(&mut service))
        };
        let weather = *self.weather.lock();
        match weather {
            Weather::Away => Err(CacheError::Broken("reset".to_owned())),
            Weather::Silent => {
                if self.random.lock().random_bool(0.5) {
                    tokio::spawn(async move {
                        sleep(late).await;
                        ask();
                    });
                }
                sleep(Duration::from_millis(5)).await;
                Err(CacheError::Slow)
            }
            Weather::Fine => {
                let answer = ask();
                sleep(self.micros(4_000)).await;
                answer.ok_or_else(|| CacheError::Broken("reset".to_owned()))
            }
        }
    }
}

impl Cache for Wire {
    fn identity(&self) -> Option<Identity> {
        (*self.weather.lock() == Weather::Fine).then(|| Identity(self.service.lock().identity))
    }

    fn look<'a>(
        &'a self,
        of: Identity,
        epoch: Token,
        key: &'a str,
        known: Option<Token>,
    ) -> CacheFut<'a, Look> {
        let key = key.to_owned();
        Box::pin(async move {
            let looked = self.ask(of, move |service| service.look(epoch, &key, known)).await;
            self.looks.fetch_add(1, Ordering::Relaxed);
            if matches!(looked, Ok(Look::Same | Look::Value(..))) {
                self.hits.fetch_add(1, Ordering::Relaxed);
            }
            looked
        })
    }

    fn put<'a>(
        &'a self,
        of: Identity,
        epoch: Token,
        key: &'a str,
        token: Token,
        value: Option<Bytes>,
        lifetime: Duration,
    ) -> CacheFut<'a, ()> {
        let key = key.to_owned();
        Box::pin(self.ask(of, move |service| service.put(epoch, &key, token, value, lifetime)))
    }

    fn begin<'a>(&'a self, of: Identity, key: &'a str, change: Token, life: Duration) -> CacheFut<'a, ()> {
        let key = key.to_owned();
        Box::pin(self.ask(of, move |service| service.begin(&key, change, life)))
    }

    fn end<'a>(&'a self, of: Identity, key: &'a str, change: Token) -> CacheFut<'a, ()> {
        let key = key.to_owned();
        Box::pin(self.ask(of, move |service| service.end(&key, change)))
    }

    fn clear<'a>(&'a self, of: Identity) -> CacheFut<'a, ()> {
        let forget = |entry: &mut Entry| (entry.version, entry.value) = (None, None);
        Box::pin(self.ask(of, move |service| service.entries.values_mut().for_each(forget)))
    }

    fn failures<'a>(&'a self, _: &'a Failures, _: Attempt) -> CacheFut<'a, FailureCounts> {
        Box::pin(async { Err(CacheError::Away) })
    }
}

/// Nodes that share a store and a cache, and an account whose block list only grows.
struct Stage {
    store: Arc<Memory>,
    service: Arc<Mutex<Service>>,
    nodes: Vec<(Arc<Accounts>, Arc<Wire>)>,
    juliet: BareJid,
    number: AccountNumber,
    /// How many entries somebody was told of.
    told: AtomicUsize,
}

impl Stage {
    async fn new(nodes: u64) -> Arc<Stage> {
        let store = Arc::new(Memory::new());
        let juliet = BareJid::parse("juliet@example.com").expect("an address");
        let write =
            Write::CreateAccount { jid: juliet.clone(), secrets: Vec::new(), time: 0, roster_epoch: 1 };
        let Ok(Written::Account(number)) = store.write(write).await else { panic!("no account") };
        let service = Arc::new(Mutex::new(Service { identity: 1, careless: false, entries: HashMap::new() }));
        let nodes = (0..nodes).map(|seed| {
            let wire = Wire::new(&service, seed);
            let store: Arc<dyn Store> = store.clone();
            let shared =
                SharedAccounts::new(store.clone(), wire.clone(), b"key", LIFETIME, STATEMENT, 1 << 20);
            (Arc::new(Accounts::new(store, 100, Some(shared))), wire)
        });
        let nodes = nodes.collect();
        let stage = Stage { store, service, nodes, juliet, number, told: AtomicUsize::new(0) };
        // Until the cache is used.
        sleep(Duration::from_secs(5)).await;
        Arc::new(stage)
    }

    /// Blocks one more.
    async fn block(&self, node: usize) {
        let accounts = &self.nodes[node].0;
        let change = accounts.begin(std::slice::from_ref(&self.juliet)).await;
        let next = self.store.blocked(self.number).await.expect("a list").len() + 1;
        let jids = vec![Jid::parse(&format!("a{next}@b")).expect("an address")];
        let write = Write::Block { owner: self.number, jids, limit: u32::MAX };
        let written = self.store.write(write).await;
        change.end(&written, &[]).await;
        self.told.fetch_max(next, Ordering::SeqCst);
    }

    /// Reads the list, which is never shorter than somebody was told before.
    async fn read(&self, node: usize, what: &str) {
        let told = self.told.load(Ordering::SeqCst);
        let info = self.nodes[node].0.find(&self.juliet).get().await.expect("reads").expect("an account");
        let read = info.blocked.len();
        assert!(read >= told, "{what}: node {node} read {read} entries, and {told} were told before");
    }

    fn hits(&self) -> (usize, usize) {
        let sum = |of: fn(&Wire) -> &AtomicUsize| {
            self.nodes.iter().map(|(_, wire)| of(wire).load(Ordering::Relaxed)).sum()
        };
        (sum(|wire| &wire.hits), sum(|wire| &wire.looks))
    }

    /// One thing that goes wrong, or right again.
    fn disturb(&self, random: &mut StdRng, copy: &mut Option<HashMap<String, Entry>>) {
        let node = random.random_range(0..self.nodes.len());
        let mut service = self.service.lock();
        match random.random_range(0..10) {
            0 => service.entries.clear(),
            1 => *copy = Some(service.entries.clone()),
            // Restarted from an old copy.
            2 => {
                service.identity += 1;
                service.entries = copy.clone().unwrap_or_default();
            }
            3 | 4 => *self.nodes[node].1.weather.lock() = Weather::Away,
            5 | 6 => *self.nodes[node].1.weather.lock() = Weather::Silent,
            7 => self.nodes.iter().for_each(|(_, wire)| *wire.weather.lock() = Weather::Silent),
            _ => self.nodes.iter().for_each(|(_, wire)| *wire.weather.lock() = Weather::Fine),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_node_reads_what_the_first_one_put_and_learns_of_its_changes() {
    let stage = Stage::new(2).await;
    for node in [0, 1, 0, 1] {
        stage.read(node, "").await;
    }
    let (hits, looks) = stage.hits();
    assert_eq!((hits, looks), (3, 4));
    stage.block(0).await;
    for node in [1, 0, 1] {
        stage.read(node, "").await;
    }
    assert_eq!(stage.hits(), (5, 7));
    // That there is nobody is shared too, and that there is somebody now.
    let romeo = BareJid::parse("romeo@example.com").expect("an address");
    for node in [0, 1] {
        assert!(stage.nodes[node].0.find(&romeo).get().await.expect("reads").is_none());
    }
    let change = stage.nodes[0].0.begin(std::slice::from_ref(&romeo)).await;
    let write = Write::CreateAccount { jid: romeo.clone(), secrets: Vec::new(), time: 0, roster_epoch: 1 };
    let written = stage.store.write(write).await;
    change.end(&written, &[]).await;
    assert!(stage.nodes[1].0.find(&romeo).get().await.expect("reads").is_some());
}

/// The node that made the change could not tell the cache, which the other one still reads.
#[tokio::test(start_paused = true)]
async fn a_change_that_the_cache_was_not_told_is_seen_by_a_node_that_reaches_it() {
    for weather in [Weather::Away, Weather::Silent] {
        let stage = Stage::new(2).await;
        stage.read(1, "").await;
        *stage.nodes[0].1.weather.lock() = weather;
        let began = Instant::now();
        stage.block(0).await;
        let took = began.elapsed();
        assert!(took < Duration::from_millis(1_000), "{took:?}");
        stage.read(1, "at once").await;
        // The next one is not held up again.
        let began = Instant::now();
        stage.block(0).await;
        assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
        stage.read(1, "again").await;
        sleep(Duration::from_secs(20)).await;
        stage.block(0).await;
        stage.read(1, "much later").await;
        // It comes back, and is used again: cleared, and in another epoch.
        *stage.nodes[0].1.weather.lock() = Weather::Fine;
        sleep(Duration::from_secs(6)).await;
        let (hits, _) = stage.hits();
        for node in [1, 0, 1, 0] {
            stage.read(node, "after").await;
        }
        assert_eq!(stage.hits().0, hits + 3);
    }
}

/// The changing node dies between its commit and the end.
#[tokio::test(start_paused = true)]
async fn a_change_that_nobody_ended_is_not_hidden() {
    let stage = Stage::new(2).await;
    stage.read(1, "").await;
    let change = stage.nodes[0].0.begin(std::slice::from_ref(&stage.juliet)).await;
    stage.read(1, "under way").await;
    let jids = vec![Jid::parse("a1@b").expect("an address")];
    stage.store.write(Write::Block { owner: stage.number, jids, limit: 10 }).await.expect("writes");
    drop(change);
    stage.told.store(1, Ordering::SeqCst);
    for _ in 0..100 {
        stage.read(1, "after its death").await;
        sleep(Duration::from_secs(1)).await;
    }
}

/// The database did not answer, for longer than the begun change lives, and commits it long afterwards.
#[tokio::test(start_paused = true)]
async fn a_change_without_an_answer_that_is_made_late_is_not_hidden() {
    for weather in [Weather::Fine, Weather::Away, Weather::Silent] {
        let stage = Stage::new(2).await;
        stage.read(1, "").await;
        let change = stage.nodes[0].0.begin(std::slice::from_ref(&stage.juliet)).await;
        // Nobody is kept from remembering any more.
        sleep(Duration::from_secs(90)).await;
        stage.read(1, "old, and kept").await;
        *stage.nodes[0].1.weather.lock() = weather;
        change.end(&Err(StoreError::Unavailable("no answer".to_owned())), &[]).await;
        sleep(Duration::from_secs(3)).await;
        *stage.nodes[0].1.weather.lock() = Weather::Fine;
        for _ in 0..20 {
            sleep(Duration::from_secs(1)).await;
            stage.read(1, "not made yet").await;
        }
        let jids = vec![Jid::parse("a1@b").expect("an address")];
        stage.store.write(Write::Block { owner: stage.number, jids, limit: 10 }).await.expect("writes");
        stage.told.store(1, Ordering::SeqCst);
        for _ in 0..100 {
            stage.read(1, "made late").await;
            sleep(Duration::from_secs(1)).await;
        }
        let before = stage.hits().0;
        stage.read(1, "long after").await;
        stage.read(1, "long after").await;
        assert!(stage.hits().0 > before, "the cache is used again");
    }
}

/// Old contents under a new identity are never read.
#[tokio::test(start_paused = true)]
async fn a_cache_that_was_restarted_from_an_old_copy_is_not_believed() {
    let stage = Stage::new(2).await;
    stage.read(1, "").await;
    let old = stage.service.lock().entries.clone();
    stage.block(0).await;
    {
        let mut service = stage.service.lock();
        service.entries = old;
        service.identity += 1;
    }
    for _ in 0..60 {
        stage.read(1, "after the restart").await;
        stage.read(0, "after the restart").await;
        sleep(Duration::from_millis(150)).await;
    }
    let (hits, looks) = stage.hits();
    assert!(hits + 4 < looks || hits > 10, "it is used again: {hits} of {looks}");
}

/// Readers and writers on three nodes, while everything goes wrong that can.
#[tokio::test(start_paused = true)]
async fn nobody_ever_reads_what_was_before_a_change_that_was_told() {
    let mut hits = 0;
    for seed in 0..6 {
        hits += disturbed(seed, false).await;
    }
    assert!(hits > 1_000, "the cache was of no use: {hits}");
}

/// The test above finds what it is for.
#[tokio::test(start_paused = true)]
#[should_panic(expected = "nobody read what was before")]
async fn a_cache_that_forgets_nothing_is_found_out() {
    disturbed(0, true).await;
}

/// Half a minute of it. Gives how often the cache was of use.
async fn disturbed(seed: u64, careless: bool) -> usize {
    let stage = Stage::new(3).await;
    stage.service.lock().careless = careless;
    let end = Instant::now() + Duration::from_secs(30);
    let mut tasks = Vec::new();
    for node in [0, 0, 1, 1, 2, 2] {
        let stage = stage.clone();
        tasks.push(tokio::spawn(async move {
            while Instant::now() < end {
                stage.read(node, &format!("seed {seed}")).await;
                sleep(stage.nodes[node].1.micros(10_000)).await;
            }
        }));
    }
    for node in 0..3 {
        let stage = stage.clone();
        tasks.push(tokio::spawn(async move {
            while Instant::now() < end {
                sleep(stage.nodes[node].1.micros(1_000_000)).await;
                stage.block(node).await;
            }
        }));
    }
    let mut random = StdRng::seed_from_u64(seed);
    let mut copy = None;
    while Instant::now() < end {
        sleep(Duration::from_millis(random.random_range(0..3_000))).await;
        stage.disturb(&mut random, &mut copy);
    }
    for task in tasks {
        task.await.expect("nobody read what was before");
    }
    stage.hits().0
}
