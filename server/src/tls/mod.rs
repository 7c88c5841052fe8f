//! TLS for client connections: certificates, handshakes, resumption, and what SASL binds to.
//!
//! [`Tls`] is the handle that all listeners share. Certificates are swapped under it while it is used; a handshake
//! that has begun keeps the one it began with.

mod accept;
mod certificate;
mod choice;
mod error;
mod examine;
mod self_signed;
#[cfg(test)]
mod tests;
mod tickets;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::Notify;

pub use accept::Accepted;
pub use error::{AcceptError, CertificateError, CertificateFault};
pub use examine::examine;

use crate::config::{self, Domain};
use choice::{Choice, Maker};
use watch::{Patience, Watched};

/// How long a pair that does not fit may take to become one that does: programs that renew certificates write two
/// files, one after the other.
const SETTLE: Duration = Duration::from_secs(1);

pub struct Tls {
    maker: Maker,
    data_dir: PathBuf,
    /// What handshakes choose from.
    choice: ArcSwap<Choice>,
    /// The configuration and files behind it. Held while files are read, never by a handshake.
    watched: Mutex<Watched>,
    /// Tells the watch.
    reloaded: Notify,
}

/// A certificate in force, for metrics and for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateStatus {
    pub file: PathBuf,
    /// The names that it is for.
    pub names: Vec<String>,
    /// Seconds since 1970.
    pub expires: i64,
    pub self_signed: bool,
}

impl Tls {
    /// Reads the configured certificates; without any, the server's own, which is made if it must be. All that is
    /// wrong is returned at once. Ticket keys follow from `ticket_secret`, which all nodes share and none tells.
    pub fn start(
        settings: &config::Tls,
        hosts: &[Domain],
        data_dir: &Path,
        ticket_secret: [u8; 32],
    ) -> Result<Tls, Vec<CertificateError>> {
        let maker = Maker::new(settings, ticket_secret);
        let (watched, errors) = Watched::read(settings, hosts, data_dir, &maker, None);
        let Some(choice) = watched.choice().filter(|_| errors.is_empty()) else { return Err(errors) };
        warn(&watched, &choice);
        Ok(Tls {
            maker,
            data_dir: data_dir.to_owned(),
            choice: ArcSwap::from_pointee(choice),
            watched: Mutex::new(watched),
            reloaded: Notify::new(),
        })
    }

    /// Takes up a changed configuration, and reads all files again. A pair that cannot be used is refused with a line
    /// in the log, and returned; where it was good before, what it was stays. Reads files: not for the reactor.
    pub fn reload(&self, settings: &config::Tls, hosts: &[Domain]) -> Vec<CertificateError> {
        let mut watched = self.watched.lock();
        let (read, errors) = Watched::read(settings, hosts, &self.data_dir, &self.maker, Some(&watched));
        refuse(&errors);
        if let Some(choice) = read.choice() {
            *watched = read;
            self.swap(&watched, choice);
        }
        self.reloaded.notify_one();
        errors
    }

    /// Looks for changed files, again and again. It ends with the task that runs it.
    pub async fn watch(self: Arc<Self>) {
        loop {
            let seconds = self.watched.lock().watch_seconds;
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(seconds.into())) => {}
                // With another interval, perhaps.
                () = self.reloaded.notified() => continue,
            }
            if !self.look_aside(Patience::LookAgain).await {
                tokio::time::sleep(SETTLE).await;
                self.look_aside(Patience::Refuse).await;
            }
        }
    }

    pub fn certificates(&self) -> Vec<CertificateStatus> {
        let self_signed = self.watched.lock().is_self_signed();
        let choice = self.choice.load();
        let certificates = choice.identities.iter().map(|identity| &identity.certificate);
        certificates
            .map(|certificate| CertificateStatus {
                file: certificate.file.clone(),
                names: certificate.names.clone(),
                expires: certificate.valid.1,
                self_signed,
            })
            .collect()
    }

    /// Files can be slow: this is off the reactor.
    async fn look_aside(self: &Arc<Self>, patience: Patience) -> bool {
        let tls = self.clone();
        // Only a runtime that ends gives no answer.
        tokio::task::spawn_blocking(move || tls.look(patience)).await.unwrap_or(true)
    }

    /// Takes up changed files. False when there is something that should be looked at once more.
    fn look(&self, patience: Patience) -> bool {
        let mut watched = self.watched.lock();
        let (taken_up, errors) = watched.look(&self.maker, patience);
        if patience == Patience::Refuse {
            refuse(&errors);
        }
        if let Some(choice) = watched.choice().filter(|_| taken_up) {
            self.swap(&watched, choice);
        }
        errors.is_empty()
    }

    fn swap(&self, watched: &Watched, choice: Choice) {
        let before = self.choice.load();
        for identity in &choice.identities {
            let certificate = &identity.certificate;
            let mut known = before.identities.iter().map(|identity| identity.certificate.fingerprint);
            if !known.any(|fingerprint| fingerprint == certificate.fingerprint) {
                tracing::info!(file = %certificate.file.display(), "a new certificate is in use");
            }
        }
        warn(watched, &choice);
        self.choice.store(Arc::new(choice));
    }
}

fn refuse(errors: &[CertificateError]) {
    for error in errors {
        tracing::error!("{error}; it is refused, and what was in use stays");
    }
}

fn warn(watched: &Watched, choice: &Choice) {
    for warning in watched.warnings(choice) {
        tracing::warn!("{warning}");
    }
}
