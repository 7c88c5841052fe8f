//! Every store and service that is configured, examined by its plugin: it connects, writes, reads, and tells its version
//! and how long it takes. A plugin that comes adds its line to [`all`].

use std::path::Path;

use crate::config::{Config, MainStore};
use crate::storage::{Finding, Fut};

/// The examinations that this configuration asks for. Each has bounds of its own for what it waits for.
pub fn all<'a>(config: &'a Config, data_dir: &'a Path) -> Vec<Fut<'a, Vec<Finding>>> {
    vec![Box::pin(store(config, data_dir))]
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
