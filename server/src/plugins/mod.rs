//! The stores that `storage.main` may choose. They depend on `storage` and on nothing else of the
//! server.

#[cfg(all(feature = "sqlite", feature = "postgres"))]
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod cold_rows;
pub mod copy;
pub mod disk;
pub mod examine;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod memory;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "s3")]
pub mod s3;
#[cfg(feature = "sqlite")]
pub mod sqlite;
pub mod tools;

use std::path::Path;
use std::sync::Arc;
#[cfg(any(feature = "postgres", feature = "redis"))]
use std::time::Duration;

#[cfg(feature = "redis")]
use crate::config::redis_url::RedisUrl;
use crate::config::{Config, MainStore, OutboxFull};
use crate::storage::events::EventStream;
use crate::storage::outbox::{Bounds, Gate, WhenFull};
use crate::storage::{Blobs, Cache, CacheWatch, Store, StoreError, Watch};

/// Opens the store that `storage.main` names. `watch` is told how it fares.
pub async fn open(
    config: &Config,
    data_dir: &Path,
    watch: Arc<dyn Watch>,
) -> Result<Arc<dyn Store>, StoreError> {
    match config.storage.main {
        MainStore::Memory => Ok(Arc::new(memory::Memory::with_outbox(gate(config)))),
        #[cfg(feature = "sqlite")]
        MainStore::Sqlite => {
            let options = sqlite::Options { watch, ..sqlite_options(config, data_dir) };
            Ok(Arc::new(sqlite::Sqlite::open(options).await?))
        }
        #[cfg(feature = "postgres")]
        MainStore::Postgres => {
            let mut options = postgres_options(config)?;
            options.named.watch = watch;
            Ok(Arc::new(postgres::Postgres::open(options).await?))
        }
        #[cfg(not(all(feature = "sqlite", feature = "postgres")))]
        // The configuration's check names the key and the feature.
        _ => {
            let _ = (data_dir, watch);
            Err(StoreError::Unavailable("this binary was built without the store of storage.main".to_owned()))
        }
    }
}

/// How much may wait for the event stream.
pub fn outbox_bounds(config: &Config) -> Bounds {
    let when_full = match config.outbox.when_full {
        OutboxFull::Drop => WhenFull::Drop,
        OutboxFull::Wait => WhenFull::Wait,
    };
    Bounds { max_bytes: config.outbox.max_bytes, when_full }
}

/// Without an event stream a store writes no events.
fn gate(config: &Config) -> Option<Arc<Gate>> {
    let has_stream = !config.storage.kafka.brokers.is_empty();
    has_stream.then(|| Arc::new(Gate::new(outbox_bounds(config))))
}

/// The event stream, if one is configured; it need not be there yet. The error is a sentence for the operator.
#[cfg(feature = "kafka")]
pub fn open_events(config: &Config, watch: Arc<dyn Watch>) -> Result<Option<Arc<dyn EventStream>>, String> {
    if config.storage.kafka.brokers.is_empty() {
        return Ok(None);
    }
    Ok(Some(Arc::new(kafka::Kafka::new(kafka_options(config, watch))?)))
}

#[cfg(feature = "kafka")]
fn kafka_options(config: &Config, watch: Arc<dyn Watch>) -> kafka::Options {
    let settings = &config.storage.kafka;
    let brokers: Vec<String> = settings.brokers.iter().map(|broker| broker.to_string()).collect();
    let topics = settings.topics.all();
    let password = settings.password.as_ref().map(|password| password.reveal().to_owned());
    kafka::Options {
        brokers: brokers.join(","),
        topics: topics.into_iter().map(|(topic, name)| (topic, name.name().map(str::to_owned))).collect(),
        tls: settings.tls,
        ca: settings.ca.clone(),
        sasl: settings
            .sasl
            .map(|sasl| (sasl.as_str(), settings.username.clone(), password.unwrap_or_default())),
        compression: settings.compression.as_str(),
        max_event_bytes: settings.max_event_bytes as usize,
        buffer_events: settings.buffer_events as usize,
        watch,
    }
}

/// The configuration's check names the key and the feature.
#[cfg(not(feature = "kafka"))]
pub fn open_events(config: &Config, _: Arc<dyn Watch>) -> Result<Option<Arc<dyn EventStream>>, String> {
    match config.storage.kafka.brokers.is_empty() {
        true => Ok(None),
        false => Err("this binary was built without Kafka: build with `--features kafka`".to_owned()),
    }
}

/// The cache that `storage.redis` names, if it does. `name`: what tells this server's keys from those of others.
#[cfg(feature = "redis")]
pub fn open_cache(
    config: &Config,
    name: &str,
    watch: Arc<dyn CacheWatch>,
) -> Result<Option<Arc<dyn Cache>>, StoreError> {
    let options = redis_options(config, name, watch)?;
    Ok(options.map(|options| -> Arc<dyn Cache> { redis::Redis::open(options) }))
}

