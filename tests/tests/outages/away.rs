//! A database that is away: dead, or there and silent.

use meerkat_tests::postgres::PostgresServer;
use tokio::time::sleep;

use crate::live::{Live, outage};
use crate::load::{Load, SECONDS};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_dies_and_comes_back() {
    let postgres = PostgresServer::start("");
    let live = Live::start(&postgres.url("postgres")).await;
    let load = Load::start(&live).await;
    postgres.tell("kill");
    sleep(outage()).await;
    postgres.tell("start");
    let resumed = load.until_flowing(SECONDS).await;
    let account = load.settle(&live).await;
    println!("dead for {:?}, served again {resumed:?} after it came back", outage());
    assert!(account.refused > 50 && account.acknowledged > 100, "{account}");
}

/// Its processes are stopped: connections are taken, and nobody answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_hangs_and_goes_on() {
    let postgres = PostgresServer::start("");
    let live = Live::start(&postgres.url("postgres")).await;
    let load = Load::start(&live).await;
    postgres.signal("STOP");
    sleep(outage()).await;
    postgres.signal("CONT");
    let resumed = load.until_flowing(SECONDS).await;
    let account = load.settle(&live).await;
    println!("silent for {:?}, served again {resumed:?} after it went on", outage());
    assert!(account.refused > 50 && account.acknowledged > 100, "{account}");
}
