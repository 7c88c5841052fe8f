//! The one statement that appends messages, however many: what varies is packed into two parameters, so
//! that the statement is prepared once and each commit costs one call of the driver.
//!
//! ```text
//! data     for each message   time (24 bytes of ISO 8601), owners, stanza
//! places   a JSON array with a number for each message:
//!          start in data, from 1 (31 bits) | length of owners (10 bits) | length of stanza (22 bits)
//! ```
//!
//! The bounds of a draft keep its lengths within these bits: an owner takes at most 18 bytes.

use std::fmt::Write;

use sqlx::{Connection, SqliteConnection};
use xmpp_core::date::format_utc;

use super::packed::{Pair, pack_owners, pack_pairs};
use crate::storage::outbox::PackedRow;
use crate::storage::{Draft, MessageId, Millis, Owner};

const TIME_BYTES: usize = "2026-11-21T11:50:00.123Z".len();

const APPEND: &str = "INSERT INTO message (id, time, owners, stanza) SELECT
    ?1 + key,
    CAST(substr(?2, value >> 32, 24) AS TEXT),
    substr(?2, (value >> 32) + 24, (value >> 22) & 1023),
    substr(?2, (value >> 32) + 24 + ((value >> 22) & 1023), value & 4194303)
    FROM json_each(?3)";

/// With a row for the outbox: still one call, and all or nothing. (After an error in the middle the writer
/// throws its connection away, and the transaction with it.)
const APPEND_WITH_EVENTS: &str = "BEGIN IMMEDIATE;
    INSERT INTO message (id, time, owners, stanza) SELECT
    ?1 + key,
    CAST(substr(?2, value >> 32, 24) AS TEXT),
    substr(?2, (value >> 32) + 24, (value >> 22) & 1023),
    substr(?2, (value >> 32) + 24 + ((value >> 22) & 1023), value & 4194303)
    FROM json_each(?3);
    INSERT INTO outbox (first, written, events, content) VALUES (?1, ?4, ?5, ?6);
    COMMIT";

const APPEND_EVENTS: &str = "INSERT INTO outbox (first, written, events, content) VALUES (?, ?, ?, ?)";

/// Messages on their way into one commit.
pub struct Batch {
    first: MessageId,
    count: u64,
    data: Vec<u8>,
    places: String,
}

impl Batch {
    pub fn new(first: MessageId) -> Batch {
        Batch { first, count: 0, data: Vec::new(), places: String::from("[") }
    }

    pub fn push(&mut self, draft: &Draft) -> MessageId {
        self.add(draft.time, &draft.owners, &draft.stanza)
    }

    /// A row without owners: it goes with its part of the tail.
    pub fn push_note(&mut self, time: Millis, taken: &[Pair]) -> MessageId {
        self.add(time, &[], &pack_pairs(taken))
    }

    fn add(&mut self, time: Millis, owners: &[Owner], stanza: &[u8]) -> MessageId {
        let start = self.data.len();
        self.data.extend_from_slice(format_utc(time).as_bytes());
        debug_assert_eq!(self.data.len() - start, TIME_BYTES);
        pack_owners(owners, &mut self.data);
        let owners_len = self.data.len() - start - TIME_BYTES;
        self.data.extend_from_slice(stanza);
        let place = (start as u64 + 1) << 32 | (owners_len as u64) << 22 | stanza.len() as u64;
        let comma = if self.count == 0 { "" } else { "," };
        // Writing to a string cannot fail.
        let _ = write!(self.places, "{comma}{place}");
        let id = MessageId(self.first.0 + self.count);
        self.count += 1;
        id
    }

    /// The id of the message that comes behind this batch.
    pub fn end(&self) -> MessageId {
        MessageId(self.first.0 + self.count)
    }

    /// Durable when this returns, unless it is part of a transaction.
    pub async fn append(mut self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        if self.count == 0 {
            return Ok(());
        }
        self.places.push(']');
        let append = sqlx::query(APPEND).bind(self.first.0 as i64).bind(self.data).bind(self.places);
        append.execute(connection).await.map(|_| ())
    }

    /// The same with what the event stream is to learn, outside of any transaction.
    pub async fn append_with_events(
        mut self,
        connection: &mut SqliteConnection,
        mut rows: Vec<PackedRow>,
    ) -> Result<(), sqlx::Error> {
        let now = format_utc(super::writer::time());
        match rows.pop() {
            None => self.append(connection).await,
            Some(row) if rows.is_empty() && self.count > 0 => {
                self.places.push(']');
                let append = sqlx::query(APPEND_WITH_EVENTS).bind(self.first.0 as i64).bind(self.data);
                let append = append.bind(self.places).bind(now).bind(row.events).bind(row.content);
                append.execute(connection).await.map(|_| ())
            }
            Some(row) => {
                rows.push(row);
                let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
                let first = self.first;
                self.append(&mut transaction).await?;
                append_events(&mut transaction, first, rows).await?;
                transaction.commit().await
            }
        }
    }

    pub fn first(&self) -> MessageId {
        self.first
    }
}

/// Inside a transaction.
pub async fn append_events(
    connection: &mut SqliteConnection,
    first: MessageId,
    rows: Vec<PackedRow>,
) -> Result<(), sqlx::Error> {
    for row in rows {
        let now = format_utc(super::writer::time());
        let append = sqlx::query(APPEND_EVENTS).bind(first.0 as i64).bind(now);
        append.bind(row.events).bind(row.content).execute(&mut *connection).await?;
    }
    Ok(())
}
