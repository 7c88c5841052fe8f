//! What `storage/cache.rs` promises, on a Redis without and with TLS and password, and on a Redis Cluster.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use meerkat_tests::redis::{Kind, RedisCluster, RedisServer};
use server::config::redis_url::RedisUrl;
use server::plugins::redis::{Options, Redis};
use server::storage::cache::{Attempt, Cache, CacheError, FailureCounts, Failures, Identity, Look, Token};
use server::telemetry::metrics::Metrics;

const LIFETIME: Duration = Duration::from_secs(60);
const EPOCH: Token = Token(1);

fn open(url: &str, cluster: bool, authority: Option<&RedisServer>) -> Arc<Redis> {
    Redis::open(Options {
        url: RedisUrl::parse(url).expect("a URL"),
        authority: authority.map(|server| std::fs::read(server.authority()).expect("reads")),
        cluster,
        // These tests are about what is answered; those of time limits are elsewhere.
        timeout: Duration::from_secs(2),
        prefix: "meerkat:test:".to_owned(),
        watch: Arc::new(Metrics::default()),
    })
}

/// The cache that it is connected to, which may take a while.
async fn identity(redis: &Redis) -> Identity {
    let began = Instant::now();
    loop {
        if let Some(identity) = redis.identity() {
            return identity;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "no connection");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn redis_without_tls() {
    let server = RedisServer::start(Kind::Plain);
    suite(&open(&server.url(), false, None)).await;
}

#[tokio::test]
async fn redis_with_tls_and_a_password() {
    let server = RedisServer::start(Kind::Secure);
    suite(&open(&server.url(), false, Some(&server))).await;
    // Neither with another password, nor without the authority that signed its certificate.
    let wrong = open(&server.url().replace("secret", "other"), false, Some(&server));
    let strange = open(&server.url(), false, None);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!((wrong.identity(), strange.identity()), (None, None));
}

#[tokio::test]
async fn a_redis_cluster() {
    let cluster = RedisCluster::start();
    let redis = open(&cluster.url(), true, None);
    suite(&redis).await;
    // Keys lie on all of its servers, and are cleared on all.
    let of = identity(&redis).await;
    for number in 0..100 {
        let key = format!("account{number}");
        let Ok(Look::Absent(token)) = redis.look(of, EPOCH, &key, None).await else { panic!("it is there") };
        redis.put(of, EPOCH, &key, token, Some("value".into()), LIFETIME).await.expect("puts");
    }
    let sizes = || -> Vec<u32> {
        cluster.servers.iter().map(|server| server.ask(&["DBSIZE"]).parse().expect("a number")).collect()
    };
    assert!(sizes().iter().all(|size| *size > 0), "{:?}", sizes());
    redis.clear(of).await.expect("clears");
    for number in 0..100 {
        let look = redis.look(of, Token(9), &format!("account{number}"), None).await;
        assert!(matches!(look, Ok(Look::Absent(_))), "{look:?}");
    }
    // One of them is another one now, and so is the cluster.
    cluster.servers[1].stop();
    let lost = redis.look(of, EPOCH, "account1", None).await;
    let _ = lost;
    cluster.servers[1].start_again();
    let began = Instant::now();
    while identity(&redis).await == of {
        assert!(began.elapsed() < Duration::from_secs(30), "it is the same still");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(redis.look(of, EPOCH, "account1", None).await, Err(CacheError::Away));
}

async fn suite(redis: &Redis) {
    let of = identity(redis).await;
    values(redis, of).await;
    changes(redis, of).await;
    lifetimes(redis, of).await;
    failures(redis).await;
    redis.clear(of).await.expect("clears");
}

async fn values(redis: &Redis, of: Identity) {
    let absent = redis.look(of, EPOCH, "juliet", None).await;
    let Ok(Look::Absent(token)) = absent else { panic!("{absent:?}") };
    // Who else looks gets the same token, and the first who puts is not the last.
    assert_eq!(redis.look(of, EPOCH, "juliet", None).await, absent);
    let value = Bytes::from_static(b"\0\xff value\r\n");
    for _ in 0..2 {
        redis.put(of, EPOCH, "juliet", token, Some(value.clone()), LIFETIME).await.expect("puts");
    }
    assert_eq!(redis.look(of, EPOCH, "juliet", None).await, Ok(Look::Value(token, value.clone())));
    assert_eq!(redis.look(of, EPOCH, "juliet", Some(token)).await, Ok(Look::Same));
    assert_eq!(redis.look(of, EPOCH, "juliet", Some(Token(7))).await, Ok(Look::Value(token, value)));
    // A version without its value is one all the same.
    let Ok(Look::Absent(token)) = redis.look(of, EPOCH, "large", None).await else { panic!("it is there") };
    redis.put(of, EPOCH, "large", token, None, LIFETIME).await.expect("puts");
    assert_eq!(redis.look(of, EPOCH, "large", Some(token)).await, Ok(Look::Same));
    assert_eq!(redis.look(of, EPOCH, "large", None).await, Ok(Look::Absent(token)));
    // In another epoch nothing of it is there, and the old token is worth nothing.
    let Ok(Look::Absent(next)) = redis.look(of, Token(2), "juliet", Some(token)).await else { panic!() };
    redis.put(of, EPOCH, "juliet", token, Some("old".into()), LIFETIME).await.expect("is no error");
    assert_eq!(redis.look(of, Token(2), "juliet", None).await, Ok(Look::Absent(next)));
    assert_eq!(redis.look(Identity(of.0 ^ 1), EPOCH, "juliet", None).await, Err(CacheError::Away));
}

async fn changes(redis: &Redis, of: Identity) {
    let look = async || redis.look(of, EPOCH, "romeo", None).await;
    let put = async |token| redis.put(of, EPOCH, "romeo", token, Some("old".into()), LIFETIME).await;
    let begin = async |change| redis.begin(of, "romeo", Token(change), LIFETIME).await.expect("begins");
    let end = async |change| redis.end(of, "romeo", Token(change)).await.expect("ends");
    let absent = async || match look().await {
        Ok(Look::Absent(token)) => token,
        other => panic!("{other:?}"),
    };
    let mut tokens = HashSet::new();
    // Read before a change, put at any moment of it.
    for moment in 0..4 {
        let token = absent().await;
        assert!(tokens.insert(token.0), "{moment}: a token came twice");
        for step in 0..4 {
            if step == moment {
                put(token).await.expect("is no error");
            }
            match step {
                0 => begin(1).await,
                1 => assert_eq!(look().await, Ok(Look::Changing)),
                2 => end(1).await,
                _ => {}
            }
        }
        assert!(matches!(look().await, Ok(Look::Absent(now)) if now != token), "{moment}");
    }
    // Of two changes at one time the second end is the end.
    begin(1).await;
    begin(2).await;
    end(1).await;
    assert_eq!(look().await, Ok(Look::Changing));
    end(2).await;
    let token = absent().await;
    put(token).await.expect("puts");
    assert!(matches!(look().await, Ok(Look::Value(..))));
    // An end alone, as of an account that only the commit knew of. Said twice, it does no harm.
    end(3).await;
    end(3).await;
    assert_ne!(absent().await, token);
    // What is cleared is gone, but for a change that is under way.
    begin(4).await;
    redis.clear(of).await.expect("clears");
    assert_eq!(look().await, Ok(Look::Changing));
    end(4).await;
    absent().await;
}

async fn lifetimes(redis: &Redis, of: Identity) {
    let short = Duration::from_millis(50);
    let Ok(Look::Absent(token)) = redis.look(of, EPOCH, "nurse", None).await else { panic!("it is there") };
    redis.put(of, EPOCH, "nurse", token, Some("value".into()), short).await.expect("puts");
    redis.begin(of, "tybalt", Token(1), short).await.expect("begins");
    tokio::time::sleep(2 * short).await;
    let look = redis.look(of, EPOCH, "nurse", Some(token)).await;
    assert!(matches!(look, Ok(Look::Absent(now)) if now != token), "{look:?}");
    assert!(matches!(redis.look(of, EPOCH, "tybalt", None).await, Ok(Look::Absent(_))));
}

async fn failures(redis: &Redis) {
    let within = Duration::from_secs(80);
    let of = |group: &str, one: &str| Failures { group: group.into(), one: one.into(), within, share: 2 };
    let counts = |one, share, group| Ok(FailureCounts { one, share, group });
    for failed in 1..=5 {
        let share = failed.min(2);
        let failed = counts(failed, share, share);
        assert_eq!(redis.failures(&of("verona", "romeo"), Attempt::Failed).await, failed);
    }
    assert_eq!(redis.failures(&of("verona", "juliet"), Attempt::Failed).await, counts(1, 1, 3));
    assert_eq!(redis.failures(&of("mantua", "romeo"), Attempt::Check).await, counts(0, 0, 0));
    assert_eq!(redis.failures(&of("verona", "romeo"), Attempt::Succeeded).await, counts(0, 0, 1));
    assert_eq!(redis.failures(&of("verona", "juliet"), Attempt::Check).await, counts(1, 1, 1));
    // They are forgotten when their time is over.
    let soon = Failures { within: Duration::from_millis(160), ..of("padua", "kate") };
    assert_eq!(redis.failures(&soon, Attempt::Failed).await, counts(1, 1, 1));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(redis.failures(&soon, Attempt::Check).await, counts(0, 0, 0));
}

/// An answer is not waited for longer than was said, and one that is silent is left alone until it speaks again.
#[tokio::test]
async fn a_paused_redis_costs_little_time() {
    let server = RedisServer::start(Kind::Plain);
    let url = RedisUrl::parse(&server.url()).expect("a URL");
    let redis = Redis::open(Options {
        url,
        authority: None,
        cluster: false,
        timeout: Duration::from_millis(20),
        prefix: "meerkat:test:".to_owned(),
        watch: Arc::new(Metrics::default()),
    });
    let of = identity(&redis).await;
    server.pause();
    let began = Instant::now();
    for _ in 0..1_000 {
        let look = redis.look(of, EPOCH, "juliet", None).await;
        assert!(matches!(look, Err(CacheError::Slow | CacheError::Away)), "{look:?}");
    }
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    assert_eq!(redis.identity(), None);
    server.resume();
    // The same one: it did not go.
    assert_eq!(identity(&redis).await, of);
    server.stop();
    assert!(redis.look(of, EPOCH, "juliet", None).await.is_err());
    server.start_again();
    assert_ne!(identity(&redis).await, of);
}
