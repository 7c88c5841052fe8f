//! Everything durable in a PostgreSQL database, for one server or for several that share it.
//!
//! One task saves messages (`writer`): it gathers what senders ask for and commits it in one statement,
//! which takes the one lock over ids, so that they increase in commit order whoever commits. Other writes are
//! a transaction each, on connections of a bounded pool; so are reads. Nothing that another server
//! may have changed is answered from memory: `books` holds only what this one took and has not written yet,
//! and counts that are hints.
//!
//! A commit whose answer was lost is looked up before anything else goes on (`link`, `writer`).

mod apply;
mod archive;
mod batch;
mod books;
mod chores;
mod cold;
pub mod examine;
mod failure;
mod files;
mod hosts;
#[cfg(feature = "sqlite")]
pub mod import;
mod leases;
mod link;
mod outbox;
mod parts;
mod pool;
mod reach;
mod read;
mod rows;
mod schema;
mod text;
pub mod tools;
mod verify;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use crate::storage::*;
use apply::Changes;
use books::Books;
pub use link::Options;
use pool::Pool;
pub use schema::pgsql;
use writer::{Job, Saving, Writer};

/// How long a start waits at most between two attempts to reach its database.
const RETRY_AT_MOST: Duration = Duration::from_secs(5);

pub struct Postgres {
    jobs: mpsc::Sender<Job>,
    /// For the bytes of drafts on their way.
    room: Arc<Semaphore>,
    waiting_bytes: usize,
    pool: Arc<Pool>,
    changes: Changes,
    /// Shared with the chores and with the writer.
    books: Arc<Books>,
    /// Tells the chores that something was taken.
    due: Arc<Notify>,
    /// Whether archives can be searched by words.
    full_text: bool,
}

impl Postgres {
    /// Opens the database, and brings its schema up to date. Waits for a database that is late; an error
    /// is one that waiting does not cure, as a sentence for the operator.
    pub async fn open(options: Options) -> Result<Postgres, StoreError> {
        let mut pause = Duration::from_millis(200);
        loop {
            // It is large, and done once.
            match Box::pin(Postgres::open_now(options.clone())).await {
                Err(link::Opening::Late(error) | link::Opening::Busy(error)) => {
                    tracing::warn!(%error, retry_in = ?pause, "The database is not there yet: waiting for it");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(RETRY_AT_MOST);
                }
                Err(link::Opening::Never(error)) => return Err(error),
                Ok(store) => return Ok(store),
            }
        }
    }

    async fn open_now(options: Options) -> Result<Postgres, link::Opening> {
        let options = Arc::new(options);
        let connection = link::connect_now(&options).await?;
        let mut connection = schema::migrate(connection, &options.named).await?;
        schema::refuse_unfinished_copy(&mut connection, &options.named).await?;
        let pool = Arc::new(Pool::new(options.clone()));
        let books = Arc::new(Books::default());
        let due = Arc::new(Notify::new());
        let (sender, jobs) = mpsc::channel(options.waiting_writes.max(1));
        let waiting_bytes = options.waiting_bytes.clamp(1, Semaphore::MAX_PERMITS);
        let boot = link::new_boot();
        let full_text = options.full_text;
        let of_text = text::set_up(&mut connection, full_text).await;
        of_text.map_err(|error| link::Opening::of(error, &options.named))?;
        // It is tried again by the job; until then there is a part for what comes.
        if let Err(error) = parts::make_months(&pool).await {
            tracing::warn!(%error, "the tables of the months to come are not made yet");
        }
        let closing = chores::start(pool.clone(), books.clone(), due.clone());
        tokio::spawn(Writer::new(options.clone(), boot, connection, jobs, books.clone()).run(closing));
        Ok(Postgres {
            jobs: sender,
            room: Arc::new(Semaphore::new(waiting_bytes)),
            waiting_bytes,
            changes: Changes::new(pool.clone(), boot, options),
            pool,
            books,
            due,
            full_text,
        })
    }

    /// Refused when too much waits already: a database that is too slow must not fill the memory.
    fn hand_over(&self, job: Job) -> Result<(), StoreError> {
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => self.pool.named().crowded(Crowded::Writes),
            TrySendError::Closed(_) => StoreError::closed(),
        })
    }

    fn room(&self, drafts: &[Draft]) -> Result<OwnedSemaphorePermit, StoreError> {
        let bytes: usize = drafts.iter().map(|draft| draft.stanza.len()).sum();
        let bytes = u32::try_from(bytes.min(self.waiting_bytes)).unwrap_or(u32::MAX);
        self.room.clone().try_acquire_many_owned(bytes).map_err(|_| self.pool.named().crowded(Crowded::Bytes))
    }
}

impl Store for Postgres {
    fn write<'a>(&'a self, write: Write) -> StoreFut<'a, Written> {
        Box::pin(async move {
            let removed = match &write {
                Write::RemoveAccount { jid } => self.account(jid).await?.map(|account| account.number),
                _ => None,
            };
            let written = self.changes.write(write).await?;
            if let Some(owner) = removed {
                self.books.remove_owner(owner);
            }
            Ok(written)
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
        Box::pin(self.changes.probe())
    }

    fn catalogue(&self) -> Option<&dyn Catalogue> {
        Some(self)
    }

    fn queued_writes(&self) -> usize {
        self.jobs.max_capacity() - self.jobs.capacity() + self.changes.waiting()
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
