//! Reading archives: entries by owner, or by owner and the runs of a peer, and behind them the tail.
//!
//! A page is a seek in an index and its rows, however deep it lies: nothing is counted or skipped.
//! Times have no index: ids and times rise together, so that an id near a time is found by halving, and
//! the rows from there on are compared exactly.

use xmpp_core::date::format_utc;

use super::Sqlite;
use super::apply::Change;
use super::read::{SavedRow, saved};
use super::text::matching;
use crate::storage::archive::{DISORDER, End, Filter};
use crate::storage::*;

/// Before and behind all times, as text.
const EVER: (&str, &str) = ("", "~");

/// The first id at or behind a time, by halving the ids; gaps are passed over.
pub const FIRST_AT: &str = "WITH RECURSIVE search (low, high) AS (
        -- Each by itself: together they would be looked for in the whole table.
        SELECT coalesce((SELECT min(id) FROM message), 0), coalesce((SELECT max(id) FROM message), 0) + 1
        UNION ALL
        SELECT
            iif(message.id < high AND message.time < ?1, message.id + 1, low),
            iif(message.id < high AND message.time < ?1, high, (low + high) / 2)
        FROM search JOIN message
            ON message.id = (SELECT id FROM message WHERE id >= (low + high) / 2 ORDER BY id LIMIT 1)
        WHERE low < high
    )
    SELECT low FROM search WHERE low >= high";

/// ?1 owner, ?2 and ?3 the ids between, ?4 and ?5 the first and last time, ?6 the least `sent`, ?7 limit.
/// `$from`: where the entries come from, in this order: by itself SQLite would rather look through all of the owner's.
macro_rules! entries {
    ($from:literal, $which:literal, $what:literal, $order:expr) => {
        concat!(
            "SELECT ",
            $what,
            " FROM ",
            $from,
            " JOIN message ON message.id = archive.id
             WHERE archive.owner = ?1 AND time >= ?4 AND time <= ?5 AND sent >= ?6
             AND EXISTS (SELECT 1 FROM account WHERE number = ?1) AND ",
            $which,
            $order,
            " LIMIT ?7"
        )
    };
    ($from:literal, $which:literal, Oldest $oldest:literal, Newest $newest:literal) => {
        [
            entries!($from, $which, "archive.id, time, stanza, owners", concat!(" ORDER BY ", $oldest)),
            entries!($from, $which, "archive.id, time, stanza, owners", concat!(" ORDER BY ", $newest)),
            concat!("SELECT count(*) FROM (", entries!($from, $which, "1", ""), ")"),
        ]
    };
}
pub const OF_ALL: [&str; 3] = entries!(
    "archive", "archive.id > ?2 AND archive.id < ?3",
    Oldest "archive.id", Newest "archive.id DESC"
);
/// The runs that reach into what is asked for: the last that begins before it, and all that begin within.
pub const OF_PEER: [&str; 3] = entries!(
    "run CROSS JOIN archive ON archive.id BETWEEN max(run.first, ?2 + 1) AND min(run.last, ?3 - 1)",
    "archive.peer = ?8 AND run.owner = ?1 AND run.peer = ?8 AND run.first < ?3 AND run.first >= coalesce(
         (SELECT max(first) FROM run WHERE owner = ?1 AND peer = ?8 AND first <= ?2), 0)",
    Oldest "run.first, archive.id", Newest "run.first DESC, archive.id DESC"
);
pub const OF_IDS: [&str; 3] = entries!(
    "archive", "archive.id > ?2 AND archive.id < ?3 AND archive.id IN (SELECT value FROM json_each(?8))",
    Oldest "archive.id", Newest "archive.id DESC"
);
pub const OF_BOTH: [&str; 3] = entries!(
    "archive",
    "archive.id > ?2 AND archive.id < ?3 AND archive.id IN (SELECT value FROM json_each(?8)) AND peer = ?9",
    Oldest "archive.id", Newest "archive.id DESC"
);

/// How many there are needs no message, where no time is asked for.
pub const COUNT_ALL: &str = "SELECT count(*) FROM (SELECT 1 FROM archive
    WHERE archive.owner = ?1 AND archive.id > ?2 AND archive.id < ?3 AND sent >= ?6
    AND EXISTS (SELECT 1 FROM account WHERE number = ?1) LIMIT ?7)";

/// ?1 ids, ?2 and ?3 the first and last time, ?4 limit.
macro_rules! tail {
    ($what:literal, $order:literal) => {
        concat!(
            "SELECT ",
            $what,
            " FROM message WHERE id IN (SELECT value FROM json_each(?1)) AND time >= ?2 AND time <= ?3",
            $order,
            " LIMIT ?4"
        )
    };
}

