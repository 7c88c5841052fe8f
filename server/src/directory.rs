//! The accounts as an operator and in-band registration manage them: made, changed, banned and removed
//! in one place, whoever asks.

mod import;

use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use rand::RngCore;
use tokio::sync::Notify;
use xmpp_core::BareJid;
use xmpp_core::jid::prepare_password;
use xmpp_core::sasl::{BadPassword, Mechanism, SALT_BYTES, ScramHash, ScramSecret};

use crate::config::Config;
use crate::passwords::{Busy, Passwords};
use crate::router::Router;
use crate::session::End;
use crate::storage::{Account, Authentication, StoreError, Write};
use crate::telemetry::bound::Bound;

pub use import::{Imported, Refused, RowError, parts};

pub struct Directory {
    /// Weak, because the router's modules hold the directory.
    router: Weak<Router>,
    passwords: Arc<Passwords>,
    config: Arc<ArcSwap<Config>>,
    /// Told of each account that is removed: something that it owned may have to be cleared away.
    pub removals: Arc<Notify>,
}

/// Why an account is not made, changed, found or removed. Each is a sentence for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirectoryError {
    /// It is no address of an account: without a local part, or not an address at all.
    NoAddress(String),
    /// The domain is none of this server's.
    NotServed(String),
    /// Empty, or with a character that no password has (RFC 8265 section 4.2).
    BadPassword,
    /// There is such an account already.
    Exists(BareJid),
    /// There is no such account.
    Missing(BareJid),
    /// The domain's passwords are kept elsewhere.
    KeptElsewhere(String),
    /// Too many passwords wait to be hashed.
    Busy,
    Store(StoreError),
}

type Done = Result<(), DirectoryError>;

impl Directory {
    pub fn new(router: &Arc<Router>, passwords: Arc<Passwords>, config: Arc<ArcSwap<Config>>) -> Directory {
        Directory { router: Arc::downgrade(router), passwords, config, removals: Arc::default() }
    }

    /// The address of an account on a domain that is served, whether or not there is one.
    pub fn address(&self, local: &str, domain: &str) -> Result<BareJid, DirectoryError> {
        let no_address = |_| DirectoryError::NoAddress(format!("{local}@{domain}"));
        let jid = BareJid::new(Some(local), domain).map_err(no_address)?;
        self.check_address(&jid)?;
        Ok(jid)
    }

    pub async fn create(&self, jid: &BareJid, password: &str) -> Done {
        let router = self.router()?;
        self.check_address(jid)?;
        // Asked first only to save the work on the password: the write is what decides.
        if self.find(jid).await?.is_some() {
            return Err(DirectoryError::Exists(jid.clone()));
        }
        let secrets = self.secrets(&router, jid, password).await?;
        let write = Write::CreateAccount {
            jid: jid.clone(),
            secrets,
            time: router.now(),
            // A roster version that a client kept of an earlier account of this name must not fit.
            roster_epoch: rand::rng().next_u64(),
        };
        // That there was none is remembered too.
        let change = router.accounts.begin(std::slice::from_ref(jid)).await;
        let written = router.store.write(write).await;
        change.end(&written, &[]).await;
        written.map_err(|error| match error {
            StoreError::Conflict(_) => DirectoryError::Exists(jid.clone()),
            error => DirectoryError::Store(error),
        })?;
        tracing::info!(%jid, "an account was made");
        Ok(())
    }

    pub async fn change_password(&self, jid: &BareJid, password: &str) -> Done {
        let router = self.router()?;
        if self.find(jid).await?.is_none() {
            return Err(DirectoryError::Missing(jid.clone()));
        }
        let secrets = self.secrets(&router, jid, password).await?;
        self.change(&router, jid, Write::SetSecrets { jid: jid.clone(), secrets }).await?;
        tracing::info!(%jid, "a password was changed");
        Ok(())
    }

    /// Is it the account's password?
    pub async fn check_password(&self, jid: &BareJid, password: &str) -> Result<bool, DirectoryError> {
        let router = self.router()?;
        if router.store.authentication(jid.domain()) == Authentication::Verify {
            return router.store.verify(jid, password).await.map_err(DirectoryError::Store);
        }
        let secrets = router.store.secrets(jid).await.map_err(DirectoryError::Store)?;
        let secrets = secrets.ok_or_else(|| DirectoryError::Missing(jid.clone()))?;
        // All of them are of one password: the one that is quickest to check will do.
        let Some(secret) = secrets.by_hash.into_iter().min_by_key(|secret| secret.hash) else {
            return Ok(false);
        };
        let password = password.to_owned();
        self.hash(move || secret.verify_password(&password)).await
    }

    pub async fn find(&self, jid: &BareJid) -> Result<Option<Account>, DirectoryError> {
        self.router()?.store.account(jid).await.map_err(DirectoryError::Store)
    }

    /// Removes the account and all that it owns, tells its contacts, and ends its sessions.
    pub async fn remove(&self, jid: &BareJid) -> Done {
        self.remove_and(jid, || {}).await
    }

    /// As `remove`; calls `then` when it is done, before the sessions end.
    pub async fn remove_and(&self, jid: &BareJid, then: impl FnOnce()) -> Done {
        let router = self.router()?;
        let write = Write::RemoveAccount { jid: jid.clone() };
        // While its sessions stand: contacts see each of them go.
        let removed = router.change_rosters(std::slice::from_ref(jid), write).await;
        removed.map_err(|error| missing(jid, error))?;
        tracing::info!(%jid, "an account was removed");
        self.removals.notify_one();
        then();
        end_sessions(&router, jid, End::Removed);
        Ok(())
    }

