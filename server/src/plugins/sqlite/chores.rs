//! The work behind the commits: entries for the tail, rows that nobody needs, takings, accounts that are
//! gone. It is done in slices, each a transaction of about two milliseconds between two commits.

use std::collections::VecDeque;
use std::fmt::Write;
use std::time::{Duration, Instant};

use sqlx::{Connection, SqliteConnection};

use super::books::Books;
use super::packed::{Owners, Pair, Range, pack_ranges, unpack_owners};
use super::tail::{Bulk, Entry};
use crate::storage::{AccountNumber, MessageId, Owner};

/// The tail's rows get their entries this many at once.
pub const BULK_ROWS: usize = 2048;
/// A tail of so many is too long: senders wait for several slices then.
const LONG_TAIL_ROWS: usize = 16 * BULK_ROWS;
const SLICE_TIME: Duration = Duration::from_millis(2);
/// The rows of a slice, adapted to its time. With fewer, the disk's own latency would be most of it.
const SLICE_ROWS: std::ops::RangeInclusive<usize> = 128..=1024;

pub struct Chores {
    filling: Option<Filling>,
    /// Still to be deleted; they are in `progress.dead` until the last is.
    dead: VecDeque<Range>,
    removals: VecDeque<AccountNumber>,
    slice_rows: usize,
}

/// A bulk, and how many of its entries are made.
struct Filling {
    bulk: Bulk,
    waiting: usize,
    archive: usize,
}

impl Chores {
    pub fn new(dead: Vec<Range>, removals: Vec<AccountNumber>) -> Chores {
        Chores { filling: None, dead: dead.into(), removals: removals.into(), slice_rows: 256 }
    }

    pub fn removed(&mut self, owner: AccountNumber) {
        self.removals.push_back(owner);
    }

    /// Is there a slice to do at once? (Takings are no hurry, and only asked for when they are due.)
    pub fn waiting(&self, tail_rows: usize) -> bool {
        self.filling.is_some() || !self.dead.is_empty() || !self.removals.is_empty() || tail_rows >= BULK_ROWS
    }

    pub fn behind(&self, tail_rows: usize) -> bool {
        tail_rows >= LONG_TAIL_ROWS
    }

    /// Does one slice. After an error it is to be done again: every step can be repeated.
    pub async fn slice(
        &mut self,
        connection: &mut SqliteConnection,
        books: &parking_lot::Mutex<Books>,
    ) -> Result<(), sqlx::Error> {
        let start = Instant::now();
        if !self.dead.is_empty() {
            self.sweep(connection).await?;
        } else if self.filling.is_some() || books.lock().tail().len() >= BULK_ROWS {
            self.fill(connection, books).await?;
        } else if let Some(owner) = self.removals.front().copied() {
            // Behind the bulk, which may have made entries for the owner.
            if remove_entries(connection, owner, self.slice_rows).await? {
                self.removals.pop_front();
            }
        }
        let (time, rows) = (start.elapsed(), self.slice_rows);
        let rows = if time > SLICE_TIME {
            rows / 2
        } else if time < SLICE_TIME / 2 {
            rows * 2
        } else {
            rows
        };
        self.slice_rows = rows.clamp(*SLICE_ROWS.start(), *SLICE_ROWS.end());
        Ok(())
    }

    async fn sweep(&mut self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let mut slice: Vec<Range> = Vec::new();
        let mut room = self.slice_rows as u64;
        let mut rest = self.dead.clone();
        while let Some((first, last)) = rest.pop_front() {
            let end = last.min(first.saturating_add(room - 1));
            slice.push((first, end));
            room -= end - first + 1;
            if end < last {
                rest.push_front((end + 1, last));
            }
            if room == 0 {
                break;
            }
        }
        if let [(first, last)] = slice[..] {
            let delete = sqlx::query("DELETE FROM message WHERE id BETWEEN ? AND ?");
            delete.bind(first as i64).bind(last as i64).execute(&mut *connection).await?;
        } else {
            let ids: Vec<String> =
                slice.iter().flat_map(|range| range.0..=range.1).map(|id| id.to_string()).collect();
            let delete = sqlx::query("DELETE FROM message WHERE id IN (SELECT value FROM json_each(?))");
            delete.bind(format!("[{}]", ids.join(","))).execute(&mut *connection).await?;
        }
        if rest.is_empty() {
            sqlx::query("UPDATE progress SET dead = x''").execute(connection).await?;
        }
        self.dead = rest;
        Ok(())
    }

    async fn fill(
        &mut self,
        connection: &mut SqliteConnection,
        books: &parking_lot::Mutex<Books>,
    ) -> Result<(), sqlx::Error> {
        let filling = self.filling.get_or_insert_with(|| {
            let bulk = books.lock().tail().read_bulk(BULK_ROWS);
            Filling { bulk, waiting: 0, archive: 0 }
        });
        let Filling { bulk, waiting, archive } = filling;
        let made = make_entries(connection, INTO_WAITING, &bulk.waiting, waiting, self.slice_rows).await?
            || make_entries(connection, INTO_ARCHIVE, &bulk.archive, archive, self.slice_rows).await?;
        if made {
            return Ok(());
        }
        let dead = books.lock().tail().dead(bulk.end);
        sqlx::query("UPDATE progress SET indexed = ?, dead = ?")
            .bind(bulk.end.0 as i64)
            .bind(pack_ranges(&dead))
            .execute(connection)
            .await?;
        books.lock().indexed(bulk);
        self.filling = None;
        self.dead = dead.into();
        Ok(())
    }
}