pub const OF_TAIL: [&str; 3] = [
    tail!("id, time, stanza, owners", " ORDER BY id"),
    tail!("id, time, stanza, owners", " ORDER BY id DESC"),
    concat!("SELECT count(*) FROM (", tail!("1", ""), ")"),
];

/// ?8 what matches, ?9 the peer and ?10 the ids, where they are asked for. The order of the tables is
/// the order in which they are read: what matches comes in order of ids already.
macro_rules! texts {
    ($what:literal, $order:literal) => {
        concat!(
            "SELECT ",
            $what,
            " FROM message_text CROSS JOIN archive ON archive.id = message_text.rowid AND archive.owner = ?1
             CROSS JOIN message ON message.id = archive.id
             WHERE message_text MATCH ?8 AND message_text.rowid > ?2 AND message_text.rowid < ?3
             AND time >= ?4 AND time <= ?5 AND sent >= ?6 AND (?9 IS NULL OR peer = ?9)
             AND (?10 IS NULL OR archive.id IN (SELECT value FROM json_each(?10)))
             AND EXISTS (SELECT 1 FROM account WHERE number = ?1)",
            $order,
            " LIMIT ?7"
        )
    };
}

pub const OF_TEXT: [&str; 3] = [
    texts!("archive.id, time, stanza, owners", " ORDER BY message_text.rowid"),
    texts!("archive.id, time, stanza, owners", " ORDER BY message_text.rowid DESC"),
    concat!("SELECT count(*) FROM (", texts!("1", ""), ")"),
];

/// Which ids of the tail match. ?1 ids, ?2 what matches, ?3 where the tail begins. The plus keeps SQLite from
/// searching anew for each id.
pub const TAIL_OF_TEXT: &str = "SELECT rowid FROM message_text
    WHERE message_text MATCH ?2 AND rowid > ?3 AND +rowid IN (SELECT value FROM json_each(?1))";

/// Which of the three statements.
#[derive(Clone, Copy)]
enum Form {
    Oldest = 0,
    Newest = 1,
    Count = 2,
}

/// What is asked for, as the statements take it.
struct Bounds {
    after: i64,
    before: i64,
    first: String,
    last: String,
    limit: i64,
}

impl Archive for Sqlite {
    fn archived<'a>(
        &'a self,
        owner: AccountNumber,
        filter: &'a Filter,
        end: End,
        limit: usize,
    ) -> StoreFut<'a, Vec<Saved>> {
        Box::pin(async move {
            let (indexed, mut tail) = self.sources(owner, filter).await?;
            let bounds = self.bounds(filter, indexed, limit as u64).await?;
            if filter.start.is_none() && filter.end.is_none() {
                // All of them match, so that no more than a page of them is asked for.
                match end {
                    End::Oldest => tail.truncate(limit),
                    End::Newest => drop(tail.drain(..tail.len().saturating_sub(limit))),
                }
            }
            let mut rows = match end {
                End::Oldest => self.entries(owner, filter, &bounds, Form::Oldest).await?,
                End::Newest => self.tail(tail.clone(), &bounds, Form::Newest).await?,
            };
            // What is still missing is at the other place; it comes behind in the order of reading.
            let bounds = Bounds { limit: bounds.limit - rows.len() as i64, ..bounds };
            if bounds.limit > 0 {
                rows.extend(match end {
                    End::Oldest => self.tail(tail, &bounds, Form::Oldest).await?,
                    End::Newest => self.entries(owner, filter, &bounds, Form::Newest).await?,
                });
            }
            if end == End::Newest {
                rows.reverse();
            }
            rows.into_iter().map(|row| saved(row, owner, &self.named)).collect()
        })
    }

    fn count_archived<'a>(
        &'a self,
        owner: AccountNumber,
        filter: &'a Filter,
        at_most: u64,
    ) -> StoreFut<'a, u64> {
        Box::pin(async move {
            let (indexed, tail) = self.sources(owner, filter).await?;
            let bounds = self.bounds(filter, indexed, at_most).await?;
            let entries: Vec<(i64,)> = self.entries(owner, filter, &bounds, Form::Count).await?;
            let tail: Vec<(i64,)> = self.tail(tail, &bounds, Form::Count).await?;
            let count: i64 = entries.iter().chain(&tail).map(|row| row.0).sum();
            Ok((count as u64).min(at_most))
        })
    }

    fn verify_archives<'a>(&'a self) -> StoreFut<'a, Verified> {
        Box::pin(self.verify_all())
    }
}