    /// Refuses logins from now on and ends the sessions. What the account has is kept.
    pub async fn ban(&self, jid: &BareJid, reason: &str) -> Done {
        let router = self.router()?;
        let write = Write::SetBan { jid: jid.clone(), reason: Some(reason.to_owned()) };
        self.change(&router, jid, write).await?;
        tracing::info!(%jid, "an account was banned");
        end_sessions(&router, jid, End::Kicked);
        Ok(())
    }

    pub async fn unban(&self, jid: &BareJid) -> Done {
        let router = self.router()?;
        self.change(&router, jid, Write::SetBan { jid: jid.clone(), reason: None }).await?;
        tracing::info!(%jid, "a ban was lifted");
        Ok(())
    }

    /// Accounts of a domain in the order of their addresses, up to `limit` of those behind `after`.
    pub async fn list(
        &self,
        domain: &str,
        after: Option<&BareJid>,
        limit: usize,
    ) -> Result<Vec<Account>, DirectoryError> {
        let router = self.router()?;
        served(&router, domain)?;
        router.store.accounts(domain, after, limit).await.map_err(DirectoryError::Store)
    }

    pub async fn count(&self, domain: &str) -> Result<u64, DirectoryError> {
        let router = self.router()?;
        served(&router, domain)?;
        router.store.count_accounts(domain).await.map_err(DirectoryError::Store)
    }
}

/// What several of them do.
impl Directory {
    fn router(&self) -> Result<Arc<Router>, DirectoryError> {
        let stopped = || DirectoryError::Store(StoreError::Unavailable("the server has stopped".to_owned()));
        self.router.upgrade().ok_or_else(stopped)
    }

    fn check_address(&self, jid: &BareJid) -> Done {
        if jid.local().is_none() {
            return Err(DirectoryError::NoAddress(jid.to_string()));
        }
        served(&*self.router()?, jid.domain())
    }

    /// A write to an account that must exist.
    async fn change(&self, router: &Router, jid: &BareJid, write: Write) -> Done {
        let change = router.accounts.begin(std::slice::from_ref(jid)).await;
        let written = router.store.write(write).await;
        change.end(&written, &[]).await;
        written.map_err(|error| missing(jid, error))?;
        router.renew(jid).await;
        Ok(())
    }

    /// The secrets of a new password, one per hash that the domain's mechanisms have.
    async fn secrets(
        &self,
        router: &Router,
        jid: &BareJid,
        password: &str,
    ) -> Result<Vec<ScramSecret>, DirectoryError> {
        if router.store.authentication(jid.domain()) == Authentication::Verify {
            return Err(DirectoryError::KeptElsewhere(jid.domain().to_owned()));
        }
        prepare_password(password).map_err(|_| DirectoryError::BadPassword)?;
        let config = self.config.load();
        let iterations = config.auth.scram_iterations;
        let hashes = hashes(&config, jid.domain());
        let password = password.to_owned();
        let derive = move || -> Result<Vec<ScramSecret>, BadPassword> {
            let derived = hashes.into_iter().map(|hash| {
                let mut salt = [0; SALT_BYTES];
                rand::rng().fill_bytes(&mut salt);
                ScramSecret::derive(hash, &password, &salt, iterations)
            });
            derived.collect()
        };
        self.hash(derive).await?.map_err(|BadPassword| DirectoryError::BadPassword)
    }

    /// Milliseconds of hashing, off the reactor's threads.
    async fn hash<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, DirectoryError> {
        self.passwords.run(work).await.map_err(|Busy| {
            _ = self.router().map(|router| router.metrics.refused(Bound::HashingQueue));
            DirectoryError::Busy
        })
    }
}

/// PLAIN needs one too, which is SHA-256's.
fn hashes(config: &Config, domain: &str) -> Vec<ScramHash> {
    let offered: Vec<ScramHash> =
        config.mechanisms(domain).iter().filter_map(|it| Mechanism::from_name(it.as_str())?.hash()).collect();
    ScramHash::ALL.into_iter().filter(|hash| *hash == ScramHash::Sha256 || offered.contains(hash)).collect()
}

/// What a store says of a write to an account that must exist.
fn missing(jid: &BareJid, error: StoreError) -> DirectoryError {
    match error {
        StoreError::Conflict(_) => DirectoryError::Missing(jid.clone()),
        error => DirectoryError::Store(error),
    }
}

fn served(router: &Router, domain: &str) -> Done {
    if router.is_served(domain) { Ok(()) } else { Err(DirectoryError::NotServed(domain.to_owned())) }
}

fn end_sessions(router: &Router, jid: &BareJid, end: End) {
    for session in router.sessions_of(jid) {
        session.end(end);
    }
}

impl std::fmt::Display for DirectoryError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            DirectoryError::NoAddress(text) => write!(f, "{text:?} is not the address of an account"),
            DirectoryError::NotServed(domain) => write!(f, "this server does not serve the domain {domain}"),
            DirectoryError::BadPassword => {
                f.write_str("a password has at least one character, and no control characters")
            }
            DirectoryError::Exists(jid) => write!(f, "the account {jid} exists already"),
            DirectoryError::Missing(jid) => write!(f, "there is no account {jid}"),
            DirectoryError::KeptElsewhere(domain) => {
                write!(f, "the passwords of {domain} are kept elsewhere and cannot be set here")
            }
            DirectoryError::Busy => f.write_str("too many passwords wait to be hashed; try again"),
            DirectoryError::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DirectoryError {}

#[cfg(test)]
mod tests;
