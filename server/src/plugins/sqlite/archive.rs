//! Reading archives: entries by owner, or by owner and peer, and behind them the tail.
//!
//! A page is a seek in an index and its rows, however deep it lies: nothing is counted or skipped.
//! Times have no index: ids and times rise together, so that an id near a time is found by halving, and
//! the rows from there on are compared exactly.

use xmpp_core::date::format_utc;

use super::Sqlite;
use super::read::{SavedRow, saved};
use crate::storage::archive::{End, Filter};
use crate::storage::*;

/// How much later a message may have been committed than it came, and how far a clock may have been
/// set back, for a search by time to find it still.
const DISORDER: Millis = 10 * 60 * 1000;
/// Before and behind all times, as text.
const EVER: (&str, &str) = ("", "~");

/// The first id at or behind a time, by halving the ids; gaps are passed over.
const FIRST_AT: &str = "WITH RECURSIVE search (low, high) AS (
        SELECT coalesce(min(id), 0), coalesce(max(id), 0) + 1 FROM message
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
macro_rules! entries {
    ($which:literal, $what:literal, $order:literal) => {
        concat!(
            "SELECT ",
            $what,
            " FROM archive JOIN message ON message.id = archive.id
             WHERE archive.owner = ?1 AND archive.id > ?2 AND archive.id < ?3 AND time >= ?4 AND time <= ?5
             AND sent >= ?6 AND EXISTS (SELECT 1 FROM account WHERE number = ?1) ",
            $which,
            $order,
            " LIMIT ?7"
        )
    };
    ($which:literal) => {
        [
            entries!($which, "archive.id, time, stanza, owners", " ORDER BY archive.id"),
            entries!($which, "archive.id, time, stanza, owners", " ORDER BY archive.id DESC"),
            concat!("SELECT count(*) FROM (", entries!($which, "1", ""), ")"),
        ]
    };
}

const OF_ALL: [&str; 3] = entries!("");
const OF_PEER: [&str; 3] = entries!(" AND peer = ?8");
const OF_IDS: [&str; 3] = entries!(" AND archive.id IN (SELECT value FROM json_each(?8))");
const OF_BOTH: [&str; 3] = entries!(" AND archive.id IN (SELECT value FROM json_each(?8)) AND peer = ?9");

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

const OF_TAIL: [&str; 3] = [
    tail!("id, time, stanza, owners", " ORDER BY id"),
    tail!("id, time, stanza, owners", " ORDER BY id DESC"),
    concat!("SELECT count(*) FROM (", tail!("1", ""), ")"),
];

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
            let (indexed, tail) = self.books.lock().archived(owner, filter);
            let bounds = self.bounds(filter, indexed, limit as u64).await?;
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
            let (indexed, tail) = self.books.lock().archived(owner, filter);
            let bounds = self.bounds(filter, indexed, at_most).await?;
            let entries: Vec<(i64,)> = self.entries(owner, filter, &bounds, Form::Count).await?;
            let tail: Vec<(i64,)> = self.tail(tail, &bounds, Form::Count).await?;
            let count: i64 = entries.iter().chain(&tail).map(|row| row.0).sum();
            Ok((count as u64).min(at_most))
        })
    }
}

impl Sqlite {
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
        let statements = match (&filter.ids, filter.with) {
            (None, None) => OF_ALL,
            (None, Some(_)) => OF_PEER,
            (Some(_), None) => OF_IDS,
            (Some(_), Some(_)) => OF_BOTH,
        };
        let mut query = sqlx::query_as(statements[form as usize])
            .bind(owner.0 as i64)
            .bind(bounds.after)
            .bind(bounds.before)
            .bind(&bounds.first)
            .bind(&bounds.last)
            .bind(i64::from(filter.sent))
            .bind(bounds.limit);
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
