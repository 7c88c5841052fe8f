//! What is remembered of accounts in a cache that nodes share, so that it is never wrong.
//!
//! A reader asks the cache first, with what it knows itself. Where there is nothing, the answer is a version; the reader
//! reads the database and puts what it found *with that version*. A change takes three steps: **begin** (the value goes,
//! nothing is kept until the end), the commit, **end** (the value goes, and every version given before is void); only
//! then is anybody told that it was made. So:
//!
//! | what comes in between | what becomes of it |
//! |---|---|
//! | read old, commit, end, put old | the put has a version that is void |
//! | read old, put old, commit, end | the end takes it |
//! | look (old, not committed), commit, end, use | it was used before anybody was told |
//! | begin, and the changing node dies | nothing is kept there until the begun change's lifetime is over |
//! | the cache is emptied at any moment | versions are void, since they are not there |
//! | a command comes late, after its time limit | a put is tied to its version; begin and end only forget |
//! | the commit has no answer, and may come late | it is begun again, and nothing is kept until it cannot come any more |
//! | begin cannot be delivered | nobody uses the cache before the commit (`Agreement::hold`) |
//! | end cannot be delivered | nobody uses the cache before anybody is told (`Agreement::hold`) |
//! | the cache comes back from that | it is cleared, and the epoch is a new one |
//! | it was restarted from an old copy, or another server took over | it has another identity, and is not used |
//! | the database cannot be asked whether the cache is used | the cache is not used |

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use xmpp_core::BareJid;

use super::agreement::{Agreement, Epoch, Hold};
use super::{AccountInfo, record};
use crate::storage::cache::{Look, Token};
use crate::storage::{Cache, Store};

/// How long a change tries to tell a cache that is slow, before it sees to it that nobody uses it.
const PATIENCE: Duration = Duration::from_millis(250);
/// Before a change tries again to tell somebody.
const PAUSE: Duration = Duration::from_millis(10);
/// How long nothing is kept of an account whose change was begun by a node that died, or had no answer; at least.
const BEGUN_LIFETIME: Duration = Duration::from_secs(60);
/// Before the cache is told again of a change that had no answer.
const RETRY: Duration = Duration::from_millis(500);
/// Changes without an answer of which the cache could not be told yet.
const UNANSWERED_MOST: usize = 1_000;
/// What an account may live longer in the cache than it was put for: it was on its way.
const SLACK: Duration = Duration::from_secs(30);

pub struct SharedAccounts {
    cache: Arc<dyn Cache>,
    agreement: Arc<Agreement>,
    /// Keys of the cache are hashes of addresses with it.
    key: hmac::Key,
    lifetime: Duration,
    /// A statement that hangs in the database is over by then, and a transaction whose client is gone.
    begun_lifetime: Duration,
    largest_bytes: usize,
    unanswered: Arc<Semaphore>,
}

/// Which version of an account a node knows.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    epoch: Epoch,
    version: Token,
}

pub enum Found {
    /// What the reader knows is so.
    Same,
    There(Option<AccountInfo>, Stamp),
    /// Nothing: what is read from the database now may be put.
    Absent(Stamp),
    /// It is to be read from the database, and not to be remembered.
    Nowhere,
}

/// A change that was begun.
pub struct Begun {
    change: Token,
    keys: Vec<String>,
    /// Where the cache could not be told.
    hold: Option<Hold>,
}

