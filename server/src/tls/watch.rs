//! The certificates as configured and as last read, and how a change of a file is taken up.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::certificate::PairFiles;
use super::choice::{Choice, Identity, Maker};
use super::error::CertificateError;
use super::self_signed;
use crate::config::{self, Domain};

/// After a renewal that failed: there are days left, and a line in the log for each try.
const RENEWAL_PAUSE_SECONDS: u64 = 6 * 3600;

/// A pair that does not fit may be half of a change: it is read once more before anybody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// A pair that cannot be used is left for the next look.
    LookAgain,
    /// It is refused, and looked at again when it has changed.
    Refuse,
}

/// What the configuration says of certificates, and what came of it.
pub struct Watched {
    hosts: Vec<String>,
    data_dir: PathBuf,
    pairs: Vec<Pair>,
    self_signed: bool,
    /// When the server's own certificate may be renewed, after that failed.
    renew_after: u64,
    pub watch_seconds: u32,
}

struct Pair {
    files: PairFiles,
    /// The hosts that the configuration gives it.
    hosts: Vec<String>,
    /// The files when they were last read.
    stamp: Stamp,
    /// The last pair of theirs that was good.
    identity: Option<Arc<Identity>>,
}

/// What changes when a file does: when it was written, its size, and which file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp([Option<(i64, i64, u64, u64)>; 2]);

impl Stamp {
    fn of(files: &PairFiles) -> Stamp {
        let of = |file: &Path| {
            let about = fs::metadata(file).ok()?;
            Some((about.mtime(), about.mtime_nsec(), about.size(), about.ino()))
        };
        Stamp([of(&files.certificate), of(&files.key)])
    }
}

impl Watched {
    /// Reads the configured certificates, or makes one. `before` lends what it has to a pair that cannot be read
    /// now; what is wrong is returned beside the rest.
    pub fn read(
        settings: &config::Tls,
        hosts: &[Domain],
        data_dir: &Path,
        maker: &Maker,
        before: Option<&Watched>,
    ) -> (Watched, Vec<CertificateError>) {
        let mut watched = Watched {
            hosts: hosts.iter().map(|host| host.as_str().to_owned()).collect(),
            data_dir: data_dir.to_owned(),
            pairs: Vec::new(),
            self_signed: settings.certificates.is_empty(),
            renew_after: 0,
            watch_seconds: settings.watch_seconds,
        };
        let mut errors = Vec::new();
        if watched.self_signed {
            errors.extend(self_signed::ensure(data_dir, &watched.hosts, &maker.provider, now()).err());
        }
        for (files, hosts) in watched.wanted(settings) {
            let earlier = before.and_then(|before| before.identity_of(&files));
            let mut pair = Pair { stamp: Stamp::of(&files), files, hosts, identity: earlier };
            match pair.files.load(&maker.provider) {
                Ok(certificate) => pair.identity = Some(Arc::new(maker.identity(certificate))),
                // That the server's own could not be made is said already.
                Err(error) if errors.is_empty() || !watched.self_signed => errors.push(error),
                Err(_) => {}
            }
            watched.pairs.push(pair);
        }
        (watched, errors)
    }

    fn wanted(&self, settings: &config::Tls) -> Vec<(PairFiles, Vec<String>)> {
        if self.self_signed {
            return vec![(self_signed::files(&self.data_dir), self.hosts.clone())];
        }
        let configured = settings.certificates.iter().enumerate();
        let wanted = configured.map(|(index, certificate)| {
            let files = PairFiles {
                certificate: certificate.certificate.clone(),
                key: certificate.key.clone(),
                table: format!("tls.certificates[{index}]"),
            };
            let hosts = certificate.hosts.iter().flatten().map(|host| host.as_str().to_owned());
            (files, hosts.collect())
        });
        wanted.collect()
    }

    fn identity_of(&self, files: &PairFiles) -> Option<Arc<Identity>> {
        let same = |pair: &&Pair| pair.files.certificate == files.certificate && pair.files.key == files.key;
        self.pairs.iter().find(same)?.identity.clone()
    }

    /// Looks at the files. What has changed and is good is taken up: true if there is any. What is not is returned.
    pub fn look(&mut self, maker: &Maker, patience: Patience) -> (bool, Vec<CertificateError>) {
        let (mut taken_up, mut errors) = (false, Vec::new());
        if self.self_signed
            && !self.is_self_signed_good()
            && self.renew_after <= now()
            && let Err(error) = self_signed::ensure(&self.data_dir, &self.hosts, &maker.provider, now())
        {
            errors.push(error);
            if patience == Patience::Refuse {
                self.renew_after = now() + RENEWAL_PAUSE_SECONDS;
            }
        }
        for pair in &mut self.pairs {
            // Taken before the files are read: what changes meanwhile is seen at the next look.
            let stamp = Stamp::of(&pair.files);
            if stamp == pair.stamp {
                continue;
            }
            match pair.files.load(&maker.provider) {
                Ok(certificate) => {
                    pair.identity = Some(Arc::new(maker.identity(certificate)));
                    taken_up = true;
                }
                Err(error) => {
                    errors.push(error);
                    if patience == Patience::LookAgain {
                        continue;
                    }
                }
            }
            pair.stamp = stamp;
        }
        (taken_up, errors)
    }

    fn is_self_signed_good(&self) -> bool {
        let identity = self.pairs.first().and_then(|pair| pair.identity.as_ref());
        identity.is_some_and(|identity| self_signed::serves(&identity.certificate, &self.hosts, now()))
    }

    pub fn choice(&self) -> Option<Choice> {
        let pairs = self.pairs.iter();
        let good = pairs.filter_map(|pair| Some((pair.identity.clone()?, pair.hosts.clone())));
        Choice::new(good.collect(), &self.hosts)
    }

    pub fn is_self_signed(&self) -> bool {
        self.self_signed
    }

    /// What an operator should know of the certificates in force, a sentence each.
    pub fn warnings(&self, choice: &Choice) -> Vec<String> {
        let mut warnings = Vec::new();
        for identity in &choice.identities {
            let certificate = &identity.certificate;
            let (file, now) = (certificate.file.display(), now() as i64);
            if certificate.valid.1 <= now {
                warnings.push(format!("the certificate in {file} has expired: clients will refuse it"));
            } else if certificate.valid.0 > now {
                warnings.push(format!("the certificate in {file} is not valid yet: clients will refuse it"));
            }
        }
        for host in self.hosts.iter().filter(|host| !choice.serves(host)) {
            warnings.push(format!(
                "no certificate is for the served domain {host}: its clients will refuse the one they see"
            ));
        }
        warnings
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
