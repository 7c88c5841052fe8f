//! What PostgreSQL says when something is wrong: as the server's four kinds of error, and as what is to be
//! done about it.

use std::sync::Arc;

use sqlx::postgres::{PgDatabaseError, PgSeverity};

use crate::storage::{Crowded, StoreError, Watch};

/// Why a write did not happen.
pub enum Failure {
    /// The write is refused, and nothing of it was done.
    Refused(StoreError),
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

/// What an error means for the statement that it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// It was not done, and the same again may succeed: a deadlock, a serialisation failure.
    Again,
    /// It was not done, and will not be.
    No,
    /// The connection is lost or of no use any more. If it was a commit, nobody knows.
    Lost,
}

pub fn meaning(error: &sqlx::Error) -> Meaning {
    let Some(error) = postgres(error) else {
        return match error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Meaning::No,
            sqlx::Error::RowNotFound | sqlx::Error::ColumnNotFound(_) => Meaning::No,
            sqlx::Error::Encode(_) | sqlx::Error::TypeNotFound { .. } => Meaning::No,
            _ => Meaning::Lost,
        };
    };
    if matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic) {
        return Meaning::Lost;
    }
    match error.code() {
        SERIALIZATION_FAILURE | DEADLOCK_DETECTED => Meaning::Again,
        // A replica, after a failover: another connection may find the one that can be written.
        READ_ONLY => Meaning::Lost,
        // A plan of before somebody changed the schema: a new connection makes new ones.
        "0A000" if error.message().contains("cached plan") => Meaning::Lost,
        _ => Meaning::No,
    }
}

pub fn postgres(error: &sqlx::Error) -> Option<&PgDatabaseError> {
    match error {
        sqlx::Error::Database(error) => error.try_downcast_ref::<PgDatabaseError>(),
        _ => None,
    }
}

/// The database's place, for sentences, never with its password; and who counts them.
#[derive(Debug, Clone)]
pub struct Named {
    pub place: String,
    pub watch: Arc<dyn Watch>,
}

impl Named {
    pub fn error(&self, error: &sqlx::Error) -> StoreError {
        let place = &self.place;
        let Some(said) = postgres(error) else {
            return match error {
                sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => self.damaged(error),
                sqlx::Error::PoolClosed => StoreError::closed(),
                _ => StoreError::Unavailable(format!("{place} cannot be reached: {}", cause(error))),
            };
        };
        let message = said.message();
        match said.code() {
            READ_ONLY => StoreError::Unavailable(format!("{place} is read-only, as a replica is: {message}")),
            DISK_FULL => StoreError::Full(format!("there is no room left for {place}: {message}")),
            STATEMENT_TIMEOUT | LOCK_TIMEOUT => {
                StoreError::Unavailable(format!("{place} was too slow: {message}"))
            }
            // Index or data corrupted.
            code if code.starts_with("XX") && code != "XX000" => self.damaged(message),
            LEASE_LOST => StoreError::Conflict(message.to_owned()),
            // A value that it does not take, or one that contradicts what is there.
            code if code.starts_with("22") || code.starts_with("23") => {
                StoreError::Conflict(format!("{place} refuses it: {message}"))
            }
            code => {
                let hint = hint(code, message);
                StoreError::Unavailable(format!("{place} cannot be used: {message} ({code}){hint}"))
            }
        }
    }

    /// As many writes or bytes wait as may.
    pub fn crowded(&self, queue: Crowded) -> StoreError {
        self.watch.crowded(queue);
        self.counted(StoreError::Unavailable("more writes wait for the database than may wait".to_owned()))
    }

    /// An error that is given to whoever asked.
    pub fn counted(&self, error: StoreError) -> StoreError {
        self.watch.failed(&error);
        error
    }

    pub fn damaged(&self, why: impl std::fmt::Display) -> StoreError {
        let place = &self.place;
        StoreError::Damaged(format!("{place}: {why}. `meerkatctl db check` looks for more of it"))
    }
}

/// An error of the driver, without its wrapping, and what is to be done about it.
fn cause(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            format!("TLS: {error}: see sslmode and sslrootcert of the URL")
        }
        sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            format!("{error}: is PostgreSQL running, and is that its port?")
        }
        sqlx::Error::Io(error) if error.to_string().contains("failed to lookup address") => {
            format!("{error}: is that its name, and does the resolver of this machine know it?")
        }
        sqlx::Error::Io(error) => error.to_string(),
        sqlx::Error::Tls(error) => format!("TLS: {error}: see sslmode and sslrootcert of the URL"),
        other => other.to_string(),
    }
}

/// What an operator does about it, where the code says as much.
fn hint(code: &str, message: &str) -> &'static str {
    match code {
        "28P01" => ": look at the URL's user and password",
        // pg_hba.conf wants TLS, or does not know this host.
        "28000" if message.contains("no encryption") => {
            ": it may take connections with TLS only: put ?sslmode=require, or better verify-full, behind the URL"
        }
        "28000" => ": look at the URL's user, and at the database server's pg_hba.conf",
        "3D000" => ": make it with CREATE DATABASE, or correct the URL",
        "53300" => ": lower storage.postgres.connections, or raise the database server's max_connections",
        "42501" => ": make the URL's user the owner of the tables",
        _ => "",
    }
}

/// Raised by meerkat_check_lease.
const LEASE_LOST: &str = "MK002";
// https://www.postgresql.org/docs/15/errcodes-appendix.html
const SERIALIZATION_FAILURE: &str = "40001";
const DEADLOCK_DETECTED: &str = "40P01";
const READ_ONLY: &str = "25006";
const DISK_FULL: &str = "53100";
const STATEMENT_TIMEOUT: &str = "57014";
const LOCK_TIMEOUT: &str = "55P03";
