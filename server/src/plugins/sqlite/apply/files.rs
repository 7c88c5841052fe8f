//! Rows of uploaded files: written.

use sqlx::SqliteConnection;
use xmpp_core::date::format_utc;

use super::exists;
use crate::plugins::sqlite::failure::Failure;
use crate::storage::{File, FileQuota, StoreError, Written};

pub async fn grant(
    connection: &mut SqliteConnection,
    file: File,
    quota: FileQuota,
) -> Result<Written, Failure> {
    let owner = file.owner.ok_or_else(|| StoreError::no_slot(&file.name))?;
    exists(connection, owner).await?;
    let (files, bytes): (i64, i64) =
        sqlx::query_as("SELECT count(*), ifnull(sum(size), 0) FROM file WHERE owner = ? AND created >= ?")
            .bind(owner.0 as i64)
            .bind(format_utc(quota.since))
            .fetch_one(&mut *connection)
            .await?;
    if files as u64 + 1 > quota.files || (bytes as u64).saturating_add(file.size) > quota.bytes {
        return Err(StoreError::quota_reached().into());
    }
    sqlx::query(
        "INSERT INTO file (name, owner, title, media_type, size, created, awaited_until, expires, stored, blob)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(file.name)
    .bind(owner.0 as i64)
    .bind(file.title)
    .bind(file.media_type)
    .bind(file.size as i64)
    .bind(format_utc(file.created))
    .bind(format_utc(file.awaited_until))
    .bind(file.expires.map(format_utc))
    .bind(file.stored)
    .bind(file.blob)
    .execute(connection)
    .await?;
    Ok(Written::Done)
}

pub async fn store(
    connection: &mut SqliteConnection,
    name: &str,
    blob: &str,
    media_type: Option<String>,
) -> Result<Written, Failure> {
    let store = sqlx::query(
        "UPDATE file SET stored = 1, blob = ?, media_type = ifnull(media_type, ?)
         WHERE name = ? AND stored = 0 AND owner IS NOT NULL",
    );
    match store.bind(blob).bind(media_type).bind(name).execute(connection).await?.rows_affected() {
        0 => Err(StoreError::no_slot(name).into()),
        _ => Ok(Written::Done),
    }
}

pub async fn remove(connection: &mut SqliteConnection, name: &str) -> Result<Written, Failure> {
    sqlx::query("DELETE FROM file WHERE name = ?").bind(name).execute(connection).await?;
    Ok(Written::Done)
}
