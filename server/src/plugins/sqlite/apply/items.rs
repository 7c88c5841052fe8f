//! Block lists and collections of values.

use sqlx::SqliteConnection;
use xmpp_core::Jid;

use super::exists;
use crate::plugins::sqlite::failure::{Failure, Named};
use crate::plugins::sqlite::read::full_jid;
use crate::storage::{AccountNumber, StoreError, Written};

pub async fn block(
    connection: &mut SqliteConnection,
    named: &Named,
    owner: AccountNumber,
    jids: Vec<Jid>,
    limit: u32,
) -> Result<Written, Failure> {
    exists(connection, owner).await?;
    let mut blocked = blocked(connection, named, owner).await?;
    let added: Vec<Jid> = jids.into_iter().filter(|jid| blocked.insert(jid.clone())).collect();
    if blocked.len() > limit as usize {
        return Err(StoreError::block_list_full(limit).into());
    }
    for jid in &added {
        let add = sqlx::query("INSERT INTO blocked (owner, jid) VALUES (?, ?)");
        add.bind(owner.0 as i64).bind(jid.as_str()).execute(&mut *connection).await?;
    }
    Ok(Written::Jids(added))
}

pub async fn unblock(
    connection: &mut SqliteConnection,
    named: &Named,
    owner: AccountNumber,
    jids: Vec<Jid>,
) -> Result<Written, Failure> {
    exists(connection, owner).await?;
    let mut blocked = blocked(connection, named, owner).await?;
    if jids.is_empty() {
        let remove = sqlx::query("DELETE FROM blocked WHERE owner = ?").bind(owner.0 as i64);
        remove.execute(connection).await?;
        return Ok(Written::Jids(blocked.into_iter().collect()));
    }
    let removed: Vec<Jid> = jids.iter().filter_map(|jid| blocked.take(jid)).collect();
    for jid in &removed {
        let remove = sqlx::query("DELETE FROM blocked WHERE owner = ? AND jid = ?");
        remove.bind(owner.0 as i64).bind(jid.as_str()).execute(&mut *connection).await?;
    }
    Ok(Written::Jids(removed))
}

async fn blocked(
    connection: &mut SqliteConnection,
    named: &Named,
    owner: AccountNumber,
) -> Result<std::collections::BTreeSet<Jid>, Failure> {
    let jids: Vec<String> = sqlx::query_scalar("SELECT jid FROM blocked WHERE owner = ?")
        .bind(owner.0 as i64)
        .fetch_all(connection)
        .await?;
    Ok(jids.iter().map(|jid| full_jid(jid, named)).collect::<Result<_, _>>()?)
}

pub async fn set(
    connection: &mut SqliteConnection,
    owner: AccountNumber,
    (collection, key): (&str, &str),
    value: &[u8],
    limit_bytes: u64,
) -> Result<Written, Failure> {
    exists(connection, owner).await?;
    let others: i64 = sqlx::query_scalar(
        "SELECT ifnull(sum(octet_length(key) + octet_length(value)), 0) FROM item
         WHERE owner = ? AND collection = ? AND key <> ?",
    )
    .bind(owner.0 as i64)
    .bind(collection)
    .bind(key)
    .fetch_one(&mut *connection)
    .await?;
    if others as u64 + (key.len() + value.len()) as u64 > limit_bytes {
        return Err(StoreError::collection_full(limit_bytes).into());
    }
    let set = sqlx::query("INSERT OR REPLACE INTO item (owner, collection, key, value) VALUES (?, ?, ?, ?)");
    set.bind(owner.0 as i64).bind(collection).bind(key).bind(value).execute(connection).await?;
    Ok(Written::Done)
}

pub async fn set_shared(
    connection: &mut SqliteConnection,
    collection: &str,
    key: &str,
    value: &[u8],
    limit: u32,
) -> Result<Written, Failure> {
    // A replaced value is a new one: it goes to the end of the line.
    let set = sqlx::query("INSERT OR REPLACE INTO shared_item (collection, key, value) VALUES (?, ?, ?)");
    set.bind(collection).bind(key).bind(value).execute(&mut *connection).await?;
    sqlx::query(
        "DELETE FROM shared_item WHERE collection = ?1 AND place <=
             (SELECT place FROM shared_item WHERE collection = ?1 ORDER BY place DESC LIMIT 1 OFFSET ?2)",
    )
    .bind(collection)
    .bind(i64::from(limit))
    .execute(connection)
    .await?;
    Ok(Written::Done)
}

pub async fn swap_shared(
    connection: &mut SqliteConnection,
    collection: &str,
    key: &str,
    expected: Option<&[u8]>,
    value: &[u8],
) -> Result<Written, Failure> {
    let swapped = match expected {
        None => sqlx::query(
            "INSERT INTO shared_item (collection, key, value) VALUES (?1, ?2, ?3)
             ON CONFLICT (collection, key) DO NOTHING",
        ),
        Some(_) => {
            sqlx::query("UPDATE shared_item SET value = ?3 WHERE collection = ?1 AND key = ?2 AND value = ?4")
        }
    };
    let swapped = swapped.bind(collection).bind(key).bind(value);
    let swapped = if expected.is_some() { swapped.bind(expected) } else { swapped };
    match swapped.execute(connection).await?.rows_affected() {
        0 => Err(Failure::Refused(StoreError::another_value(collection, key))),
        _ => Ok(Written::Done),
    }
}
