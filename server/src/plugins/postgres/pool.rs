//! A bounded number of connections, each made when it is first needed.
//!
//! One is given back only by who has finished with it. If it is dropped instead, in the middle of
//! a statement or after an error, it is closed: no other statement ever reads an answer that was not its own.

use std::sync::Arc;

use parking_lot::Mutex;
use sqlx::FromRow;
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::failure::{Meaning, Named, meaning};
use super::link::{self, Options};
use crate::storage::{InState, Operation, Plugin, Pooled, StoreError, watched};

/// A read is begun anew so often when its connection turns out to be dead.
const ATTEMPTS: usize = 3;

pub type Query<'q, T> = sqlx::query::QueryAs<'q, sqlx::Postgres, T, PgArguments>;

pub struct Pool {
    pub options: Arc<Options>,
    places: Arc<Semaphore>,
    /// The one used last is used first, so that the others may be closed by the server.
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: PgConnection,
    _counted: InState,
}

/// A connection out of the pool, and its place in it.
pub struct Taken {
    pub connection: PgConnection,
    place: OwnedSemaphorePermit,
    _counted: InState,
}

impl Pool {
    pub fn new(options: Arc<Options>) -> Pool {
        let places = Arc::new(Semaphore::new(options.connections.max(1)));
        Pool { options, places, idle: Mutex::new(Vec::new()) }
    }

    pub fn named(&self) -> &Named {
        &self.options.named
    }

    pub async fn take(&self) -> Result<Taken, StoreError> {
        let limit = self.options.acquire_limit;
        let waiting = self.counted(Pooled::Waiting);
        let place = match tokio::time::timeout(limit, self.places.clone().acquire_owned()).await {
            Ok(Ok(place)) => place,
            Ok(Err(_)) => return Err(StoreError::closed()),
            Err(_) => {
                return Err(StoreError::Unavailable(format!(
                    "all {} connections to {} are busy",
                    self.options.connections, self.options.named.place
                )));
            }
        };
        drop(waiting);
        let counted = self.counted(Pooled::InUse);
        let idle = self.idle.lock().pop();
        let connection = match idle {
            Some(idle) => idle.connection,
            None => link::connect(&self.options).await.map_err(link::Opening::error)?,
        };
        Ok(Taken { connection, place, _counted: counted })
    }

    fn counted(&self, state: Pooled) -> InState {
        InState::new(&self.options.named.watch, Plugin::Postgres, state)
    }

    pub fn give_back(&self, taken: Taken) {
        if !self.places.is_closed() {
            let idle = Idle { connection: taken.connection, _counted: self.counted(Pooled::Idle) };
            self.idle.lock().push(idle);
        }
        drop(taken.place);
    }

    /// One connection was found dead: the idle ones will have died of the same.
    pub fn forget_idle(&self) {
        self.idle.lock().clear();
    }

    /// The rows of one statement, which is asked again where nothing but the connection failed.
    pub async fn all<'q, T>(&self, query: impl Fn() -> Query<'q, T>) -> Result<Vec<T>, StoreError>
    where
        T: Send + Unpin + for<'r> FromRow<'r, PgRow>,
    {
        watched(&self.options.named.watch, Operation::PostgresRead, self.read(query)).await
    }

    async fn read<'q, T>(&self, query: impl Fn() -> Query<'q, T>) -> Result<Vec<T>, StoreError>
    where
        T: Send + Unpin + for<'r> FromRow<'r, PgRow>,
    {
        let mut attempt = 1;
        loop {
            let taken = self.take().await;
            let mut taken = taken.map_err(|error| self.options.named.counted(error))?;
            let rows = query().fetch_all(&mut taken.connection);
            let error = match link::within(self.options.statement_limit, rows).await {
                Ok(rows) => {
                    self.give_back(taken);
                    return Ok(rows);
                }
                Err(error) => error,
            };
            let meaning = meaning(&error);
            match meaning {
                Meaning::Lost => self.forget_idle(),
                Meaning::Again | Meaning::No => self.give_back(taken),
            }
            if meaning == Meaning::No || attempt == ATTEMPTS {
                let named = &self.options.named;
                return Err(named.counted(named.error(&error)));
            }
            attempt += 1;
        }
    }

    pub async fn one<'q, T>(&self, query: impl Fn() -> Query<'q, T>) -> Result<Option<T>, StoreError>
    where
        T: Send + Unpin + for<'r> FromRow<'r, PgRow>,
    {
        Ok(self.all(query).await?.into_iter().next())
    }

    /// Whoever still has a connection may finish with it.
    pub fn close(&self) {
        self.places.close();
        self.idle.lock().clear();
    }
}
