//! Reading archives: entries by owner, or by owner and peer.
//!
//! A page is a seek in an index and its rows, however deep it lies: nothing is counted or skipped. Times
//! have no index: ids and times rise together, so that an id near a time is found by halving, and the rows
//! from there on are compared exactly.

use sqlx::AssertSqlSafe;

use super::Postgres;
use super::pool::Query;
use super::rows::{SavedRow, saved};
use crate::storage::archive::{End, Filter};
use crate::storage::*;

/// How much later a message may have been committed than it came, and how far a clock may have been
/// set back, for a search by time to find it still.
const DISORDER: Millis = 10 * 60 * 1000;

/// The first id at or behind a time, by halving the ids; gaps are passed over.
const FIRST_AT: &str = "WITH RECURSIVE search (low, high) AS (
        SELECT coalesce(min(id), 0), coalesce(max(id), 0) + 1 FROM message
        UNION ALL
        SELECT
            CASE WHEN next.id < high AND next.time < TIME THEN next.id + 1 ELSE low END,
            CASE WHEN next.id < high AND next.time < TIME THEN high ELSE low + (high - low) / 2 END
        FROM search, LATERAL (
            SELECT id, time FROM message WHERE id >= low + (high - low) / 2 ORDER BY id LIMIT 1
        ) AS next
        WHERE low < high
    )
    SELECT low FROM search WHERE low >= high";

/// What is asked for, as one statement and its values.
struct Question<'a> {
    owner: i64,
    filter: &'a Filter,
    after: i64,
    before: i64,
    limit: i64,
    peer: i64,
    ids: Vec<i64>,
}

impl Archive for Postgres {
    fn archived<'a>(
        &'a self,
        owner: AccountNumber,
        filter: &'a Filter,
        end: End,
        limit: usize,
    ) -> StoreFut<'a, Vec<Saved>> {
        Box::pin(async move {
            let question = self.question(owner, filter, limit as u64).await?;
            let what = "archive.id, (extract(epoch FROM time) * 1000)::bigint, true, stanza";
            let order = match end {
                End::Oldest => "ORDER BY archive.id",
                End::Newest => "ORDER BY archive.id DESC",
            };
            let sql = question.sql(what, order);
            let mut rows: Vec<SavedRow> = self.pool.all(|| question.bind(&sql)).await?;
            if end == End::Newest {
                rows.reverse();
            }
            Ok(rows.into_iter().map(saved).collect())
        })
    }

    fn count_archived<'a>(
        &'a self,
        owner: AccountNumber,
        filter: &'a Filter,
        at_most: u64,
    ) -> StoreFut<'a, u64> {
        Box::pin(async move {
            let question = self.question(owner, filter, at_most).await?;
            let sql = format!("SELECT count(*) FROM ({}) AS matching", question.sql("1", ""));
            let row: Option<(i64,)> = self.pool.one(|| question.bind(&sql)).await?;
            Ok(row.map_or(0, |row| row.0 as u64))
        })
    }
}

impl Postgres {
    async fn question<'a>(
        &self,
        owner: AccountNumber,
        filter: &'a Filter,
        limit: u64,
    ) -> Result<Question<'a>, StoreError> {
        let mut after = filter.after.map_or(-1, |id| signed(id.0));
        let mut before = filter.before.map_or(i64::MAX, |id| signed(id.0));
        if let Some(start) = filter.start {
            after = after.max(self.first_at(start.saturating_sub(DISORDER)).await? - 1);
        }
        if let Some(end) = filter.end {
            before = before.min(self.first_at(end.saturating_add(DISORDER)).await?);
        }
        let ids = filter.ids.iter().flatten().map(|id| signed(id.0)).collect();
        let peer = filter.with.map_or(0, |peer| peer.0 as i64);
        Ok(Question { owner: owner.0 as i64, filter, after, before, limit: signed(limit), peer, ids })
    }

    /// The first id at or behind a time, or behind all.
    async fn first_at(&self, time: Millis) -> Result<i64, StoreError> {
        let sql = FIRST_AT.replace("TIME", &instant("$1"));
        let row: Option<(i64,)> =
            self.pool.one(|| sqlx::query_as(AssertSqlSafe(&*sql)).bind(millis(time))).await?;
        Ok(row.map_or(i64::MAX, |row| row.0))
    }
}

impl Question<'_> {
    /// Only what limits is in the statement, so that the database plans for that. The texts are all ours.
    fn sql(&self, what: &str, order: &str) -> String {
        let mut sql = format!(
            "SELECT {what} FROM archive JOIN message ON message.id = archive.id
             WHERE archive.owner = $1 AND archive.id > $2 AND archive.id < $3
             AND EXISTS (SELECT FROM account WHERE number = $1)"
        );
        let filter = self.filter;
        let mut next = 5;
        let mut and = |is_there: bool, condition: &dyn Fn(&str) -> String| {
            if is_there {
                sql.push_str(" AND ");
                sql.push_str(&condition(&format!("${next}")));
                next += 1;
            }
        };
        and(filter.start.is_some(), &|value| format!("time >= {}", instant(value)));
        and(filter.end.is_some(), &|value| format!("time <= {}", instant(value)));
        and(filter.with.is_some(), &|value| format!("peer = {value}"));
        and(filter.ids.is_some(), &|value| format!("archive.id = ANY ({value})"));
        if filter.sent {
            sql.push_str(" AND sent");
        }
        format!("{sql} {order} LIMIT $4")
    }

    fn bind<'q, T>(&'q self, sql: &'q str) -> Query<'q, T>
    where
        T: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>,
    {
        let query = sqlx::query_as(AssertSqlSafe(sql));
        let mut query = query.bind(self.owner).bind(self.after).bind(self.before).bind(self.limit);
        for time in [self.filter.start, self.filter.end].into_iter().flatten() {
            query = query.bind(millis(time));
        }
        if self.filter.with.is_some() {
            query = query.bind(self.peer);
        }
        if self.filter.ids.is_some() {
            query = query.bind(&self.ids);
        }
        query
    }
}

/// A value in milliseconds since 1970 as a time.
fn instant(value: &str) -> String {
    format!("('epoch'::timestamptz + {value}::bigint * interval '1 millisecond')")
}

/// What clients ask for may lie behind all that there is.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// And behind what the database has as a time.
fn millis(time: Millis) -> i64 {
    signed(time).min(END_OF_TIME)
}

/// 9999-12-31T23:59:59.999Z.
const END_OF_TIME: i64 = 253_402_300_799_999;
