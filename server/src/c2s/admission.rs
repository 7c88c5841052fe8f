//! Who may come in: connections in all and by address, and failed logins.
//!
//! All counts are bounded, by the connections that are open or by a number of entries of which the least recently
//! used goes. An IPv6 address counts with its /64: a host has a whole one to itself.

mod logins;
mod shared;
#[cfg(test)]
mod tests;
mod window;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ahash::RandomState;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::time::Instant;
use xmpp_core::BareJid;

use crate::config::{Config, Limit};
use crate::storage::Cache;
use crate::storage::cache::Attempt;
use crate::telemetry::bound::Bound;
use logins::Logins;
use shared::Shared;

pub struct Admission {
    open: Arc<Open>,
    settings: ArcSwap<Settings>,
    /// Held for a few look-ups, once or twice per login.
    logins: Mutex<Logins>,
    /// What all nodes count together, where they do.
    shared: Option<Shared>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Settings {
    connections: u64,
    connections_per_address: Limit,
    failed_per_address: Limited,
    failed_per_account: Limited,
}

/// How much within which time.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Limited {
    most: Limit,
    within: Duration,
}

/// The connections that are open.
#[derive(Default)]
struct Open {
    all: AtomicU64,
    by_source: Mutex<HashMap<Source, u64, RandomState>>,
}

/// The connections of one listener, of which there may be `most`.
pub struct Port {
    open: Arc<AtomicU64>,
    most: Limit,
}

/// A connection that is counted. When it goes, so does its place.
pub struct Permit {
    open: Arc<Open>,
    source: Option<Source>,
    port: Option<Arc<AtomicU64>>,
}

/// An address as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    V4(u32),
    /// The first half.
    V6(u64),
}

impl Admission {
    pub fn new(config: &Config) -> Admission {
        let settings = Settings::new(config);
        Admission {
            open: Arc::default(),
            logins: Mutex::new(Logins::new(settings.failed_per_address, settings.failed_per_account)),
            settings: ArcSwap::from_pointee(settings),
            shared: None,
        }
    }

    /// Counts failed logins with the other nodes, which have the same secret.
    pub fn shared(mut self, cache: Arc<dyn Cache>, secret: &[u8]) -> Admission {
        self.shared = Some(Shared::new(cache, secret));
        self
    }

    /// For what comes from now on. What is open stays counted; failures are counted anew when their bounds change.
    pub fn reload(&self, config: &Config) {
        let (before, after) = (self.settings.load_full(), Settings::new(config));
        if (before.failed_per_address, before.failed_per_account)
            != (after.failed_per_address, after.failed_per_account)
        {
            *self.logins.lock() = Logins::new(after.failed_per_address, after.failed_per_account);
        }
        self.settings.store(Arc::new(after));
    }

    /// A place for a connection from an address.
    pub fn admit(&self, address: IpAddr) -> Result<Permit, Bound> {
        let permit = self.enter()?;
        self.count_address(permit, address)
    }

    /// A place for a connection of which it is not known yet where it comes from: a proxy has to say.
    pub fn enter(&self) -> Result<Permit, Bound> {
        take(&self.open.all, Limit::AtMost(self.settings.load().connections)).ok_or(Bound::Connections)?;
        Ok(Permit { open: self.open.clone(), source: None, port: None })
    }

    /// Counts a connection by its address as well, once that is known.
    pub fn count_address(&self, mut permit: Permit, address: IpAddr) -> Result<Permit, Bound> {
        let source = Source::of(address);
        let most = self.settings.load().connections_per_address;
        // Counted even without a bound: one may be set while they are open.
        let mut by_source = self.open.by_source.lock();
        let count = by_source.entry(source).or_default();
        if !most.allows(*count + 1) {
            return Err(Bound::ConnectionsPerAddress);
        }
        *count += 1;
        drop(by_source);
        permit.source = Some(source);
        Ok(permit)
    }