impl SharedAccounts {
    pub fn new(
        store: Arc<dyn Store>,
        cache: Arc<dyn Cache>,
        secret: &[u8],
        lifetime: Duration,
        statement_limit: Duration,
        largest_bytes: usize,
    ) -> Arc<SharedAccounts> {
        let agreement = Agreement::new(store, cache.clone());
        tokio::spawn(Agreement::keep(agreement.clone()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let begun_lifetime = BEGUN_LIFETIME.max(statement_limit * 2);
        let unanswered = Arc::new(Semaphore::new(UNANSWERED_MOST));
        Arc::new(SharedAccounts {
            cache,
            agreement,
            key,
            lifetime,
            begun_lifetime,
            largest_bytes,
            unanswered,
        })
    }

    /// Whether the cache is used now.
    pub fn is_used(&self) -> bool {
        self.agreement.epoch().is_some_and(|epoch| self.cache.identity() == Some(epoch.identity))
    }

    pub async fn look(&self, jid: &BareJid, known: Option<Stamp>) -> Found {
        let Some(epoch) = self.agreement.epoch() else { return Found::Nowhere };
        let known = known.filter(|known| known.epoch == epoch).map(|known| known.version);
        let looked = self.cache.look(epoch.identity, epoch.token, &self.key(jid), known).await;
        // The answer is worth something only while the epoch lasts.
        if self.agreement.epoch() != Some(epoch) {
            return Found::Nowhere;
        }
        match looked {
            Ok(Look::Same) => Found::Same,
            Ok(Look::Value(version, record)) => match record::read(jid, &record) {
                Some(info) => Found::There(info, Stamp { epoch, version }),
                None => Found::Nowhere,
            },
            Ok(Look::Absent(version)) => Found::Absent(Stamp { epoch, version }),
            Ok(Look::Changing) | Err(_) => Found::Nowhere,
        }
    }

    /// What was read from the database after `Found::Absent` gave the stamp.
    pub async fn put(&self, jid: &BareJid, info: Option<&AccountInfo>, stamp: Stamp) {
        let Stamp { epoch, version } = stamp;
        let record = Some(record::write(jid, info)).filter(|record| record.len() <= self.largest_bytes);
        let key = self.key(jid);
        let put = self.cache.put(epoch.identity, epoch.token, &key, version, record, self.lifetime);
        // What is not kept is read again.
        let _ = put.await;
    }

    /// Before a change of these accounts is committed.
    pub async fn begin(&self, accounts: &[BareJid]) -> Begun {
        let keys: Vec<String> = accounts.iter().map(|jid| self.key(jid)).collect();
        let change = Token(rand::random());
        let mut begun = Begun { change, keys, hold: None };
        // Who keeps everybody from using the cache has nobody to tell.
        if self.agreement.holds().await || !patiently(|| self.is_begun(&begun)).await {
            // Without the database the change will fail as well.
            begun.hold = self.agreement.hold().await.ok();
        }
        begun
    }

    /// After it was committed, or may have been, and before anybody is told. `more`: accounts of which only the commit
    /// knew that it changes them.
    pub async fn end(&self, mut begun: Begun, more: &[BareJid]) {
        if let Some(hold) = begun.hold
            && self.agreement.still_holds(hold).await
        {
            return;
        }
        begun.keys.extend(more.iter().map(|jid| self.key(jid)));
        begun.keys.sort_unstable();
        begun.keys.dedup();
        if begun.keys.is_empty() {
            return;
        }
        let give_up = Instant::now() + self.lifetime + SLACK;
        if patiently(|| self.is_told(&begun)).await {
            return;
        }
        while !self.is_told(&begun).await && self.agreement.hold().await.is_err() {
            if Instant::now() > give_up {
                tracing::error!(
                    "neither the cache nor the database could be told of a change; it is no secret now"
                );
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Nobody knows whether it was committed, and it may be yet: until that is over nothing is kept of its accounts. The
    /// writing may have taken longer than the begun change's lifetime, so that it is begun again; and as long as the cache
    /// cannot be told, nobody uses it.
    pub fn unanswered(self: &Arc<Self>, begun: Begun) {
        let Ok(place) = self.unanswered.clone().try_acquire_owned() else {
            tracing::error!(
                "too many changes have no answer: what the cache has of some accounts may be old for a while"
            );
            return;
        };
        let this = self.clone();
        tokio::spawn(async move {
            let _place = place;
            let give_up = Instant::now() + this.begun_lifetime;
            while !patiently(|| this.is_begun(&begun)).await && Instant::now() < give_up {
                let _ = this.agreement.hold().await;
                tokio::time::sleep(RETRY).await;
            }
        });
    }

    async fn is_begun(&self, begun: &Begun) -> bool {
        let Some(identity) = self.cache.identity() else { return false };
        let begin = async |key: &String| {
            self.cache.begin(identity, key, begun.change, self.begun_lifetime).await.is_ok()
        };
        all(begun.keys.iter().map(begin)).await
    }

    /// Tells the cache, and makes sure that it is the one that is used, if one is.
    async fn is_told(&self, begun: &Begun) -> bool {
        let Some(identity) = self.cache.identity() else { return false };
        let end = async |key: &String| self.cache.end(identity, key, begun.change).await.is_ok();
        if !all(begun.keys.iter().map(end)).await {
            return false;
        }
        match self.agreement.epoch() {
            Some(epoch) => epoch.identity == identity,
            None => match self.agreement.epoch_now().await {
                Ok(Some(epoch)) => epoch.identity == identity,
                // What is put from now on was read after the commit.
                Ok(None) => true,
                Err(_) => false,
            },
        }
    }

    fn key(&self, jid: &BareJid) -> String {
        let tag = hmac::sign(&self.key, jid.as_str().as_bytes());
        tag.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Whether all of them are true. They are asked side by side.
async fn all(asked: impl Iterator<Item = impl Future<Output = bool>>) -> bool {
    join_all(asked).await.into_iter().all(|is| is)
}

/// Tries again for a while where it is not done: to say it twice does no harm.
async fn patiently<F: Future<Output = bool>>(say: impl Fn() -> F) -> bool {
    let began = Instant::now();
    while !say().await {
        if began.elapsed() > PATIENCE {
            return false;
        }
        tokio::time::sleep(PAUSE).await;
    }
    true
}

#[cfg(test)]
mod tests;
