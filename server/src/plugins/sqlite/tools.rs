//! What an operator asks of the file without a server. A look at it is possible beside a server.

use sqlx::SqliteConnection;

use super::failure::Named;
use super::open::{self, Options, newest_schema};
use crate::plugins::tools::Status;
use crate::storage::StoreError;

pub async fn status(options: &Options) -> Result<Status, StoreError> {
    let named = Named::new(&options.path, options.watch.clone());
    let mut connection = read(options, &named).await?;
    let error = |error: sqlx::Error| named.error(&error);
    let (software, schema): (String, i64) =
        sqlx::query_as("SELECT 'SQLite ' || sqlite_version(), user_version FROM pragma_user_version")
            .fetch_one(&mut connection)
            .await
            .map_err(error)?;
    let mut counts = (0, 0, 0);
    if schema > 0 {
        // What is past the indexed id has its owners beside it. What was taken lately may count once more.
        counts = sqlx::query_as::<_, (i64, i64, i64)>(
            "SELECT (SELECT count(*) FROM account), (SELECT count(*) FROM message WHERE owners <> x''),
                 (SELECT count(*) FROM waiting) + (SELECT count(*) FROM message, progress
                     WHERE id > indexed AND owners <> x'')",
        )
        .fetch_one(&mut connection)
        .await
        .map_err(error)?;
    }
    let is_searched = "SELECT count(*) FROM sqlite_schema WHERE name = 'text_progress'";
    let is_searched: i64 = sqlx::query_scalar(is_searched).fetch_one(&mut connection).await.map_err(error)?;
    let unindexed =
        "SELECT count(*) FROM message, text_progress WHERE id > text_progress.indexed AND owners <> x''";
    let unindexed: Option<i64> = match is_searched {
        0 => None,
        _ => Some(sqlx::query_scalar(unindexed).fetch_one(&mut connection).await.map_err(error)?),
    };
    Ok(Status {
        store: "sqlite",
        place: options.path.display().to_string(),
        software,
        schema,
        newest_schema: newest_schema(),
        bytes: options.path.metadata().map_or(0, |file| file.len()),
        accounts: counts.0 as u64,
        messages: counts.1 as u64,
        waiting: counts.2 as u64,
        unindexed: unindexed.map(|count| count as u64),
        leases: Vec::new(),
    })
}

pub async fn migrate(options: &Options) -> Result<(), StoreError> {
    let named = Named::new(&options.path, options.watch.clone());
    let _lock = open::lock(&options.path)?;
    open::open(options, &named).await.map(|_| ())
}

/// Everything that contradicts itself.
pub async fn check(options: &Options) -> Result<Vec<String>, StoreError> {
    let named = Named::new(&options.path, options.watch.clone());
    let mut connection = read(options, &named).await?;
    let error = |error: sqlx::Error| named.error(&error);
    let mut findings: Vec<String> =
        sqlx::query_scalar("PRAGMA integrity_check(20)").fetch_all(&mut connection).await.map_err(error)?;
    findings.retain(|finding| finding != "ok");
    let schema: i64 =
        sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut connection).await.map_err(error)?;
    if schema != newest_schema() {
        findings.push(format!("the schema is {schema}, and {} is the newest", newest_schema()));
        return Ok(findings);
    }
    for (what, sql) in CONTRADICTIONS {
        let count: i64 = sqlx::query_scalar(sql).fetch_one(&mut connection).await.map_err(error)?;
        if count > 0 {
            findings.push(format!("{count} {what}"));
        }
    }
    Ok(findings)
}

async fn read(options: &Options, named: &Named) -> Result<SqliteConnection, StoreError> {
    if !options.path.exists() {
        return Err(StoreError::Unavailable(format!(
            "{} is not there: a server makes it at its first start, or `meerkatctl db migrate` does",
            options.path.display()
        )));
    }
    options.connect_to_read().await.map_err(|error| named.error(&error))
}

/// Each counts what should not be.
const CONTRADICTIONS: [(&str, &str); 3] = [
    ("rows that point to nothing", "SELECT count(*) FROM pragma_foreign_key_check"),
    (
        "entries whose message is gone",
        "SELECT count(*) FROM (SELECT id FROM waiting UNION ALL SELECT id FROM archive)
         WHERE id NOT IN (SELECT id FROM message)",
    ),
    (
        "entries of accounts that are gone, and that nobody will delete",
        "SELECT count(*) FROM (SELECT owner FROM waiting UNION ALL SELECT owner FROM archive)
         WHERE owner NOT IN (SELECT number FROM account) AND owner NOT IN (SELECT number FROM account_removed)",
    ),
];
