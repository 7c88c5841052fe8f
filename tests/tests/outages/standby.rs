//! A primary that dies, and a replica that takes its place after a while.

use std::time::Duration;

use meerkat_tests::postgres::PostgresServer;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tokio::time::{Instant, sleep};

use crate::live::Live;
use crate::load::{Load, SECONDS};

/// The replica confirms each commit, so that what was acknowledged is there; the URL names both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_to_a_streaming_replica() {
    let primary = PostgresServer::start("");
    let standby = primary.standby();
    until_streaming(&primary).await;
    primary.execute("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'").await;
    primary.execute("postgres", "SELECT pg_reload_conf()").await;

    let url = format!(
        "postgres://meerkat:secret@127.0.0.1:{},127.0.0.1:{}/postgres?sslmode=disable",
        primary.port(),
        standby.port()
    );
    let live = Live::start(&url).await;
    let load = Load::start(&live).await;
    primary.tell("kill");
    live.until_health("read-only").await;
    // Longer than a commit without an answer is looked up.
    sleep(Duration::from_secs(7)).await;
    standby.tell("promote");
    let resumed = load.until_flowing(SECONDS).await;
    let account = load.settle(&live).await;
    println!("served again {resumed:?} after the replica's promotion");
    assert!(account.refused > 50 && account.acknowledged > 100, "{account}");
}

async fn until_streaming(primary: &PostgresServer) {
    let mut connection = PgConnection::connect(&primary.url("postgres")).await.expect("it is there");
    let begun = Instant::now();
    loop {
        let sql = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
        let streaming: i64 = sqlx::query_scalar(sql).fetch_one(&mut connection).await.expect("counts");
        if streaming > 0 {
            return;
        }
        assert!(begun.elapsed() < SECONDS, "the replica does not follow");
        sleep(Duration::from_millis(50)).await;
    }
}
