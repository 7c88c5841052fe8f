//! Old messages go into files.
//!
//! ```text
//!   note the place -> put the file -> read it back, compare -> put it into the catalogue -> delete the store's own
//!        |                 |                                        |  the commit by which it counts
//!        '-- a crash up to here leaves a file that nobody knows:    '-- a crash from here on leaves rows that the
//!            the note says so, and it is removed                        next round deletes
//! ```
//!
//! All of it is done under the lease of [`Job::Cold`](crate::storage::Job::Cold), from the oldest message on.

use rand::random;
use serde::Serialize;

use super::Cold;
use super::format::{self, Entry};
use crate::jobs::Turn;
use crate::storage::*;

/// Messages that are read from the store at a time.
const PAGE: usize = 500;
/// When a file that was about to be put, and that nobody knows of, is removed: nobody puts one for so long.
pub const WHEN_DUE: Millis = 60 * 60 * 1000;

/// What was moved, or would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Moved {
    pub files: u64,
    pub messages: u64,
    /// Of messages in archives: a message is in one or two.
    pub entries: u64,
    /// Of the files; nothing where nothing was moved.
    pub bytes: u64,
}

/// What one file is to have: everything archived of a range of ids.
struct Slice {
    first: MessageId,
    last: MessageId,
    messages: u64,
    entries: Vec<Entry>,
    /// There is no more that may be moved.
    is_last: bool,
}

impl Cold {
    /// Moves what came before then, as long as it is this server's turn; `None` where it is not.
    pub async fn move_before(
        &self,
        turn: &mut Turn,
        before: Millis,
        now: Millis,
    ) -> Result<Option<Moved>, StoreError> {
        let _one = self.working.lock().await;
        let mut moved = Moved::default();
        if turn.take().await?.is_none() {
            return Ok(None);
        }
        let border = self.files()?.cold_border(before).await?;
        loop {
            let slice = self.slice(self.files()?.cold_reach().await?, border, before).await?;
            let (last, is_last) = (slice.last, slice.is_last);
            if !slice.entries.is_empty() {
                let moving = self.move_slice(turn, slice, now);
                let Some(file) = watched(&self.watch, Operation::ColdMove, moving).await? else {
                    return Ok(None);
                };
                moved.files += 1;
                moved.messages += file.messages;
                moved.entries += file.entries;
                moved.bytes += file.bytes;
            }
            let Some(lease) = turn.take().await? else { return Ok(None) };
            self.files()?.clear_cold(&lease, last).await?;
            if is_last {
                return Ok(Some(moved));
            }
        }
    }

    /// What would be moved.
    pub async fn movable(&self, before: Millis) -> Result<Moved, StoreError> {
        let mut movable = Moved::default();
        let border = self.files()?.cold_border(before).await?;
        let mut after = self.files()?.cold_reach().await?;
        loop {
            let slice = self.slice(after, border, before).await?;
            after = slice.last;
            movable.files += u64::from(!slice.entries.is_empty());
            movable.messages += slice.messages;
            movable.entries += slice.entries.len() as u64;
            if slice.is_last {
                return Ok(movable);
            }
        }
    }

    async fn slice(&self, reach: MessageId, border: MessageId, before: Millis) -> Result<Slice, StoreError> {
        let first = MessageId(reach.0.saturating_add(1));
        let mut slice = Slice { first, last: reach, messages: 0, entries: Vec::new(), is_last: false };
        let mut bytes = 0;
        while slice.messages < self.bounds.messages && bytes < self.bounds.bytes {
            let limit = PAGE.min(usize::try_from(self.bounds.messages - slice.messages).unwrap_or(PAGE));
            let page = self.files()?.cold_candidates(slice.last, border, limit).await?;
            let is_last = page.len() < limit;
            for Candidate { id, time, owners, stanza } in page {
                if time >= before {
                    slice.is_last = true;
                    return Ok(slice);
                }
                slice.last = id;
                slice.messages += u64::from(!owners.is_empty());
                bytes += owners.len() * stanza.len();
                slice.entries.extend(owners.into_iter().map(|owner| Entry {
                    owner: owner.account,
                    id,
                    time,
                    sent: owner.role.sent,
                    peer: owner.peer,
                    stanza: stanza.clone(),
                }));
            }
            if is_last {
                // No id below the border is given any more.
                slice.last = slice.last.max(MessageId(border.0.saturating_sub(1)));
                slice.is_last = true;
                break;
            }
        }
        Ok(slice)
    }

    async fn move_slice(
        &self,
        turn: &mut Turn,
        slice: Slice,
        now: Millis,
    ) -> Result<Option<ColdFile>, StoreError> {
        let Slice { first, last, entries, .. } = slice;
        let written = packed(entries).await?;
        let Some(place) = self.put_new(turn, &written, now).await? else { return Ok(None) };
        let file = catalogued(&written, ColdFile { first, last, ..new_file(place) });
        let change = ColdChange::Add { file: file.clone(), parts: written.parts };
        Ok(self.under(turn, change).await?.then_some(file))
    }

    /// Puts a file somewhere new, and looks whether it can be read there. It does not count yet.
    pub(super) async fn put_new(
        &self,
        turn: &mut Turn,
        written: &format::Written,
        now: Millis,
    ) -> Result<Option<String>, StoreError> {
        let Some(blobs) = self.places.first() else { return Err(StoreError::no_catalogue()) };
        let place = BlobPlace { kind: blobs.kind(), name: BlobName::new(random()).attempt(random()) };
        let place = place.to_string();
        let note = ColdChange::Note { place: place.clone(), due: now.saturating_add(WHEN_DUE) };
        if !self.under(turn, note).await? {
            return Ok(None);
        }
        self.put(&place, written.bytes.clone()).await?;
        let read = self.fetch(&place, 0, written.bytes.len() as u64).await?;
        let is_same = read.is_some_and(|read| read == written.bytes);
        match is_same {
            true => Ok(Some(place)),
            false => Err(StoreError::Damaged(format!("{place}: what was read is not what was written"))),
        }
    }

    /// A part of the job; false where it is another's by now.
    pub(super) async fn under(&self, turn: &mut Turn, change: ColdChange) -> Result<bool, StoreError> {
        let Some(lease) = turn.take().await? else { return Ok(false) };
        self.store.write(Write::Under { lease, write: Box::new(Write::Cold(change)) }).await?;
        Ok(true)
    }
}

/// Entries as a file. Packing takes a second of a processor's time, which the reactor has not.
pub(super) async fn packed(entries: Vec<Entry>) -> Result<format::Written, StoreError> {
    let packed = tokio::task::spawn_blocking(move || format::write(entries)).await;
    let packed = packed.map_err(|_| StoreError::closed())?;
    packed.map_err(|error| StoreError::Unavailable(format!("a cold file cannot be packed: {error}")))
}

fn new_file(place: String) -> ColdFile {
    let (none, sum) = (MessageId(0), String::new());
    ColdFile {
        number: 0,
        place,
        first: none,
        last: none,
        oldest: 0,
        newest: 0,
        messages: 0,
        entries: 0,
        bytes: 0,
        index_at: 0,
        sum,
        stale: 0,
    }
}

/// What is known of the file now that it is written.
pub(super) fn catalogued(written: &format::Written, file: ColdFile) -> ColdFile {
    ColdFile {
        oldest: written.oldest,
        newest: written.newest,
        messages: written.messages,
        entries: written.entries,
        bytes: written.bytes.len() as u64,
        index_at: written.index_at,
        sum: written.sum.clone(),
        ..file
    }
}
