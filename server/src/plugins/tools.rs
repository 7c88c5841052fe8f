//! What an operator asks of the store's database without a server: how it is, a newer schema, whether
//! what is in it agrees.

use std::path::Path;

use serde::Serialize;

use crate::config::{Config, MainStore};
use crate::storage::StoreError;
use crate::storage::leases::Held;

/// How a database is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// As `storage.main` names it.
    pub store: &'static str,
    /// Where it is; no password.
    pub place: String,
    /// The database's program and version.
    pub software: String,
    /// 0: there is none yet.
    pub schema: i64,
    /// The newest that this binary knows.
    pub newest_schema: i64,
    pub bytes: u64,
    pub accounts: u64,
    pub messages: u64,
    /// Entries: a message waits for each of its owners apart.
    pub waiting: u64,
    /// Messages whose words are not taken in yet; nothing, where archives are not searched by words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unindexed: Option<u64>,
    /// Which server does which of the jobs that one at a time does.
    pub leases: Vec<Held>,
}

pub async fn status(config: &Config, data_dir: &Path) -> Result<Status, StoreError> {
    match config.storage.main {
        #[cfg(feature = "postgres")]
        MainStore::Postgres => super::postgres::tools::status(&super::postgres_options(config)?).await,
        #[cfg(feature = "sqlite")]
        MainStore::Sqlite => super::sqlite::tools::status(&super::sqlite_options(config, data_dir)).await,
        _ => Err(nothing_there(data_dir)),
    }
}

/// Brings the schema up to date, or says why not.
pub async fn migrate(config: &Config, data_dir: &Path) -> Result<Status, StoreError> {
    match config.storage.main {
        #[cfg(feature = "postgres")]
        MainStore::Postgres => super::postgres::tools::migrate(&super::postgres_options(config)?).await?,
        #[cfg(feature = "sqlite")]
        MainStore::Sqlite => super::sqlite::tools::migrate(&super::sqlite_options(config, data_dir)).await?,
        _ => return Err(nothing_there(data_dir)),
    }
    status(config, data_dir).await
}

/// Everything in it that contradicts itself, a sentence each.
pub async fn check(config: &Config, data_dir: &Path) -> Result<Vec<String>, StoreError> {
    match config.storage.main {
        #[cfg(feature = "postgres")]
        MainStore::Postgres => super::postgres::tools::check(&super::postgres_options(config)?).await,
        #[cfg(feature = "sqlite")]
        MainStore::Sqlite => super::sqlite::tools::check(&super::sqlite_options(config, data_dir)).await,
        _ => Err(nothing_there(data_dir)),
    }
}

/// Copies everything from the one store to the other, whichever is the main one.
#[cfg(all(feature = "sqlite", feature = "postgres"))]
pub async fn copy(
    config: &Config,
    data_dir: &Path,
    tell: &mut dyn FnMut(u64),
) -> Result<Vec<String>, StoreError> {
    super::copy::copy(&super::sqlite_options(config, data_dir), &super::postgres_options(config)?, tell).await
}

#[cfg(not(all(feature = "sqlite", feature = "postgres")))]
pub async fn copy(_: &Config, _: &Path, _: &mut dyn FnMut(u64)) -> Result<Vec<String>, StoreError> {
    let why = "this binary was built without one of the two: build with `--features sqlite,postgres`";
    Err(StoreError::Unavailable(why.to_owned()))
}

fn nothing_there(_: &Path) -> StoreError {
    StoreError::Unavailable("storage.main names no store of this binary that keeps anything".to_owned())
}
