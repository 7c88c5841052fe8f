//! The cache that nodes share, in a Redis server or a Redis Cluster (7 or later).
//!
//! Every answer has `timeout_ms`. After a few that did not come in time it is left alone, and a knock every tenth of a
//! second tells when it is well again; likewise when the connection broke.

pub mod examine;
mod link;
mod scripts;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, RedisError, Script, ScriptInvocation, Value, cmd, pipe};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::redis_url::RedisUrl;
use crate::storage::cache::{
    Attempt, Cache, CacheAction, CacheError, CacheFut, CacheOutcome, CacheWatch, FailureCounts, Failures,
    Identity, Look, Token,
};
use crate::storage::{Operation, StoreError, Watch, watched};
use link::Link;

const KNOCK_EVERY: Duration = Duration::from_millis(100);
/// Between two attempts to connect.
const RETRY_LEAST: Duration = Duration::from_millis(50);
const RETRY_MOST: Duration = Duration::from_secs(1);
/// Answers in succession that did not come in time, after which it is left alone.
const SLOW_MOST: u32 = 3;
/// How long a connection may be silent before another one is made.
const SILENT_MOST: Duration = Duration::from_secs(5);
/// How long a version is kept for which nobody has put a value yet.
const ABSENT_LIFETIME: Duration = Duration::from_secs(10);
/// Keys in one step of clearing.
const CLEARED_AT_ONCE: usize = 500;

#[derive(Clone)]
pub struct Options {
    pub url: RedisUrl,
    /// Certificate authorities in PEM, instead of the system's.
    pub authority: Option<Vec<u8>>,
    pub cluster: bool,
    pub timeout: Duration,
    /// What all keys begin with: others may use the same Redis.
    pub prefix: String,
    pub watch: Arc<dyn CacheWatch>,
}

pub struct Redis {
    options: Options,
    scripts: Scripts,
    link: ArcSwapOption<Link>,
    /// It was slow, and is left alone until a knock is answered.
    rests: AtomicBool,
    slow: AtomicU32,
    /// The connection was given up.
    lost: Notify,
}

struct Scripts {
    look: Script,
    put: Script,
    begin: Script,
    end: Script,
    failures: Script,
}

impl Redis {
    /// Connects in the background, and again whenever the connection breaks.
    pub fn open(options: Options) -> Arc<Redis> {
        let scripts = Scripts {
            look: Script::new(scripts::LOOK),
            put: Script::new(scripts::PUT),
            begin: Script::new(scripts::BEGIN),
            end: Script::new(scripts::END),
            failures: Script::new(scripts::FAILURES),
        };
        let redis = Arc::new(Redis {
            options,
            scripts,
            link: ArcSwapOption::empty(),
            rests: AtomicBool::new(false),
            slow: AtomicU32::new(0),
            lost: Notify::new(),
        });
        tokio::spawn(keep(Arc::downgrade(&redis)));
        redis
    }

    /// Reads the file of a certificate authority.
    pub fn authority(file: &Path) -> Result<Vec<u8>, StoreError> {
        std::fs::read(file).map_err(|error| {
            let file = file.display();
            StoreError::Unavailable(format!("{file} (storage.redis.authority) cannot be read: {error}"))
        })
    }

    /// Where it is, for people.
    fn place(&self) -> String {
        let servers = self.options.url.servers.iter().map(|(host, port)| format!("{host}:{port}"));
        format!("Redis at {} (storage.redis.url)", servers.collect::<Vec<_>>().join(", "))
    }

    fn account_key(&self, key: &str) -> String {
        format!("{}a:{key}", self.options.prefix)
    }

    /// A server that may be asked now. `of`: only this cache.
    fn link(&self, of: Option<Identity>) -> Result<Arc<Link>, CacheError> {
        if self.rests.load(Ordering::Relaxed) {
            return Err(CacheError::Away);
        }
        let link = self.link.load_full().ok_or(CacheError::Away)?;
        if of.is_some_and(|of| of != link.identity) { Err(CacheError::Away) } else { Ok(link) }
    }

    /// Runs a script on the server that has the key.
    async fn ask<T: FromRedisValue>(
        &self,
        of: Option<Identity>,
        key: &str,
        script: &ScriptInvocation<'_>,
    ) -> Result<T, CacheError> {
        let link = self.link(of)?;
        let mut server = link.server(key).ok_or(CacheError::Away)?;
        match tokio::time::timeout(self.options.timeout, script.invoke_async(&mut server)).await {
            Ok(Ok(answer)) => {
                self.slow.store(0, Ordering::Relaxed);
                Ok(answer)
            }
            Ok(Err(error)) => Err(self.failed(&link, &error)),
            Err(_) => {
                if self.slow.fetch_add(1, Ordering::Relaxed) + 1 >= SLOW_MOST {
                    self.rest();
                }
                Err(CacheError::Slow)
            }
        }
    }

    fn rest(&self) {
        if !self.rests.swap(true, Ordering::Relaxed) {
            tracing::warn!("{} is slow: the database is asked instead", self.place());
        }
    }

