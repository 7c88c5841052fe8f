//! Whether the nodes use the cache that they share, and since when: what they agree on in the database, which all of them
//! must reach anyway.
//!
//! One value there is `on` (with an epoch, and which cache it is) or `off`. It is changed only by whoever names what it
//! was, so that no change overwrites another.
//!
//! ```text
//!              a node could not tell the cache of a change;
//!              it is another cache than it was
//!     ON  ------------------------------------------------>  OFF --.
//!   (epoch) <---------------------------------------------         | renewed by a node that
//!              QUIET long nobody renewed it; the cache is  <-------' is still without the cache
//!              cleared first, and the epoch is a new one
//! ```
//!
//! * Each node reads it every `POLL`, and uses the cache only within `TRUST` of the beginning of a reading that said `on`.
//! * So `SETTLE` after it was set to `off` nobody uses the cache any more.
//! * Who set it to `off` knows that it stays so for `HOLD` from the beginning of that write: others wait `QUIET` from the
//!   moment at which they first saw it.
//! * No `on` follows another without `off` between them, for longer than `TRUST`: an epoch that was read within `TRUST` is
//!   the only one that anybody can be using now.
//!
//! Only the rates of the nodes' clocks need to agree, and roughly.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::storage::cache::{Identity, Token};
use crate::storage::{Cache, Store, StoreError, Write};

const POLL: Duration = Duration::from_millis(100);
const TRUST: Duration = Duration::from_millis(400);
const SETTLE: Duration = Duration::from_millis(500);
const HOLD: Duration = Duration::from_secs(2);
const RENEW: Duration = Duration::from_millis(500);
const QUIET: Duration = Duration::from_secs(3);

const COLLECTION: &str = "cache";
const KEY: &str = "agreement";

pub struct Agreement {
    store: Arc<dyn Store>,
    cache: Arc<dyn Cache>,
    seen: Mutex<Option<Seen>>,
    /// That it is off, and stays so. Held while it is being seen to.
    held: tokio::sync::Mutex<Option<Held>>,
}

/// When the cache is used, and which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch {
    pub token: Token,
    pub identity: Identity,
}

/// What was read last.
#[derive(Debug, Clone)]
struct Seen {
    raw: Option<Bytes>,
    said: Said,
    /// When the reading began.
    at: Instant,
    /// When a reading first said just this.
    since: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    On(Epoch),
    Off,
}

/// It is off without a gap since `from`, and stays so until `until`.
#[derive(Debug, Clone, Copy)]
struct Held {
    from: Instant,
    until: Instant,
    renewed: Instant,
}

/// Nobody has used the cache since then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold(Instant);

impl Agreement {
    pub fn new(store: Arc<dyn Store>, cache: Arc<dyn Cache>) -> Arc<Agreement> {
        Arc::new(Agreement { store, cache, seen: Mutex::default(), held: tokio::sync::Mutex::default() })
    }

    /// The epoch, while the cache may be used.
    pub fn epoch(&self) -> Option<Epoch> {
        match self.seen.lock().as_ref()? {
            Seen { said: Said::On(epoch), at, .. } if at.elapsed() < TRUST => Some(*epoch),
            _ => None,
        }
    }

    /// Reads what holds now.
    pub async fn epoch_now(&self) -> Result<Option<Epoch>, StoreError> {
        match self.read().await?.said {
            Said::On(epoch) => Ok(Some(epoch)),
            Said::Off => Ok(None),
        }
    }

    /// Sees to it that nobody uses the cache, and that it stays so for a while. What is committed between this and a
    /// `still_holds` was hidden by no cache.
    pub async fn hold(&self) -> Result<Hold, StoreError> {
        let mut held = self.held.lock().await;
        let from = match *held {
            Some(held) if Instant::now() + RENEW < held.until => held.from,
            _ => self.renew(&mut held).await?.from,
        };
        drop(held);
        tokio::time::sleep_until(from + SETTLE).await;
        Ok(Hold(from))
    }

    /// Whether `hold` would have nothing to do.
    pub async fn holds(&self) -> bool {
        let held = self.held.lock().await;
        held.is_some_and(|held| Instant::now() + RENEW < held.until)
    }

    pub async fn still_holds(&self, hold: Hold) -> bool {
        let held = self.held.lock().await;
        held.is_some_and(|held| held.from == hold.0 && Instant::now() < held.until)
    }

