//! What a start reads: how far the work had come, and the tail.

use std::collections::HashSet;

use sqlx::SqliteConnection;

use super::failure::Named;
use super::packed::{Owners, Range, unpack_owners, unpack_pairs, unpack_ranges};
use super::tail::{Entry, Row, Tail};
use crate::storage::{AccountNumber, MessageId, Peer, StoreError};

/// Where the writer goes on.
pub struct Start {
    pub tail: Tail,
    pub next: MessageId,
    pub dead: Vec<Range>,
    pub removals: Vec<AccountNumber>,
}

/// A bulk was perhaps cut off while its entries were made: those past the indexed id are deleted, and
/// made again later.
const CHUNK: usize = 512;

pub async fn load(connection: &mut SqliteConnection, named: &Named) -> Result<Start, StoreError> {
    let error = |error: sqlx::Error| named.error(&error);
    let (indexed, dead): (i64, Vec<u8>) = sqlx::query_as("SELECT indexed, dead FROM progress WHERE one = 1")
        .fetch_one(&mut *connection)
        .await
        .map_err(error)?;
    let removals: Vec<i64> = sqlx::query_scalar("SELECT number FROM account_removed")
        .fetch_all(&mut *connection)
        .await
        .map_err(error)?;
    let rows = rows_past(connection, indexed).await.map_err(error)?;

    let mut owned = Vec::with_capacity(rows.len());
    let mut taken = Vec::new();
    for (id, owners, note, _) in &rows {
        let owners =
            unpack_owners(owners).ok_or_else(|| named.damaged(format!("message {id} has no owners")))?;
        let noted = unpack_pairs(note).ok_or_else(|| named.damaged(format!("message {id} is no note")))?;
        owned.push((MessageId(*id as u64), owners));
        taken.extend(noted);
    }
    let accounts = existing(connection, &owned).await.map_err(error)?;
    unmake_entries(connection, &owned).await.map_err(error)?;

    let next = owned.last().map_or(indexed as u64, |last| last.0.0) + 1;
    let mut tail = Tail::new(MessageId(indexed as u64));
    for ((id, mut owners), (.., bytes)) in owned.into_iter().zip(rows) {
        owners.retain(|owner| accounts.contains(&owner.account));
        tail.push(Row { id, bytes: bytes as usize, owners });
    }
    for (owner, id) in taken {
        tail.take(owner, id);
    }
    Ok(Start {
        tail,
        next: MessageId(next),
        dead: unpack_ranges(&dead).ok_or_else(|| named.damaged("the table progress is garbled"))?,
        removals: removals.into_iter().map(|number| AccountNumber(number as u64)).collect(),
    })
}

/// Id, owners, the note where it is one, and how long the stanza is.
type Stored = (i64, Vec<u8>, Vec<u8>, i64);

async fn rows_past(connection: &mut SqliteConnection, indexed: i64) -> Result<Vec<Stored>, sqlx::Error> {
    sqlx::query_as(
        "SELECT id, owners, iif(length(owners) = 0, stanza, x''), length(stanza)
         FROM message WHERE id > ? ORDER BY id",
    )
    .bind(indexed)
    .fetch_all(connection)
    .await
}

pub async fn existing(
    connection: &mut SqliteConnection,
    owned: &[(MessageId, Owners)],
) -> Result<HashSet<AccountNumber>, sqlx::Error> {
    let named: HashSet<u64> = owned.iter().flat_map(|row| &row.1).map(|owner| owner.account.0).collect();
    let named: Vec<String> = named.iter().map(u64::to_string).collect();
    let numbers: Vec<i64> =
        sqlx::query_scalar("SELECT number FROM account WHERE number IN (SELECT value FROM json_each(?))")
            .bind(format!("[{}]", named.join(",")))
            .fetch_all(connection)
            .await?;
    Ok(numbers.into_iter().map(|number| AccountNumber(number as u64)).collect())
}

async fn unmake_entries(
    connection: &mut SqliteConnection,
    owned: &[(MessageId, Owners)],
) -> Result<(), sqlx::Error> {
    for rows in owned.chunks(CHUNK) {
        let entries = rows.iter().flat_map(|(id, owners)| {
            owners.iter().map(|owner| Entry {
                owner: owner.account,
                id: *id,
                flag: false,
                peer: Peer::default(),
            })
        });
        let entries = super::chores::json(entries);
        for sql in [
            "DELETE FROM waiting WHERE (owner, id) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))",
            "DELETE FROM archive WHERE (owner, id) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))",
        ] {
            sqlx::query(sql).bind(&entries).execute(&mut *connection).await?;
        }
    }
    Ok(())
}
