//! The schema: made once, by whoever comes first; never by an older server; and the same as `priv/` says.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use meerkat_tests::postgres::PostgresServer;
use server::plugins::postgres::{Postgres, pgsql};
use server::storage::{Store, StoreError, Users};
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use crate::stage::{bare, create, open, options};

#[tokio::test]
async fn many_servers_start_on_an_empty_database_at_once() {
    let url = PostgresServer::shared().database().await;
    let mut starts = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let url = url.clone();
        starts.spawn(async move { open(&url).await });
    }
    let stores = starts.join_all().await;
    let number = create(&stores[0], "romeo@example.com").await.expect("creates");
    let account = stores[7].account(&bare("romeo@example.com")).await.expect("reads");
    assert_eq!(account.map(|account| account.number), Some(number));
    assert_eq!(rows(&url, "SELECT count(*)::text FROM meerkat_schema").await, ["1"]);
}

#[tokio::test]
async fn a_newer_schema_stops_the_start() {
    let server = PostgresServer::shared();
    let url = server.database().await;
    drop(open(&url).await);
    execute(&url, "UPDATE meerkat_schema SET version = 999").await;
    let said = refused(&url).await;
    let expected =
        "schema 999, which a newer Meerkat made; this one knows schemas up to 8: start the newer one";
    assert!(said.contains(expected), "{said}");
    assert!(said.contains("storage.postgres.url"), "{said}");
}

#[tokio::test]
async fn another_programs_tables_are_left_alone() {
    let url = PostgresServer::shared().database().await;
    execute(&url, "CREATE TABLE account (name text)").await;
    let said = refused(&url).await;
    assert!(said.contains("holds tables of another program"), "{said}");
    assert_eq!(rows(&url, "SELECT count(*)::text FROM pg_tables WHERE schemaname = 'public'").await, ["1"]);
}

#[tokio::test]
async fn wrong_credentials_and_a_wrong_database_stop_the_start() {
    let server = PostgresServer::shared();
    let url = server.database().await;
    let said = refused(&url.replace("secret", "sesame")).await;
    assert!(said.contains("password authentication failed"), "{said}");
    assert!(said.contains(&format!("127.0.0.1:{} (storage.postgres.url)", server.port())), "{said}");
    assert!(!said.contains("sesame"), "{said}");
    let said = refused(&server.url("nowhere")).await;
    assert!(said.contains("database \"nowhere\" does not exist"), "{said}");
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let server = PostgresServer::shared();
    let url = server.database_over_tls().await;
    drop(open(&url).await);
    let (url, _) = url.split_once("&sslrootcert").expect("it names the authority");
    let said = refused(url).await;
    assert!(said.contains("TLS") && said.contains("storage.postgres.url"), "{said}");
}

async fn refused(url: &str) -> String {
    match Postgres::open(options(url)).await.map(|_| ()) {
        Err(StoreError::Unavailable(said)) => said,
        other => panic!("{other:?}"),
    }
}

/// `MEERKAT_WRITE_SCHEMA=1` writes the files.
#[test]
fn the_files_in_priv_are_the_schemas() {
    for (file, sql) in [("pgsql.sql", pgsql()), ("sqlite.sql", server::plugins::sqlite::schema())] {
        let path = in_priv(file);
        if std::env::var_os("MEERKAT_WRITE_SCHEMA").is_some() {
            std::fs::write(&path, &sql).expect("writes");
        }
        let written = std::fs::read_to_string(&path).expect("a file");
        assert_eq!(written, sql, "{file} is out of date: run this test with MEERKAT_WRITE_SCHEMA=1");
    }
}

#[tokio::test]
async fn a_database_made_with_psql_is_the_same_and_is_taken() {
    let server = PostgresServer::shared();
    let (by_psql, by_server) = (server.database().await, server.database().await);
    let made = Command::new("psql")
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f"])
        .arg(in_priv("pgsql.sql"))
        .arg(&by_psql)
        .stdout(Stdio::null())
        .status();
    assert!(made.expect("psql starts").success());
    drop(open(&by_server).await);
    let (one, other) = (catalogue(&by_psql).await, catalogue(&by_server).await);
    assert!(one.len() > 80, "{one:#?}");
    let differ = |one: &[String], other: &[String]| -> Vec<String> {
        one.iter().filter(|line| !other.contains(line)).cloned().collect()
    };
    assert_eq!((differ(&one, &other), differ(&other, &one)), (vec![], vec![]));

    let store = open(&by_psql).await;
    create(&store, "romeo@example.com").await.expect("creates");
}

/// Columns, constraints, indexes, sequences, functions, settings of tables, and the version.
async fn catalogue(url: &str) -> Vec<String> {
    rows(
        url,
        "SELECT format('column %s.%s %s %s %s %s', table_name, column_name, data_type, is_nullable,
             column_default, collation_name)
         FROM information_schema.columns WHERE table_schema = 'public'
         UNION ALL SELECT format('constraint %s %s', conrelid::regclass, pg_get_constraintdef(oid))
         FROM pg_constraint WHERE connamespace = 'public'::regnamespace
         UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
         UNION ALL SELECT format('sequence %s %s %s', sequencename, start_value, min_value)
         FROM pg_sequences WHERE schemaname = 'public'
         UNION ALL SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
         UNION ALL SELECT format('table %s %s', relname, reloptions)
         FROM pg_class WHERE relnamespace = 'public'::regnamespace
         UNION ALL SELECT format('version %s', version) FROM meerkat_schema
         ORDER BY 1",
    )
    .await
}

#[tokio::test]
async fn an_sqlite_file_made_by_hand_is_the_same_and_is_taken() {
    use server::plugins::sqlite::{Options, Sqlite};
    let folder = tempfile::TempDir::new().expect("a folder");
    let (by_hand, by_server) = (folder.path().join("hand.db"), folder.path().join("server.db"));
    let sql = std::fs::read_to_string(in_priv("sqlite.sql")).expect("a file");
    let mut connection = SqliteConnectOptions::new()
        .filename(&by_hand)
        .create_if_missing(true)
        .connect()
        .await
        .expect("makes");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.expect("valid SQL");
    connection.close().await.expect("closes");
    Sqlite::open(Options::new(&by_server)).await.expect("opens").close().await;
    assert_eq!(sqlite_catalogue(&by_hand).await, sqlite_catalogue(&by_server).await);
    Sqlite::open(Options::new(&by_hand)).await.expect("it is taken").close().await;
}

async fn sqlite_catalogue(path: &Path) -> Vec<(String, String, Option<String>)> {
    let mut connection = SqliteConnectOptions::new().filename(path).connect().await.expect("opens");
    let marks: (i64, i64) = sqlx::query_as(
        "SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version)",
    )
    .fetch_one(&mut connection)
    .await
    .expect("reads");
    let mut rows: Vec<(String, String, Option<String>)> =
        sqlx::query_as("SELECT type, name, sql FROM sqlite_schema ORDER BY 1, 2")
            .fetch_all(&mut connection)
            .await
            .expect("reads");
    assert!(rows.len() > 10);
    rows.push((marks.0.to_string(), marks.1.to_string(), None));
    rows
}

async fn rows(url: &str, sql: &'static str) -> Vec<String> {
    let mut connection = PgConnection::connect(url).await.expect("it is there");
    sqlx::query_scalar(sql).fetch_all(&mut connection).await.expect("valid SQL")
}

async fn execute(url: &str, sql: &'static str) {
    let mut connection = PgConnection::connect(url).await.expect("it is there");
    sqlx::raw_sql(sql).execute(&mut connection).await.expect("valid SQL");
}

fn in_priv(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../priv").join(file)
}