    /// Connections that are open.
    pub fn connections(&self) -> u64 {
        self.open.all.load(Ordering::Relaxed)
    }

    /// Whether an attempt to log in may be looked at. An account's failures refuse nobody else's login.
    pub async fn may_log_in(&self, address: IpAddr, account: &BareJid) -> Result<(), Bound> {
        self.check_here(address, account)?;
        self.share(address, account.as_str(), Attempt::Check).await
    }

    /// The right password was given: what failed before from that address to that account was a slip.
    pub async fn logged_in(&self, address: IpAddr, account: &BareJid) {
        self.succeeded_here(address, account);
        let _ = self.share(address, account.as_str(), Attempt::Succeeded).await;
    }

    /// A wrong one was given. `None`: to no account that there could be.
    pub async fn failed_login(&self, address: IpAddr, account: Option<&BareJid>) {
        self.failed_here(address, account);
        let _ = self.share(address, account.map_or("", BareJid::as_str), Attempt::Failed).await;
    }

    async fn share(&self, address: IpAddr, account: &str, attempt: Attempt) -> Result<(), Bound> {
        let Some(shared) = &self.shared else { return Ok(()) };
        let settings = **self.settings.load();
        shared.attempt(&settings, Source::of(address), account, attempt).await
    }
}

/// What this node counts.
impl Admission {
    fn check_here(&self, address: IpAddr, account: &BareJid) -> Result<(), Bound> {
        self.logins.lock().check(Source::of(address), account.as_str(), Instant::now())
    }

    fn succeeded_here(&self, address: IpAddr, account: &BareJid) {
        self.logins.lock().succeeded(Source::of(address), account.as_str(), Instant::now());
    }

    fn failed_here(&self, address: IpAddr, account: Option<&BareJid>) {
        let account = account.map_or("", BareJid::as_str);
        self.logins.lock().failed(Source::of(address), account, Instant::now());
    }
}

impl Settings {
    fn new(config: &Config) -> Settings {
        let limited = |most, seconds: u32| Limited { most, within: Duration::from_secs(seconds.into()) };
        let auth = &config.auth;
        Settings {
            connections: config.limits.connections.into(),
            connections_per_address: config.limits.connections_per_address,
            failed_per_address: limited(
                auth.failed_logins_per_address,
                auth.failed_logins_per_address_seconds,
            ),
            failed_per_account: limited(
                auth.failed_logins_per_account,
                auth.failed_logins_per_account_seconds,
            ),
        }
    }
}

impl Port {
    pub fn new(most: Limit) -> Port {
        Port { open: Arc::default(), most }
    }

    /// Connections of this listener that are open.
    pub fn connections(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }
}

impl Permit {
    /// Counts the connection at its listener as well.
    pub fn at(mut self, port: &Port) -> Result<Permit, Bound> {
        take(&port.open, port.most).ok_or(Bound::MaxConnections)?;
        self.port = Some(port.open.clone());
        Ok(self)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.open.all.fetch_sub(1, Ordering::Relaxed);
        if let Some(port) = &self.port {
            port.fetch_sub(1, Ordering::Relaxed);
        }
        let Some(source) = self.source else { return };
        let mut by_source = self.open.by_source.lock();
        if let Entry::Occupied(mut count) = by_source.entry(source) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

impl Source {
    fn of(address: IpAddr) -> Source {
        match address.to_canonical() {
            IpAddr::V4(address) => Source::V4(address.to_bits()),
            IpAddr::V6(address) => Source::V6((address.to_bits() >> 64) as u64),
        }
    }

    fn bytes(self) -> Vec<u8> {
        match self {
            Source::V4(bits) => bits.to_be_bytes().to_vec(),
            Source::V6(bits) => bits.to_be_bytes().to_vec(),
        }
    }
}

/// Counts one more, unless there are too many.
fn take(count: &AtomicU64, most: Limit) -> Option<u64> {
    count
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
            most.allows(count + 1).then_some(count + 1)
        })
        .ok()
}
