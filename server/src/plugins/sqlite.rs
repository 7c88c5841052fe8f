//! Everything durable in one SQLite file, for one server.
//!
//! One task writes: it gathers what senders ask for, commits it at once, and does its chores between two
//! commits. Messages are appended to a table by id and nothing else; what waits for whom is known from
//! the tail in memory until entries are made in bulk (`tail`, `chores`). Reads have connections of their
//! own and see what is committed.
//!
//! Nothing here is asked twice by the driver's threads: each statement costs a hop to one, so that a
//! commit of messages is one statement (`append`).

mod append;
mod apply;
mod books;
mod chores;
mod delete;
mod failure;
mod load;
mod open;
mod packed;
mod read;
mod tail;
mod writer;

use std::sync::Arc;

use parking_lot::Mutex;
use sqlx::SqlitePool;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::storage::*;
use apply::Change;
use books::Books;
use chores::Chores;
use failure::Named;
pub use open::Options;
use writer::{Job, Saving, Writer};

/// How many writes and savings may wait for their commit, and how many bytes of stanzas; who comes then
/// waits for room.
const JOBS: usize = 4096;
const JOB_BYTES: usize = 32 << 20;

pub struct Sqlite {
    jobs: mpsc::Sender<Job>,
    room: Arc<Semaphore>,
    readers: SqlitePool,
    /// Shared with the writer. A plain lock: no section of it waits for anything.
    books: Arc<Mutex<Books>>,
    /// Tells the writer that something was taken.
    due: Arc<Notify>,
    named: Named,
}

impl Sqlite {
    /// Opens the database, or makes it. The error is a sentence for the operator.
    pub async fn open(options: Options) -> Result<Sqlite, StoreError> {
        let named = Named::new(&options.path);
        let lock = open::lock(&options.path)?;
        let mut connection = open::open(&options, &named).await?;
        let start = load::load(&mut connection, &named).await?;
        let readers = options.readers();
        let books = Arc::new(Mutex::new(Books::new(start.tail)));
        let due = Arc::new(Notify::new());
        let (sender, jobs) = mpsc::channel(JOBS);
        let writer = Writer {
            options,
            named: named.clone(),
            connection: Some(connection),
            readers: readers.clone(),
            jobs,
            books: books.clone(),
            due: due.clone(),
            next: start.next,
            chores: Chores::new(start.dead, start.removals),
            takings_at: None,
            failed: None,
            pause: None,
            lock: Some(lock),
        };
        tokio::spawn(writer.run());
        let room = Arc::new(Semaphore::new(JOB_BYTES));
        Ok(Sqlite { jobs: sender, room, readers, books, due, named })
    }

    /// Hands a job to the writer and waits for its answer.
    async fn ask<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Job,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.jobs.send(job(answer)).await.map_err(|_| StoreError::closed())?;
        answered.await.map_err(|_| StoreError::closed())?
    }

    async fn change(&self, change: Change) -> Result<Written, StoreError> {
        self.ask(|answer| Job::Change { change, answer }).await
    }

    async fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, StoreError> {
        let permits = u32::try_from(bytes.min(JOB_BYTES)).unwrap_or(u32::MAX);
        let permit = self.room.clone().acquire_many_owned(permits).await;
        permit.map_err(|_| StoreError::closed())
    }
}

impl Store for Sqlite {
    fn write<'a>(&'a self, write: Write) -> StoreFut<'a, Written> {
        Box::pin(self.change(Change::Write(Box::new(write))))
    }

    fn save<'a>(&'a self, drafts: Vec<Draft>) -> StoreFut<'a, Vec<MessageId>> {
        Box::pin(async move {
            drafts.iter().try_for_each(Draft::check)?;
            let room = self.room(drafts.iter().map(|draft| draft.stanza.len()).sum()).await?;
            self.ask(|answer| Job::Save(Saving { drafts, answer, room })).await
        })
    }

    fn health<'a>(&'a self) -> StoreFut<'a, ()> {
        Box::pin(async { self.change(Change::Probe).await.map(|_| ()) })
    }

    fn close<'a>(&'a self) -> Fut<'a, ()> {
        Box::pin(async {
            // Without an answer it was closed before.
            let _ = self.ask(|answer| Job::Close { answer }).await;
        })
    }
}

#[cfg(test)]
mod tests;
