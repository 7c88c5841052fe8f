//! Reading archives: entries by owner, or by owner and peer.
//!
//! A page is a seek in an index and its rows, however deep it lies: nothing is counted or skipped. Times
//! have no index: ids and times rise together, so that an id near a time is found by a few guesses, and the rows
//! from there on are compared exactly.
//!
//! The tables are in parts, each a range of ids without a gap, so that the database reads one part after the other
//! in the order of ids and stops when the page is full. It is not left to its statistics whether it does: `OFFSET 0`
//! keeps each message's row a seek by its id (otherwise it may merge all messages with an owner's entries).

use sqlx::AssertSqlSafe;

use super::Postgres;
use super::pool::Query;
use super::rows::{SavedRow, saved};
use super::text::lexemes;
use crate::storage::archive::{DISORDER, End, Filter, Keep, Tended};
use crate::storage::*;

/// $1 a time. Ids before the first came before it, those from the second on at it or later; between them lie two
/// minutes of messages at most. On a server that is always busy ids rise evenly with times, so the first guesses are
/// by proportion, half a minute to either side; then one by halving, which needs no such luck; then the very next
/// message, behind which there may be none for long; and so on.
const AROUND: &str = "WITH RECURSIVE search (low, high, low_at, high_at, step) AS (
        SELECT oldest.id, newest.id + 1, oldest.at, newest.at, 0
        FROM (SELECT id, (extract(epoch FROM time) * 1000)::bigint AS at FROM message ORDER BY id LIMIT 1) AS oldest,
            (SELECT id, (extract(epoch FROM time) * 1000)::bigint AS at FROM message ORDER BY id DESC LIMIT 1) AS newest
        UNION ALL
        SELECT
            CASE WHEN next.id < high AND next.at < $1 THEN next.id + 1 ELSE low END,
            CASE WHEN next.id < high AND next.at < $1 THEN high ELSE guess END,
            CASE WHEN next.id < high AND next.at < $1 THEN next.at ELSE low_at END,
            CASE WHEN next.id < high AND next.at >= $1 THEN next.at ELSE high_at END,
            step + 1
        FROM search, LATERAL (
            SELECT CASE step % 4
                WHEN 2 THEN low + (high - low) / 2
                WHEN 3 THEN low
                ELSE least(high - 1, low + (greatest(0, least(1,
                    ($1::bigint - low_at + (step % 4 * 2 - 1) * 30000)::float8 / (high_at - low_at))) * (high - 1 - low))::bigint)
            END AS guess
        ) AS guessed, LATERAL (
            SELECT id, (extract(epoch FROM time) * 1000)::bigint AS at FROM message
            WHERE id >= guess ORDER BY id LIMIT 1
        ) AS next
        WHERE low < high AND high_at - low_at > 120000
    )
    SELECT low, high FROM search ORDER BY step DESC LIMIT 1";

/// What is asked for, as one statement and its values.
pub struct Question<'a> {
    owner: i64,
    filter: &'a Filter,
    after: i64,
    before: i64,
    limit: i64,
    peer: i64,
    ids: Vec<i64>,
    /// What the words of a message are compared with.
    lexemes: Option<String>,
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
            let Some(question) = self.question(owner, filter, limit as u64).await? else {
                return Ok(Vec::new());
            };
            let sql = question.page(end);
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
            let Some(question) = self.question(owner, filter, at_most).await? else { return Ok(0) };
            let sql = question.count();
            let row: Option<(i64,)> = self.pool.one(|| question.bind(&sql)).await?;
            Ok(row.map_or(0, |row| row.0 as u64))
        })
    }

    fn verify_archives<'a>(&'a self) -> StoreFut<'a, Verified> {
        Box::pin(self.verify_all())
    }

    fn drops_months(&self) -> bool {
        true
    }

    fn tend_archives<'a>(&'a self, lease: &'a Lease, keep: &'a Keep) -> StoreFut<'a, Tended> {
        Box::pin(self.tend_parts(lease, keep))
    }
}

