//! What an operator asks of the database without a server, or beside one.

use sqlx::Connection;
use sqlx::postgres::PgConnection;

use super::link::{self, Opening, Options};
use super::{leases, schema};
use crate::plugins::tools::Status;
use crate::storage::StoreError;

pub async fn status(options: &Options) -> Result<Status, StoreError> {
    let mut connection = link::connect(options).await.map_err(Opening::error)?;
    let error = |error: sqlx::Error| options.named.error(&error);
    let schema = schema::look(&mut connection).await.map_err(error)?;
    let (software, bytes): (String, i64) = sqlx::query_as(
        "SELECT 'PostgreSQL ' || current_setting('server_version'), pg_database_size(current_database())",
    )
    .fetch_one(&mut connection)
    .await
    .map_err(error)?;
    let mut counts = [0i64; 3];
    if schema.found > 0 {
        let tables = ["account", "message", "waiting"].map(|table| format!("(SELECT count(*) FROM {table})"));
        let sql = sqlx::AssertSqlSafe(format!("SELECT ARRAY[{}]", tables.join(", ")));
        let found: Vec<i64> = sqlx::query_scalar(sql).fetch_one(&mut connection).await.map_err(error)?;
        counts.iter_mut().zip(found).for_each(|(count, found)| *count = found);
    }
    let leases = match schema.found {
        ..LEASES => Vec::new(),
        _ => leases::held(&mut connection).await.map_err(error)?,
    };
    let unindexed = "SELECT (SELECT count(*) FROM message WHERE id > indexed) FROM text_progress";
    let unindexed: Option<i64> = match schema.found {
        ..WORDS => None,
        _ => sqlx::query_scalar(unindexed).fetch_optional(&mut connection).await.map_err(error)?,
    };
    let [accounts, messages, waiting] = counts.map(|count| count as u64);
    Ok(Status {
        store: "postgres",
        place: options.named.place.clone(),
        software,
        schema: schema.found.into(),
        newest_schema: schema.newest.into(),
        bytes: bytes as u64,
        accounts,
        messages,
        waiting,
        unindexed: unindexed.map(|count| count as u64),
        leases,
    })
}

/// The schemas from which on there are leases, and words.
const LEASES: i32 = 3;
const WORDS: i32 = 4;

pub async fn migrate(options: &Options) -> Result<(), StoreError> {
    let connection = link::connect(options).await.map_err(Opening::error)?;
    schema::migrate(connection, &options.named).await.map(|_| ()).map_err(Opening::error)
}

/// Everything that contradicts itself, as of one moment, however many servers write meanwhile.
pub async fn check(options: &Options) -> Result<Vec<String>, StoreError> {
    let mut connection = link::connect(options).await.map_err(Opening::error)?;
    let error = |error: sqlx::Error| options.named.error(&error);
    let schema = schema::look(&mut connection).await.map_err(error)?;
    if schema.found != schema.newest {
        return Ok(vec![format!("the schema is {}, and {} is the newest", schema.found, schema.newest)]);
    }
    find(&mut connection).await.map_err(error)
}

async fn find(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    let mut findings = Vec::new();
    let mut reading = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let settings = "SET LOCAL statement_timeout = 0; SET LOCAL enable_seqscan = on";
    sqlx::raw_sql(settings).execute(&mut *reading).await?;
    for (what, sql) in CONTRADICTIONS {
        let count: i64 = sqlx::query_scalar(sql).fetch_one(&mut *reading).await?;
        if count > 0 {
            findings.push(format!("{count} {what}"));
        }
    }
    for (setting, why) in SETTINGS {
        let value: String =
            sqlx::query_scalar("SELECT current_setting($1)").bind(setting).fetch_one(&mut *reading).await?;
        if value == "off" {
            findings.push(format!("{setting} is off: {why}"));
        }
    }
    reading.rollback().await?;
    Ok(findings)
}

pub const SETTINGS: [(&str, &str); 2] = [
    ("fsync", "a power failure loses messages that were acknowledged, or all of them"),
    ("full_page_writes", "a power failure may damage the database"),
];

/// Each counts what should not be.
const CONTRADICTIONS: [(&str, &str); 10] = [
    (
        "messages that nobody needs any more",
        "SELECT count(*) FROM message WHERE NOT EXISTS (SELECT FROM waiting WHERE waiting.id = message.id)
         AND NOT EXISTS (SELECT FROM archive WHERE archive.id = message.id)",
    ),
    (
        "entries whose message is gone",
        "SELECT count(*) FROM (SELECT id FROM waiting UNION ALL SELECT id FROM archive) AS entry
         WHERE NOT EXISTS (SELECT FROM message WHERE message.id = entry.id)",
    ),
    (
        "entries of accounts that are gone, and that nobody will delete",
        "SELECT count(*) FROM (SELECT owner FROM waiting UNION ALL SELECT owner FROM archive) AS entry
         WHERE NOT EXISTS (SELECT FROM account WHERE number = owner)
         AND NOT EXISTS (SELECT FROM account_removed WHERE number = owner)",
    ),
    (
        "messages with several entries that do not know their owners",
        "SELECT count(*) FROM message JOIN waiting USING (id)
         WHERE (bond = 0) <> (owners IS NULL) OR NOT coalesce(owner = ANY (owners), true)",
    ),
    (
        "messages with an id that will be given again",
        "SELECT count(*) FROM message WHERE id > (SELECT last_value FROM message_id)",
    ),
    (
        "accounts with a number that will be given again",
        "SELECT count(*) FROM account WHERE number > (SELECT last_value FROM account_number_seq)",
    ),
    (
        "messages whose month was not made in time: a server makes it within a day, if its user may make tables",
        "SELECT count(*) FROM message_rest",
    ),
    (
        "months to come that are not made: a server makes them within a day, if its user may make tables",
        "SELECT count(*) FROM generate_series(1, 2) AS ahead
         WHERE (SELECT first FROM part WHERE name = 'rest') <= (SELECT first FROM meerkat_month(meerkat_now(), ahead))",
    ),
    (
        "words of messages that are gone",
        "SELECT count(*) FROM message_text WHERE NOT EXISTS (SELECT FROM message WHERE message.id = message_text.id)",
    ),
    (
        "indexes that are not valid: REINDEX them",
        "SELECT count(*) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
         WHERE relnamespace = current_schema()::regnamespace AND NOT indisvalid",
    ),
];
