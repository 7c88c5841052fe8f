//! The stores that `storage.main` may choose. They depend on `storage` and on nothing else of the
//! server.

pub mod disk;
pub mod memory;
#[cfg(feature = "sqlite")]
pub mod sqlite;

use std::path::Path;
use std::sync::Arc;

use crate::config::{Config, MainStore};
use crate::storage::{Blobs, Store, StoreError, Watch};

/// Opens the store that `storage.main` names. `watch` is told how it fares.
pub async fn open(
    config: &Config,
    data_dir: &Path,
    watch: Arc<dyn Watch>,
) -> Result<Arc<dyn Store>, StoreError> {
    match config.storage.main {
        MainStore::Memory => Ok(Arc::new(memory::Memory::new())),
        #[cfg(feature = "sqlite")]
        MainStore::Sqlite => {
            let path = config.storage.sqlite.path.clone().unwrap_or_else(|| data_dir.join("meerkat.db"));
            let options = sqlite::Options {
                readers: config.storage.sqlite.readers,
                waiting_writes: config.storage.waiting_writes as usize,
                waiting_bytes: config.storage.waiting_bytes as usize,
                watch,
                ..sqlite::Options::new(path)
            };
            Ok(Arc::new(sqlite::Sqlite::open(options).await?))
        }
        #[cfg(not(feature = "sqlite"))]
        MainStore::Sqlite => {
            let _ = (data_dir, watch);
            Err(StoreError::Unavailable("this binary was built without the feature `sqlite`".into()))
        }
    }
}

/// Where uploads are kept.
pub fn open_blobs(config: &Config, data_dir: &Path) -> Arc<dyn Blobs> {
    let folder = config.storage.disk.path.clone().unwrap_or_else(|| data_dir.join("uploads"));
    Arc::new(disk::Disk::new(folder))
}
