//! Hashing of passwords: milliseconds each, off the reactor's threads, and never more of it than is configured.

use std::fmt;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

pub struct Passwords {
    /// One permit for each job that may run at the same time. Who waits is served in order.
    threads: Arc<Semaphore>,
    waiting: AtomicUsize,
    waiting_max: usize,
}

/// As many wait already as may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

impl std::error::Error for Busy {}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many passwords wait to be hashed")
    }
}

impl Passwords {
    /// `threads` jobs at the same time, and `queue` that wait.
    pub fn new(threads: usize, queue: usize) -> Passwords {
        Passwords {
            threads: Arc::new(Semaphore::new(threads.clamp(1, Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
            waiting_max: queue,
        }
    }

    /// Runs a job when its turn comes. A caller that gives up while it waits gives up its place; a job that has
    /// begun is finished.
    pub async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
        let permit = match self.threads.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let _place = Place::take(&self.waiting, self.waiting_max)?;
                self.threads.clone().acquire_owned().await.map_err(|_| Busy)?
            }
        };
        // The runtime's blocking threads, and none of our own: paused time stands still while one is at work.
        let running = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            job()
        });
        running.await.map_err(|error| match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime ends.
            Err(_) => Busy,
        })
    }

    /// Jobs that wait for their turn.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// A place in the queue, given back when it is dropped.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize, most: usize) -> Result<Place<'a>, Busy> {
        let next = |count: usize| (count < most).then_some(count + 1);
        waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .map(|_| Place(waiting))
            .map_err(|_| Busy)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Duration;

    use tokio::task::{JoinHandle, yield_now};
    use tokio::time::Instant;

    use super::*;

    /// A job that says that it has begun, and ends when it may.
    struct Gate {
        begun: Receiver<()>,
        end: Sender<()>,
        running: JoinHandle<Result<u32, Busy>>,
    }

    fn start(passwords: &Arc<Passwords>, answer: u32) -> Gate {
        let ((tell, begun), (end, may_end)) = (channel(), channel());
        let passwords = passwords.clone();
        let running = tokio::spawn(async move {
            let job = move || {
                tell.send(()).unwrap();
                may_end.recv().unwrap();
                answer
            };
            passwords.run(job).await
        });
        Gate { begun, end, running }
    }

    #[tokio::test]
    async fn no_more_jobs_run_and_wait_than_may() {
        let passwords = Arc::new(Passwords::new(2, 2));
        let mut gates: Vec<Gate> = Vec::new();
        for answer in 0..4 {
            gates.push(start(&passwords, answer));
            yield_now().await;
        }
        gates[0].begun.recv().unwrap();
        gates[1].begun.recv().unwrap();
        assert_eq!(passwords.waiting(), 2);
        assert_eq!(passwords.run(|| ()).await, Err(Busy));
        assert!(gates[2].begun.try_recv().is_err());

        // In their order.
        gates[1].end.send(()).unwrap();
        assert_eq!(gates.remove(1).running.await.unwrap(), Ok(1));
        yield_now().await;
        gates[1].begun.recv().unwrap();
        assert!(gates[2].begun.try_recv().is_err());
        for (gate, answer) in gates.into_iter().zip([0, 2, 3]) {
            gate.end.send(()).unwrap();
            assert_eq!(gate.running.await.unwrap(), Ok(answer));
        }
        assert_eq!(passwords.waiting(), 0);
        assert_eq!(passwords.run(|| 7).await, Ok(7));
    }

    #[tokio::test]
    async fn one_who_gives_up_while_waiting_leaves_the_queue() {
        let passwords = Arc::new(Passwords::new(1, 1));
        let first = start(&passwords, 1);
        yield_now().await;
        first.begun.recv().unwrap();
        let second = start(&passwords, 2);
        yield_now().await;
        assert_eq!(passwords.waiting(), 1);
        second.running.abort();
        assert!(second.running.await.is_err());
        assert_eq!(passwords.waiting(), 0);
        // One who gives up on a job that runs does not make room before it is done.
        first.running.abort();
        assert!(first.running.await.is_err());
        let third = start(&passwords, 3);
        yield_now().await;
        assert_eq!(passwords.waiting(), 1);
        first.end.send(()).unwrap();
        third.end.send(()).unwrap();
        assert_eq!(third.running.await.unwrap(), Ok(3));
    }

    #[tokio::test]
    async fn a_job_that_panics_takes_no_thread_with_it() {
        let passwords = Arc::new(Passwords::new(1, 1));
        for _ in 0..3 {
            let failing = passwords.clone();
            let job = tokio::spawn(async move { failing.run(|| panic!("on purpose")).await });
            assert!(job.await.unwrap_err().is_panic());
        }
        assert_eq!(passwords.run(|| 7).await, Ok(7));
    }

    #[tokio::test(start_paused = true)]
    async fn paused_time_stands_still_while_a_job_runs() {
        let passwords = Passwords::new(1, 1);
        let started = Instant::now();
        let work = || (0..5_000_000u64).fold(0, |sum, number| std::hint::black_box(sum ^ number));
        let timeout = Duration::from_millis(1);
        for _ in 0..3 {
            assert!(tokio::time::timeout(timeout, passwords.run(work)).await.is_ok());
        }
        assert_eq!(started.elapsed(), Duration::ZERO);
    }
}
