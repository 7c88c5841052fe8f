//! Uploads (XEP-0363): slots, what may be put into them, what is served of them, and when it goes. Whoever asks
//! (the XMPP side, the HTTP side, the operator) asks here.
//!
//! ```text
//! grant: a row     put: a blob of its own, then the row says `stored`, and which blob     get: only what is stored
//! expiry, an account's end, an operator: all blobs of the file go, then the row
//! ```
//!
//! So each blob has a row for as long as it is there, and a crash leaves a row that is soon due. Of two uploads into
//! one slot, on two nodes too, the row knows one: that one counts, and the other one's blob goes.

mod arrivals;
mod cleaning;
mod place;
mod places;
mod request;
mod titles;

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use arrivals::NOTICED_AT_ONCE;
use aws_lc_rs::hmac;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::config::{Config, Limit};
use crate::storage::*;

pub use place::{Place, escape};
pub use places::Places;
pub use request::{SlotError, SlotRequest};
pub use titles::{disposition, is_media_type};

/// An upload that has begun may take so long.
pub const UPLOAD_TIME: Duration = Duration::from_secs(3600);
/// A URL where a file is read without us lasts so long.
const READ_TIME: Duration = Duration::from_secs(300);
const DAY: Millis = 24 * 60 * 60 * 1000;

pub struct Uploads {
    store: Arc<dyn Store>,
    pub places: Places,
    live: Arc<ArcSwap<Config>>,
    clock: Clock,
    /// Signs slots; shared by all nodes.
    key: hmac::Key,
    /// Where clients reach us.
    place: ArcSwap<Place>,
    /// What is on its way into its slot. A plain lock: nothing waits under it.
    coming: Mutex<HashSet<BlobName>>,
    /// Nobody is in there.
    empty: Notify,
    /// What arrived past us is noticed by one task, each file by the lock of its turn.
    noticing: [tokio::sync::Mutex<()>; NOTICED_AT_ONCE],
    /// Something may be due before the next look: an account is gone.
    due: Arc<Notify>,
}

/// Where a file is put, and where it is then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    pub put: String,
    pub get: String,
}

/// Why nothing was put into a slot. Nothing is left of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// There is no such slot, or its URL was not made by us.
    Forged,
    /// Its time has passed.
    Expired,
    /// It was used, or is being used.
    Used,
    /// The upload's length is not the slot's.
    Length {
        slot: u64,
        upload: u64,
    },
    /// The upload's type is not the one that the slot's request named.
    MediaType {
        slot: String,
    },
    /// It did not come whole.
    Incomplete(String),
    /// It took too long.
    Slow,
    Store(StoreError),
}

/// What a PUT says of itself.
pub struct Put<'a> {
    pub name: &'a str,
    pub title: &'a str,
    /// Of the URL's query.
    pub until: u64,
    pub signature: &'a str,
    pub length: u64,
    pub media_type: Option<&'a str>,
}

/// A slot that is being filled, by one alone.
pub struct Coming<'a> {
    claim: Claim<'a>,
    file: File,
    media_type: Option<String>,
}

/// Nobody else fills the slot for as long as this lives.
struct Claim<'a> {
    uploads: &'a Uploads,
    name: BlobName,
}

