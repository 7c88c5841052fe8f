//! The work behind the commits: entries for the tail, rows that nobody needs, takings, accounts that are
//! gone. It is done in slices, each a transaction of about two milliseconds between two commits.

use std::collections::VecDeque;
use std::fmt::Write;
use std::time::{Duration, Instant};

use sqlx::SqliteConnection;

use super::books::Books;
use super::delete::{delete_some_of, erase, erase_no_more};
use super::entries::{INTO_ARCHIVE, INTO_RUNS, INTO_WAITING, Run, runs_of};
use super::packed::{Range, pack_ranges};
use super::tail::{Bulk, Entry, Tail};
use super::text;
use crate::storage::{AccountNumber, MessageId};

/// A bulk is due sooner than by its rows, when they have so many bytes of stanzas, which a start has to look through.
const BULK_BYTES: usize = 16 << 20;
/// A tail of so many bulks is too long: senders wait for several slices then.
const LONG_TAIL: usize = 4;
/// How many slices of text a search waits for.
const TEXT_SLICES: usize = 16;
const SLICE_TIME: Duration = Duration::from_millis(2);
/// The rows of a slice, adapted to its time by halving and doubling. With fewer, the disk's own latency would be most of
/// it.
pub const SLICE_ROWS: std::ops::RangeInclusive<usize> = 128..=1024;

pub struct Chores {
    filling: Option<Filling>,
    /// Still to be deleted; they are in `progress.dead` until the last is.
    dead: VecDeque<Range>,
    removals: VecDeque<AccountNumber>,
    slice_rows: usize,
    bulk_rows: usize,
    /// There is no room left: what is dead in the tail is to go, however little it is.
    pub pressed: bool,
    /// The tail up to here is to get its entries, however short it is.
    wanted: MessageId,
    /// Messages up to here can be found by their words, where that is switched on.
    text: Option<MessageId>,
}

/// A bulk, and how much of it is made.
struct Filling {
    bulk: Bulk,
    runs: Vec<Run>,
    made: Made,
}

#[derive(Default)]
struct Made {
    waiting: usize,
    archive: usize,
    runs: usize,
}

impl Chores {
    pub fn new(
        dead: Vec<Range>,
        removals: Vec<AccountNumber>,
        text: Option<MessageId>,
        bulk_rows: usize,
    ) -> Chores {
        Chores {
            filling: None,
            dead: dead.into(),
            removals: removals.into(),
            slice_rows: 256,
            bulk_rows: bulk_rows.max(1),
            pressed: false,
            wanted: MessageId(0),
            text,
        }
    }

    /// An account went. What it left in the tail goes too, and not only when the tail is long.
    pub fn removed(&mut self, owner: AccountNumber, tail: &Tail) {
        self.removals.push_back(owner);
        self.wanted = tail.newest();
    }

    /// Makes the entries of the whole tail, at once: for what looks at entries only, and comes rarely.
    pub async fn index_all(
        &mut self,
        connection: &mut SqliteConnection,
        books: &parking_lot::Mutex<Books>,
    ) -> Result<(), sqlx::Error> {
        self.wanted = books.lock().tail().newest();
        while self.filling.is_some() || self.bulk_is_due(books.lock().tail()) {
            self.fill(connection, books).await?;
        }
        Ok(())
    }

    /// Is there a slice to do?
    pub fn waiting(&self, tail: &Tail) -> bool {
        self.filling.is_some()
            || !self.dead.is_empty()
            || !self.removals.is_empty()
            || self.bulk_is_due(tail)
            || self.text_is_due(tail)
    }

    fn text_is_due(&self, tail: &Tail) -> bool {
        self.text.is_some_and(|indexed| indexed < tail.newest())
    }

    /// Lets what was saved be found by its words, before somebody looks for them. What is behind by more
    /// than that, as when this was just switched on, is found later.
    pub async fn catch_up_text(
        &mut self,
        connection: &mut SqliteConnection,
        books: &parking_lot::Mutex<Books>,
    ) -> Result<(), sqlx::Error> {
        for _ in 0..TEXT_SLICES {
            if !self.text_is_due(books.lock().tail()) {
                break;
            }
            self.fill_text(connection, books).await?;
        }
        Ok(())
    }

    async fn fill_text(
        &mut self,
        connection: &mut SqliteConnection,
        books: &parking_lot::Mutex<Books>,
    ) -> Result<(), sqlx::Error> {
        let Some(indexed) = self.text else { return Ok(()) };
        let newest = books.lock().tail().newest();
        self.text = Some(text::fill(connection, indexed, newest, self.slice_rows).await?);
        Ok(())
    }

    fn bulk_is_due(&self, tail: &Tail) -> bool {
        tail.len() >= self.bulk_rows
            || tail.bytes() >= BULK_BYTES
            || (self.pressed && tail.len() > 0)
            || (tail.indexed() < self.wanted && tail.len() > 0)
    }

    pub fn behind(&self, tail: &Tail) -> bool {
        tail.len() >= LONG_TAIL * self.bulk_rows || tail.bytes() >= LONG_TAIL * BULK_BYTES
    }

    /// Does one slice. After an error it is to be done again: every step can be repeated.
    pub async fn slice(
        &mut self,
        connection: &mut SqliteConnection,
        books: &parking_lot::Mutex<Books>,
    ) -> Result<(), sqlx::Error> {
        let start = Instant::now();
        if !self.removals.is_empty() {
            erase(connection).await?;
        }
        if !self.dead.is_empty() {
            self.sweep(connection).await?;
        } else if self.filling.is_some() || self.bulk_is_due(books.lock().tail()) {
            self.fill(connection, books).await?;
        } else if let Some(owner) = self.removals.front().copied() {
            // Behind the bulk, which may have made entries for the owner.
            if delete_some_of(connection, owner, self.slice_rows).await? {
                self.removals.pop_front();
                erase_no_more(connection).await?;
            }
        } else if self.text_is_due(books.lock().tail()) {
            self.fill_text(connection, books).await?;
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
            let bulk = books.lock().tail().read_bulk(self.bulk_rows);
            Filling { runs: runs_of(&bulk.archive), bulk, made: Made::default() }
        });
        let (Filling { bulk, runs, made }, rows) = (filling, self.slice_rows);
        let made = INTO_WAITING.slice(connection, &bulk.waiting, &mut made.waiting, rows).await?
            || INTO_ARCHIVE.slice(connection, &bulk.archive, &mut made.archive, rows).await?
            || INTO_RUNS.slice(connection, runs, &mut made.runs, rows).await?;
        if made {
            return Ok(());
        }
        // What of the bulk before is not swept yet stays to be swept.
        let dead: Vec<Range> = self.dead.iter().chain(&bulk.dead).copied().collect();
        sqlx::query("UPDATE progress SET indexed = ?, dead = ?")
            .bind(bulk.end.0 as i64)
            .bind(pack_ranges(&dead))
            .execute(connection)
            .await?;
        books.lock().indexed(bulk);
        self.dead = dead.into();
        self.filling = None;
        Ok(())
    }
}

/// Entries as `[[owner,id,flag,peer],...]`.
pub fn json(entries: impl Iterator<Item = Entry>) -> String {
    let mut text = String::from("[");
    for entry in entries {
        let comma = if text.len() == 1 { "" } else { "," };
        let flag = u8::from(entry.flag);
        // Writing to a string cannot fail.
        let _ = write!(text, "{comma}[{},{},{flag},{}]", entry.owner.0, entry.id.0, entry.peer.0 as i64);
    }
    text.push(']');
    text
}
