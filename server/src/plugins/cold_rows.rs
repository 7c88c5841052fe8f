//! Rows of the cold archive's catalogue, the same in both databases.

use crate::storage::{AccountNumber, ColdFile, ColdPart, MessageId};

/// number, place, first, last, oldest, newest, messages, entries, bytes, index_at, sum, stale.
pub type FileRow = (i64, String, i64, i64, i64, i64, i64, i64, i64, i64, String, i64);
/// owner, first, last, entries.
pub type PartRow = (i64, i64, i64, i64);
/// A file, and a part of it.
pub type BothRow = (i64, String, i64, i64, i64, i64, i64, i64, i64, i64, String, i64, i64, i64, i64, i64);
pub fn file(row: FileRow) -> ColdFile {
    let (number, place, first, last, oldest, newest, messages, entries, bytes, index_at, sum, stale) = row;
    ColdFile {
        number: number as u64,
        place,
        first: MessageId(first as u64),
        last: MessageId(last as u64),
        oldest: oldest as u64,
        newest: newest as u64,
        messages: messages as u64,
        entries: entries as u64,
        bytes: bytes as u64,
        index_at: index_at as u64,
        sum,
        stale: stale as u64,
    }
}

pub fn part((owner, first, last, entries): PartRow) -> ColdPart {
    ColdPart {
        owner: AccountNumber(owner as u64),
        first: MessageId(first as u64),
        last: MessageId(last as u64),
        entries: entries as u64,
    }
}

pub fn both(row: BothRow) -> (ColdFile, ColdPart) {
    let (a, b, c, d, e, f, g, h, i, j, k, l, owner, first, last, entries) = row;
    (file((a, b, c, d, e, f, g, h, i, j, k, l)), part((owner, first, last, entries)))
}
