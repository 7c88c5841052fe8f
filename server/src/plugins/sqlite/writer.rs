//! The one task that writes.
//!
//! It awaits one job, drains the rest, and commits them together; then one slice of its chores, while
//! the next jobs gather. After an error it throws its connection away and begins with a new one, so that
//! nothing but the cause of the error has to go.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use sqlx::{Connection, SqliteConnection, SqlitePool};
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use xmpp_core::date::format_utc;

use super::append::{Batch, append_events};
use super::apply::{Change, apply};
use super::books::Books;
use super::chores::Chores;
use super::delete::{delete_taken, erase, erase_no_more};
use super::failure::{Failure, Named};
use super::open::{Lock, Options};
use super::outbox::Events;
use super::packed::{Owners, Pair};
use super::tail::Row;
use crate::storage::{
    AccountNumber, Crowded, Draft, MessageId, Millis, Operation, Plugin, StoreError, Written,
};

/// A commit has at most so many jobs, messages or bytes of stanzas, and one job more.
const COMMIT_JOBS: usize = 512;
const COMMIT_ROWS: usize = 512;
const COMMIT_BYTES: usize = 1 << 20;
/// How many takings go into one note, or are deleted in one transaction.
const TAKINGS: usize = 512;
/// How long a taking waits for others, if no commit comes along; and chores after an error.
const TAKINGS_WAIT: Duration = Duration::from_millis(100);
const AFTER_ERROR: Duration = Duration::from_millis(500);

/// Whether a transaction is on the disk when it returns, or with the next one that is durable.
const DURABLE: &str = "PRAGMA synchronous = FULL";
const WITHOUT_WAITING: &str = "PRAGMA synchronous = NORMAL";

pub const OLDEST_OF_TAIL: &str =
    "SELECT time FROM message WHERE id > ? AND length(owners) > 0 ORDER BY id LIMIT 1";

pub type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

pub enum Job {
    Save(Saving),
    Change { change: Change, answer: Answer<Written> },
    Close { answer: Answer<()> },
}

pub struct Saving {
    pub drafts: Vec<Draft>,
    pub answer: Answer<Vec<MessageId>>,
    /// The bytes of the drafts, given back when they are committed.
    pub room: OwnedSemaphorePermit,
}

pub struct Writer {
    pub options: Options,
    pub named: Named,
    /// `None` after an error, until it is made anew.
    pub connection: Option<SqliteConnection>,
    pub readers: SqlitePool,
    pub jobs: mpsc::Receiver<Job>,
    pub books: Arc<Mutex<Books>>,
    pub due: Arc<Notify>,
    /// The id of the next message. It never goes back: not after an error, not by deletion (the rows past
    /// the indexed id are never deleted, and a start goes on behind both).
    pub next: MessageId,
    pub chores: Chores,
    pub takings_at: Option<Instant>,
    /// Why the latest commit failed, if it did.
    pub failed: Option<StoreError>,
    /// A chore failed: no other until then.
    pub pause: Option<Instant>,
    /// Until the file is closed.
    pub lock: Option<Lock>,
}

/// What one commit is made of.
#[derive(Default)]
struct Gathered {
    savings: Vec<Saving>,
    changes: Vec<Change>,
    answers: Vec<Answer<Written>>,
    close: Option<Answer<()>>,
}

impl Writer {
    pub async fn run(mut self) {
        let mut close = None;
        while close.is_none() {
            let Some(job) = self.next_job().await else { break };
            if let Some(job) = job {
                let mut gathered = self.gather(job);
                close = gathered.close.take();
                self.commit(gathered).await;
            }
            if let Err(error) = self.work().await {
                tracing::debug!(%error, "The store's chores have to wait");
                self.connection = None;
                self.pause = Some(Instant::now() + AFTER_ERROR);
            }
        }
        self.finish().await;
        if let Some(close) = close {
            let _ = close.send(Ok(()));
        }
    }

