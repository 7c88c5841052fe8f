//! Deleting entries, each with its message where nothing else needs that.
//!
//! What is to be deleted is read first, as one value: a driver's row for each would cost more than the
//! deletion.

use sqlx::{Connection, SqliteConnection};

use super::chores::json;
use super::packed::{Owners, Pair, unpack_owners};
use super::tail::Entry;
use crate::storage::{AccountNumber, MessageId, Peer};

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
    for (read, from) in [
        (
            "SELECT json_group_array(json_array(owner, id, alone))
             FROM (SELECT owner, id, alone FROM waiting WHERE owner = ? LIMIT ?)",
            FROM_WAITING,
        ),
        (
            "SELECT json_group_array(json_array(owner, id, 0))
             FROM (SELECT owner, id FROM archive WHERE owner = ? LIMIT ?)",
            FROM_ARCHIVE,
        ),
    ] {
        let read = sqlx::query_scalar(read).bind(owner.0 as i64).bind(rows as i64);
        let found: String = read.fetch_one(&mut *transaction).await?;
        done &= delete(&mut transaction, from, found).await?.is_empty();
    }
    if done {
        let forget = sqlx::query("DELETE FROM account_removed WHERE number = ?");
        forget.bind(owner.0 as i64).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(done)
}

const FROM_WAITING: &str =
    "DELETE FROM waiting WHERE (owner, id) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))";
const FROM_ARCHIVE: &str =
    "DELETE FROM archive WHERE (owner, id) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))";

/// Owner, message, and whether it has no other entry.
type Found = (u64, u64, u8);

/// Inside a transaction: an entry and its message go together.
async fn delete(
    connection: &mut SqliteConnection,
    from: &'static str,
    entries: String,
) -> Result<Vec<Found>, sqlx::Error> {
    // Written by SQLite from columns that are numbers.
    let found: Vec<Found> =
        serde_json::from_str(&entries).map_err(|error| sqlx::Error::Decode(error.into()))?;
    if found.is_empty() {
        return Ok(found);
    }
    sqlx::query(from).bind(entries).execute(&mut *connection).await?;
    let mut ids = Vec::with_capacity(found.len());
    for (_, id, alone) in &found {
        if *alone == 1 || !is_needed(connection, *id).await? {
            ids.push(*id);
        }
    }
    let delete = sqlx::query("DELETE FROM message WHERE id IN (SELECT value FROM json_each(?))");
    delete.bind(serde_json::json!(ids).to_string()).execute(connection).await?;
    Ok(found)
}

/// Has any owner of the message an entry for it?
async fn is_needed(connection: &mut SqliteConnection, id: u64) -> Result<bool, sqlx::Error> {
    let owners: Option<Vec<u8>> = sqlx::query_scalar("SELECT owners FROM message WHERE id = ?")
        .bind(id as i64)
        .fetch_optional(&mut *connection)
        .await?;
    let owners: Owners = owners.and_then(|bytes| unpack_owners(&bytes)).unwrap_or_default();
    for owner in owners {
        let entries: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM waiting WHERE owner = ?1 AND id = ?2)
                 OR EXISTS (SELECT 1 FROM archive WHERE owner = ?1 AND id = ?2)",
        )
        .bind(owner.account.0 as i64)
        .bind(id as i64)
        .fetch_one(&mut *connection)
        .await?;
        if entries {
            return Ok(true);
        }
    }
    Ok(false)
}
