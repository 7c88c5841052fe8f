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
mod archive;
mod books;
mod chores;
mod cold;
mod delete;
mod entries;
#[cfg(feature = "postgres")]
pub mod export;
mod failure;
mod files;
mod load;
mod open;
mod outbox;
mod packed;
mod read;
mod tail;
mod text;
pub mod tools;
mod verify;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sqlx::SqlitePool;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use crate::storage::leases::OwnLeases;
use crate::storage::outbox::Gate;
use crate::storage::*;
use apply::Change;
use books::Books;
use chores::Chores;
use failure::Named;
pub use open::{Options, schema};
use writer::{Job, Saving, Writer};

pub struct Sqlite {
    jobs: mpsc::Sender<Job>,
    /// For the bytes of drafts on their way.
    room: Arc<Semaphore>,
    waiting_bytes: usize,
    readers: SqlitePool,
    /// Shared with the writer. A plain lock: no section of it waits for anything.
    books: Arc<Mutex<Books>>,
    /// Tells the writer that something was taken.
    due: Arc<Notify>,
    named: Named,
    /// Shared with the writer.
    gate: Option<Arc<Gate>>,
    leases: OwnLeases,
}

impl Sqlite {
    /// Opens the database, or makes it. The error is a sentence for the operator.
    pub async fn open(options: Options) -> Result<Sqlite, StoreError> {
        let named = Named::new(&options.path, options.watch.clone());
        let lock = open::lock(&options.path)?;
        let mut connection = open::open(&options, &named).await?;
        let start = load::load(&mut connection, &named).await?;
        outbox::look(&mut connection, &options).await.map_err(|error| named.error(&error))?;
        let text = text::set_up(&mut connection, options.full_text, &named).await?;
        let readers = options.readers();
        let books = Arc::new(Mutex::new(Books::new(start.tail)));
        let due = Arc::new(Notify::new());
        let (sender, jobs) = mpsc::channel(options.waiting_writes.max(1));
        let waiting_bytes = options.waiting_bytes.clamp(1, Semaphore::MAX_PERMITS);
        let gate = options.outbox.clone();
        let chores = Chores::new(start.dead, start.removals, text, options.bulk_rows);
        let writer = Writer {
            options,
            named: named.clone(),
            connection: Some(connection),
            readers: readers.clone(),
            jobs,
            books: books.clone(),
            due: due.clone(),
            next: start.next,
            chores,
            takings_at: None,
            failed: None,
            pause: None,
            lock: Some(lock),
        };
        tokio::spawn(writer.run());
        let room = Arc::new(Semaphore::new(waiting_bytes));
        Ok(Sqlite {
            jobs: sender,
            room,
            waiting_bytes,
            readers,
            books,
            due,
            named,
            leases: OwnLeases::default(),
            gate,
        })
    }

    async fn change(&self, change: Change) -> Result<Written, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.hand_over(Job::Change { change, answer })?;
        answered.await.map_err(|_| StoreError::closed())?
    }

    /// Refused when too much waits already: a disk that is too slow must not fill the memory.
    fn hand_over(&self, job: Job) -> Result<(), StoreError> {
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => self.named.crowded(Crowded::Writes),
            TrySendError::Closed(_) => StoreError::closed(),
        })
    }

    fn room(&self, drafts: &[Draft]) -> Result<OwnedSemaphorePermit, StoreError> {
        let bytes: usize = drafts.iter().map(|draft| draft.stanza.len()).sum();
        let bytes = u32::try_from(bytes.min(self.waiting_bytes)).unwrap_or(u32::MAX);
        self.room.clone().try_acquire_many_owned(bytes).map_err(|_| self.named.crowded(Crowded::Bytes))
    }
}

impl Leases for Sqlite {
    fn lease<'a>(
        &'a self,
        job: crate::storage::Job,
        holder: &'a str,
        time: Duration,
    ) -> StoreFut<'a, Option<Lease>> {
        Box::pin(async move { Ok(self.leases.lease(job, holder, time)) })
    }

    fn release<'a>(&'a self, lease: &'a Lease) -> StoreFut<'a, ()> {
        Box::pin(async {
            self.leases.release(lease);
            Ok(())
        })
    }
}

impl Store for Sqlite {
    fn write<'a>(&'a self, write: Write) -> StoreFut<'a, Written> {
        Box::pin(async move {
            let mut write = write;
            while let Write::Under { lease, write: inner } = write {
                self.leases.check(&lease)?;
                write = *inner;
            }
            self.change(Change::Write(Box::new(write))).await
        })
    }

    fn save<'a>(&'a self, drafts: Vec<Draft>) -> StoreFut<'a, Vec<MessageId>> {
        Box::pin(async move {
            drafts.iter().try_for_each(Draft::check)?;
            let room = self.room(&drafts)?;
            let (answer, answered) = oneshot::channel();
            self.hand_over(Job::Save(Saving { drafts, answer, room }))?;
            answered.await.map_err(|_| StoreError::closed())?
        })
    }

    fn health<'a>(&'a self) -> StoreFut<'a, ()> {
        Box::pin(async { self.change(Change::Probe).await.map(|_| ()) })
    }

    fn catalogue(&self) -> Option<&dyn Catalogue> {
        Some(self)
    }

    fn queued_writes(&self) -> usize {
        self.jobs.max_capacity() - self.jobs.capacity()
    }

    fn close<'a>(&'a self) -> Fut<'a, ()> {
        Box::pin(async {
            let (answer, answered) = oneshot::channel();
            // Either fails only where it is closed already.
            let _ = self.jobs.send(Job::Close { answer }).await;
            let _ = answered.await;
        })
    }
}

#[cfg(test)]
mod tests;