    /// A connection that broke is given up, and so is one that is to the wrong server.
    fn failed(&self, link: &Arc<Link>, error: &RedisError) -> CacheError {
        use redis::{ErrorKind, ServerErrorKind};
        let moved = matches!(
            error.kind(),
            ErrorKind::Server(
                ServerErrorKind::Moved
                    | ServerErrorKind::Ask
                    | ServerErrorKind::ReadOnly
                    | ServerErrorKind::ClusterDown
                    | ServerErrorKind::MasterDown
            )
        );
        if moved || error.is_io_error() || error.is_connection_dropped() || error.is_unrecoverable_error() {
            self.give_up(link, &error.to_string());
        }
        CacheError::Broken(error.to_string())
    }

    fn give_up(&self, link: &Arc<Link>, why: &str) {
        let current = self.link.load_full();
        if current.is_some_and(|current| Arc::ptr_eq(&current, link)) {
            self.link.store(None);
            tracing::warn!("{} is away: {why}; the database is asked instead", self.place());
            self.lost.notify_one();
        }
    }

    fn watched<'a, T: Send + 'a>(
        &'a self,
        action: CacheAction,
        outcome: fn(&T) -> CacheOutcome,
        asked: impl Future<Output = Result<T, CacheError>> + Send + 'a,
    ) -> CacheFut<'a, T> {
        Box::pin(async move {
            let began = Instant::now();
            let result = asked.await;
            let outcome = result.as_ref().map_or_else(|_| CacheOutcome::of(&result), outcome);
            self.options.watch.asked(action, outcome);
            // One that is away is not asked.
            if outcome != CacheOutcome::Away {
                self.options.watch.operated(operation(action), began.elapsed(), result.is_ok());
            }
            result
        })
    }
}

impl Cache for Redis {
    fn identity(&self) -> Option<Identity> {
        self.link(None).ok().map(|link| link.identity)
    }

    fn look<'a>(
        &'a self,
        of: Identity,
        epoch: Token,
        key: &'a str,
        known: Option<Token>,
    ) -> CacheFut<'a, Look> {
        let outcome = |look: &Look| match look {
            Look::Same | Look::Value(..) => CacheOutcome::Hit,
            Look::Absent(_) | Look::Changing => CacheOutcome::Miss,
        };
        self.watched(CacheAction::Look, outcome, async move {
            let key = self.account_key(key);
            let mut script = self.scripts.look.key(&key);
            script.arg(word(epoch)).arg(known.map(word).unwrap_or_default()).arg(word(Token(rand::random())));
            script.arg(millis(ABSENT_LIFETIME));
            let answer: Value = self.ask(Some(of), &key, &script).await?;
            parse_look(answer).ok_or_else(|| CacheError::Broken("an answer is not understood".to_owned()))
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
        self.watched(CacheAction::Put, done, async move {
            let key = self.account_key(key);
            let mut script = self.scripts.put.key(&key);
            script.arg(word(epoch)).arg(word(token)).arg(millis(lifetime));
            if let Some(value) = &value {
                script.arg(value.as_ref());
            }
            self.ask::<Value>(Some(of), &key, &script).await.map(drop)
        })
    }

    fn begin<'a>(
        &'a self,
        of: Identity,
        key: &'a str,
        change: Token,
        lifetime: Duration,
    ) -> CacheFut<'a, ()> {
        self.watched(CacheAction::Begin, done, async move {
            let key = self.account_key(key);
            let mut script = self.scripts.begin.key(&key);
            script.arg(word(change)).arg(millis(lifetime));
            self.ask::<Value>(Some(of), &key, &script).await.map(drop)
        })
    }

    fn end<'a>(&'a self, of: Identity, key: &'a str, change: Token) -> CacheFut<'a, ()> {
        self.watched(CacheAction::End, done, async move {
            let key = self.account_key(key);
            let mut script = self.scripts.end.key(&key);
            script.arg(word(change));
            self.ask::<Value>(Some(of), &key, &script).await.map(drop)
        })
    }

    fn clear<'a>(&'a self, of: Identity) -> CacheFut<'a, ()> {
        self.watched(CacheAction::Clear, done, async move {
            let link = self.link(Some(of))?;
            for server in &link.servers {
                let cleared = clear(server.clone(), &self.options.prefix).await;
                cleared.map_err(|error| self.failed(&link, &error))?;
            }
            Ok(())
        })
    }

    fn failures<'a>(&'a self, of: &'a Failures, attempt: Attempt) -> CacheFut<'a, FailureCounts> {
        self.watched(CacheAction::Failures, |_| CacheOutcome::Done, async move {
            // The braces keep all three on one server of a cluster.
            let group = format!("{}f:{{{}}}", self.options.prefix, of.group);
            let mut script = self.scripts.failures.key(format!("{group}:o:{}", of.one));
            script.key(format!("{group}:s:{}", of.one)).key(format!("{group}:g"));
            let attempt = match attempt {
                Attempt::Check => "check",
                Attempt::Failed => "failed",
                Attempt::Succeeded => "succeeded",
            };
            script.arg(attempt).arg(millis(of.within)).arg(of.share.min(u64::from(u32::MAX)));
            let (one, share, group) = self.ask(None, &group, &script).await?;
            Ok(FailureCounts { one, share, group })
        })
    }
}

