//! The schema: embedded, numbered, and only ever added to. One of many nodes that start at once brings
//! a database up to date, under a lock, in one transaction; the others find it done.

use std::fmt::Write;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

use super::failure::{Named, postgres};
use super::link::Opening;
use crate::storage::StoreError;

/// The schema, by version. A migration that was released is never changed.
const MIGRATIONS: [&str; 8] = [
    include_str!("migrations/0001.sql"),
    include_str!("migrations/0002.sql"),
    include_str!("migrations/0003.sql"),
    include_str!("migrations/0004.sql"),
    include_str!("migrations/0005.sql"),
    include_str!("migrations/0006.sql"),
    include_str!("migrations/0007.sql"),
    include_str!("migrations/0008.sql"),
];

/// Which version a database has. One row.
const VERSION_TABLE: &str = "\
CREATE TABLE meerkat_schema (
    one boolean PRIMARY KEY CHECK (one),
    version integer NOT NULL,
    changed timestamptz NOT NULL
);
";

/// What one connection finds, and the newest that this binary knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schema {
    /// 0: none yet.
    pub found: i32,
    pub newest: i32,
}

impl Schema {
    const fn newest() -> i32 {
        MIGRATIONS.len() as i32
    }
}

/// `priv/pgsql.sql`: the newest schema, for `psql`. A database made with it is one of ours.
pub fn pgsql() -> String {
    let mut sql = String::from(
        "-- Meerkat's schema for PostgreSQL 13 and newer: psql -v ON_ERROR_STOP=1 -f pgsql.sql DATABASE\n\
         -- The server makes and updates its tables by itself; this is for whoever would rather do it by hand.\n\
         -- Generated from server/src/plugins/postgres/migrations: do not change it here.\n\nBEGIN;\n\n",
    );
    sql.push_str(VERSION_TABLE);
    for migration in MIGRATIONS {
        sql.push('\n');
        sql.push_str(migration);
    }
    // Writing to a string cannot fail.
    let _ = write!(sql, "\n{}\nCOMMIT;\n", note_version(Schema::newest()));
    sql
}

fn note_version(version: i32) -> String {
    format!(
        "INSERT INTO meerkat_schema (one, version, changed) VALUES (true, {version}, now())\n\
         ON CONFLICT (one) DO UPDATE SET version = {version}, changed = now();"
    )
}

/// The version of a database's schema, which is left as it is.
pub async fn look(connection: &mut PgConnection) -> Result<Schema, sqlx::Error> {
    Ok(Schema { found: version(connection).await?, newest: Schema::newest() })
}

/// Brings the schema up to date. Refuses one that a newer Meerkat made.
pub async fn migrate(mut connection: PgConnection, named: &Named) -> Result<PgConnection, Opening> {
    let newest = Schema::newest();
    let error = |error: sqlx::Error| Opening::of(error, named);
    let mut found = version(&mut connection).await.map_err(error)?;
    if found < newest {
        found = apply(&mut connection, named).await?;
    }
    if found > newest {
        return Err(Opening::Never(StoreError::Unavailable(format!(
            "{} has schema {found}, which a newer Meerkat made; this one knows schemas up to {newest}: start \
             the newer one, or put back a backup from before the upgrade",
            named.place
        ))));
    }
    Ok(connection)
}

/// Is a copy into the database under way, or was it cut off?
pub async fn is_copy_unfinished(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_class WHERE relname = 'meerkat_copy' AND pg_table_is_visible(oid))",
    )
    .fetch_one(connection)
    .await
}

/// A server that served half a copy would make accounts with numbers that are still to come.
pub async fn refuse_unfinished_copy(connection: &mut PgConnection, named: &Named) -> Result<(), Opening> {
    let unfinished = is_copy_unfinished(connection).await.map_err(|error| Opening::of(error, named))?;
    if !unfinished {
        return Ok(());
    }
    Err(Opening::Never(StoreError::Unavailable(format!(
        "{} has an unfinished copy of another store: run `meerkatctl db copy` again, which goes on with it, or \
         begin anew with an empty database",
        named.place
    ))))
}

async fn version(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    // Not `to_regclass`: it may answer from what the session looked up before it waited for the lock.
    let there: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_class WHERE relname = 'meerkat_schema' AND pg_table_is_visible(oid))",
    )
    .fetch_one(&mut *connection)
    .await?;
    if !there {
        return Ok(0);
    }
    let version: Option<i32> =
        sqlx::query_scalar("SELECT version FROM meerkat_schema").fetch_optional(connection).await?;
    Ok(version.unwrap_or(0))
}

/// Applies what is missing, if it still is once it is this node's turn. Gives the version that stands then.
async fn apply(connection: &mut PgConnection, named: &Named) -> Result<i32, Opening> {
    let error = |error: sqlx::Error| Opening::of(error, named);
    let mut transaction = connection.begin().await.map_err(error)?;
    // A migration, and waiting for another node's, may take longer than any other statement.
    sqlx::raw_sql("SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0")
        .execute(&mut *transaction)
        .await
        .map_err(error)?;
    sqlx::raw_sql("SELECT pg_advisory_xact_lock(19819, 2)")
        .execute(&mut *transaction)
        .await
        .map_err(error)?;
    let found = version(&mut transaction).await.map_err(error)?;
    if found >= Schema::newest() {
        // Not by dropping it: the others wait for the lock.
        transaction.rollback().await.map_err(error)?;
        return Ok(found);
    }
    let missing = MIGRATIONS.iter().skip(found.max(0) as usize);
    let first = (found == 0).then_some(&VERSION_TABLE);
    for sql in first.into_iter().chain(missing) {
        sqlx::raw_sql(*sql).execute(&mut *transaction).await.map_err(|error| refused(error, named))?;
    }
    let note = note_version(Schema::newest());
    sqlx::raw_sql(AssertSqlSafe(note)).execute(&mut *transaction).await.map_err(error)?;
    transaction.commit().await.map_err(error)?;
    tracing::info!(version = Schema::newest(), "The database has its new schema");
    Ok(Schema::newest())
}

fn refused(error: sqlx::Error, named: &Named) -> Opening {
    let code = postgres(&error).map(|error| error.code().to_owned()).unwrap_or_default();
    let said = postgres(&error).map(|error| error.message().to_owned()).unwrap_or_default();
    match &*code {
        // Such a table, or such a function, is there already.
        "42P07" | "42723" | "42710" => Opening::Never(StoreError::Unavailable(format!(
            "{} holds tables of another program ({said}): give storage.postgres.url a database of its own",
            named.place
        ))),
        "42501" => Opening::Never(StoreError::Unavailable(format!(
            "in {} this user may not make tables ({said}): GRANT CREATE ON SCHEMA public, or make it the owner",
            named.place
        ))),
        _ => Opening::of(error, named),
    }
}
