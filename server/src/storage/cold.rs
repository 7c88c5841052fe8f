//! The cold archive: old messages of archives that were moved out of the store into files elsewhere, and the
//! catalogue by which they are found again. The store keeps the catalogue; what a file is and who reads it is told in
//! `crate::cold`.
//!
//! A file has everything that archives have of a range of ids, behind that of the file before. So up to some id (the
//! *reach*) everything archived is in files. The store may still have it for a while, and then both say the same.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::archive::End;
use super::{AccountNumber, Lease, MessageId, Millis, Owner, StoreFut};

/// What the catalogue knows of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColdFile {
    /// Its name in the catalogue; 0 for one that is not in it yet.
    pub number: u64,
    /// Where it is, a [`BlobPlace`](super::BlobPlace). Rewritten, a file is elsewhere.
    pub place: String,
    /// The range of ids, both included.
    pub first: MessageId,
    pub last: MessageId,
    /// When the messages came, the first and the last of them.
    pub oldest: Millis,
    pub newest: Millis,
    pub messages: u64,
    pub entries: u64,
    pub bytes: u64,
    /// Where in the file its index begins.
    pub index_at: u64,
    /// SHA-256 of the file, in hexadecimal.
    pub sum: String,
    /// How often something of it was given up that the file still has. Rewritten, it is 0 again.
    pub stale: u64,
}

/// What an owner has of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColdPart {
    pub owner: AccountNumber,
    /// The owner's first and last entry that count. Others of the file are given up.
    pub first: MessageId,
    pub last: MessageId,
    pub entries: u64,
}

/// A message that may be moved, with those who have it in their archives: perhaps nobody.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub id: MessageId,
    pub time: Millis,
    pub owners: Vec<Owner>,
    pub stanza: Bytes,
}

/// What there is in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ColdUsage {
    pub files: u64,
    pub bytes: u64,
    pub messages: u64,
}

/// A change of the catalogue. But for [`ColdChange::Trim`] each is a part of the job
/// [`Cold`](super::Job::Cold), under its lease.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ColdChange {
    /// Something will be put there, or is not needed there any more: from `due` on it is to be removed, unless a
    /// file says that it is there.
    Note { place: String, due: Millis },
    /// It is gone.
    Forget { place: String },
    /// From now on the file counts, and what the store still has of it does not. `Conflict` when it does not begin
    /// behind the reach, or when one of the parts does not begin in the store as it does here: then something of it
    /// was dropped meanwhile.
    Add { file: ColdFile, parts: Vec<ColdPart> },
    /// The file is written anew, without what was given up. `Conflict` when more was given up meanwhile.
    Swap { file: ColdFile },
    /// Nothing of it counts any more.
    Remove { number: u64 },
    /// The owner's part of the file begins here now, with so many entries; or nothing of it is left.
    Trim { number: u64, owner: AccountNumber, left: Option<(MessageId, u64)> },
}

pub trait Catalogue: Send + Sync {
    /// Up to which id everything archived is in files.
    fn cold_reach<'a>(&'a self) -> StoreFut<'a, MessageId>;
    /// The id below which messages may be moved, where those may that came before a time.
    fn cold_border<'a>(&'a self, before: Millis) -> StoreFut<'a, MessageId>;
    /// Messages between two ids, neither included, in order.
    fn cold_candidates<'a>(
        &'a self,
        after: MessageId,
        below: MessageId,
        limit: usize,
    ) -> StoreFut<'a, Vec<Candidate>>;
    /// Deletes what the store still has of archives up to this id, which is all in files; what waits for somebody
    /// waits on. A part of the job. Gives how many entries or months it was.
    fn clear_cold<'a>(&'a self, lease: &'a Lease, up_to: MessageId) -> StoreFut<'a, u64>;

    /// The owner's parts that have ids between the two, neither included, from one end of them on.
    fn cold_parts<'a>(
        &'a self,
        owner: AccountNumber,
        after: MessageId,
        before: MessageId,
        end: End,
        limit: usize,
    ) -> StoreFut<'a, Vec<(ColdFile, ColdPart)>>;
    /// The parts of a file, by owner, those behind one.
    fn cold_parts_of<'a>(
        &'a self,
        number: u64,
        after: AccountNumber,
        limit: usize,
    ) -> StoreFut<'a, Vec<ColdPart>>;
    /// Files in their order, those behind a number; all, or those that are to be written anew.
    fn cold_files<'a>(&'a self, after: u64, stale: bool, limit: usize) -> StoreFut<'a, Vec<ColdFile>>;
    fn cold_usage<'a>(&'a self) -> StoreFut<'a, ColdUsage>;
    /// Notes that are due at that time.
    fn cold_notes<'a>(&'a self, due: Millis, limit: usize) -> StoreFut<'a, Vec<String>>;
    /// Has anybody an account of another domain?
    fn has_other_domains<'a>(&'a self, domains: &'a [String]) -> StoreFut<'a, bool>;
}
