//! The one task that saves messages.
//!
//! It awaits one saving, drains the rest, and commits them together in one statement, while the next ones
//! gather. A commit without an answer is neither yes nor no (messages.md, rule 5): it is looked up before
//! anything else is committed or answered.
//!
//! ```text
//!             +-> yes: ids                            +-> yes: ids
//!   commit ---+-> no: again, or an error              |
//!             +-> no answer ------------> look up ----+-> no: again
//!                                                     +-> nobody to ask for DOUBT: wait, and when
//!                                                         somebody is: take back what was saved
//! ```

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sqlx::postgres::PgConnection;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, sleep};

use super::batch::{Batch, Saved};
use super::books::Books;
use super::chores::Closing;
use super::failure::{Meaning, meaning};
use super::link::{self, Options};
use crate::storage::{Crowded, Draft, MessageId, Millis, Operation, Plugin, StoreError};

/// A commit has at most so many savings, messages or bytes of stanzas, and one saving more.
const COMMIT_JOBS: usize = 512;
const COMMIT_ROWS: usize = 512;
const COMMIT_BYTES: usize = 1 << 20;
/// A commit is begun so often before it is given up: after a deadlock, or when its connection died.
const ATTEMPTS: u32 = 8;

pub type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

pub enum Job {
    Save(Saving),
    Close { answer: Answer<()> },
}

pub struct Saving {
    pub drafts: Vec<Draft>,
    pub answer: Answer<Vec<MessageId>>,
    /// The bytes of the drafts, given back when they are committed.
    pub room: OwnedSemaphorePermit,
}

pub struct Writer {
    options: Arc<Options>,
    boot: i64,
    /// The latest commit's number.
    number: i64,
    /// `None` after an error, until it is made anew.
    connection: Option<PgConnection>,
    jobs: mpsc::Receiver<Job>,
    books: Arc<Books>,
    /// Why the latest commit failed, if it did.
    failed: Option<StoreError>,
    /// A commit of which nobody could say what became of it, and whose senders were told to wait.
    doubt: Option<Batch>,
}

/// Why a batch is not saved.
enum Unsaved {
    Known(StoreError),
    /// Nobody could say whether it is.
    InDoubt(StoreError),
}

impl Writer {
    pub fn new(
        options: Arc<Options>,
        boot: i64,
        connection: PgConnection,
        jobs: mpsc::Receiver<Job>,
        books: Arc<Books>,
    ) -> Writer {
        let connection = Some(connection);
        Writer { options, boot, number: 0, connection, jobs, books, failed: None, doubt: None }
    }

    pub async fn run(mut self, closing: Closing) {
        let mut close = None;
        while let Some(job) = self.jobs.recv().await {
            let (savings, closed) = self.gather(job);
            self.commit(savings).await;
            if closed.is_some() {
                close = closed;
                break;
            }
        }
        // What was asked before the end is done.
        self.jobs.close();
        while let Ok(job) = self.jobs.try_recv() {
            let (savings, _) = self.gather(job);
            self.commit(savings).await;
        }
        self.connection = None;
        closing.close().await;
        if let Some(close) = close {
            let _ = close.send(Ok(()));
        }
    }