/// Looks after the connection for as long as there is a cache.
async fn keep(redis: Weak<Redis>) {
    let (mut retry, mut told, mut silent_since) = (RETRY_LEAST, false, None);
    while let Some(redis) = redis.upgrade() {
        let Some(link) = redis.link.load_full() else {
            let watch: Arc<dyn Watch> = redis.options.watch.clone();
            let scripts = redis.scripts.all();
            let connecting = Link::connect(&redis.options, &scripts);
            match watched(&watch, Operation::RedisConnect, connecting).await {
                Ok(link) => {
                    tracing::info!("{} is there", redis.place());
                    redis.slow.store(0, Ordering::Relaxed);
                    redis.rests.store(false, Ordering::Relaxed);
                    redis.link.store(Some(Arc::new(link)));
                    (retry, told, silent_since) = (RETRY_LEAST, false, None);
                }
                Err(why) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!("{} is away: {why}; the database is asked instead", redis.place());
                    }
                    drop(redis);
                    tokio::time::sleep(retry).await;
                    retry = (retry * 2).min(RETRY_MOST);
                }
            }
            continue;
        };
        match knock(&redis, &link).await {
            Ok(()) => {
                silent_since = None;
                redis.slow.store(0, Ordering::Relaxed);
                if redis.rests.swap(false, Ordering::Relaxed) {
                    tracing::info!("{} answers in time again", redis.place());
                }
            }
            Err(CacheError::Slow) => {
                let since = *silent_since.get_or_insert_with(Instant::now);
                redis.rest();
                if since.elapsed() > SILENT_MOST {
                    redis.give_up(&link, "it is silent");
                    silent_since = None;
                }
            }
            Err(_) => {}
        }
        let lost = async { redis.lost.notified().await };
        let _ = tokio::time::timeout(KNOCK_EVERY, lost).await;
    }
}

/// Asks every server whether it is there, with more patience than others have: one answer that comes late is no reason
/// to leave it alone.
async fn knock(redis: &Redis, link: &Arc<Link>) -> Result<(), CacheError> {
    let patience = if redis.rests.load(Ordering::Relaxed) { 4 } else { 10 };
    for server in &link.servers {
        let mut server = server.clone();
        let ping = cmd("PING");
        let answered = ping.query_async::<Value>(&mut server);
        match tokio::time::timeout(redis.options.timeout * patience, answered).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(redis.failed(link, &error)),
            Err(_) => return Err(CacheError::Slow),
        }
    }
    Ok(())
}

/// Forgets all values on one server. Changes that are under way keep their marks.
async fn clear(mut server: MultiplexedConnection, prefix: &str) -> Result<(), RedisError> {
    let pattern = format!("{prefix}a:*");
    let mut cursor = 0u64;
    loop {
        let scan =
            cmd("SCAN").arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(CLEARED_AT_ONCE).to_owned();
        let (next, keys): (u64, Vec<String>) = scan.query_async(&mut server).await?;
        if !keys.is_empty() {
            let mut forget = pipe();
            keys.iter().for_each(|key| _ = forget.hdel(key, &["e", "g", "v"]).ignore());
            forget.query_async::<()>(&mut server).await?;
        }
        cursor = next;
        if cursor == 0 {
            return Ok(());
        }
    }
}

fn parse_look(answer: Value) -> Option<Look> {
    if matches!(answer, Value::Int(1)) {
        return Some(Look::Same);
    }
    let Value::Array(fields) = answer else { return None };
    let mut fields = fields.into_iter().map(|field| match field {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    });
    let Some(token) = fields.next() else { return Some(Look::Changing) };
    let token = u64::from_str_radix(std::str::from_utf8(&token?).ok()?, 16).ok().map(Token)?;
    match fields.next() {
        None => Some(Look::Absent(token)),
        Some(value) => Some(Look::Value(token, Bytes::from(value?))),
    }
}

impl Scripts {
    fn all(&self) -> [&Script; 5] {
        [&self.look, &self.put, &self.begin, &self.end, &self.failures]
    }
}

fn operation(action: CacheAction) -> Operation {
    match action {
        CacheAction::Look => Operation::RedisLook,
        CacheAction::Put => Operation::RedisPut,
        CacheAction::Begin => Operation::RedisBegin,
        CacheAction::End => Operation::RedisEnd,
        CacheAction::Clear => Operation::RedisClear,
        CacheAction::Failures => Operation::RedisFailures,
    }
}

fn done(_: &()) -> CacheOutcome {
    CacheOutcome::Done
}

fn word(token: Token) -> String {
    format!("{:x}", token.0)
}

fn millis(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap_or(u64::MAX).max(1)
}