const INTO_WAITING: &str = "INSERT OR IGNORE INTO waiting (owner, id, alone)
    SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?)";
const INTO_ARCHIVE: &str = "INSERT OR IGNORE INTO archive (owner, id, sent)
    SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?)";

/// False when there was nothing left to make.
async fn make_entries(
    connection: &mut SqliteConnection,
    sql: &'static str,
    entries: &[Entry],
    made: &mut usize,
    rows: usize,
) -> Result<bool, sqlx::Error> {
    let left = entries.get(*made..).unwrap_or_default();
    let slice = left.get(..rows).unwrap_or(left);
    if slice.is_empty() {
        return Ok(false);
    }
    sqlx::query(sql).bind(json(slice.iter().copied())).execute(connection).await?;
    *made += slice.len();
    Ok(true)
}

/// Entries as `[[owner,id,flag],...]`.
pub fn json(entries: impl Iterator<Item = Entry>) -> String {
    let mut text = String::from("[");
    for entry in entries {
        let comma = if text.len() == 1 { "" } else { "," };
        let flag = u8::from(entry.flag);
        // Writing to a string cannot fail.
        let _ = write!(text, "{comma}[{},{},{flag}]", entry.owner.0, entry.id.0);
    }
    text.push(']');
    text
}

/// Deletes the entries of what was taken, with the messages that nothing else needs. Gives the pairs
/// that were there.
pub async fn delete_taken(
    connection: &mut SqliteConnection,
    pairs: &[Pair],
) -> Result<Vec<Pair>, sqlx::Error> {
    let entries = json(pairs.iter().map(|(owner, id)| Entry { owner: *owner, id: *id, flag: false }));
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let deleted: Vec<(i64, i64, bool)> = sqlx::query_as(
        "DELETE FROM waiting WHERE (owner, id) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))
         RETURNING owner, id, alone",
    )
    .bind(entries)
    .fetch_all(&mut *transaction)
    .await?;
    delete_messages(&mut transaction, deleted.iter().map(|(_, id, alone)| (*id, *alone))).await?;
    transaction.commit().await?;
    Ok(deleted
        .into_iter()
        .map(|(owner, id, _)| (AccountNumber(owner as u64), MessageId(id as u64)))
        .collect())
}

/// Deletes some entries of an account that is gone; true when they were the last.
async fn remove_entries(
    connection: &mut SqliteConnection,
    owner: AccountNumber,
    rows: usize,
) -> Result<bool, sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let mut ids: Vec<(i64, bool)> = Vec::new();
    for sql in [
        "DELETE FROM waiting WHERE owner = ?1 AND id IN (SELECT id FROM waiting WHERE owner = ?1 LIMIT ?2)
         RETURNING id, alone",
        "DELETE FROM archive WHERE owner = ?1 AND id IN (SELECT id FROM archive WHERE owner = ?1 LIMIT ?2)
         RETURNING id, 0",
    ] {
        let delete = sqlx::query_as(sql).bind(owner.0 as i64).bind(rows as i64);
        let deleted: Vec<(i64, bool)> = delete.fetch_all(&mut *transaction).await?;
        ids.extend(deleted);
    }
    let done = ids.is_empty();
    if done {
        let forget = sqlx::query("DELETE FROM account_removed WHERE number = ?");
        forget.bind(owner.0 as i64).execute(&mut *transaction).await?;
    }
    delete_messages(&mut transaction, ids.into_iter()).await?;
    transaction.commit().await?;
    Ok(done)
}

/// An entry of each of these messages was deleted, which was the only one or not.
async fn delete_messages(
    connection: &mut SqliteConnection,
    messages: impl Iterator<Item = (i64, bool)>,
) -> Result<(), sqlx::Error> {
    let mut ids = Vec::new();
    for (id, alone) in messages {
        if alone || !is_needed(connection, id).await? {
            ids.push(id.to_string());
        }
    }
    if !ids.is_empty() {
        let delete = sqlx::query("DELETE FROM message WHERE id IN (SELECT value FROM json_each(?))");
        delete.bind(format!("[{}]", ids.join(","))).execute(connection).await?;
    }
    Ok(())
}

/// Has any owner of the message an entry for it?
async fn is_needed(connection: &mut SqliteConnection, id: i64) -> Result<bool, sqlx::Error> {
    let owners: Option<Vec<u8>> = sqlx::query_scalar("SELECT owners FROM message WHERE id = ?")
        .bind(id)
        .fetch_optional(&mut *connection)
        .await?;
    let owners: Owners = owners.and_then(|bytes| unpack_owners(&bytes)).unwrap_or_default();
    for Owner { account, .. } in owners {
        let entries: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM waiting WHERE owner = ?1 AND id = ?2)
                 OR EXISTS (SELECT 1 FROM archive WHERE owner = ?1 AND id = ?2)",
        )
        .bind(account.0 as i64)
        .bind(id)
        .fetch_one(&mut *connection)
        .await?;
        if entries {
            return Ok(true);
        }
    }
    Ok(false)
}
