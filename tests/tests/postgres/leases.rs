//! Leases between two servers of one database.

use std::time::Duration;

use meerkat_tests::postgres::PostgresServer;
use server::storage::{Job, Lease, Leases, Store, StoreError, Users, Write};
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use crate::stage::{bare, open};

const LONG: Duration = Duration::from_secs(3600);

fn write(lease: &Lease, jid: &str) -> Write {
    let write = Write::CreateAccount { jid: bare(jid), secrets: vec![], time: 1, roster_epoch: 7 };
    Write::Under { lease: lease.clone(), write: Box::new(write) }
}

/// As a server does that was stopped in the middle of a job, and goes on when the job is another's.
#[tokio::test]
async fn a_holder_that_slept_commits_nothing() {
    let url = PostgresServer::shared().database().await;
    let (sleeper, other) = (open(&url).await, open(&url).await);
    let lease = sleeper.lease(Job::Outbox, "sleeper", LONG).await.expect("asks").expect("it is free");
    sleeper.write(write(&lease, "romeo@example.com")).await.expect("it is held");
    // The time is the database's.
    let mut connection = PgConnection::connect(&url).await.expect("it is there");
    let run_out = sqlx::query("UPDATE lease SET until = clock_timestamp()");
    run_out.execute(&mut connection).await.expect("valid SQL");
    let taken = other.lease(Job::Outbox, "other", LONG).await.expect("asks").expect("it ran out");
    assert_eq!(taken.epoch, lease.epoch + 1);
    let refused = sleeper.write(write(&lease, "juliet@example.com")).await;
    assert!(matches!(&refused, Err(StoreError::Conflict(why)) if why.contains("outbox")), "{refused:?}");
    assert_eq!(other.account(&bare("juliet@example.com")).await, Ok(None));
    other.write(write(&taken, "juliet@example.com")).await.expect("its turn");
}

/// What is under way under a lease ends before another gets it: the two never overlap.
#[tokio::test]
async fn a_lease_is_given_on_behind_the_transaction_that_uses_it() {
    let url = PostgresServer::shared().database().await;
    let (one, other) = (open(&url).await, open(&url).await);
    let lease = one.lease(Job::Cold, "one", LONG).await.expect("asks").expect("it is free");
    let mut connection = PgConnection::connect(&url).await.expect("it is there");
    let mut transaction = connection.begin().await.expect("begins");
    sqlx::query("SELECT meerkat_check_lease('cold', $1)")
        .bind(lease.epoch as i64)
        .execute(&mut *transaction)
        .await
        .expect("it is held");
    let released = lease.clone();
    let releasing = tokio::spawn(async move { one.release(&released).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!releasing.is_finished(), "it was given back in the middle of a transaction");
    transaction.commit().await.expect("it was held when it began");
    releasing.await.expect("no panic").expect("releases");
    let taken = other.lease(Job::Cold, "other", LONG).await.expect("asks").expect("it was given back");
    assert_eq!(taken.epoch, lease.epoch + 1);
}

/// Whoever asks at the same time, one gets it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_free_lease_is_given_once() {
    let url = PostgresServer::shared().database().await;
    let stores = [open(&url).await, open(&url).await];
    let mut epoch = 0;
    for _ in 0..20 {
        let mut asking = tokio::task::JoinSet::new();
        for asker in 0..8 {
            let store = stores[asker % 2].clone();
            asking.spawn(async move {
                store.lease(Job::Retention, &asker.to_string(), Duration::from_secs(60)).await.expect("asks")
            });
        }
        let given: Vec<Lease> = asking.join_all().await.into_iter().flatten().collect();
        assert_eq!(given.len(), 1, "{given:?}");
        assert!(given[0].epoch > epoch);
        epoch = given[0].epoch;
        stores[0].release(&given[0]).await.expect("releases");
    }
}
