//! The catalogue of the cold archive: written.

use sqlx::postgres::PgConnection;

use super::lock;
use crate::plugins::postgres::failure::Failure;
use crate::storage::{AccountNumber, ColdChange, ColdFile, ColdPart, MessageId, Millis, StoreError, Written};

pub async fn apply(connection: &mut PgConnection, change: ColdChange) -> Result<Written, Failure> {
    match change {
        ColdChange::Note { place, due } => note(connection, &place, due).await?,
        ColdChange::Forget { place } => forget_note(connection, &place).await?,
        ColdChange::Add { file, parts } => add(connection, file, &parts).await?,
        ColdChange::Swap { file } => swap(connection, file).await?,
        ColdChange::Remove { number } => {
            let remove = "DELETE FROM cold_file WHERE number = $1 RETURNING place";
            let place: Option<String> =
                sqlx::query_scalar(remove).bind(number as i64).fetch_optional(&mut *connection).await?;
            if let Some(place) = place {
                note(connection, &place, 0).await?;
            }
        }
        ColdChange::Trim { number, owner, left } => trim(connection, number, owner, left).await?,
    }
    Ok(Written::Done)
}

/// The account goes: nothing of it counts any more, and its files are to be written anew.
pub async fn forget(connection: &mut PgConnection, owner: AccountNumber) -> Result<(), sqlx::Error> {
    let forget = sqlx::query(
        "WITH gone AS (DELETE FROM cold_part WHERE owner = $1 RETURNING file)
         UPDATE cold_file SET stale = stale + 1 WHERE number IN (SELECT file FROM gone)",
    );
    forget.bind(owner.0 as i64).execute(connection).await.map(drop)
}

async fn note(connection: &mut PgConnection, place: &str, due: Millis) -> Result<(), sqlx::Error> {
    let note = sqlx::query(
        "INSERT INTO cold_note (place, due) VALUES ($1, $2) ON CONFLICT (place) DO UPDATE SET due = $2",
    );
    note.bind(place).bind(due as i64).execute(connection).await.map(drop)
}

async fn forget_note(connection: &mut PgConnection, place: &str) -> Result<(), sqlx::Error> {
    let forget = sqlx::query("DELETE FROM cold_note WHERE place = $1");
    forget.bind(place).execute(connection).await.map(drop)
}

async fn add(connection: &mut PgConnection, file: ColdFile, parts: &[ColdPart]) -> Result<(), Failure> {
    let column = |of: fn(&ColdPart) -> u64| parts.iter().map(|part| of(part) as i64).collect::<Vec<i64>>();
    let (owners, firsts) = (column(|part| part.owner.0), column(|part| part.first.0));
    // Whoever drops something of an archive, or an account, holds the account. So it was before, and then an
    // owner's first entry is not there any more, for the oldest go first; or it will see the part.
    let held = sqlx::query("SELECT FROM account WHERE number = ANY ($1) ORDER BY number FOR NO KEY UPDATE");
    held.bind(&owners).execute(&mut *connection).await?;
    let stands: bool = sqlx::query_scalar(
        "SELECT $3 > coalesce((SELECT max(last) FROM cold_file), -1) AND NOT EXISTS (
             SELECT FROM unnest($1::bigint[], $2::bigint[]) AS part (owner, first)
             WHERE NOT EXISTS (SELECT FROM archive WHERE archive.owner = part.owner AND id = first)
                 OR NOT EXISTS (SELECT FROM account WHERE number = part.owner))",
    )
    .bind(&owners)
    .bind(&firsts)
    .bind(file.first.0 as i64)
    .fetch_one(&mut *connection)
    .await?;
    if !stands {
        return Err(StoreError::cold_changed().into());
    }
    let number: i64 = sqlx::query_scalar(
        "INSERT INTO cold_file (place, first, last, oldest, newest, messages, entries, bytes, index_at, sum)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING number",
    )
    .bind(&file.place)
    .bind(file.first.0 as i64)
    .bind(file.last.0 as i64)
    .bind(file.oldest as i64)
    .bind(file.newest as i64)
    .bind(file.messages as i64)
    .bind(file.entries as i64)
    .bind(file.bytes as i64)
    .bind(file.index_at as i64)
    .bind(&file.sum)
    .fetch_one(&mut *connection)
    .await?;
    sqlx::query(
        "INSERT INTO cold_part (owner, file, first, last, entries)
         SELECT owner, $5, first, last, entries
         FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) AS part (owner, first, last, entries)",
    )
    .bind(&owners)
    .bind(&firsts)
    .bind(column(|part| part.last.0))
    .bind(column(|part| part.entries))
    .bind(number)
    .execute(&mut *connection)
    .await?;
    forget_note(connection, &file.place).await?;
    Ok(())
}

async fn swap(connection: &mut PgConnection, file: ColdFile) -> Result<(), Failure> {
    let found: Option<(String, i64)> =
        sqlx::query_as("SELECT place, stale FROM cold_file WHERE number = $1 FOR UPDATE")
            .bind(file.number as i64)
            .fetch_optional(&mut *connection)
            .await?;
    let Some((old, _)) = found.filter(|(_, stale)| *stale as u64 == file.stale) else {
        return Err(StoreError::cold_changed().into());
    };
    sqlx::query(
        "UPDATE cold_file SET place = $2, oldest = $3, newest = $4, messages = $5, entries = $6, bytes = $7,
             index_at = $8, sum = $9, stale = 0 WHERE number = $1",
    )
    .bind(file.number as i64)
    .bind(&file.place)
    .bind(file.oldest as i64)
    .bind(file.newest as i64)
    .bind(file.messages as i64)
    .bind(file.entries as i64)
    .bind(file.bytes as i64)
    .bind(file.index_at as i64)
    .bind(&file.sum)
    .execute(&mut *connection)
    .await?;
    forget_note(connection, &file.place).await?;
    note(connection, &old, 0).await?;
    Ok(())
}

async fn trim(
    connection: &mut PgConnection,
    number: u64,
    owner: AccountNumber,
    left: Option<(MessageId, u64)>,
) -> Result<(), Failure> {
    lock(connection, owner).await?;
    let changed = match left {
        None => {
            let trim = sqlx::query("DELETE FROM cold_part WHERE file = $1 AND owner = $2");
            trim.bind(number as i64).bind(owner.0 as i64).execute(&mut *connection).await?
        }
        Some((first, entries)) => {
            let trim = sqlx::query(
                "UPDATE cold_part SET first = $3, entries = $4 WHERE file = $1 AND owner = $2 AND first < $3",
            );
            let trim = trim.bind(number as i64).bind(owner.0 as i64);
            trim.bind(first.0 as i64).bind(entries as i64).execute(&mut *connection).await?
        }
    };
    if changed.rows_affected() > 0 {
        let stale = sqlx::query("UPDATE cold_file SET stale = stale + 1 WHERE number = $1");
        stale.bind(number as i64).execute(connection).await?;
    }
    Ok(())
}
