//! Jobs of which one server does each, of all that share a store (`storage/leases.rs`): whose turn it is.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::storage::{Job, Lease, Store, StoreError};

/// How long a server that went without a word keeps its turn.
const HELD_FOR: Duration = Duration::from_secs(90);
/// A lease is renewed when it is used and so old.
const RENEWED_AFTER: Duration = Duration::from_secs(20);
/// How often a server asks whether a job has become its own; and how often the one that has it must use it.
pub const ASK_EVERY: Duration = Duration::from_secs(30);

/// A server's turn at a job, if it has it.
pub struct Turn {
    pub store: Arc<dyn Store>,
    job: Job,
    holder: Arc<str>,
    held: Option<(Lease, Instant)>,
}

impl Turn {
    pub fn new(store: Arc<dyn Store>, job: Job, holder: Arc<str>) -> Turn {
        Turn { store, job, holder, held: None }
    }

    /// The lease, for what is done now; `None`: it is another's turn. To be asked before each part of the job.
    pub async fn take(&mut self) -> Result<Option<Lease>, StoreError> {
        if let Some((lease, renewed)) = &self.held
            && renewed.elapsed() < RENEWED_AFTER
        {
            return Ok(Some(lease.clone()));
        }
        let asked = Instant::now();
        let had = self.held.take().map(|(lease, _)| lease.epoch);
        let lease = self.store.lease(self.job, &self.holder, HELD_FOR).await?;
        if let Some(lease) = &lease
            && had != Some(lease.epoch)
        {
            tracing::debug!(job = self.job.name(), epoch = lease.epoch, "this server does it from now on");
        }
        self.held = lease.clone().map(|lease| (lease, asked));
        Ok(lease)
    }

    /// It was refused in the middle: the next `take` asks anew.
    pub fn forget(&mut self) {
        self.held = None;
    }

    /// Another need not wait until it runs out.
    pub async fn give_back(&mut self) {
        if let Some((lease, _)) = self.held.take()
            && let Err(error) = self.store.release(&lease).await
        {
            tracing::debug!(%error, job = self.job.name(), "the lease runs out by itself");
        }
    }
}

/// This start of this process, by a name that an operator can make something of.
pub fn holder() -> Arc<str> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let mut chance = [0; 4];
    crate::c2s::chance(&mut chance);
    format!("{} process {} {}", host.trim(), std::process::id(), hex::encode(chance)).into()
}
