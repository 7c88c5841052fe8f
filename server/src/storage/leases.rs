//! Leases: jobs that one process at a time does, of all that share a store.
//!
//! Time alone would not do: who holds a lease may sleep in the middle of the job and wake when it is another's.
//! So a lease has an epoch, and each transaction of the job checks it first ([`Write::Under`](super::Write)): what
//! comes too late is refused, whatever the sleeper believes.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{StoreError, StoreFut};

/// What one process at a time does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Job {
    /// Makes the tables of the months to come, and drops those that nobody keeps.
    Partitions,
    /// Deletes from archives what is older than its domain keeps.
    Retention,
    /// Tells the event stream what was saved.
    Outbox,
    /// Removes uploads that are due.
    Expiry,
    /// Moves old months of the archive elsewhere.
    Cold,
}

impl Job {
    pub const ALL: [Job; 5] = [Job::Partitions, Job::Retention, Job::Outbox, Job::Expiry, Job::Cold];

    /// As stores and operators know it.
    pub fn name(self) -> &'static str {
        match self {
            Job::Partitions => "partitions",
            Job::Retention => "retention",
            Job::Outbox => "outbox",
            Job::Expiry => "expiry",
            Job::Cold => "cold",
        }
    }
}

/// The right to do a job, for as long as no other has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub job: Job,
    /// Rises whenever the lease is taken, and not when it is renewed.
    pub epoch: u64,
}

/// A lease as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Held {
    pub job: String,
    pub holder: String,
    pub epoch: u64,
    /// Milliseconds since 1970: when it was taken, and until when it is held if it is not renewed.
    pub since: u64,
    pub until: u64,
}

pub trait Leases: Send + Sync {
    /// Takes the lease for so long, or renews it; `None`: another holds it. One that ran out, or was released,
    /// goes to whoever asks first, with a higher epoch. `holder` is of one process and one start of it. The time
    /// is that of the store.
    fn lease<'a>(&'a self, job: Job, holder: &'a str, time: Duration) -> StoreFut<'a, Option<Lease>>;
    /// Gives it back before its time. One that is another's by now is left alone.
    fn release<'a>(&'a self, lease: &'a Lease) -> StoreFut<'a, ()>;
}

/// The leases of a store that one process has for itself: there is nobody outside whom they would have to
/// outlive. A plain lock: no section of it waits for anything.
#[derive(Debug, Default)]
pub struct OwnLeases(Mutex<BTreeMap<Job, Own>>);

#[derive(Debug)]
struct Own {
    holder: String,
    epoch: u64,
    until: Instant,
}

impl OwnLeases {
    pub fn lease(&self, job: Job, holder: &str, time: Duration) -> Option<Lease> {
        let now = Instant::now();
        let mut leases = self.0.lock();
        let own = leases.entry(job).or_insert(Own { holder: String::new(), epoch: 0, until: now });
        if own.until <= now {
            own.epoch += 1;
            own.holder = holder.to_owned();
        } else if own.holder != holder {
            return None;
        }
        own.until = now + time;
        Some(Lease { job, epoch: own.epoch })
    }

    pub fn release(&self, lease: &Lease) {
        if let Some(own) = self.0.lock().get_mut(&lease.job).filter(|own| own.epoch == lease.epoch) {
            own.until = Instant::now();
        }
    }

    /// Refuses what is done under a lease that is held no more.
    pub fn check(&self, lease: &Lease) -> Result<(), StoreError> {
        let leases = self.0.lock();
        let own = leases.get(&lease.job);
        let holds = own.is_some_and(|own| own.epoch == lease.epoch && own.until > Instant::now());
        if holds { Ok(()) } else { Err(StoreError::lease_lost(lease.job.name())) }
    }
}
