//! A database that takes back what is under way: killed connections, deadlocks, serialisation failures.

use std::time::Duration;

use meerkat_tests::postgres::PostgresServer;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tokio::time::{Instant, sleep};

use crate::live::Live;
use crate::load::Load;

const LONG: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_killed_in_mid_transaction() {
    let postgres = PostgresServer::start("");
    let url = postgres.url("postgres");
    let live = Live::start(&url).await;
    let load = Load::start(&live).await;
    let mut killer = PgConnection::connect(&url).await.expect("it is there");
    let (begun, mut killed) = (Instant::now(), 0);
    // A machine that is busy takes longer.
    while begun.elapsed() < LONG || (killed < 10 && begun.elapsed() < 8 * LONG) {
        sleep(Duration::from_millis(30)).await;
        // Those that are in the middle of a save, of a write, or of finding out what became of one.
        let ended: i64 = sqlx::query_scalar(
            "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE application_name = 'meerkat' AND state <> 'idle' AND query LIKE '%meerkat_%'",
        )
        .fetch_one(&mut killer)
        .await
        .expect("kills");
        killed += ended;
    }
    load.until_flowing(LONG).await;
    let account = load.settle(&live).await;
    println!("{killed} connections killed");
    assert!(killed >= 10 && account.acknowledged > 100, "{killed} killed, {account}");
    assert_eq!(account.refused, 0, "a connection can be made anew");
}

/// A second program locks the same things in another order, a trigger refuses now and then as a
/// serialisation failure does, and the user's default is the isolation at which they happen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadlocks_and_serialisation_failures() {
    let postgres = PostgresServer::start("deadlock_timeout = 20ms");
    let url = postgres.url("postgres");
    postgres
        .execute("postgres", "ALTER ROLE meerkat SET default_transaction_isolation = 'serializable'")
        .await;
    let live = Live::start(&url).await;
    let load = Load::start(&live).await;
    postgres
        .execute(
            "postgres",
            "CREATE SEQUENCE provoked;
             CREATE FUNCTION provoke() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF random() < 0.1 THEN
                     PERFORM nextval('provoked');
                     RAISE EXCEPTION 'provoked' USING ERRCODE = '40001';
                 END IF;
                 RETURN NULL;
             END $$;
             CREATE TRIGGER provoke AFTER INSERT ON message FOR EACH STATEMENT EXECUTE FUNCTION provoke()",
        )
        .await;
    let mut rival = PgConnection::connect(&url).await.expect("it is there");
    let begun = Instant::now();
    while begun.elapsed() < LONG {
        let sql = "BEGIN; LOCK TABLE waiting IN SHARE ROW EXCLUSIVE MODE; SELECT pg_sleep(0.01);
                   SELECT pg_advisory_xact_lock(19819, 1); ROLLBACK";
        if sqlx::raw_sql(sql).execute(&mut rival).await.is_err() {
            // It was its turn to be the victim.
            sqlx::raw_sql("ROLLBACK").execute(&mut rival).await.expect("goes on");
        }
        sleep(Duration::from_millis(100)).await;
    }
    load.until_flowing(LONG).await;
    let provoked: i64 =
        sqlx::query_scalar("SELECT last_value FROM provoked").fetch_one(&mut rival).await.expect("it");
    let deadlocks: i64 = sqlx::query_scalar("SELECT sum(deadlocks)::bigint FROM pg_stat_database")
        .fetch_one(&mut rival)
        .await
        .expect("counts");
    let account = load.settle(&live).await;
    println!("{provoked} serialisation failures, {deadlocks} deadlocks");
    assert!(provoked > 5 && deadlocks > 5, "{provoked} and {deadlocks}");
    assert_eq!(account.refused, 0, "each was tried again: {account}");
}
