//! What SQLite says when something is wrong, as the server's four kinds of error.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::storage::{Crowded, Operation, StoreError, Watch, watched};

/// Why a write of a commit did not happen.
pub enum Failure {
    /// This write is refused, and nothing of it was done; others of the commit are not concerned.
    Refused(StoreError),
    /// The whole commit is off, and the connection with it.
    Broken(sqlx::Error),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::Refused(error)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Failure {
        Failure::Broken(error)
    }
}

/// The database's path, for sentences, and who counts them.
#[derive(Debug, Clone)]
pub struct Named {
    path: PathBuf,
    watch: Arc<dyn Watch>,
}

impl Named {
    pub fn new(path: &Path, watch: Arc<dyn Watch>) -> Named {
        Named { path: path.to_owned(), watch }
    }

    pub fn error(&self, error: &sqlx::Error) -> StoreError {
        self.counted(self.sorted(error))
    }

    pub fn damaged(&self, why: impl std::fmt::Display) -> StoreError {
        self.counted(self.damage(why))
    }

    /// As many writes or bytes wait as may.
    pub fn crowded(&self, queue: Crowded) -> StoreError {
        self.watch.crowded(queue);
        self.counted(StoreError::Unavailable("more writes wait for the disk than may wait".to_owned()))
    }

    /// A read, which is counted and timed.
    pub async fn reading<T>(
        &self,
        read: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        watched(&self.watch, Operation::SqliteRead, read).await
    }

    pub fn counted(&self, error: StoreError) -> StoreError {
        self.watch.failed(&error);
        error
    }

    fn sorted(&self, error: &sqlx::Error) -> StoreError {
        let file = self.path.display();
        let code = match error {
            sqlx::Error::Database(error) => error.code().and_then(|code| code.parse::<u32>().ok()),
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => return self.damage(error),
            sqlx::Error::PoolClosed => return StoreError::closed(),
            sqlx::Error::PoolTimedOut => {
                return StoreError::Unavailable(format!("all readers of {file} are busy"));
            }
            _ => None,
        };
        // An extended result code has the primary one in its lowest byte.
        match code.map(|code| code & 0xff) {
            Some(SQLITE_FULL) => StoreError::Full(format!(
                "there is no room left for {file}: free space on its disk, or raise its limit ({error})"
            )),
            Some(SQLITE_CORRUPT | SQLITE_NOTADB) => self.damage(error),
            Some(SQLITE_BUSY | SQLITE_LOCKED) => {
                StoreError::Unavailable(format!("another process has {file} locked ({error})"))
            }
            Some(SQLITE_READONLY | SQLITE_PERM) => {
                StoreError::Unavailable(format!("{file} cannot be written: it is read-only ({error})"))
            }
            Some(SQLITE_CANTOPEN) => StoreError::Unavailable(format!("{file} cannot be opened ({error})")),
            Some(SQLITE_TOOBIG) => StoreError::Full(format!("a value is too large for {file} ({error})")),
            Some(SQLITE_CONSTRAINT) => StoreError::Conflict(format!("{file} refuses it ({error})")),
            Some(_) | None => StoreError::Unavailable(format!("{file} cannot be used ({error})")),
        }
    }

    fn damage(&self, why: impl std::fmt::Display) -> StoreError {
        let file = self.path.display();
        StoreError::Damaged(format!(
            "{file}: {why}. Stop the server, and put a backup in its place or salvage what can be read \
             with: sqlite3 {file} .recover"
        ))
    }
}

// https://www.sqlite.org/rescode.html
const SQLITE_PERM: u32 = 3;
const SQLITE_BUSY: u32 = 5;
const SQLITE_LOCKED: u32 = 6;
const SQLITE_READONLY: u32 = 8;
const SQLITE_CORRUPT: u32 = 11;
const SQLITE_FULL: u32 = 13;
const SQLITE_CANTOPEN: u32 = 14;
const SQLITE_TOOBIG: u32 = 18;
const SQLITE_CONSTRAINT: u32 = 19;
const SQLITE_NOTADB: u32 = 26;