impl Sqlite {
    /// The id up to which entries are to be looked at, and what matches behind it, but for the times.
    async fn sources(
        &self,
        owner: AccountNumber,
        filter: &Filter,
    ) -> Result<(MessageId, Vec<MessageId>), StoreError> {
        let Some(text) = &filter.text else { return Ok(self.books.lock().archived(owner, filter)) };
        let Some(matching) = matching(owner, text) else { return Ok(Default::default()) };
        self.change(Change::FindText).await?;
        let (indexed, tail) = self.books.lock().archived(owner, filter);
        if tail.is_empty() {
            return Ok((indexed, tail));
        }
        let query = sqlx::query_as(TAIL_OF_TEXT).bind(json(&tail)).bind(matching).bind(indexed.0 as i64);
        let found: Vec<(i64,)> = self.all(query).await?;
        Ok((indexed, found.into_iter().map(|row| MessageId(row.0 as u64)).collect()))
    }

    async fn bounds(&self, filter: &Filter, indexed: MessageId, limit: u64) -> Result<Bounds, StoreError> {
        let mut after = filter.after.map_or(0, |after| after.0);
        let mut before = filter.before.map_or(u64::MAX, |before| before.0).min(indexed.0 + 1);
        if let Some(start) = filter.start {
            after = after.max(self.first_at(start.saturating_sub(DISORDER)).await?.saturating_sub(1));
        }
        if let Some(end) = filter.end {
            before = before.min(self.first_at(end.saturating_add(DISORDER)).await?);
        }
        let text = |time: Option<Millis>, ever: &str| time.map_or_else(|| ever.to_owned(), format_utc);
        Ok(Bounds {
            after: number(after),
            before: number(before),
            first: text(filter.start, EVER.0),
            last: text(filter.end, EVER.1),
            limit: number(limit),
        })
    }

    async fn first_at(&self, time: Millis) -> Result<u64, StoreError> {
        let row: Option<(i64,)> = self.one(sqlx::query_as(FIRST_AT).bind(format_utc(time))).await?;
        Ok(row.map_or(0, |row| row.0 as u64))
    }

    async fn entries<T: Row>(
        &self,
        owner: AccountNumber,
        filter: &Filter,
        bounds: &Bounds,
        form: Form,
    ) -> Result<Vec<T>, StoreError> {
        let text = match &filter.text {
            None => None,
            Some(text) => match matching(owner, text) {
                None => return Ok(Vec::new()),
                text => text,
            },
        };
        let statements = match (&filter.ids, filter.with) {
            _ if text.is_some() => OF_TEXT,
            (None, None) => OF_ALL,
            (None, Some(_)) => OF_PEER,
            (Some(_), None) => OF_IDS,
            (Some(_), Some(_)) => OF_BOTH,
        };
        let times = filter.start.is_some() || filter.end.is_some();
        let statement = match (form, &filter.ids, filter.with) {
            (Form::Count, None, None) if !times && text.is_none() => COUNT_ALL,
            _ => statements[form as usize],
        };
        let mut query = sqlx::query_as(statement)
            .bind(owner.0 as i64)
            .bind(bounds.after)
            .bind(bounds.before)
            .bind(&bounds.first)
            .bind(&bounds.last)
            .bind(i64::from(filter.sent))
            .bind(bounds.limit);
        if let Some(text) = text {
            let (peer, ids) = (filter.with.map(|peer| peer.0 as i64), filter.ids.as_deref().map(json));
            return self.all(query.bind(text).bind(peer).bind(ids)).await;
        }
        if let Some(ids) = &filter.ids {
            query = query.bind(json(ids));
        }
        if let Some(with) = filter.with {
            query = query.bind(with.0 as i64);
        }
        self.all(query).await
    }

    async fn tail<T: Row>(
        &self,
        ids: Vec<MessageId>,
        bounds: &Bounds,
        form: Form,
    ) -> Result<Vec<T>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let query = sqlx::query_as(OF_TAIL[form as usize]);
        let query = query.bind(json(&ids)).bind(&bounds.first).bind(&bounds.last).bind(bounds.limit);
        self.all(query).await
    }
}

/// What a statement gives: messages, or their number.
trait Row: Send + Unpin + for<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow> {}
impl Row for SavedRow {}
impl Row for (i64,) {}

fn json(ids: &[MessageId]) -> String {
    let ids: Vec<String> = ids.iter().map(|id| id.0.to_string()).collect();
    format!("[{}]", ids.join(","))
}

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
