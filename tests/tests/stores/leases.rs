//! Leases of jobs: one holder at a time, and nothing is done under a lease that is another's by now.

use std::time::Duration;

use server::storage::{Job, Lease, StoreError, Write, Written};

use crate::stage::{Stage, bare};

crate::on_every_store![
    a_lease_is_one_holders_until_it_is_released,
    one_that_ran_out_goes_to_whoever_asks_with_a_higher_epoch,
    nothing_is_done_under_a_lease_that_was_lost,
    each_job_has_a_lease_of_its_own,
];

const LONG: Duration = Duration::from_secs(3600);
/// As short as a lease can be: it has run out when its holder hears of it.
const NO_TIME: Duration = Duration::ZERO;

async fn lease(stage: &Stage, holder: &str, time: Duration) -> Option<Lease> {
    stage.store.lease(Job::Retention, holder, time).await.expect("the store answers")
}

fn write(jid: &str) -> Box<Write> {
    Box::new(Write::CreateAccount { jid: bare(jid), secrets: vec![], time: 1, roster_epoch: 7 })
}

async fn a_lease_is_one_holders_until_it_is_released(stage: Stage) {
    let first = lease(&stage, "one", LONG).await.expect("nobody had it");
    assert_eq!(lease(&stage, "another", LONG).await, None);
    assert_eq!(lease(&stage, "one", LONG).await, Some(first.clone()), "renewed, with the same epoch");
    stage.store.release(&first).await.expect("releases");
    let second = lease(&stage, "another", LONG).await.expect("it was released");
    assert!(second.epoch > first.epoch);
    // It is another's by now.
    stage.store.release(&first).await.expect("it is ignored");
    assert_eq!(lease(&stage, "one", LONG).await, None);
}

async fn one_that_ran_out_goes_to_whoever_asks_with_a_higher_epoch(stage: Stage) {
    let mut newest = 0;
    for holder in ["one", "another", "another", "one"] {
        let lease = lease(&stage, holder, NO_TIME).await.expect("it ran out");
        assert!(lease.epoch > newest, "{} is not above {newest}", lease.epoch);
        newest = lease.epoch;
    }
}

async fn nothing_is_done_under_a_lease_that_was_lost(stage: Stage) {
    let first = lease(&stage, "one", LONG).await.expect("nobody had it");
    let done = stage.done(Write::Under { lease: first.clone(), write: write("romeo@example.com") }).await;
    assert!(matches!(done, Written::Account(_)));
    stage.store.release(&first).await.expect("releases");
    for taken in [false, true] {
        if taken {
            lease(&stage, "another", LONG).await.expect("it is free");
        }
        let late = Write::Under { lease: first.clone(), write: write("juliet@example.com") };
        let refused = stage.write(late).await;
        assert!(
            matches!(&refused, Err(StoreError::Conflict(why)) if why.contains("retention")),
            "{refused:?}"
        );
        assert_eq!(stage.store.account(&bare("juliet@example.com")).await, Ok(None));
    }
    let never = Lease { job: Job::Cold, epoch: 1 };
    let refused = stage.write(Write::Under { lease: never, write: write("juliet@example.com") }).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
}

async fn each_job_has_a_lease_of_its_own(stage: Stage) {
    for (number, job) in Job::ALL.into_iter().enumerate() {
        let holder = number.to_string();
        let lease = stage.store.lease(job, &holder, LONG).await.expect("the store answers");
        assert_eq!(lease.map(|lease| lease.job), Some(job));
        assert_eq!(stage.store.lease(job, "another", LONG).await, Ok(None));
    }
}
