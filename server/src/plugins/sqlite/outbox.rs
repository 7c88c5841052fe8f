//! The outbox in the file: written along with the messages, read by whoever tells the event stream.

use std::sync::Arc;

use sqlx::SqliteConnection;
use xmpp_core::date::format_utc;

use super::Sqlite;
use super::delete::parsed;
use super::failure::Failure;
use super::open::Options;
use super::read::millis;
use crate::storage::outbox::{AccountEvent, Gate, PackedRow, Packer};
use crate::storage::*;

/// How large the oldest rows behind a place are: ?1 the place, ?2 how many.
pub const SIZES: &str = "SELECT json_group_array(json_array(place, size))
    FROM (SELECT place, length(content) AS size FROM outbox WHERE place > ?1 ORDER BY place LIMIT ?2)";
/// Those behind ?1, up to ?2.
pub const ROWS: &str =
    "SELECT place, first, content FROM outbox WHERE place > ?1 AND place <= ?2 ORDER BY place";

const SIZE: &str = "SELECT count(*), coalesce(sum(length(content)), 0), min(written) FROM outbox";

/// Of a JSON array of places: rows, events and bytes that are there.
pub const FOUND: &str = "SELECT count(*), coalesce(sum(events), 0), coalesce(sum(length(content)), 0)
    FROM outbox WHERE place IN (SELECT value FROM json_each(?))";
pub const DELETE: &str = "DELETE FROM outbox WHERE place IN (SELECT value FROM json_each(?))";

/// Of the oldest ?3 those that come to ?1 bytes, and those of before ?2.
const TOO_MUCH: &str = "SELECT json_group_array(place) FROM (
        SELECT place, written, sum(size) OVER (ORDER BY place) - size AS older
        FROM (SELECT place, written, length(content) AS size FROM outbox ORDER BY place LIMIT ?3)
    ) WHERE older < ?1 OR written < ?2";

const OLDEST: &str = "SELECT written FROM outbox ORDER BY place LIMIT 1";

/// The events of one commit, where there is an event stream.
pub struct Events {
    gate: Option<Arc<Gate>>,
    packer: Packer,
    rows: u64,
    bytes: u64,
}

impl Events {
    pub fn of(options: &Options) -> Events {
        Events { gate: options.outbox.clone(), packer: Packer::default(), rows: 0, bytes: 0 }
    }

    pub fn message(&mut self, offset: u64, draft: &Draft) {
        if self.gate.is_some() {
            self.packer.message(offset, draft);
        }
    }

    pub fn account(&mut self, event: Option<AccountEvent>) {
        if let (Some(_), Some(event)) = (&self.gate, event) {
            self.packer.account(&event);
        }
    }

    /// What is to be written with the commit.
    pub fn finish(&mut self) -> Vec<PackedRow> {
        let rows = std::mem::take(&mut self.packer).finish();
        self.rows = rows.len() as u64;
        self.bytes = rows.iter().map(|row| row.content.len() as u64).sum();
        rows
    }

    /// It is in the file, and what these say is deleted is not.
    pub fn committed(self, outcomes: &[Result<Written, StoreError>]) {
        let Some(gate) = self.gate else { return };
        gate.put(self.rows, self.bytes);
        for outcome in outcomes {
            if let Ok(Written::Deleted(deleted)) = outcome {
                gate.gone(deleted.rows, deleted.bytes);
            }
        }
    }
}

/// At the start: how much is left of before.
pub async fn look(connection: &mut SqliteConnection, options: &Options) -> Result<(), sqlx::Error> {
    let Some(gate) = &options.outbox else { return Ok(()) };
    let (rows, bytes, _): (i64, i64, Option<String>) = sqlx::query_as(SIZE).fetch_one(connection).await?;
    gate.set(&OutboxSize { rows: rows as u64, bytes: bytes as u64, oldest: None });
    Ok(())
}

/// Inside a transaction.
pub async fn confirm(connection: &mut SqliteConnection, places: &[Place]) -> Result<Written, Failure> {
    let places: Vec<u64> = places.iter().map(|place| place.0).collect();
    delete(connection, &serde_json::json!(places).to_string()).await
}

/// Inside a transaction.
pub async fn discard(
    connection: &mut SqliteConnection,
    bytes: u64,
    before: Millis,
    limit: u32,
) -> Result<Written, Failure> {
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    let places: String = sqlx::query_scalar(TOO_MUCH)
        .bind(bytes)
        .bind(format_utc(before))
        .bind(limit)
        .fetch_one(&mut *connection)
        .await?;
    delete(connection, &places).await
}

async fn delete(connection: &mut SqliteConnection, places: &str) -> Result<Written, Failure> {
    let (rows, events, bytes): (i64, i64, i64) =
        sqlx::query_as(FOUND).bind(places).fetch_one(&mut *connection).await?;
    sqlx::query(DELETE).bind(places).execute(connection).await?;
    let deleted = Deleted { rows: rows as u64, events: events as u64, bytes: bytes as u64 };
    Ok(Written::Deleted(deleted))
}

impl Outbox for Sqlite {
    fn outbox<'a>(&'a self, after: Place, bytes: u64, rows: u32) -> StoreFut<'a, Vec<OutboxRow>> {
        Box::pin(async move {
            let sizes = sqlx::query_as(SIZES).bind(after.0 as i64).bind(rows);
            let sizes: Option<(String,)> = self.one(sizes).await?;
            let sizes = sizes.map_or_else(|| Ok(Vec::new()), |(json,)| parsed::<Vec<(u64, u64)>>(&json));
            let sizes = sizes.map_err(|error| self.named.error(&error))?;
            let mut together = 0;
            let fitting = sizes.into_iter().take_while(|(_, size)| {
                let fits = together < bytes;
                together += size;
                fits
            });
            let Some((last, _)) = fitting.last() else { return Ok(Vec::new()) };
            let query = sqlx::query_as(ROWS).bind(after.0 as i64).bind(last as i64);
            let rows: Vec<(i64, i64, Vec<u8>)> = self.all(query).await?;
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
            let Some(gate) = &self.gate else {
                let row: Option<(i64, i64, Option<String>)> = self.one(sqlx::query_as(SIZE)).await?;
                let (rows, bytes, oldest) = row.unwrap_or_default();
                let oldest = oldest.map(|time| millis(&time, &self.named)).transpose()?;
                return Ok(OutboxSize { rows: rows as u64, bytes: bytes as u64, oldest });
            };
            // Nobody else writes: what is counted is so, and need not be looked for in a gigabyte of rows.
            let oldest: Option<(String,)> = self.one(sqlx::query_as(OLDEST)).await?;
            let oldest = oldest.map(|(time,)| millis(&time, &self.named)).transpose()?;
            let (rows, bytes) = gate.counted();
            Ok(OutboxSize { rows, bytes, oldest })
        })
    }

    fn outbox_filled<'a>(&'a self) -> Fut<'a, ()> {
        Box::pin(async {
            match &self.gate {
                Some(gate) => gate.filled().await,
                None => std::future::pending().await,
            }
        })
    }
}
