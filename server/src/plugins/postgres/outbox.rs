//! The outbox in the database. Rows of messages come with them (`batch`), one of an account with its write.

use sqlx::postgres::PgConnection;

use super::Postgres;
use super::failure::Failure;
use super::link::Options;
use super::writer::now;
use crate::storage::outbox::{AccountEvent, PackedRow, Packer};
use crate::storage::*;

const OLDEST: &str = "SELECT place, first, content FROM (
        SELECT place, first, content, octet_length(content) AS size,
            sum(octet_length(content)) OVER (ORDER BY place) AS together
        FROM (SELECT place, first, content FROM outbox WHERE place > $3 ORDER BY place LIMIT $2) AS oldest
    ) AS added WHERE together - size < $1 ORDER BY place";

const SIZE: &str = "SELECT count(*), coalesce(sum(octet_length(content)), 0)::bigint,
        (extract(epoch FROM min(written)) * 1000)::bigint FROM outbox";

const CONFIRM: &str = "WITH gone AS (
        DELETE FROM outbox WHERE place = ANY ($1) RETURNING events, octet_length(content) AS bytes
    )
    SELECT count(*), coalesce(sum(events), 0)::bigint, coalesce(sum(bytes), 0)::bigint FROM gone";

const DISCARD: &str = "WITH oldest AS (
        SELECT place, written, octet_length(content) AS size FROM outbox ORDER BY place LIMIT $3
    ), added AS (
        SELECT place, written, sum(size) OVER (ORDER BY place) - size AS older FROM oldest
    ), gone AS (
        DELETE FROM outbox USING added WHERE outbox.place = added.place AND (added.older < $1
            OR added.written < 'epoch'::timestamptz + $2::bigint * interval '1 millisecond')
        RETURNING outbox.events, octet_length(outbox.content) AS bytes
    )
    SELECT count(*), coalesce(sum(events), 0)::bigint, coalesce(sum(bytes), 0)::bigint FROM gone";

/// What the event stream learns of a write.
pub fn event(write: &Write) -> Option<PackedRow> {
    let mut packer = Packer::default();
    packer.account(&AccountEvent::of(write, now())?);
    packer.finish().pop()
}

/// Inside the write's transaction, which holds the account.
pub async fn put(connection: &mut PgConnection, row: &PackedRow) -> Result<(), sqlx::Error> {
    let put = sqlx::query("INSERT INTO outbox (first, events, content) VALUES (0, $1, $2)");
    put.bind(row.events as i32).bind(&row.content).execute(connection).await.map(|_| ())
}

/// A write is done, or is not.
pub fn committed(options: &Options, told: Option<PackedRow>, outcome: &Result<Written, StoreError>) {
    let (Some(gate), Ok(written)) = (&options.outbox, outcome) else { return };
    if let Some(row) = told {
        gate.put(1, row.content.len() as u64);
    }
    if let Written::Deleted(deleted) = written {
        gate.gone(deleted.rows, deleted.bytes);
    }
}

pub async fn confirm(connection: &mut PgConnection, places: &[Place]) -> Result<Written, Failure> {
    let places: Vec<i64> = places.iter().map(|place| place.0 as i64).collect();
    let row = sqlx::query_as(CONFIRM).bind(places).fetch_one(connection).await?;
    Ok(deleted(row))
}

pub async fn discard(
    connection: &mut PgConnection,
    bytes: u64,
    before: Millis,
    limit: u32,
) -> Result<Written, Failure> {
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    let discard = sqlx::query_as(DISCARD).bind(bytes).bind(before as i64).bind(i64::from(limit));
    let row = discard.fetch_one(connection).await?;
    Ok(deleted(row))
}

fn deleted((rows, events, bytes): (i64, i64, i64)) -> Written {
    Written::Deleted(Deleted { rows: rows as u64, events: events as u64, bytes: bytes as u64 })
}

impl Outbox for Postgres {
    fn outbox<'a>(&'a self, after: Place, bytes: u64, rows: u32) -> StoreFut<'a, Vec<OutboxRow>> {
        Box::pin(async move {
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            let query = || sqlx::query_as(OLDEST).bind(bytes).bind(i64::from(rows)).bind(after.0 as i64);
            let rows: Vec<(i64, i64, Vec<u8>)> = self.pool.all(query).await?;
            let row = |(place, first, content): (i64, i64, Vec<u8>)| OutboxRow {
                place: Place(place as u64),
                first: MessageId(first as u64),
                content: content.into(),
            };
            Ok(rows.into_iter().map(row).collect())
        })
    }

    fn outbox_size<'a>(&'a self) -> StoreFut<'a, OutboxSize> {
        Box::pin(async move {
            let row: Option<(i64, i64, Option<i64>)> = self.pool.one(|| sqlx::query_as(SIZE)).await?;
            let (rows, bytes, oldest) = row.unwrap_or_default();
            let oldest = oldest.map(|time| time as u64);
            let size = OutboxSize { rows: rows as u64, bytes: bytes as u64, oldest };
            self.pool.options.outbox.iter().for_each(|gate| gate.set(&size));
            Ok(size)
        })
    }

    fn outbox_filled<'a>(&'a self) -> Fut<'a, ()> {
        Box::pin(async {
            match &self.pool.options.outbox {
                Some(gate) => gate.filled().await,
                None => std::future::pending().await,
            }
        })
    }
}
