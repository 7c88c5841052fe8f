//! Opening the file: one server at a time, nobody else reads it, its schema is ours and not newer than
//! we know, and it is not damaged.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};

use super::failure::Named;
use crate::storage::outbox::Gate;
use crate::storage::{StoreError, Unwatched, Watch};

/// The schema, by version. Only ever added to: a migration that was released is never changed.
const MIGRATIONS: [&str; 8] = [
    include_str!("migrations/0001.sql"),
    include_str!("migrations/0002.sql"),
    include_str!("migrations/0003.sql"),
    include_str!("migrations/0004.sql"),
    include_str!("migrations/0005.sql"),
    include_str!("migrations/0006.sql"),
    include_str!("migrations/0007.sql"),
    include_str!("migrations/0008.sql"),
];
/// "MkDB": that the file is one of ours.
const APPLICATION_ID: i64 = 0x4d6b_4442;
/// Up to this size the whole file is checked at start, which takes a fraction of a second.
const CHECKED_BYTES: u64 = 64 << 20;
const PAGE_BYTES: u64 = 4096;

/// Where the database is, and its bounds.
#[derive(Debug, Clone)]
pub struct Options {
    pub path: PathBuf,
    /// The file grows no further. `None`: as far as its disk goes.
    pub max_bytes: Option<u64>,
    /// How long a write waits while another process has the file locked.
    pub lock_wait: Duration,
    /// How many writes and savings may wait for their commit, and how many bytes of stanzas. What comes
    /// then is refused.
    pub waiting_writes: usize,
    pub waiting_bytes: usize,
    /// Connections that read at the same time.
    pub readers: u32,
    /// Whether archives can be searched by words.
    pub full_text: bool,
    /// Lets events into the outbox. `None`: there is no event stream, and none are written.
    pub outbox: Option<Arc<Gate>>,
    /// Messages get their entries so many at once, and are the tail until then. The more, the more entries of one
    /// owner go onto one page of the file: an archived message cost 26 us with 2 048, and 15 with 8 192.
    pub bulk_rows: usize,
    /// Who is told how it goes.
    pub watch: Arc<dyn Watch>,
}

impl Options {
    pub fn new(path: impl Into<PathBuf>) -> Options {
        Options {
            path: path.into(),
            max_bytes: None,
            lock_wait: Duration::from_secs(2),
            waiting_writes: 16_384,
            waiting_bytes: 64 << 20,
            readers: 4,
            full_text: false,
            outbox: None,
            bulk_rows: 8192,
            watch: Arc::new(Unwatched),
        }
    }

    /// A connection for writing.
    pub async fn connect(&self) -> Result<SqliteConnection, sqlx::Error> {
        let mut options = SqliteConnectOptions::new()
            .filename(&self.path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(self.lock_wait)
            .pragma("cell_size_check", "ON")
            .pragma("secure_delete", "FAST")
            // KiB. Entries go onto pages all over the file, which are written again and again.
            .pragma("cache_size", "-16000")
            // Pages. A page that was written several times meanwhile goes into the file once.
            .pragma("wal_autocheckpoint", "4000")
            .pragma("journal_size_limit", "67108864");
        if let Some(bytes) = self.max_bytes {
            options = options.pragma("max_page_count", (bytes / PAGE_BYTES).max(1).to_string());
        }
        options.disable_statement_logging().connect().await
    }

    /// A connection for looking at the file, beside whoever has it open.
    pub async fn connect_to_read(&self) -> Result<SqliteConnection, sqlx::Error> {
        self.to_read().connect().await
    }

    fn to_read(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(&self.path)
            .read_only(true)
            .row_buffer_size(256)
            .busy_timeout(self.lock_wait)
            .pragma("cell_size_check", "ON")
            .disable_statement_logging()
    }

    /// Connections for reading, made when they are needed.
    pub fn readers(&self) -> SqlitePool {
        SqlitePoolOptions::new()
            .max_connections(self.readers.max(1))
            .acquire_timeout(Duration::from_secs(10))
            .idle_timeout(None)
            .max_lifetime(None)
            // A ping would cost as much as most of the reads.
            .test_before_acquire(false)
            .connect_lazy_with(self.to_read())
    }
}

/// The file is ours alone for as long as this lives. (An advisory lock on a file beside it: SQLite's own
/// locks let several processes in.)
pub struct Lock(#[expect(dead_code, reason = "dropping it is its use")] File);

pub fn lock(path: &Path) -> Result<Lock, StoreError> {
    let beside = suffixed(path, ".lock");
    let cannot = |error: std::io::Error| {
        StoreError::Unavailable(format!("{} cannot be made: {error}", beside.display()))
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(cannot)?;
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(&beside).map_err(cannot)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::Error(error)) => return Err(cannot(error)),
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let holder = match file.read_to_string(&mut holder) {
                Ok(_) if !holder.is_empty() => format!("process {}", holder.trim()),
                _ => "another process".to_owned(),
            };
            return Err(StoreError::Unavailable(format!(
                "{holder} serves {} already, and a database file serves one server: stop that one, or give \
                 this one another storage.sqlite.path",
                path.display()
            )));
        }
    }
    // The number is for the sentence above; without it the lock is as good.
    let _ =
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| write!(file, "{}", std::process::id()));
    Ok(Lock(file))
}