/// The configuration's check names the key and the feature.
#[cfg(not(feature = "redis"))]
pub fn open_cache(
    config: &Config,
    _: &str,
    _: Arc<dyn CacheWatch>,
) -> Result<Option<Arc<dyn Cache>>, StoreError> {
    match config.storage.redis.url {
        None => Ok(None),
        Some(_) => Err(StoreError::Unavailable("this binary was built without storage.redis".to_owned())),
    }
}

#[cfg(feature = "redis")]
fn redis_options(
    config: &Config,
    name: &str,
    watch: Arc<dyn CacheWatch>,
) -> Result<Option<redis::Options>, StoreError> {
    let settings = &config.storage.redis;
    let Some(url) = &settings.url else { return Ok(None) };
    let unknown = || StoreError::Unavailable("storage.redis.url is not understood".to_owned());
    let mut url = RedisUrl::parse(url.reveal()).ok_or_else(unknown)?;
    if let Some(password) = &settings.password {
        url.password = Some(password.reveal().to_owned());
    }
    Ok(Some(redis::Options {
        url,
        authority: settings.authority.as_deref().map(redis::Redis::authority).transpose()?,
        cluster: settings.cluster,
        timeout: Duration::from_millis(settings.timeout_ms.into()),
        prefix: format!("meerkat:{name}:"),
        watch,
    }))
}

/// Where uploads are kept, first what takes new ones.
pub fn open_blobs(
    config: &Config,
    data_dir: &Path,
    watch: Arc<dyn Watch>,
) -> Result<Vec<Arc<dyn Blobs>>, StoreError> {
    let folder = config.storage.disk.path.clone().unwrap_or_else(|| data_dir.join("uploads"));
    #[allow(unused_mut, reason = "without S3 there is no other place")]
    let mut places: Vec<Arc<dyn Blobs>> = vec![Arc::new(disk::Disk::new(folder).watched(watch.clone()))];
    #[cfg(feature = "s3")]
    if config.storage.s3.bucket.is_some() {
        let is_main = config.modules.upload.store == crate::config::UploadStore::S3;
        let options = s3::Options { watch, ..s3::Options::configured(&config.storage.s3)? };
        let s3 = Arc::new(s3::S3::open(options)?);
        places.insert(if is_main { 0 } else { 1 }, s3);
    }
    Ok(places)
}

/// Where cold files are kept, first what takes new ones.
pub fn open_cold(
    config: &Config,
    data_dir: &Path,
    watch: Arc<dyn Watch>,
) -> Result<Vec<Arc<dyn Blobs>>, StoreError> {
    let settings = &config.modules.mam.cold;
    let folder = settings.path.clone().unwrap_or_else(|| data_dir.join("cold"));
    #[allow(unused_mut, reason = "without S3 there is no other place")]
    let mut places: Vec<Arc<dyn Blobs>> = vec![Arc::new(disk::Disk::new(folder).watched(watch.clone()))];
    #[cfg(feature = "s3")]
    if config.storage.s3.bucket.is_some() {
        let is_main = settings.store == Some(crate::config::ColdStore::S3);
        let configured = s3::Options::configured(&config.storage.s3)?;
        let options = s3::Options { prefix: settings.prefix.clone(), watch, ..configured };
        places.insert(if is_main { 0 } else { 1 }, Arc::new(s3::S3::open(options)?));
    }
    Ok(places)
}

#[cfg(feature = "sqlite")]
fn sqlite_options(config: &Config, data_dir: &Path) -> sqlite::Options {
    let path = config.storage.sqlite.path.clone().unwrap_or_else(|| data_dir.join("meerkat.db"));
    sqlite::Options {
        readers: config.storage.sqlite.readers,
        waiting_writes: config.storage.waiting_writes as usize,
        waiting_bytes: config.storage.waiting_bytes as usize,
        full_text: config.modules.mam.full_text,
        outbox: gate(config),
        ..sqlite::Options::new(path)
    }
}

#[cfg(feature = "postgres")]
fn postgres_options(config: &Config) -> Result<postgres::Options, StoreError> {
    let settings = &config.storage.postgres;
    let url = settings.url.as_ref();
    let url = url.ok_or_else(|| StoreError::Unavailable("storage.postgres.url is not set".to_owned()))?;
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    let mut options = postgres::Options::new(url.reveal())?;
    options.node = host_name();
    options.connections = settings.connections as usize;
    options.acquire_limit = seconds(settings.acquire_seconds);
    options.connect_limit = seconds(settings.connect_seconds);
    options.statement_limit = seconds(settings.statement_seconds);
    options.waiting_writes = config.storage.waiting_writes as usize;
    options.waiting_bytes = config.storage.waiting_bytes as usize;
    options.outbox = gate(config);
    options.full_text = config.modules.mam.full_text;
    Ok(options)
}

/// Nothing depends on it: it is for whoever looks into a database that several servers share.
#[cfg(feature = "postgres")]
fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}