    async fn renew(&self, held: &mut Option<Held>) -> Result<Held, StoreError> {
        loop {
            let began = Instant::now();
            let seen = self.read().await?;
            if !self.swap(seen.raw, encode(Said::Off)).await? {
                continue;
            }
            let done = Instant::now();
            // Where it was not held without a gap, it may have been on.
            let before = held.filter(|held| done < held.until);
            let from = before.map_or(done, |held| held.from);
            let renewed = Held { from, until: began + HOLD, renewed: began };
            *held = Some(renewed);
            return Ok(renewed);
        }
    }

    /// Looks at it again and again, for as long as there is an agreement.
    pub async fn keep(this: Arc<Agreement>) {
        let weak = Arc::downgrade(&this);
        drop(this);
        while let Some(this) = weak.upgrade() {
            if let Err(error) = this.look_after().await {
                tracing::debug!(%error, "whether the cache is used cannot be read now");
            }
            drop(this);
            tokio::time::sleep(POLL).await;
        }
    }

    async fn look_after(&self) -> Result<(), StoreError> {
        let seen = self.read().await?;
        let identity = self.cache.identity();
        match (seen.said, identity) {
            // Nobody knows what became of what was in it.
            (Said::On(epoch), Some(identity)) if epoch.identity != identity => {
                tracing::info!("the cache is another one than it was");
                self.swap(seen.raw, encode(Said::Off)).await.map(drop)
            }
            (Said::On(_), _) => Ok(()),
            (Said::Off, Some(identity)) if seen.raw.is_some() && seen.since.elapsed() >= QUIET => {
                self.switch_on(seen.raw, identity).await
            }
            (Said::Off, Some(_)) if seen.raw.is_some() => Ok(()),
            // The first node that there is.
            (Said::Off, Some(_)) => self.swap(None, encode(Said::Off)).await.map(drop),
            (Said::Off, None) => self.hold_on().await,
        }
    }

    /// A node that holds and is still without the cache holds on.
    async fn hold_on(&self) -> Result<(), StoreError> {
        let mut held = self.held.lock().await;
        match *held {
            Some(was) if Instant::now() < was.until && was.renewed.elapsed() >= RENEW => {
                self.renew(&mut held).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    async fn switch_on(&self, raw: Option<Bytes>, identity: Identity) -> Result<(), StoreError> {
        if let Err(error) = self.cache.clear(identity).await {
            tracing::debug!(%error, "the cache could not be cleared");
            return Ok(());
        }
        let epoch = Epoch { token: Token(rand::random()), identity };
        if self.swap(raw, encode(Said::On(epoch))).await? {
            tracing::info!("the cache is used");
        }
        Ok(())
    }

    async fn read(&self) -> Result<Seen, StoreError> {
        let at = Instant::now();
        let raw = self.store.shared_item(COLLECTION, KEY).await?;
        let since = Instant::now();
        let mut last = self.seen.lock();
        let since = last.as_ref().filter(|last| last.raw == raw).map_or(since, |last| last.since.min(since));
        let seen = Seen { said: raw.as_deref().and_then(decode).unwrap_or(Said::Off), raw, at, since };
        // Of two readings at one time the one that began last is the newer.
        if last.as_ref().is_none_or(|last| last.at <= at) {
            *last = Some(seen.clone());
        }
        Ok(seen)
    }

    /// Whether it was what was expected, and is now this.
    async fn swap(&self, expected: Option<Bytes>, value: Bytes) -> Result<bool, StoreError> {
        let (collection, key) = (COLLECTION.to_owned(), KEY.to_owned());
        match self.store.write(Write::SwapSharedItem { collection, key, expected, value }).await {
            Ok(_) => Ok(true),
            Err(StoreError::Conflict(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// `on EPOCH IDENTITY` or `off NUMBER`. No two are alike.
fn encode(said: Said) -> Bytes {
    let text = match said {
        Said::On(epoch) => format!("on {:x} {:x}", epoch.token.0, epoch.identity.0),
        Said::Off => format!("off {:x}", rand::random::<u64>()),
    };
    Bytes::from(text)
}

/// What is not understood is of a server that is newer, and means nothing good.
fn decode(raw: &[u8]) -> Option<Said> {
    let text = std::str::from_utf8(raw).ok()?;
    let mut words = text.split(' ');
    let number = |words: &mut std::str::Split<'_, char>| u64::from_str_radix(words.next()?, 16).ok();
    match words.next()? {
        "on" => {
            let token = Token(number(&mut words)?);
            Some(Said::On(Epoch { token, identity: Identity(number(&mut words)?) }))
        }
        _ => Some(Said::Off),
    }
}
