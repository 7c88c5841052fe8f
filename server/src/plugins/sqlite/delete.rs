//! Deleting entries, each with its message where nothing else needs that.
//!
//! What is to be deleted is read first, as one value: a driver's row for each would cost more than the
//! deletion.

use std::collections::HashSet;

use sqlx::{Connection, SqliteConnection};
use xmpp_core::date::format_utc;

use super::chores::json;
use super::packed::{Owners, Pair, unpack_owners};
use super::tail::Entry;
use crate::storage::{AccountNumber, MessageId, Millis, Peer, Written};

/// Deletes the entries of what was taken. Gives the pairs that were there.
pub async fn delete_taken(
    connection: &mut SqliteConnection,
    pairs: &[Pair],
) -> Result<Vec<Pair>, sqlx::Error> {
    let entries = json(pairs.iter().map(|(owner, id)| Entry {
        owner: *owner,
        id: *id,
        flag: false,
        peer: Peer::default(),
    }));
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let found: String = sqlx::query_scalar(
        "SELECT json_group_array(json_array(owner, id, alone)) FROM waiting
         WHERE (owner, id) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))",
    )
    .bind(entries)
    .fetch_one(&mut *transaction)
    .await?;
    let found = delete(&mut transaction, FROM_WAITING, found).await?;
    transaction.commit().await?;
    Ok(found.into_iter().map(|(owner, id, _)| (AccountNumber(owner), MessageId(id))).collect())
}

/// Deletes some entries of an account that is gone; true when there were none left.
pub async fn delete_some_of(
    connection: &mut SqliteConnection,
    owner: AccountNumber,
    rows: usize,
) -> Result<bool, sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let mut done = true;
    for (read, from) in [(SOME_WAITING, FROM_WAITING), (SOME_ARCHIVED, FROM_ARCHIVE)] {
        let read = sqlx::query_scalar(read).bind(owner.0 as i64).bind(rows as i64);
        let found: String = read.fetch_one(&mut *transaction).await?;
        done &= delete(&mut transaction, from, found).await?.is_empty();
    }
    let runs = sqlx::query(SOME_RUNS).bind(owner.0 as i64).bind(rows as i64);
    done &= runs.execute(&mut *transaction).await?.rows_affected() == 0;
    if done {
        let forget = sqlx::query("DELETE FROM account_removed WHERE number = ?");
        forget.bind(owner.0 as i64).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(done)
}

/// Deletes the oldest entries of an account's archive, up to the first that is not older than that. Gives
/// their number. Inside a transaction.
pub async fn purge(
    connection: &mut SqliteConnection,
    owner: AccountNumber,
    before: Millis,
    limit: u32,
) -> Result<u64, sqlx::Error> {
    let read =
        sqlx::query_scalar(OLDEST).bind(owner.0 as i64).bind(i64::from(limit)).bind(format_utc(before));
    let found: String = read.fetch_one(&mut *connection).await?;
    delete_oldest(connection, found).await
}

/// Deletes the entries that archives have of some messages up to an id; says which was the last that was looked at.
/// Inside a transaction.
pub async fn clear_cold(
    connection: &mut SqliteConnection,
    after: MessageId,
    up_to: MessageId,
    limit: u32,
) -> Result<Written, sqlx::Error> {
    let read = sqlx::query_scalar(ARCHIVED_OF).bind(after.0 as i64).bind(up_to.0 as i64).bind(limit);
    let messages: String = read.fetch_one(&mut *connection).await?;
    let messages: Vec<(u64, String)> = parsed(&messages)?;
    let last = messages.last().map(|message| MessageId(message.0));
    let mut pairs = Vec::new();
    for (id, hex) in messages {
        let owners = owners_in(&hex);
        let archived = owners.iter().filter(|owner| owner.role.archived);
        pairs.extend(archived.map(|owner| (owner.account.0, id)));
    }
    let read = sqlx::query_scalar(IN_ARCHIVES).bind(serde_json::json!(pairs).to_string());
    let found: String = read.fetch_one(&mut *connection).await?;
    let entries = delete_oldest(connection, found).await?;
    Ok(Written::Cleared { last, entries })
}

/// Deletes entries that are the oldest of their archives, and the runs that end with them. Gives their number.
async fn delete_oldest(connection: &mut SqliteConnection, entries: String) -> Result<u64, sqlx::Error> {
    let pairs: String = sqlx::query_scalar(PAIRS_OF).bind(&entries).fetch_one(&mut *connection).await?;
    let found = delete(connection, FROM_ARCHIVE, entries).await?;
    if let Some(last) = found.iter().map(|entry| entry.1).max() {
        sqlx::query(RUNS_OF_PAIRS).bind(pairs).bind(last as i64).execute(connection).await?;
    }
    Ok(found.len() as u64)
}

/// What is deleted from now on is overwritten, not only forgotten: a page that gets free too.
pub async fn erase(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::query("PRAGMA secure_delete = ON").execute(connection).await.map(|_| ())
}

/// From now on only what costs no write of its own.
pub async fn erase_no_more(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::query("PRAGMA secure_delete = FAST").execute(connection).await.map(|_| ())
}

