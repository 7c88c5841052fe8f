//! Rows of uploaded files: written.

use sqlx::postgres::PgConnection;

use super::lock;
use crate::plugins::postgres::failure::Failure;
use crate::storage::{File, FileQuota, StoreError, Written};

pub async fn grant(connection: &mut PgConnection, file: File, quota: FileQuota) -> Result<Written, Failure> {
    let owner = file.owner.ok_or_else(|| StoreError::no_slot(&file.name))?;
    lock(connection, owner).await?;
    let (files, bytes): (i64, i64) = sqlx::query_as(
        "SELECT count(*), coalesce(sum(size), 0)::bigint FROM file
         WHERE owner = $1 AND created >= 'epoch'::timestamptz + $2::bigint * interval '1 millisecond'",
    )
    .bind(owner.0 as i64)
    .bind(quota.since as i64)
    .fetch_one(&mut *connection)
    .await?;
    if files as u64 + 1 > quota.files || (bytes as u64).saturating_add(file.size) > quota.bytes {
        return Err(StoreError::quota_reached().into());
    }
    sqlx::query(
        "INSERT INTO file (name, owner, title, media_type, size, created, awaited_until, expires, stored, blob)
         VALUES ($1, $2, $3, $4, $5, 'epoch'::timestamptz + $6::bigint * interval '1 millisecond',
             'epoch'::timestamptz + $7::bigint * interval '1 millisecond',
             'epoch'::timestamptz + $8::bigint * interval '1 millisecond', $9, $10)",
    )
    .bind(file.name)
    .bind(owner.0 as i64)
    .bind(file.title)
    .bind(file.media_type)
    .bind(file.size as i64)
    .bind(file.created as i64)
    .bind(file.awaited_until as i64)
    .bind(file.expires.map(|time| time as i64))
    .bind(file.stored)
    .bind(file.blob)
    .execute(connection)
    .await?;
    Ok(Written::Done)
}

pub async fn store(
    connection: &mut PgConnection,
    name: &str,
    blob: &str,
    media_type: Option<String>,
) -> Result<Written, Failure> {
    let store = sqlx::query(
        "UPDATE file SET stored = true, blob = $1, media_type = coalesce(media_type, $2)
         WHERE name = $3 AND NOT stored AND owner IS NOT NULL",
    );
    match store.bind(blob).bind(media_type).bind(name).execute(connection).await?.rows_affected() {
        0 => Err(StoreError::no_slot(name).into()),
        _ => Ok(Written::Done),
    }
}

pub async fn remove(connection: &mut PgConnection, name: &str) -> Result<Written, Failure> {
    sqlx::query("DELETE FROM file WHERE name = $1").bind(name).execute(connection).await?;
    Ok(Written::Done)
}
