//! Uploaded files (XEP-0363): whose they are, what they are, and until when. Their bytes are blobs.

use serde::{Deserialize, Serialize};

use super::blobs::{BlobKind, BlobName, BlobPlace, Usage};
use super::{AccountNumber, Millis, StoreFut};

/// A file from the grant of its slot on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Of its blob.
    pub name: String,
    /// Nobody once the account is gone: then the file is to go too.
    pub owner: Option<AccountNumber>,
    /// What its owner calls it.
    pub title: String,
    /// Its media type, if it was said by the slot's request or, later, with the upload.
    pub media_type: Option<String>,
    pub size: u64,
    /// When the slot was granted.
    pub created: Millis,
    /// Until when its upload is waited for; what is not stored then is to go.
    pub awaited_until: Millis,
    /// When it goes; `None`: it stays.
    pub expires: Option<Millis>,
    /// It has been uploaded, whole.
    pub stored: bool,
    /// Where its bytes are, once it is stored: a [`BlobPlace`]. Nothing for what an older server stored: under its
    /// own name, on disk.
    pub blob: Option<String>,
}

/// What an account may upload within a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileQuota {
    /// Slots granted since then count.
    pub since: Millis,
    pub files: u64,
    pub bytes: u64,
}

pub trait Files: Send + Sync {
    fn file<'a>(&'a self, name: &'a str) -> StoreFut<'a, Option<File>>;
    /// Files in the order of their names, those behind `after`; of one account, or all.
    fn files<'a>(
        &'a self,
        owner: Option<AccountNumber>,
        after: &'a str,
        limit: usize,
    ) -> StoreFut<'a, Vec<File>>;
    /// When slots were granted to the account since a time, and for how many bytes, the oldest first.
    fn files_granted<'a>(
        &'a self,
        owner: AccountNumber,
        since: Millis,
        limit: usize,
    ) -> StoreFut<'a, Vec<(Millis, u64)>>;
    /// Names of files that are to go: expired, not uploaded in time, or nobody's.
    fn files_due<'a>(&'a self, now: Millis, limit: usize) -> StoreFut<'a, Vec<String>>;
    /// What is stored of one account, or of all.
    fn file_usage<'a>(&'a self, owner: Option<AccountNumber>) -> StoreFut<'a, Usage>;
}

impl File {
    /// Where its bytes are; nothing where that cannot be read.
    pub fn place(&self) -> Option<BlobPlace> {
        match &self.blob {
            Some(text) => BlobPlace::parse(text),
            None => BlobName::parse(&self.name).map(|name| BlobPlace { kind: BlobKind::Disk, name }),
        }
    }

    /// Is it to go?
    pub fn is_due(&self, now: Millis) -> bool {
        self.owner.is_none()
            || self.expires.is_some_and(|expires| expires <= now)
            || (!self.stored && self.awaited_until <= now)
    }
}