impl Uploads {
    pub fn new(
        store: Arc<dyn Store>,
        places: Places,
        live: Arc<ArcSwap<Config>>,
        clock: Clock,
        key: &[u8; 32],
        due: Arc<Notify>,
    ) -> Uploads {
        let place = ArcSwap::from_pointee(Place::configured(&live.load()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let (coming, empty, noticing) = Default::default();
        Uploads { store, places, live, clock, key, place, coming, empty, noticing, due }
    }

    /// It is known now on which ports we are reached.
    pub fn reached_at(&self, place: Place) {
        self.place.store(Arc::new(place));
    }

    /// Grants a slot to an account of `domain`.
    pub async fn grant(
        &self,
        owner: AccountNumber,
        domain: &str,
        request: SlotRequest,
    ) -> Result<Slot, SlotError> {
        let settings = self.live.load().modules.upload.clone();
        request.check(settings.max_file_bytes)?;
        // Nobody is to find out with his file in his hand.
        self.places.main().health().await.map_err(SlotError::Store)?;
        let now = self.clock.now();
        let until = (now / 1000).saturating_add(settings.slot_seconds.into());
        let kept_until = match settings.expire_after_days {
            Limit::None => None,
            Limit::AtMost(days) => Some(now.saturating_add(days.saturating_mul(DAY))),
        };
        let mut chance = [0; BlobName::BYTES];
        rand::RngCore::fill_bytes(&mut rand::rng(), &mut chance);
        let name = BlobName::new(chance);
        let file = File {
            name: name.as_str().to_owned(),
            owner: Some(owner),
            title: request.title,
            media_type: request.media_type,
            size: request.size,
            created: now,
            // One that begins in the slot's last second has its time.
            awaited_until: until * 1000 + UPLOAD_TIME.as_millis() as Millis,
            expires: kept_until.into_iter().chain(request.until).min(),
            stored: false,
            blob: None,
        };
        let slot = self.slot(domain, &name, &file, until).await.map_err(SlotError::Store)?;
        let quota = FileQuota {
            since: now.saturating_sub(DAY - 1),
            files: settings.files_per_day,
            bytes: settings.bytes_per_day,
        };
        let size = file.size;
        match self.store.write(Write::GrantFile { file, quota }).await {
            Ok(_) => Ok(slot),
            Err(StoreError::Full(_)) => Err(self.quota_error(owner, quota, size).await),
            Err(error) => Err(SlotError::Store(error)),
        }
    }

    /// May this be put into its slot? Nobody else may meanwhile.
    pub async fn begin(&self, put: &Put<'_>) -> Result<Coming<'_>, Refused> {
        let signed = hex::decode(put.signature).map_err(|_| Refused::Forged)?;
        let text = signed_text(put.name, put.title, put.until);
        hmac::verify(&self.key, text.as_bytes(), &signed).map_err(|_| Refused::Forged)?;
        let name = BlobName::parse(put.name).ok_or(Refused::Forged)?;
        if put.until <= self.clock.now() / 1000 {
            return Err(Refused::Expired);
        }
        if !self.coming.lock().insert(name.clone()) {
            return Err(Refused::Used);
        }
        let claim = Claim { uploads: self, name };
        let file = self.store.file(put.name).await.map_err(Refused::Store)?;
        // What is no longer there has been removed: its account's end, or an operator.
        let file = file.filter(|file| file.owner.is_some()).ok_or(Refused::Expired)?;
        if file.stored {
            return Err(Refused::Used);
        }
        if put.length != file.size {
            return Err(Refused::Length { slot: file.size, upload: put.length });
        }
        // XEP-0363 section 6: only if the request named one.
        if let Some(slot) = &file.media_type
            && !put.media_type.is_some_and(|upload| titles::agree(slot, upload))
        {
            return Err(Refused::MediaType { slot: slot.clone() });
        }
        let media_type = put.media_type.filter(|text| is_media_type(text)).map(str::to_owned);
        Ok(Coming { claim, file, media_type })
    }

    /// The file that a URL names, if it is there and its time has not passed.
    pub async fn find(&self, name: &str, title: &str) -> Result<Option<File>, StoreError> {
        let Some(blob) = BlobName::parse(name) else { return Ok(None) };
        let is_it = |file: &File| file.title == title && !file.is_due(self.clock.now());
        let Some(mut file) = self.store.file(name).await?.filter(is_it) else { return Ok(None) };
        if !file.stored {
            file = self.notice(&blob, file).await?;
        }
        Ok(Some(file).filter(|file| file.stored && is_it(file)))
    }

    /// Where a file is to be read without us, if it is.
    pub async fn read_url(&self, file: &File) -> Result<Option<String>, StoreError> {
        let (blobs, name) = self.places.of(file)?;
        let Some(around) = blobs.around() else { return Ok(None) };
        let left = file.expires.map(|expires| Duration::from_millis(expires.saturating_sub(self.now())));
        let valid = left.map_or(READ_TIME, |left| left.min(READ_TIME));
        around.read_url(&name, &shown(&file.title, file.media_type.clone()), valid).await
    }

    /// A part of a file's content.
    pub async fn read(&self, file: &File, range: Range<u64>) -> Result<Content, StoreError> {
        let (blobs, name) = self.places.of(file)?;
        let content = blobs.read(&name, range).await?;
        content.ok_or_else(|| {
            StoreError::Damaged(format!("the upload {name} has no content in {}", blobs.place()))
        })
    }

    /// How many are on their way into their slots.
    pub fn coming(&self) -> usize {
        self.coming.lock().len()
    }

    /// Until nothing is on its way into its slot.
    pub async fn until_empty(&self) {
        let mut empty = std::pin::pin!(self.empty.notified());
        loop {
            empty.as_mut().enable();
            if self.coming.lock().is_empty() {
                return;
            }
            empty.as_mut().await;
            empty.set(self.empty.notified());
        }
    }

    /// The URL under which a file is served.
    pub fn url(&self, domain: &str, file: &File) -> String {
        let settings = &self.live.load().modules.upload;
        let base = self.place.load().base(settings.base_url.as_ref(), domain);
        format!("{base}/upload/{}/{}", file.name, escape(&file.title))
    }

    pub fn now(&self) -> Millis {
        self.clock.now()
    }

    async fn slot(&self, domain: &str, name: &BlobName, file: &File, until: u64) -> Result<Slot, StoreError> {
        let get = self.url(domain, file);
        if let Some(around) = self.places.main().around() {
            let valid = Duration::from_millis((until * 1000).saturating_sub(file.created));
            if let Some(put) = around.put_url(name, file.size, file.media_type.as_deref(), valid).await? {
                return Ok(Slot { put, get });
            }
        }
        let signature = hmac::sign(&self.key, signed_text(&file.name, &file.title, until).as_bytes());
        let put = format!("{get}?until={until}&signature={}", hex::encode(signature.as_ref()));
        Ok(Slot { put, get })
    }

    /// Which part of the quota is used up, and when there will be room again.
    async fn quota_error(&self, owner: AccountNumber, quota: FileQuota, size: u64) -> SlotError {
        let limit = usize::try_from(quota.files).unwrap_or(usize::MAX);
        let granted = match self.store.files_granted(owner, quota.since, limit).await {
            Ok(granted) => granted,
            Err(error) => return SlotError::Store(error),
        };
        let by_count = granted.len() as u64 >= quota.files;
        let (mut files, mut bytes) =
            (granted.len() as u64, granted.iter().map(|(_, size)| size).sum::<u64>());
        let mut retry = None;
        for (time, freed) in granted {
            if files < quota.files && bytes.saturating_add(size) <= quota.bytes {
                break;
            }
            (files, bytes, retry) = (files - 1, bytes.saturating_sub(freed), Some(time + DAY));
        }
        SlotError::Quota { by_count, retry: retry.filter(|_| size <= quota.bytes) }
    }
}

impl Coming<'_> {
    /// Takes the content in. When this returns well, the file is served.
    pub async fn receive(self, content: Content) -> Result<(), Refused> {
        let Claim { uploads, name } = &self.claim;
        let blobs = uploads.places.main();
        let attempt = name.attempt(rand::random());
        let media_type = self.media_type.clone();
        // What the slot said stands.
        let said = self.file.media_type.clone().or_else(|| media_type.clone());
        let shown = shown(&self.file.title, said);
        let put = blobs.put(&attempt, self.file.size, &shown, content);
        match tokio::time::timeout(UPLOAD_TIME, put).await {
            Ok(Ok(())) => {}
            Ok(Err(PutError::Incomplete(why))) => return Err(Refused::Incomplete(why)),
            Ok(Err(PutError::Store(error))) => return Err(Refused::Store(error)),
            Err(_) => return Err(Refused::Slow),
        }
        let place = BlobPlace { kind: blobs.kind(), name: attempt };
        let stored = Write::StoreFile { name: self.file.name.clone(), blob: place.to_string(), media_type };
        match uploads.store.write(stored).await {
            Ok(_) => {
                tracing::debug!(%name, size = self.file.size, "a file was uploaded");
                Ok(())
            }
            // Whether the row knows of it is not known: if not, it is due when the slot ends.
            Err(StoreError::Unavailable(why)) => Err(Refused::Store(StoreError::Unavailable(why))),
            Err(error) => {
                // Its account was removed meanwhile, or another node filled the slot.
                if let Err(error) = blobs.remove(&place.name).await {
                    tracing::warn!(%name, %error, "an upload that is nobody's could not be removed");
                }
                Err(match error {
                    StoreError::Conflict(_) => match uploads.store.file(name.as_str()).await {
                        Ok(Some(file)) if file.stored => Refused::Used,
                        _ => Refused::Expired,
                    },
                    error => Refused::Store(error),
                })
            }
        }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut coming = self.uploads.coming.lock();
        coming.remove(&self.name);
        if coming.is_empty() {
            self.uploads.empty.notify_waiters();
        }
    }
}

/// What is told of a file where it is read without us.
fn shown(title: &str, media_type: Option<String>) -> Shown {
    Shown { disposition: disposition(title, media_type.as_deref()), media_type }
}

fn signed_text(name: &str, title: &str, until: u64) -> String {
    // The title is last: no other part can have a line break.
    format!("put\n{name}\n{until}\n{title}")
}

#[cfg(test)]
mod tests;
