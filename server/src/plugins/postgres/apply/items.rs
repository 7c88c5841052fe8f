//! Block lists and collections of values.

use std::collections::BTreeSet;

use sqlx::postgres::PgConnection;
use xmpp_core::Jid;

use super::lock;
use crate::plugins::postgres::failure::{Failure, Named};
use crate::plugins::postgres::rows::full_jid;
use crate::storage::{AccountNumber, Millis, StoreError, Written};

pub async fn block(
    connection: &mut PgConnection,
    named: &Named,
    owner: AccountNumber,
    jids: Vec<Jid>,
    limit: u32,
) -> Result<Written, Failure> {
    lock(connection, owner).await?;
    let mut blocked = blocked(connection, named, owner).await?;
    let added: Vec<Jid> = jids.into_iter().filter(|jid| blocked.insert(jid.clone())).collect();
    if blocked.len() > limit as usize {
        return Err(StoreError::block_list_full(limit).into());
    }
    let texts: Vec<&str> = added.iter().map(Jid::as_str).collect();
    let add = sqlx::query("INSERT INTO blocked (owner, jid) SELECT $1, unnest($2::text[])");
    add.bind(owner.0 as i64).bind(texts).execute(connection).await?;
    Ok(Written::Jids(added))
}

pub async fn unblock(
    connection: &mut PgConnection,
    named: &Named,
    owner: AccountNumber,
    jids: Vec<Jid>,
) -> Result<Written, Failure> {
    lock(connection, owner).await?;
    let mut blocked = blocked(connection, named, owner).await?;
    let removed: Vec<Jid> = match jids.is_empty() {
        true => blocked.into_iter().collect(),
        false => jids.iter().filter_map(|jid| blocked.take(jid)).collect(),
    };
    let texts: Vec<&str> = removed.iter().map(Jid::as_str).collect();
    let remove = sqlx::query("DELETE FROM blocked WHERE owner = $1 AND jid = ANY ($2)");
    remove.bind(owner.0 as i64).bind(texts).execute(connection).await?;
    Ok(Written::Jids(removed))
}

async fn blocked(
    connection: &mut PgConnection,
    named: &Named,
    owner: AccountNumber,
) -> Result<BTreeSet<Jid>, Failure> {
    let jids: Vec<String> = sqlx::query_scalar("SELECT jid FROM blocked WHERE owner = $1")
        .bind(owner.0 as i64)
        .fetch_all(connection)
        .await?;
    Ok(jids.iter().map(|jid| full_jid(jid, named)).collect::<Result<_, _>>()?)
}

pub async fn set(
    connection: &mut PgConnection,
    owner: AccountNumber,
    (collection, key): (&str, &str),
    value: &[u8],
    limit_bytes: u64,
) -> Result<Written, Failure> {
    lock(connection, owner).await?;
    let others: i64 = sqlx::query_scalar(
        "SELECT coalesce(sum(octet_length(key) + octet_length(value)), 0)::bigint FROM item
         WHERE owner = $1 AND collection = $2 AND key <> $3",
    )
    .bind(owner.0 as i64)
    .bind(collection)
    .bind(key)
    .fetch_one(&mut *connection)
    .await?;
    if others as u64 + (key.len() + value.len()) as u64 > limit_bytes {
        return Err(StoreError::collection_full(limit_bytes).into());
    }
    let set = sqlx::query(
        "INSERT INTO item (owner, collection, key, value) VALUES ($1, $2, $3, $4)
         ON CONFLICT (owner, collection, key) DO UPDATE SET value = $4",
    );
    set.bind(owner.0 as i64).bind(collection).bind(key).bind(value).execute(connection).await?;
    Ok(Written::Done)
}

pub async fn set_shared(
    connection: &mut PgConnection,
    collection: &str,
    key: &str,
    value: &[u8],
    limit: u32,
) -> Result<Written, Failure> {
    // Nobody owns these, so that there is no account to hold.
    let hold = sqlx::query("SELECT pg_advisory_xact_lock(19820, hashtext($1))").bind(collection);
    hold.execute(&mut *connection).await?;
    // A replaced value is a new one: it goes to the end of the line.
    let set = sqlx::query(
        "INSERT INTO shared_item (collection, key, value) VALUES ($1, $2, $3)
         ON CONFLICT (collection, key) DO UPDATE SET value = $3, place = excluded.place",
    );
    set.bind(collection).bind(key).bind(value).execute(&mut *connection).await?;
    sqlx::query(
        "DELETE FROM shared_item WHERE collection = $1 AND place <=
             (SELECT place FROM shared_item WHERE collection = $1 ORDER BY place DESC LIMIT 1 OFFSET $2)",
    )
    .bind(collection)
    .bind(i64::from(limit))
    .execute(connection)
    .await?;
    Ok(Written::Done)
}

pub async fn swap_shared(
    connection: &mut PgConnection,
    collection: &str,
    key: &str,
    expected: Option<&[u8]>,
    value: &[u8],
) -> Result<Written, Failure> {
    let swapped = match expected {
        None => sqlx::query(
            "INSERT INTO shared_item (collection, key, value) VALUES ($1, $2, $3)
             ON CONFLICT (collection, key) DO NOTHING",
        ),
        Some(_) => {
            sqlx::query("UPDATE shared_item SET value = $3 WHERE collection = $1 AND key = $2 AND value = $4")
        }
    };
    let swapped = swapped.bind(collection).bind(key).bind(value);
    let swapped = if expected.is_some() { swapped.bind(expected) } else { swapped };
    match swapped.execute(connection).await?.rows_affected() {
        0 => Err(Failure::Refused(StoreError::another_value(collection, key))),
        _ => Ok(Written::Done),
    }
}

/// An account's oldest entries, up to the first that is not older than $3 (in milliseconds since 1970).
const OLDEST: &str = "WITH oldest AS MATERIALIZED (
        SELECT archive.id, time FROM archive
        CROSS JOIN LATERAL (SELECT time FROM message WHERE id = archive.id OFFSET 0) AS message
        WHERE owner = $1 ORDER BY archive.id LIMIT $2
    )
    SELECT id FROM oldest WHERE id < coalesce(
        (SELECT min(id) FROM oldest WHERE time >= 'epoch'::timestamptz + $3::bigint * interval '1 millisecond'),
        9223372036854775807
    )";

/// Drops the oldest entries of an archive, each with its message where nothing else needs that.
pub async fn purge(
    connection: &mut PgConnection,
    owner: AccountNumber,
    before: Millis,
    limit: u32,
) -> Result<Written, Failure> {
    // Times have an end (9999-12-31).
    let before = i64::try_from(before).unwrap_or(i64::MAX).min(253_402_300_799_999);
    let owner = owner.0 as i64;
    let ids: Vec<i64> = sqlx::query_scalar(OLDEST)
        .bind(owner)
        .bind(i64::from(limit))
        .bind(before)
        .fetch_all(&mut *connection)
        .await?;
    // Two who drop the last two entries of a message must not both leave it to the other; and what waits
    // has its message for itself from now on.
    for sql in [
        "SELECT FROM message WHERE id = ANY ($2) AND $1 IS NOT NULL ORDER BY id FOR UPDATE",
        "UPDATE waiting SET bond = 1 WHERE owner = $1 AND id = ANY ($2) AND bond = 2",
        "DELETE FROM archive WHERE owner = $1 AND id = ANY ($2)",
        "SELECT meerkat_sweep($2) WHERE $1 IS NOT NULL",
    ] {
        sqlx::query(sql).bind(owner).bind(&ids).execute(&mut *connection).await?;
    }
    Ok(Written::Dropped(ids.len() as u64))
}