impl Postgres {
    /// `None` where nothing can match.
    async fn question<'a>(
        &self,
        owner: AccountNumber,
        filter: &'a Filter,
        limit: u64,
    ) -> Result<Option<Question<'a>>, StoreError> {
        let lexemes = match &filter.text {
            None => None,
            Some(text) => {
                let Some(lexemes) = lexemes(owner, text) else { return Ok(None) };
                self.catch_up_text().await?;
                Some(lexemes)
            }
        };
        let mut after = filter.after.map_or(-1, |id| signed(id.0));
        let mut before = filter.before.map_or(i64::MAX, |id| signed(id.0));
        if let Some(start) = filter.start {
            after = after.max(self.around(start.saturating_sub(DISORDER)).await?.0 - 1);
        }
        if let Some(end) = filter.end {
            before = before.min(self.around(end.saturating_add(DISORDER)).await?.1);
        }
        let mut ids: Vec<i64> = filter.ids.iter().flatten().map(|id| signed(id.0)).collect();
        ids.sort_unstable();
        ids.dedup();
        let peer = filter.with.map_or(0, |peer| peer.0 as i64);
        let (owner, limit) = (owner.0 as i64, signed(limit));
        Ok(Some(Question { owner, filter, after, before, limit, peer, ids, lexemes }))
    }

    /// Two ids: what lies before the first came before a time, what lies at the second or behind it came then or later.
    async fn around(&self, time: Millis) -> Result<(i64, i64), StoreError> {
        let row = self.pool.one(|| sqlx::query_as(AROUND).bind(millis(time))).await?;
        Ok(row.unwrap_or((0, i64::MAX)))
    }
}

/// The row of an entry's message.
const MESSAGE: &str =
    "CROSS JOIN LATERAL (SELECT time, stanza FROM message WHERE id = archive.id OFFSET 0) AS message";
/// An owner's entry for an id that is found already.
const ENTRY: &str = "CROSS JOIN LATERAL (
    SELECT owner, id, peer, sent FROM archive WHERE owner = $1 AND id = found.id OFFSET 0) AS archive";

impl Question<'_> {
    fn page(&self, end: End) -> String {
        let order = match end {
            End::Oldest => "",
            End::Newest => " DESC",
        };
        let (key, entries) = self.entries(order);
        format!(
            "SELECT {key}, (extract(epoch FROM time) * 1000)::bigint, true, stanza FROM {entries} {MESSAGE}
             WHERE {} ORDER BY {key}{order} LIMIT $4",
            self.conditions()
        )
    }

    /// Without a look at the messages, where no time is asked for.
    fn count(&self) -> String {
        let (_, entries) = self.entries("");
        let times = self.filter.start.is_some() || self.filter.end.is_some();
        let message = if times { MESSAGE } else { "" };
        let conditions = self.conditions();
        format!(
            "SELECT count(*) FROM (SELECT FROM {entries} {message} WHERE {conditions} LIMIT $4) AS matching"
        )
    }

    /// Where the entries come from, and by what they are in order.
    fn entries(&self, order: &str) -> (&'static str, String) {
        let [_, _, _, ids, lexemes] = self.places();
        match (lexemes, ids) {
            (Some(lexemes), _) => {
                let words = format!("words @@ {lexemes}::tsquery AND id > $2 AND id < $3");
                let found = format!("SELECT id FROM message_text WHERE {words} ORDER BY id{order} OFFSET 0");
                ("found.id", format!("({found}) AS found {ENTRY}"))
            }
            (None, Some(ids)) => {
                let found = format!("SELECT id FROM unnest({ids}::bigint[]) AS wanted (id)");
                ("found.id", format!("({found} ORDER BY id{order} OFFSET 0) AS found {ENTRY}"))
            }
            (None, None) => ("archive.id", "archive".to_owned()),
        }
    }

    /// Only what limits is in the statement, so that the database plans for that. The texts are all ours.
    fn conditions(&self) -> String {
        let mut sql = "archive.owner = $1 AND archive.id > $2 AND archive.id < $3
             AND EXISTS (SELECT FROM account WHERE number = $1)"
            .to_owned();
        let [start, end, peer, ids, lexemes] = self.places();
        let mut and = |condition: Option<String>| {
            condition.into_iter().for_each(|condition| sql.extend([" AND ", &*condition]));
        };
        and(start.map(|value| format!("time >= {}", instant(&value))));
        and(end.map(|value| format!("time <= {}", instant(&value))));
        and(peer.map(|value| format!("archive.peer = {value}")));
        // Without words they are where the entries come from.
        and(lexemes.and(ids).map(|value| format!("archive.id = ANY ({value})")));
        and(self.filter.sent.then(|| "archive.sent".to_owned()));
        sql
    }

    /// The places of the values that are there, in the order in which they are bound: from a time on, up to a time,
    /// the peer, ids, words.
    fn places(&self) -> [Option<String>; 5] {
        let mut next = 4;
        let mut place = |is_there: bool| {
            next += i32::from(is_there);
            is_there.then(|| format!("${next}"))
        };
        [
            place(self.filter.start.is_some()),
            place(self.filter.end.is_some()),
            place(self.filter.with.is_some()),
            place(self.filter.ids.is_some()),
            place(self.lexemes.is_some()),
        ]
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
        if let Some(lexemes) = &self.lexemes {
            query = query.bind(lexemes);
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