    fn gather(&mut self, first: Job) -> (Vec<Saving>, Option<Answer<()>>) {
        let (mut savings, mut rows, mut bytes) = (Vec::new(), 0, 0);
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Save(saving) => {
                    rows += saving.drafts.len();
                    bytes += saving.room.num_permits();
                    savings.push(saving);
                }
                Job::Close { answer } => return (savings, Some(answer)),
            }
            let more = savings.len() < COMMIT_JOBS && rows < COMMIT_ROWS && bytes < COMMIT_BYTES;
            next = if more { self.jobs.try_recv().ok() } else { None };
        }
        (savings, None)
    }

    /// Commits all or nothing, and answers.
    async fn commit(&mut self, savings: Vec<Saving>) {
        let savings = self.admitted(savings);
        let drafts = savings.iter().flat_map(|saving| &saving.drafts);
        let batch = match &self.options.outbox {
            None => Batch::new(drafts),
            Some(_) => Batch::with_events(drafts),
        };
        if batch.is_empty() {
            return savings.into_iter().for_each(|saving| answer_with(saving.answer, Ok(Vec::new())));
        }
        let begun = Instant::now();
        let error = match self.save(&batch).await {
            Ok(saved) => {
                let (watch, took) = (&self.options.named.watch, begun.elapsed());
                watch.committed(batch.len(), took);
                watch.operated(Operation::PostgresSave, took, true);
                watch.batched(Plugin::Postgres, batch.len());
                self.succeed();
                let (rows, bytes) = batch.told();
                self.options.outbox.iter().for_each(|gate| gate.put(rows, bytes));
                batch.waiting().for_each(|owner| self.books.saved(owner, saved.complete));
                let mut next = saved.first as u64;
                for saving in savings {
                    let ids = (next..).take(saving.drafts.len()).map(MessageId).collect();
                    next += saving.drafts.len() as u64;
                    answer_with(saving.answer, Ok(ids));
                }
                return;
            }
            Err(Unsaved::Known(error)) => error,
            Err(Unsaved::InDoubt(error)) => {
                self.doubt = Some(batch);
                error
            }
        };
        self.options.named.watch.operated(Operation::PostgresSave, begun.elapsed(), false);
        self.fail(&error);
        savings.into_iter().for_each(|saving| answer_with(saving.answer, Err(error.clone())));
    }

    /// Without those for which the outbox has no room; they are answered.
    fn admitted(&self, savings: Vec<Saving>) -> Vec<Saving> {
        let refused = self.options.outbox.as_ref().and_then(|gate| gate.admit().err());
        let Some(error) = refused.filter(|_| !savings.is_empty()) else { return savings };
        self.options.named.watch.crowded(Crowded::Outbox);
        let error = self.options.named.counted(error);
        savings.into_iter().for_each(|saving| answer_with(saving.answer, Err(error.clone())));
        Vec::new()
    }

    async fn save(&mut self, batch: &Batch) -> Result<Saved, Unsaved> {
        if self.doubt.is_some() {
            self.take_back().await.map_err(Unsaved::Known)?;
        }
        let mut attempt = 1;
        loop {
            let (options, boot, number) = (self.options.clone(), self.boot, self.number + 1);
            let connection = self.connection().await.map_err(Unsaved::Known)?;
            let saving = batch.save(connection, boot, &options.node, number);
            let error = match link::within(options.statement_limit, saving).await {
                Ok(saved) => {
                    self.number = number;
                    return Ok(saved);
                }
                Err(error) => error,
            };
            match meaning(&error) {
                Meaning::No => return Err(Unsaved::Known(options.named.error(&error))),
                Meaning::Again => {}
                Meaning::Lost => {
                    self.connection = None;
                    self.number = number;
                    tracing::warn!(%error, "a commit got no answer: looking it up");
                    if let Some(first) = self.look_up(number).await.map_err(Unsaved::InDoubt)? {
                        return Ok(Saved { first, complete: false });
                    }
                }
            }
            if attempt == ATTEMPTS {
                return Err(Unsaved::Known(options.named.error(&error)));
            }
            sleep(Duration::from_millis(10) * attempt).await;
            attempt += 1;
        }
    }

    /// The first id of a commit that got no answer, or that it was not committed.
    async fn look_up(&mut self, number: i64) -> Result<Option<i64>, StoreError> {
        let until = Instant::now() + link::DOUBT;
        loop {
            let error = match link::settle(&self.options, self.boot, 0, number).await {
                Ok((settled, connection)) => {
                    self.connection = Some(connection);
                    return Ok(settled);
                }
                Err(error) => error,
            };
            if Instant::now() >= until {
                return Err(error);
            }
            sleep(link::LOOK_AGAIN).await;
        }
    }

    /// Settles the doubt now that the database may be back. Who sent these messages was told that they
    /// are not saved, so they go where they are.
    async fn take_back(&mut self) -> Result<(), StoreError> {
        let (settled, mut connection) = link::settle(&self.options, self.boot, 0, self.number).await?;
        if let (Some(first), Some(batch)) = (settled, &self.doubt) {
            let taking = batch.take_back(&mut connection, first);
            let taken = link::within(self.options.statement_limit, taking).await;
            taken.map_err(|error| self.options.named.error(&error))?;
            tracing::warn!(messages = batch.len(), "messages were taken back that had been refused");
        }
        self.doubt = None;
        self.connection = Some(connection);
        Ok(())
    }

    async fn connection(&mut self) -> Result<&mut PgConnection, StoreError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => link::connect(&self.options).await.map_err(link::Opening::error)?,
        };
        Ok(self.connection.insert(connection))
    }

    fn fail(&mut self, error: &StoreError) {
        self.options.named.watch.failed(error);
        if self.failed.as_ref() != Some(error) {
            tracing::error!(%error, "The store cannot be written");
        }
        self.failed = Some(error.clone());
    }

    fn succeed(&mut self) {
        if self.failed.take().is_some() {
            tracing::info!("The store can be written again");
        }
    }
}

/// Who asked may be gone.
fn answer_with<T>(answer: Answer<T>, outcome: Result<T, StoreError>) {
    let _ = answer.send(outcome);
}

/// For what is written down without a time of its own.
pub fn now() -> Millis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
}
