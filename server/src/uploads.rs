//! Uploads (XEP-0363): slots, what may be put into them, what is served of them, and when it goes. Whoever asks
//! (the XMPP side, the HTTP side, the operator) asks here.
//!
//! ```text
//! grant: a row     put: the blob, then the row says `stored`     get: only what is stored
//! expiry, an account's end, an operator: the blob goes, then the row
//! ```
//!
//! So each blob has a row for as long as it is there, and a crash leaves a row that is soon due.

mod cleaning;
mod place;
mod request;
mod titles;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::hmac;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::config::{Config, Limit};
use crate::storage::*;

pub use place::{Place, escape};
pub use request::{SlotError, SlotRequest};
pub use titles::{essence, is_media_type};

/// An upload that has begun may take so long.
pub const UPLOAD_TIME: Duration = Duration::from_secs(3600);
const DAY: Millis = 24 * 60 * 60 * 1000;

pub struct Uploads {
    store: Arc<dyn Store>,
    pub blobs: Arc<dyn Blobs>,
    live: Arc<ArcSwap<Config>>,
    clock: Clock,
    /// Signs slots; shared by all nodes.
    key: hmac::Key,
    /// Where clients reach us.
    place: ArcSwap<Place>,
    /// What is on its way into its slot. A plain lock: nothing waits under it.
    coming: Mutex<HashSet<BlobName>>,
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
        blobs: Arc<dyn Blobs>,
        live: Arc<ArcSwap<Config>>,
        clock: Clock,
        key: &[u8; 32],
        due: Arc<Notify>,
    ) -> Uploads {
        let place = ArcSwap::from_pointee(Place::configured(&live.load()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        Uploads { store, blobs, live, clock, key, place, coming: Mutex::default(), due }
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
        };
        let slot = self.slot(domain, &file, until);
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
    pub async fn find(&self, name: &str, title: &str) -> Result<Option<(BlobName, File)>, StoreError> {
        let Some(blob) = BlobName::parse(name) else { return Ok(None) };
        let file = self.store.file(name).await?;
        let file = file.filter(|file| file.stored && file.title == title && !file.is_due(self.clock.now()));
        Ok(file.map(|file| (blob, file)))
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

    fn slot(&self, domain: &str, file: &File, until: u64) -> Slot {
        let get = self.url(domain, file);
        let signature = hmac::sign(&self.key, signed_text(&file.name, &file.title, until).as_bytes());
        let put = format!("{get}?until={until}&signature={}", hex::encode(signature.as_ref()));
        Slot { put, get }
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
        let put = uploads.blobs.put(name, self.file.size, content);
        match tokio::time::timeout(UPLOAD_TIME, put).await {
            Ok(Ok(())) => {}
            Ok(Err(PutError::Incomplete(why))) => return Err(Refused::Incomplete(why)),
            Ok(Err(PutError::Store(error))) => return Err(Refused::Store(error)),
            Err(_) => return Err(Refused::Slow),
        }
        let media_type = self.media_type.clone();
        let stored = Write::StoreFile { name: self.file.name.clone(), media_type };
        match uploads.store.write(stored).await {
            Ok(_) => {
                tracing::debug!(%name, size = self.file.size, "a file was uploaded");
                Ok(())
            }
            // Whether the row knows of it is not known: if not, it is due when the slot ends.
            Err(StoreError::Unavailable(why)) => Err(Refused::Store(StoreError::Unavailable(why))),
            Err(error) => {
                // Its account was removed meanwhile.
                if let Err(error) = uploads.blobs.remove(name).await {
                    tracing::warn!(%name, %error, "an upload that is nobody's could not be removed");
                }
                Err(match error {
                    StoreError::Conflict(_) => Refused::Expired,
                    error => Refused::Store(error),
                })
            }
        }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.uploads.coming.lock().remove(&self.name);
    }
}

fn signed_text(name: &str, title: &str, until: u64) -> String {
    // The title is last: no other part can have a line break.
    format!("put\n{name}\n{until}\n{title}")
}

#[cfg(test)]
mod tests;