pub fn newest_schema() -> i64 {
    MIGRATIONS.len() as i64
}

/// `priv/sqlite.sql`: the newest schema, for `sqlite3`. A file made with it is one of ours.
pub fn schema() -> String {
    let mut sql = String::from(
        "-- Meerkat's schema for SQLite: sqlite3 meerkat.db <sqlite.sql\n\
         -- The server makes and updates its tables by itself; this is for whoever would rather do it by hand.\n\
         -- Generated from server/src/plugins/sqlite/migrations: do not change it here.\n\nBEGIN;\n\n",
    );
    MIGRATIONS.iter().for_each(|migration| sql.push_str(migration));
    sql.push_str(&format!("\n{};\nCOMMIT;\n", marks(MIGRATIONS.len() as i64)));
    sql
}

fn marks(version: i64) -> String {
    format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {version}")
}

/// A database that is ours, whole, and of the newest schema.
pub async fn open(options: &Options, named: &Named) -> Result<SqliteConnection, StoreError> {
    let path = &options.path;
    make_private(path).map_err(|error| {
        StoreError::Unavailable(format!("{} cannot be opened for writing: {error}", path.display()))
    })?;
    let mut connection = options.connect().await.map_err(|error| named.error(&error))?;
    check(&mut connection, path, named).await?;
    migrate(&mut connection, path, named).await?;
    Ok(connection)
}

/// Creates the file if need be. What SQLite creates beside it gets its permissions.
fn make_private(path: &Path) -> std::io::Result<()> {
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    for path in [path.to_owned(), suffixed(path, "-wal"), suffixed(path, "-shm")] {
        let Ok(metadata) = path.metadata() else { continue };
        if metadata.permissions().mode() & 0o077 != 0 {
            std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        }
    }
    file.sync_all()
}

async fn check(connection: &mut SqliteConnection, path: &Path, named: &Named) -> Result<(), StoreError> {
    let error = |error: sqlx::Error| named.error(&error);
    let application: i64 =
        sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await.map_err(error)?;
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
        .fetch_one(&mut *connection)
        .await
        .map_err(error)?;
    if application != APPLICATION_ID && tables > 0 {
        let path = path.display();
        return Err(StoreError::Unavailable(format!(
            "{path} is a database of another program: give storage.sqlite.path a file of its own"
        )));
    }
    if path.metadata().is_ok_and(|metadata| metadata.len() <= CHECKED_BYTES) {
        let finding: String =
            sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut *connection).await.map_err(error)?;
        if finding != "ok" {
            return Err(named.damaged(finding));
        }
    }
    Ok(())
}

async fn migrate(connection: &mut SqliteConnection, path: &Path, named: &Named) -> Result<(), StoreError> {
    let error = |error: sqlx::Error| named.error(&error);
    let newest = MIGRATIONS.len() as i64;
    let version: i64 =
        sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await.map_err(error)?;
    if version > newest {
        let path = path.display();
        return Err(StoreError::Unavailable(format!(
            "{path} has schema {version}, which a newer Meerkat made; this one knows schemas up to {newest}: \
             start the newer one, or put back a backup from before the upgrade"
        )));
    }
    for (sql, version) in MIGRATIONS.iter().zip(1..).skip(version.max(0) as usize) {
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(error)?;
        sqlx::raw_sql(*sql).execute(&mut *transaction).await.map_err(error)?;
        sqlx::raw_sql(AssertSqlSafe(marks(version))).execute(&mut *transaction).await.map_err(error)?;
        transaction.commit().await.map_err(error)?;
        tracing::info!(path = %path.display(), version, "The database has its new schema");
    }
    Ok(())
}

pub fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