/// ?1 owner, ?2 limit, ?3 a time. An entry whose message is not there goes too.
pub const OLDEST: &str = "WITH oldest AS MATERIALIZED (
        SELECT archive.id, coalesce(time, '') AS time FROM archive LEFT JOIN message ON message.id = archive.id
        WHERE owner = ?1 ORDER BY archive.id LIMIT ?2
    )
    SELECT json_group_array(json_array(?1, id, 0)) FROM oldest
    WHERE id < coalesce((SELECT min(id) FROM oldest WHERE time >= ?3), 9223372036854775807)";

/// ?1 and ?2 between which ids, the second included, ?3 limit.
pub const ARCHIVED_OF: &str = "SELECT json_group_array(json_array(id, hex(owners))) FROM (
    SELECT id, owners FROM message WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT ?3)";
/// The owners and peers of entries, and their runs up to an id.
pub const PAIRS_OF: &str = "SELECT json_group_array(DISTINCT json_array(owner, peer)) FROM archive
    WHERE (owner, id) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))";
pub const RUNS_OF_PAIRS: &str = "DELETE FROM run
    WHERE (owner, peer) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?1)) AND first <= ?2 AND last <= ?2";
pub const IN_ARCHIVES: &str = "SELECT json_group_array(json_array(owner, id, 0)) FROM archive
    WHERE (owner, id) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))";

pub const SOME_WAITING: &str = "SELECT json_group_array(json_array(owner, id, alone))
    FROM (SELECT owner, id, alone FROM waiting WHERE owner = ? LIMIT ?)";
pub const SOME_ARCHIVED: &str = "SELECT json_group_array(json_array(owner, id, 0))
    FROM (SELECT owner, id FROM archive WHERE owner = ? LIMIT ?)";
pub const SOME_RUNS: &str = "DELETE FROM run
    WHERE (owner, peer, first) IN (SELECT owner, peer, first FROM run WHERE owner = ? LIMIT ?)";
pub const FROM_WAITING: &str =
    "DELETE FROM waiting WHERE (owner, id) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))";
pub const FROM_ARCHIVE: &str =
    "DELETE FROM archive WHERE (owner, id) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))";
pub const FROM_MESSAGE: &str = "DELETE FROM message WHERE id IN (SELECT value FROM json_each(?))";
pub const OWNERS_OF: &str = "SELECT json_group_array(json_array(id, hex(owners)))
    FROM message WHERE id IN (SELECT value FROM json_each(?))";
/// Of pairs of owner and message, the messages that have such an entry.
pub const NEEDED: &str = "SELECT json_group_array(DISTINCT value ->> 1) FROM json_each(?) AS pair
    WHERE EXISTS (SELECT 1 FROM waiting WHERE owner = value ->> 0 AND id = value ->> 1)
       OR EXISTS (SELECT 1 FROM archive WHERE owner = value ->> 0 AND id = value ->> 1)";

/// Owner, message, and whether it has no other entry.
type Found = (u64, u64, u8);

/// Inside a transaction: an entry and its message go together.
async fn delete(
    connection: &mut SqliteConnection,
    from: &'static str,
    entries: String,
) -> Result<Vec<Found>, sqlx::Error> {
    let found: Vec<Found> = parsed(&entries)?;
    if found.is_empty() {
        return Ok(found);
    }
    sqlx::query(from).bind(entries).execute(&mut *connection).await?;
    let others: Vec<u64> = found.iter().filter(|entry| entry.2 == 0).map(|entry| entry.1).collect();
    let needed = needed(connection, &others).await?;
    let ids: Vec<u64> = found.iter().map(|entry| entry.1).filter(|id| !needed.contains(id)).collect();
    let delete = sqlx::query(FROM_MESSAGE);
    delete.bind(serde_json::json!(ids).to_string()).execute(connection).await?;
    Ok(found)
}

/// Those of the messages for which some owner has an entry.
async fn needed(connection: &mut SqliteConnection, ids: &[u64]) -> Result<HashSet<u64>, sqlx::Error> {
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let read = sqlx::query_scalar(OWNERS_OF).bind(serde_json::json!(ids).to_string());
    let owners: String = read.fetch_one(&mut *connection).await?;
    let owners: Vec<(u64, String)> = parsed(&owners)?;
    let mut pairs: Vec<(u64, u64)> = Vec::with_capacity(owners.len() * 2);
    for (id, hex) in owners {
        let owners = owners_in(&hex);
        pairs.extend(owners.iter().map(|owner| (owner.account.0, id)));
    }
    let read = sqlx::query_scalar(NEEDED).bind(serde_json::json!(pairs).to_string());
    let needed: String = read.fetch_one(connection).await?;
    parsed(&needed)
}

/// Garbled ones are nobody: `verify` counts them.
fn owners_in(hex: &str) -> Owners {
    hex::decode(hex).ok().and_then(|bytes| unpack_owners(&bytes)).unwrap_or_default()
}

/// Written by SQLite from columns that are numbers and bytes.
pub fn parsed<T: serde::de::DeserializeOwned>(json: &str) -> Result<T, sqlx::Error> {
    serde_json::from_str(json).map_err(|error| sqlx::Error::Decode(error.into()))
}
