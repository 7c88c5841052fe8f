//! A database without room.

use std::time::Duration;

use meerkat_tests::postgres::PostgresServer;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::live::Live;
use crate::load::{Load, SECONDS};

/// The tables' disk is full, the write-ahead log's is not: PostgreSQL refuses what needs more room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_room_for_tables() {
    let folder = TempDir::new().expect("a folder");
    let Some(postgres) = PostgresServer::with_small_disk(folder.path(), 32) else {
        eprintln!("This machine lets nobody mount a disk.");
        return;
    };
    let tablespace = format!("CREATE TABLESPACE small LOCATION '{}'", folder.path().display());
    postgres.execute("postgres", &tablespace).await;
    postgres.execute("postgres", "CREATE DATABASE meerkat TABLESPACE small").await;
    let live = Live::start(&postgres.url("meerkat")).await;
    let load = Load::start(&live).await;
    postgres.execute("meerkat", "CREATE TABLE ballast (filler text)").await;
    fill(&postgres).await;
    sleep(Duration::from_secs(3)).await;
    postgres.execute("meerkat", "DROP TABLE ballast").await;
    load.until_flowing(SECONDS).await;
    let account = load.settle(&live).await;
    assert!(account.refused > 10, "{account}");
}

/// Until nothing more goes in.
async fn fill(postgres: &PostgresServer) {
    let url = postgres.url("meerkat");
    let mut connection = PgConnection::connect(&url).await.expect("it is there");
    for rows in [3000, 300, 30, 3] {
        let sql = format!(
            "INSERT INTO ballast SELECT repeat(md5(n::text), 30) FROM generate_series(1, {rows}) AS n"
        );
        while sqlx::raw_sql(sqlx::AssertSqlSafe(sql.clone())).execute(&mut connection).await.is_ok() {}
    }
}

/// Everything's disk is full: PostgreSQL cannot write its log any more and stops, until there is room and
/// somebody starts it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_room_for_anything() {
    let folder = TempDir::new().expect("a folder");
    let settings = "min_wal_size = 32MB\nmax_wal_size = 32MB\nwal_recycle = off";
    let Some(postgres) = PostgresServer::on_small_disk(folder.path(), 120, settings) else {
        eprintln!("This machine lets nobody mount a disk.");
        return;
    };
    let live = Live::start(&postgres.url("postgres")).await;
    let load = Load::start(&live).await;
    postgres.tell("fill");
    // What it has of its log already, it goes on writing into. A new piece of it finds no room.
    let begun = Instant::now();
    while live.store().health().await.is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(30), "a full disk does it no harm");
        let switched = PgConnection::connect(&postgres.url("postgres")).await;
        if let Ok(mut connection) = switched {
            // It breaks when the server does.
            let _ = sqlx::raw_sql("SELECT pg_switch_wal(); CHECKPOINT").execute(&mut connection).await;
        }
        sleep(Duration::from_millis(200)).await;
    }
    sleep(Duration::from_secs(3)).await;
    postgres.tell("free");
    // Where it had stopped, this is what its supervisor does.
    let stopped = postgres.try_tell("start");
    load.until_flowing(SECONDS).await;
    let account = load.settle(&live).await;
    println!("PostgreSQL itself {}", if stopped { "had stopped" } else { "went on" });
    assert!(account.refused > 10, "{account}");
}
