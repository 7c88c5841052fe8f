//! Rows of uploaded files: read.

use xmpp_core::date::format_utc;

use super::Sqlite;
use super::failure::Named;
use super::read::millis;
use crate::storage::*;

type FileRow =
    (String, Option<i64>, String, Option<String>, i64, String, String, Option<String>, bool, Option<String>);

impl Files for Sqlite {
    fn file<'a>(&'a self, name: &'a str) -> StoreFut<'a, Option<File>> {
        Box::pin(async move {
            let sql =
                "SELECT name, owner, title, media_type, size, created, awaited_until, expires, stored, blob
                       FROM file WHERE name = ?";
            let row: Option<FileRow> = self.one(sqlx::query_as(sql).bind(name)).await?;
            row.map(|row| file(row, &self.named)).transpose()
        })
    }

    fn files<'a>(
        &'a self,
        owner: Option<AccountNumber>,
        after: &'a str,
        limit: usize,
    ) -> StoreFut<'a, Vec<File>> {
        Box::pin(async move {
            let sql =
                "SELECT name, owner, title, media_type, size, created, awaited_until, expires, stored, blob
                       FROM file WHERE name > ?1 AND (?2 IS NULL OR owner = ?2) ORDER BY name LIMIT ?3";
            let query = sqlx::query_as(sql).bind(after).bind(owner.map(|owner| owner.0 as i64));
            let rows: Vec<FileRow> = self.all(query.bind(many(limit))).await?;
            rows.into_iter().map(|row| file(row, &self.named)).collect()
        })
    }

    fn files_granted<'a>(
        &'a self,
        owner: AccountNumber,
        since: Millis,
        limit: usize,
    ) -> StoreFut<'a, Vec<(Millis, u64)>> {
        Box::pin(async move {
            let sql = "SELECT created, size FROM file WHERE owner = ? AND created >= ?
                       ORDER BY created, size LIMIT ?";
            let query = sqlx::query_as(sql).bind(owner.0 as i64).bind(format_utc(since)).bind(many(limit));
            let rows: Vec<(String, i64)> = self.all(query).await?;
            let granted = rows.into_iter().map(|(time, size)| Ok((millis(&time, &self.named)?, size as u64)));
            granted.collect()
        })
    }

    /// Each of the three has its index.
    fn files_due<'a>(&'a self, now: Millis, limit: usize) -> StoreFut<'a, Vec<String>> {
        Box::pin(async move {
            let sql = "SELECT name FROM file WHERE expires <= ?1
                       UNION SELECT name FROM file WHERE stored = 0 AND awaited_until <= ?1
                       UNION SELECT name FROM file WHERE owner IS NULL
                       ORDER BY name LIMIT ?2";
            let query = sqlx::query_as(sql).bind(format_utc(now)).bind(many(limit));
            let rows: Vec<(String,)> = self.all(query).await?;
            Ok(rows.into_iter().map(|row| row.0).collect())
        })
    }

    fn file_usage<'a>(&'a self, owner: Option<AccountNumber>) -> StoreFut<'a, Usage> {
        Box::pin(async move {
            let sql = "SELECT count(*), ifnull(sum(size), 0) FROM file
                       WHERE stored AND (?1 IS NULL OR owner = ?1)";
            let query = sqlx::query_as(sql).bind(owner.map(|owner| owner.0 as i64));
            let row: Option<(i64, i64)> = self.one(query).await?;
            let (count, bytes) = row.unwrap_or_default();
            Ok(Usage { count: count as u64, bytes: bytes as u64 })
        })
    }
}

fn many(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn file(row: FileRow, named: &Named) -> Result<File, StoreError> {
    let (name, owner, title, media_type, size, created, awaited_until, expires, stored, blob) = row;
    Ok(File {
        name,
        owner: owner.map(|owner| AccountNumber(owner as u64)),
        title,
        media_type,
        size: size as u64,
        created: millis(&created, named)?,
        awaited_until: millis(&awaited_until, named)?,
        expires: expires.map(|time| millis(&time, named)).transpose()?,
        stored,
        blob,
    })
}
