//! Rows of uploaded files: read.

use super::Postgres;
use super::read::bounded;
use crate::storage::*;

type FileRow =
    (String, Option<i64>, String, Option<String>, i64, i64, i64, Option<i64>, bool, Option<String>);

impl Files for Postgres {
    fn file<'a>(&'a self, name: &'a str) -> StoreFut<'a, Option<File>> {
        Box::pin(async move {
            let sql =
                "SELECT name, owner, title, media_type, size, (extract(epoch FROM created) * 1000)::bigint,
                           (extract(epoch FROM awaited_until) * 1000)::bigint,
                           (extract(epoch FROM expires) * 1000)::bigint, stored, blob
                       FROM file WHERE name = $1";
            let row: Option<FileRow> = self.pool.one(|| sqlx::query_as(sql).bind(name)).await?;
            Ok(row.map(file))
        })
    }

    fn files<'a>(
        &'a self,
        owner: Option<AccountNumber>,
        after: &'a str,
        limit: usize,
    ) -> StoreFut<'a, Vec<File>> {
        Box::pin(async move {
            let sql = "SELECT name, owner, title, media_type, size, (extract(epoch FROM created) * 1000)::bigint,
                           (extract(epoch FROM awaited_until) * 1000)::bigint,
                           (extract(epoch FROM expires) * 1000)::bigint, stored, blob
                       FROM file WHERE name > $1 AND ($2::bigint IS NULL OR owner = $2) ORDER BY name LIMIT $3";
            let (owner, limit) = (owner.map(|owner| owner.0 as i64), bounded(limit));
            let query = || sqlx::query_as(sql).bind(after).bind(owner).bind(limit);
            let rows: Vec<FileRow> = self.pool.all(query).await?;
            Ok(rows.into_iter().map(file).collect())
        })
    }

    fn files_granted<'a>(
        &'a self,
        owner: AccountNumber,
        since: Millis,
        limit: usize,
    ) -> StoreFut<'a, Vec<(Millis, u64)>> {
        Box::pin(async move {
            let sql = "SELECT (extract(epoch FROM created) * 1000)::bigint, size FROM file
                       WHERE owner = $1
                       AND created >= 'epoch'::timestamptz + $2::bigint * interval '1 millisecond'
                       ORDER BY created, size LIMIT $3";
            let (owner, since, limit) = (owner.0 as i64, since as i64, bounded(limit));
            let query = || sqlx::query_as(sql).bind(owner).bind(since).bind(limit);
            let rows: Vec<(i64, i64)> = self.pool.all(query).await?;
            Ok(rows.into_iter().map(|(time, size)| (time as u64, size as u64)).collect())
        })
    }

    /// Each of the three has its index.
    fn files_due<'a>(&'a self, now: Millis, limit: usize) -> StoreFut<'a, Vec<String>> {
        Box::pin(async move {
            let sql = "WITH at (now) AS (SELECT 'epoch'::timestamptz + $1::bigint * interval '1 millisecond')
                       SELECT name FROM file WHERE expires <= (SELECT now FROM at)
                       UNION SELECT name FROM file WHERE NOT stored AND awaited_until <= (SELECT now FROM at)
                       UNION SELECT name FROM file WHERE owner IS NULL
                       ORDER BY name LIMIT $2";
            let (now, limit) = (now as i64, bounded(limit));
            let rows: Vec<(String,)> = self.pool.all(|| sqlx::query_as(sql).bind(now).bind(limit)).await?;
            Ok(rows.into_iter().map(|row| row.0).collect())
        })
    }

    fn file_usage<'a>(&'a self, owner: Option<AccountNumber>) -> StoreFut<'a, Usage> {
        Box::pin(async move {
            let sql = "SELECT count(*), coalesce(sum(size), 0)::bigint FROM file
                       WHERE stored AND ($1::bigint IS NULL OR owner = $1)";
            let owner = owner.map(|owner| owner.0 as i64);
            let row: Option<(i64, i64)> = self.pool.one(|| sqlx::query_as(sql).bind(owner)).await?;
            let (count, bytes) = row.unwrap_or_default();
            Ok(Usage { count: count as u64, bytes: bytes as u64 })
        })
    }
}

fn file(row: FileRow) -> File {
    let (name, owner, title, media_type, size, created, awaited_until, expires, stored, blob) = row;
    File {
        name,
        owner: owner.map(|owner| AccountNumber(owner as u64)),
        title,
        media_type,
        size: size as u64,
        created: created as u64,
        awaited_until: awaited_until as u64,
        expires: expires.map(|time| time as u64),
        stored,
        blob,
    }
}