    /// A job; or nothing, when there is other work to do; or `None` at the end.
    async fn next_job(&mut self) -> Option<Option<Job>> {
        let chores = self.chores.waiting(self.books.lock().tail());
        if chores && self.pause.is_none() {
            return match self.jobs.try_recv() {
                Ok(job) => Some(Some(job)),
                Err(mpsc::error::TryRecvError::Empty) => Some(None),
                Err(mpsc::error::TryRecvError::Disconnected) => None,
            };
        }
        let wake = match (self.takings_at, self.pause) {
            (Some(takings), Some(pause)) => Some(takings.max(pause)),
            (None, Some(pause)) if chores => Some(pause),
            (takings, _) => takings,
        };
        tokio::select! {
            biased;
            job = self.jobs.recv() => job.map(Some),
            () = self.due.notified(), if self.takings_at.is_none() => Some(None),
            () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => Some(None),
        }
    }

    fn gather(&mut self, first: Job) -> Gathered {
        let mut gathered = Gathered::default();
        let (mut jobs, mut rows, mut bytes) = (0, 0, 0);
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Save(saving) => {
                    rows += saving.drafts.len();
                    bytes += saving.room.num_permits();
                    gathered.savings.push(saving);
                }
                Job::Change { change, answer } => {
                    gathered.changes.push(change);
                    gathered.answers.push(answer);
                }
                Job::Close { answer } => {
                    gathered.close = Some(answer);
                    break;
                }
            }
            jobs += 1;
            let more = jobs < COMMIT_JOBS && rows < COMMIT_ROWS && bytes < COMMIT_BYTES;
            next = if more { self.jobs.try_recv().ok() } else { None };
        }
        gathered
    }

    /// Commits all or nothing, and answers.
    async fn commit(&mut self, gathered: Gathered) {
        let Gathered { savings, changes, answers, close: _ } = gathered;
        let savings = self.admitted(savings);
        let mut batch = Batch::new(self.next);
        let mut events = Events::of(&self.options);
        let mut rows: Vec<Row> = Vec::new();
        for draft in savings.iter().flat_map(|saving| &saving.drafts) {
            let (id, bytes, owners) = (batch.push(draft), draft.stanza.len(), draft.owners.clone());
            events.message(id.0 - self.next.0, draft);
            rows.push(Row { id, bytes, owners });
        }
        let notes = self.add_note(&mut batch, &mut rows);
        // Whatever becomes of the commit, its ids are not given again.
        self.next = batch.end();
        if rows.is_empty() && changes.is_empty() {
            return savings.into_iter().for_each(|saving| answer_with(saving.answer, Ok(Vec::new())));
        }
        // That it can be written at all is asked every few seconds, and counts for nothing.
        let asked = changes.iter().filter(|change| change.only_asks()).count();
        let (writes, begun) = (rows.len() + changes.len() - asked, Instant::now());
        let mut removed = Vec::new();
        let outcomes = match self.put(batch, changes, &mut removed, &mut events).await {
            Ok(outcomes) => outcomes,
            Err(error) => {
                self.options.watch.operated(Operation::SqliteCommit, begun.elapsed(), false);
                self.books.lock().put_back_notes(notes);
                let error = self.fail(&error);
                savings.into_iter().for_each(|saving| answer_with(saving.answer, Err(error.clone())));
                answers.into_iter().for_each(|answer| answer_with(answer, Err(error.clone())));
                return;
            }
        };
        if writes > 0 {
            let took = begun.elapsed();
            self.options.watch.committed(writes, took);
            self.options.watch.operated(Operation::SqliteCommit, took, true);
            self.options.watch.batched(Plugin::Sqlite, writes);
        }
        self.succeed();
        events.committed(&outcomes);
        let mut ids = rows.iter().map(|row| row.id).collect::<Vec<_>>().into_iter();
        self.enter(rows, &removed);
        for saving in savings {
            let saved = ids.by_ref().take(saving.drafts.len()).collect();
            answer_with(saving.answer, Ok(saved));
        }
        answers.into_iter().zip(outcomes).for_each(|(answer, outcome)| answer_with(answer, outcome));
    }

    /// Without those for which the outbox has no room; they are answered.
    fn admitted(&self, savings: Vec<Saving>) -> Vec<Saving> {
        let refused = self.options.outbox.as_ref().and_then(|gate| gate.admit().err());
        let Some(error) = refused.filter(|_| !savings.is_empty()) else { return savings };
        self.options.watch.crowded(Crowded::Outbox);
        let error = self.named.counted(error);
        savings.into_iter().for_each(|saving| answer_with(saving.answer, Err(error.clone())));
        Vec::new()
    }

    /// What was taken of the tail goes along with the messages, in a row that ends with the tail's part.
    fn add_note(&mut self, batch: &mut Batch, rows: &mut Vec<Row>) -> Vec<Pair> {
        if rows.is_empty() && !self.takings_are_due() {
            return Vec::new();
        }
        let notes = self.books.lock().notes(TAKINGS);
        if !notes.is_empty() {
            let (id, bytes) = (batch.push_note(time(), &notes), notes.len());
            rows.push(Row { id, bytes, owners: Owners::new() });
        }
        notes
    }

    async fn put(
        &mut self,
        batch: Batch,
        changes: Vec<Change>,
        removed: &mut Vec<AccountNumber>,
        events: &mut Events,
    ) -> Result<Vec<Result<Written, StoreError>>, sqlx::Error> {
        let named = self.named.clone();
        let purge = changes.iter().filter_map(Change::purges_before).max();
        let removes = changes.iter().any(Change::removes_account);
        if let Some(before) = changes.iter().filter_map(Change::looks_before).max() {
            self.index_what_is_old(before).await?;
        }
        if changes.iter().any(|change| matches!(change, Change::FindText)) {
            let books = self.books.clone();
            self.connection().await?;
            let Some(connection) = &mut self.connection else { return Ok(Vec::new()) };
            self.chores.catch_up_text(connection, &books).await?;
        }
        let connection = self.connection().await?;
        if removes || purge.is_some() {
            erase(connection).await?;
        }
        let mut outcomes = Vec::with_capacity(changes.len());
        if changes.is_empty() {
            batch.append_with_events(connection, events.finish()).await?;
            return Ok(outcomes);
        }
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        for change in changes {
            let event = change.event(time());
            outcomes.push(match apply(&mut transaction, &named, change, removed).await {
                Ok(written) => {
                    events.account(event);
                    Ok(written)
                }
                Err(Failure::Refused(error)) => Err(error),
                Err(Failure::Broken(error)) => return Err(error),
            });
        }
        let first = batch.first();
        batch.append(&mut transaction).await?;
        append_events(&mut transaction, first, events.finish()).await?;
        transaction.commit().await?;
        if purge.is_some() {
            erase_no_more(connection).await?;
        }
        Ok(outcomes)
    }

    /// A purge looks at entries. What is that old and has none yet lies in the tail of a server where
    /// little happens.
    async fn index_what_is_old(&mut self, before: Millis) -> Result<(), sqlx::Error> {
        let indexed = self.books.lock().tail().indexed();
        let books = self.books.clone();
        self.connection().await?;
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let oldest: Option<String> = sqlx::query_scalar(OLDEST_OF_TAIL)
            .bind(indexed.0 as i64)
            .fetch_optional(&mut *connection)
            .await?;
        if oldest.is_some_and(|oldest| oldest < format_utc(before)) {
            self.chores.index_all(connection, &books).await?;
        }
        Ok(())
    }

    /// The rows are in the file, and these accounts are not.
    fn enter(&mut self, rows: Vec<Row>, removed: &[AccountNumber]) {
        let mut books = self.books.lock();
        for owner in removed {
            books.remove_owner(*owner);
            self.chores.removed(*owner, books.tail());
        }
        rows.into_iter().for_each(|row| books.saved(row));
    }

    /// Between two commits: takings that are due, and a slice of the chores; more where the tail grows
    /// faster than that.
    async fn work(&mut self) -> Result<(), sqlx::Error> {
        if self.pause.is_some_and(|pause| Instant::now() < pause) {
            return Ok(());
        }
        self.pause = None;
        if self.takings_at.is_none() && self.books.lock().has_takings_or_notes() {
            self.takings_at = Some(Instant::now() + TAKINGS_WAIT);
        }
        let chores = self.chores.waiting(self.books.lock().tail());
        if !chores && !self.takings_are_due() {
            return Ok(());
        }
        // None of this need be on the disk at once: whatever of it a crash takes away is done again, and the log
        // keeps the order, so that the next message's commit brings it there. After an error the connection, and
        // this setting with it, is thrown away.
        self.set(WITHOUT_WAITING).await?;
        if self.takings_are_due() {
            self.write_takings().await?;
        }
        if chores {
            self.do_chores().await?;
        }
        self.set(DURABLE).await
    }

    async fn do_chores(&mut self) -> Result<(), sqlx::Error> {
        let books = self.books.clone();
        while self.chores.waiting(books.lock().tail()) {
            self.connection().await?;
            let Some(connection) = &mut self.connection else { return Ok(()) };
            self.chores.slice(connection, &books).await?;
            if !self.chores.behind(books.lock().tail()) {
                break;
            }
        }
        Ok(())
    }

    async fn set(&mut self, pragma: &'static str) -> Result<(), sqlx::Error> {
        sqlx::query(pragma).execute(self.connection().await?).await.map(drop)
    }

    fn takings_are_due(&self) -> bool {
        self.takings_at.is_some_and(|at| at <= Instant::now())
    }

    async fn write_takings(&mut self) -> Result<(), sqlx::Error> {
        if self.books.lock().has_notes() {
            self.commit(Gathered::default()).await;
        }
        let pairs = self.books.lock().takings(TAKINGS);
        if !pairs.is_empty() {
            let deleted = delete_taken(self.connection().await?, &pairs).await?;
            self.books.lock().deleted(&pairs, &deleted);
        }
        let wait = if self.failed.is_some() { AFTER_ERROR } else { Duration::ZERO };
        let more = self.books.lock().has_takings_or_notes();
        self.takings_at = more.then(|| Instant::now() + wait);
        Ok(())
    }

    async fn connection(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.options.connect().await?,
        };
        Ok(self.connection.insert(connection))
    }

    /// A commit failed.
    fn fail(&mut self, error: &sqlx::Error) -> StoreError {
        let error = self.named.error(error);
        if self.failed.as_ref() != Some(&error) {
            tracing::error!(%error, "The store cannot be written");
        }
        self.chores.pressed = matches!(error, StoreError::Full(_));
        self.failed = Some(error.clone());
        self.connection = None;
        error
    }

    fn succeed(&mut self) {
        if self.failed.take().is_some() {
            tracing::info!("The store can be written again");
        }
        self.chores.pressed = false;
    }

    /// Commits what was asked before the end, writes the takings, and folds the log into the file.
    async fn finish(&mut self) {
        self.jobs.close();
        while let Ok(job) = self.jobs.try_recv() {
            let gathered = self.gather(job);
            self.commit(gathered).await;
        }
        self.takings_at = Some(Instant::now());
        while self.takings_are_due() && self.write_takings().await.is_ok() {}
        self.readers.close().await;
        if let Some(mut connection) = self.connection.take() {
            // Both are for order's sake: a start would do the same.
            let _ = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await;
            let _ = connection.close().await;
        }
        self.lock = None;
    }
}

/// Who asked may be gone.
fn answer_with<T>(answer: Answer<T>, outcome: Result<T, StoreError>) {
    let _ = answer.send(outcome);
}

pub fn time() -> Millis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
}
