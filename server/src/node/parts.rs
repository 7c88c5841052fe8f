//! What a node is built of, each from the configuration.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};

use super::StartError;
use crate::accounts::shared::SharedAccounts;
use crate::clock::Clock;
use crate::cold::{Bounds, Cold};
use crate::config::{self, Config};
use crate::directory::Directory;
use crate::events::{self, Events};
use crate::plugins;
use crate::router::{Domain, Domains, Save, StanzaIds};
use crate::storage::{Cache, Store, StoreError};
use crate::telemetry::metrics::Metrics;
use crate::uploads::{Places, Uploads};

/// What nodes share besides the store, and can do without.
pub(super) struct Shared {
    pub(super) cache: Arc<dyn Cache>,
    pub(super) secret: [u8; 32],
}

impl Shared {
    pub(super) async fn open(
        config: &Config,
        store: &Arc<dyn Store>,
        metrics: &Arc<Metrics>,
    ) -> Result<Option<Shared>, StartError> {
        if config.storage.redis.url.is_none() {
            return Ok(None);
        }
        let secret = shared_key::<32>(store, "cache.keys").await?;
        // Servers of other databases may use the same Redis.
        let name = Sha256::digest(secret);
        let name: String = name.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let cache = plugins::open_cache(config, &name, metrics.clone()).map_err(StartError::Store)?;
        Ok(cache.map(|cache| Shared { cache, secret }))
    }

    /// Of a store that no other node uses, what this one remembers is right, and quicker.
    pub(super) fn accounts(&self, config: &Config, store: &Arc<dyn Store>) -> Option<Arc<SharedAccounts>> {
        if config.storage.main != config::MainStore::Postgres {
            return None;
        }
        let lifetime = Duration::from_secs(config.storage.redis.account_seconds.into());
        let statement = Duration::from_secs(config.storage.postgres.statement_seconds.into());
        let largest = config.storage.redis.account_bytes as usize;
        let (store, cache) = (store.clone(), self.cache.clone());
        Some(SharedAccounts::new(store, cache, &self.secret, lifetime, statement, largest))
    }
}

pub(super) fn domains(config: &Config) -> Domains {
    let hosts = &config.general.hosts;
    let domain = |name: &str| Domain {
        save: match config.save(name) {
            config::Save::Always => Save::Always,
            config::Save::UnlessDelivered => Save::UnlessDelivered,
        },
        strict_iq: config.domain(name).strict_iq,
    };
    Domains {
        default: hosts.first().map(|host| host.as_str().to_owned()).unwrap_or_default(),
        by_name: hosts.iter().map(|host| (host.as_str().to_owned(), domain(host.as_str()))).collect(),
    }
}

pub(super) fn events(
    config: &Config,
    store: &Arc<dyn Store>,
    ids: StanzaIds,
    metrics: &Arc<Metrics>,
) -> Result<Option<Arc<Events>>, StartError> {
    let stream = plugins::open_events(config, metrics.clone()).map_err(StartError::Events)?;
    let Some(stream) = stream else { return Ok(None) };
    let settings = events::Settings {
        bounds: plugins::outbox_bounds(config),
        max_age: Duration::from_secs(u64::from(config.outbox.max_days) * 86_400),
        buffer_events: config.storage.kafka.buffer_events as usize,
    };
    Ok(Some(Events::new(store.clone(), stream, ids, metrics.events.clone(), settings)))
}

pub(super) async fn cold(
    config: &Config,
    data_dir: &Path,
    store: &Arc<dyn Store>,
    metrics: &Arc<Metrics>,
) -> Result<Option<Arc<Cold>>, StartError> {
    let places = plugins::open_cold(config, data_dir, metrics.clone()).map_err(StartError::Store)?;
    let Some(cold) = Cold::new(store.clone(), places, metrics.clone(), Bounds::default()) else {
        return Ok(None);
    };
    let is_used =
        config.modules.mam.cold.store.is_some() || cold.usage().await.map_err(StartError::Store)?.files > 0;
    Ok(is_used.then_some(cold))
}

pub(super) async fn uploads(
    live: &Arc<ArcSwap<Config>>,
    data_dir: &Path,
    store: &Arc<dyn Store>,
    clock: Clock,
    directory: &Directory,
    metrics: &Arc<Metrics>,
) -> Result<Arc<Uploads>, StartError> {
    let key = shared_key::<32>(store, "uploads.slots").await?;
    let mut blobs =
        plugins::open_blobs(&live.load(), data_dir, metrics.clone()).map_err(StartError::Store)?;
    let main = blobs.remove(0);
    let places = Places::new(main, blobs, metrics);
    let removals = directory.removals.clone();
    Ok(Arc::new(Uploads::new(store.clone(), places, live.clone(), clock, &key, removals)))
}

/// A random value that the store keeps from the first start on.
pub(super) async fn shared_key<const N: usize>(
    store: &Arc<dyn Store>,
    name: &str,
) -> Result<[u8; N], StartError> {
    let mut proposed = vec![0; N];
    crate::c2s::chance(&mut proposed);
    let kept = store.shared_secret(name, proposed).await.map_err(StartError::Store)?;
    kept.try_into()
        .map_err(|_| StartError::Store(StoreError::Damaged(format!("the secret {name} has another length"))))
}
