//! A move that ends in the middle of any of its steps, and one while others write and read.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use server::jobs::Turn;
use server::storage::archive::{End, Filter};
use server::storage::{Archive, Job, Store};

use crate::stage::*;

/// A future that is given up after so many steps, as by a crash: what it asked for may still happen.
struct Steps<F> {
    future: Pin<Box<F>>,
    left: usize,
}

impl<F: Future> Future for Steps<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        self.future.as_mut().poll(context).map(Some)
    }
}

/// Nothing is lost or doubled, wherever it was; the next one goes on, and leaves no file that nobody knows.
#[tokio::test]
async fn a_move_may_end_anywhere() {
    for kind in BOTH {
        let stage = Stage::new(kind).await;
        let mut expected = Vec::new();
        for owner in [stage.romeo, stage.juliet] {
            expected.push((owner, all(&*stage.store, owner, &Filter::default(), End::Oldest, 9_999).await));
        }
        let mut given_up = 0;
        for steps in 1.. {
            // Another process each time, which remembers nothing.
            let cold = cold(&stage.store, &stage.bucket);
            let mut turn = stage.turn();
            let moving = cold.move_before(&mut turn, stage.now - 60 * DAY, stage.now);
            let moved = Steps { future: Box::pin(moving), left: steps }.await;
            for (owner, expected) in &expected {
                for (end, page) in [(End::Oldest, 300), (End::Newest, 300)] {
                    let mut seen = all(&*cold, *owner, &Filter::default(), end, page).await;
                    if end == End::Newest {
                        seen.reverse();
                    }
                    assert_eq!(&seen, expected, "{kind:?}, after {steps} steps");
                }
                let count = cold.count_archived(*owner, &Filter::default(), u64::MAX >> 1).await;
                assert_eq!(count, Ok(expected.len() as u64), "{kind:?}, after {steps} steps");
            }
            match moved {
                None => given_up += 1,
                Some(moved) => {
                    moved.expect("moves").expect("it is our turn");
                    break;
                }
            }
        }
        assert!(given_up > 10, "{given_up}");
        let files = stage.catalogue().await.len();
        assert!(files >= 3, "{files}");
        stage.tidy().await;
        let (objects, known) = stage.objects().await;
        assert_eq!(objects, known, "{kind:?}: there are files that nobody knows");
        assert_eq!(stage.cold.verify().await.expect("looks").findings, Vec::<String>::new());
    }
}

/// Who lost the turn while he slept puts nothing into the catalogue.
#[tokio::test]
async fn a_sleeper_moves_nothing() {
    let stage = Stage::new(Kind::Postgres).await;
    let mut other = Turn::new(stage.store.clone(), Job::Cold, "another server".into());
    other.take().await.expect("asks").expect("it is free");
    let before = stage.now - 60 * DAY;
    assert_eq!(stage.cold.move_before(&mut stage.turn(), before, stage.now).await, Ok(None));
    assert_eq!(stage.catalogue().await, []);
    let mut sleeper = other;
    execute(&stage.url, "UPDATE lease SET until = now() - interval '1 second'").await;
    stage.turn().take().await.expect("asks").expect("it ran out");
    let slept = stage.cold.move_before(&mut sleeper, before, stage.now).await;
    assert!(matches!(slept, Err(server::storage::StoreError::Conflict(_))), "{slept:?}");
    assert_eq!(stage.catalogue().await, []);
}

/// Pages are whole, and in order, while messages come and go into files.
#[tokio::test]
async fn a_move_is_not_seen_by_those_who_read_and_write() {
    for kind in BOTH {
        let stage = Stage::new(kind).await;
        let old = all(&*stage.store, stage.romeo, &Filter::default(), End::Oldest, 9_999).await;
        let moved = AtomicBool::new(false);
        let writing = async {
            let mut written = 0u64;
            while !moved.load(Ordering::Relaxed) {
                let draft = draft((stage.romeo, stage.juliet), MESSAGES + written, now());
                written += stage.cold.save(vec![draft]).await.expect("saves").len() as u64;
                tokio::task::yield_now().await;
            }
            written
        };
        let reading = async {
            let mut rounds = 0;
            while !moved.load(Ordering::Relaxed) || rounds < 2 {
                let end = if rounds % 2 == 0 { End::Oldest } else { End::Newest };
                let mut seen = all(&*stage.cold, stage.romeo, &Filter::default(), end, 40).await;
                if end == End::Newest {
                    seen.reverse();
                }
                assert_eq!(seen.get(..old.len()), Some(&old[..]), "{kind:?}, round {rounds}");
                rounds += 1;
            }
            rounds
        };
        let moving = async {
            let moved_now = stage.move_older(60).await;
            moved.store(true, Ordering::Relaxed);
            moved_now
        };
        let (written, rounds, moved) = tokio::join!(writing, reading, moving);
        assert!(moved.files >= 3 && rounds >= 2 && written > 0, "{moved:?} {rounds} {written}");
        let seen = all(&*stage.cold, stage.romeo, &Filter::default(), End::Oldest, 50).await;
        assert_eq!(seen.len() as u64, MESSAGES + written);
    }
}
