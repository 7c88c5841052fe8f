//! Every store and service that is configured, examined by its plugin: it connects, writes, reads, and tells its version
//! and how long it takes. A plugin that comes adds its line to [`all`].

use std::path::Path;

use crate::config::{Config, MainStore};
use crate::storage::{Finding, Fut};

/// The examinations that this configuration asks for. Each has bounds of its own for what it waits for.
pub fn all<'a>(config: &'a Config, data_dir: &'a Path) -> Vec<Fut<'a, Vec<Finding>>> {
    #[allow(unused_mut, reason = "where no service is compiled in there is none to add")]
    let mut all: Vec<Fut<'a, Vec<Finding>>> = vec![Box::pin(store(config, data_dir))];
    #[cfg(feature = "redis")]
    if config.storage.redis.url.is_some() {
        all.push(Box::pin(redis(config)));
    }
    #[cfg(feature = "kafka")]
    if !config.storage.kafka.brokers.is_empty() {
        all.push(Box::pin(super::kafka::examine::examine(super::kafka_options(
            config,
            std::sync::Arc::new(crate::storage::Unwatched),
        ))));
    }
    #[cfg(feature = "s3")]
    if config.storage.s3.bucket.is_some() {
        all.push(Box::pin(async { vec![s3(config).await] }));
    }
    if config.modules.mam.cold.store.is_some() {
        all.push(Box::pin(async move { vec![cold(config, data_dir).await] }));
    }
    all
}

/// Writes a file where old messages are moved to, reads it and removes it.
async fn cold(config: &Config, data_dir: &Path) -> Finding {
    let remedy = "correct [modules.mam.cold], and with \"s3\" [storage.s3]; until then no old message can be moved or read";
    let opened = super::open_cold(config, data_dir, std::sync::Arc::new(crate::storage::Unwatched));
    let place = match opened.map(|places| places.into_iter().next()) {
        Ok(Some(place)) => place,
        Ok(None) => return Finding::failed("cold archive", "there is no place for it", remedy),
        Err(error) => return Finding::failed("cold archive", error.to_string(), remedy),
    };
    match crate::storage::blobs::try_out(&*place).await {
        Ok(_) => Finding::ok("cold archive", format!("{}: written, read and removed", place.place())),
        Err(error) => Finding::failed("cold archive", error.to_string(), remedy),
    }
}

#[cfg(feature = "redis")]
async fn redis(config: &Config) -> Vec<Finding> {
    match super::redis_options(config, "doctor", std::sync::Arc::new(crate::storage::Unwatched)) {
        Ok(Some(options)) => super::redis::examine::examine(&options).await,
        Ok(None) => Vec::new(),
        Err(error) => vec![Finding::failed("redis", error.to_string(), "correct [storage.redis]")],
    }
}

/// Writes an object, reads it and removes it, as an upload would.
#[cfg(feature = "s3")]
async fn s3(config: &Config) -> Finding {
    use crate::storage::Blobs;
    let remedy = "correct [storage.s3], the bucket or what its user may do; until then there are no uploads";
    let opened = super::s3::Options::configured(&config.storage.s3).and_then(super::s3::S3::open);
    let bucket = match opened {
        Ok(bucket) => bucket,
        Err(error) => return Finding::failed("s3", error.to_string(), remedy),
    };
    match crate::storage::blobs::try_out(&bucket).await {
        Ok(tried) => Finding::ok(
            "s3",
            format!(
                "{}: written in {:.1} ms, read in {:.1} ms and removed",
                bucket.place(),
                tried.put.as_secs_f64() * 1e3,
                tried.get.as_secs_f64() * 1e3
            ),
        ),
        Err(error) => Finding::failed("s3", error.to_string(), remedy),
    }
}

async fn store(config: &Config, data_dir: &Path) -> Vec<Finding> {
    match config.storage.main {
        #[cfg(feature = "postgres")]
        MainStore::Postgres => match super::postgres_options(config) {
            Ok(options) => super::postgres::examine::examine(&options).await,
            Err(error) => {
                vec![Finding::failed("postgres", error.to_string(), "correct storage.postgres.url")]
            }
        },
        #[cfg(feature = "sqlite")]
        MainStore::Sqlite => vec![sqlite(config, data_dir).await],
        MainStore::Memory => vec![Finding::warning(
            "memory",
            "the main store forgets everything when the server stops",
            "set storage.main to \"sqlite\" or \"postgres\"",
        )],
        #[cfg(not(all(feature = "sqlite", feature = "postgres")))]
        _ => {
            let _ = data_dir;
            vec![Finding::failed(
                "store",
                format!("this binary was built without the store {}", config.storage.main),
                format!("build with `--features {}`, or choose another storage.main", config.storage.main),
            )]
        }
    }
}

#[cfg(feature = "sqlite")]
async fn sqlite(config: &Config, data_dir: &Path) -> Finding {
    let options = super::sqlite_options(config, data_dir);
    let file = config.storage.sqlite.path.clone().unwrap_or_else(|| data_dir.join("meerkat.db"));
    if !file.exists() {
        return Finding::ok(
            "sqlite",
            format!("{} is not there yet: the first start makes it", file.display()),
        );
    }
    let begun = tokio::time::Instant::now();
    match super::sqlite::tools::status(&options).await {
        Ok(status) if status.schema > status.newest_schema => Finding::failed(
            "sqlite",
            format!("{} has schema {}, of a newer Meerkat", status.place, status.schema),
            "start the newer Meerkat, or put back a backup from before the upgrade",
        ),
        Ok(status) => Finding::ok(
            "sqlite",
            format!(
                "{} is read in {:.1} ms: {}, schema {}, {} MB",
                status.place,
                begun.elapsed().as_secs_f64() * 1e3,
                status.software,
                status.schema,
                status.bytes.div_ceil(1 << 20)
            ),
        ),
        Err(error) => Finding::failed(
            "sqlite",
            error.to_string(),
            "look at the file, its owner and its disk (storage.sqlite.path); `meerkatctl db check` says more",
        ),
    }
}
