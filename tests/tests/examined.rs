//! What `meerkatctl doctor` says of services that are real, well and unwell: each finding tells the place and the key.

use std::path::Path;

use meerkat_tests::kafka::KafkaServer;
use meerkat_tests::redis::{Kind, RedisServer};
use meerkat_tests::s3::S3Server;
use server::config::{Config, Secret, parse};
use server::plugins::examine;
use server::storage::{Finding, finding::Level};
use tempfile::TempDir;

/// The findings about one of the services.
async fn findings(config: &Config, check: &str) -> Vec<Finding> {
    let folder = TempDir::new().expect("a folder");
    let mut found = Vec::new();
    for examination in examine::all(config, folder.path()) {
        found.extend(examination.await);
    }
    found.retain(|finding| finding.check == check);
    found
}

async fn only(config: &Config, check: &str) -> (Level, String, String) {
    let mut found = findings(config, check).await;
    let finding = found.pop().expect("a finding");
    assert_eq!(found, [], "one finding");
    (finding.level, finding.seen, finding.advice.unwrap_or_default())
}

#[tokio::test]
async fn redis() {
    let redis = RedisServer::start(Kind::Secure);
    let mut config = Config::default();
    config.storage.redis.url = Some(Secret::new(redis.url()));
    config.storage.redis.authority = Some(redis.authority());
    config.storage.redis.timeout_ms = 1_000;
    let (level, seen, _) = only(&config, "redis").await;
    assert_eq!(level, Level::Ok, "{seen}");
    assert!(seen.contains("Redis 7.") && seen.contains("TLS; connected in"), "{seen}");
    assert!(!redis.everything().contains("examined"), "it leaves nothing behind");

    config.storage.redis.password = Some(Secret::new("wrong"));
    let (level, seen, advice) = only(&config, "redis").await;
    assert_eq!(level, Level::Failed, "{seen}");
    assert!(seen.contains("storage.redis.url") && advice.contains("storage.redis.url"), "{seen}: {advice}");
    redis.stop();
    config.storage.redis.password = None;
    let (level, seen, _) = only(&config, "redis").await;
    assert_eq!(level, Level::Failed, "{seen}");
    assert!(!seen.contains("secret"), "{seen}");
}

#[tokio::test]
async fn s3() {
    let s3 = S3Server::shared();
    let (bucket, mut config) = (s3.bucket(), Config::default());
    config.storage.s3 = s3.settings(&bucket);
    let (level, seen, _) = only(&config, "s3").await;
    assert_eq!(level, Level::Ok, "{seen}");
    assert!(seen.contains(&bucket) && seen.contains("written in"), "{seen}");
    assert_eq!(s3.objects(&bucket), [], "it leaves nothing behind");

    config.storage.s3 = s3.settings("nowhere");
    let (level, seen, advice) = only(&config, "s3").await;
    assert_eq!(level, Level::Failed, "{seen}");
    assert!(seen.contains("nowhere") && advice.contains("[storage.s3]"), "{seen}: {advice}");
    config.storage.s3 = s3.settings(&bucket);
    config.storage.s3.secret_key = Some(Secret::new("wrong"));
    let (level, seen, _) = only(&config, "s3").await;
    assert_eq!(level, Level::Failed, "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka() {
    let kafka = KafkaServer::start();
    let text = format!("[storage.kafka]\nbrokers = ['{}']", kafka.broker());
    let config = parse(&text, Path::new("test"), &[]).expect("a configuration");
    let found = findings(&config, "kafka").await;
    let [brokers, missing @ ..] = &found[..] else { panic!("{found:?}") };
    assert_eq!(brokers.level, Level::Ok, "{brokers:?}");
    assert!(brokers.seen.contains(&kafka.broker()), "{brokers:?}");
    let accepted = missing.iter().find(|finding| finding.seen.contains("meerkat.message.accepted"));
    let advice = accepted.and_then(|finding| finding.advice.clone()).expect("a topic that is not there");
    assert!(advice.contains("storage.kafka.topics.message_accepted"), "{advice}");

    kafka.create_topics(&["meerkat.message.accepted"]).await;
    let found = findings(&config, "kafka").await;
    assert!(
        found.iter().all(|finding| !finding.seen.contains("topic meerkat.message.accepted ")),
        "{found:?}"
    );
    drop(kafka);
    let (level, seen, _) = only(&config, "kafka").await;
    assert_eq!(level, Level::Failed, "{seen}");
    assert!(seen.contains("storage.kafka.brokers"), "{seen}");
}
