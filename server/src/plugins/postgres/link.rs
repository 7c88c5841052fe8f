//! Connections: how one is made, what is asked of it first, and how long a statement on it may take.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rand::RngCore;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions};
use tokio::time::Instant;

use super::failure::{Named, postgres};
use super::hosts;
use super::reach::Reach;
use crate::storage::outbox::Gate;
use crate::storage::{Operation, StoreError, Unwatched, watched};

/// Where the operator says where the database is.
const KEY: &str = "storage.postgres.url";
/// The oldest PostgreSQL that is known to do.
const OLDEST: i32 = 13;
/// What the driver waits longer than the server for the end of a statement: then the connection is dead.
const GRACE: Duration = Duration::from_secs(2);
/// What failed faster than this is tried once more.
const AT_ONCE: Duration = Duration::from_secs(1);
/// Statements that a connection keeps prepared; there are fewer in all.
const PREPARED: usize = 200;

/// Where the database is, and its bounds.
#[derive(Clone)]
pub struct Options {
    /// One for each host that the URL names.
    connect: Vec<PgConnectOptions>,
    /// The host that was the right one last time.
    right: Arc<AtomicUsize>,
    pub reach: Arc<Reach>,
    pub named: Named,
    /// This server's name, for whoever looks into the database.
    pub node: String,
    /// Connections at one time, beside the one that saves messages.
    pub connections: usize,
    pub acquire_limit: Duration,
    pub connect_limit: Duration,
    pub statement_limit: Duration,
    /// How many writes and savings may wait for their commit, and how many bytes of stanzas. What comes
    /// then is refused.
    pub waiting_writes: usize,
    pub waiting_bytes: usize,
    /// Lets events into the outbox. `None`: there is no event stream, and none are written.
    pub outbox: Option<Arc<Gate>>,
    /// Whether archives can be searched by words.
    pub full_text: bool,
}

impl Options {
    /// `url` may hold a password, which no sentence repeats.
    pub fn new(url: &str) -> Result<Options, StoreError> {
        let one = |url: &String| -> Result<PgConnectOptions, StoreError> {
            let connect: PgConnectOptions = url.parse().map_err(|_| not_understood())?;
            let connect = connect.application_name("meerkat").statement_cache_capacity(PREPARED);
            Ok(connect.disable_statement_logging())
        };
        let connect = hosts::split(url).iter().map(one).collect::<Result<Vec<_>, _>>()?;
        let first = connect.first().ok_or_else(not_understood)?;
        let database = first.get_database().unwrap_or(first.get_username());
        let hosts: Vec<String> =
            connect.iter().map(|host| format!("{}:{}", host.get_host(), host.get_port())).collect();
        let place = format!("the database {database} at {} ({KEY})", hosts.join(" or "));
        Ok(Options {
            connect,
            right: Arc::default(),
            reach: Arc::default(),
            named: Named { place, watch: Arc::new(Unwatched) },
            node: String::new(),
            connections: 10,
            acquire_limit: Duration::from_secs(5),
            connect_limit: Duration::from_secs(5),
            statement_limit: Duration::from_secs(10),
            waiting_writes: 16_384,
            waiting_bytes: 64 << 20,
            outbox: None,
            full_text: false,
        })
    }
}

/// Why a store was not opened.
#[derive(Debug)]
pub enum Opening {
    /// The database is away, starting, or not yet the one that can be written: it may come.
    Late(StoreError),
    /// It is there, and takes no more connections now.
    Busy(StoreError),
    Never(StoreError),
}

impl Opening {
    pub fn error(self) -> StoreError {
        match self {
            Opening::Late(error) | Opening::Busy(error) | Opening::Never(error) => error,
        }
    }

    pub fn of(error: sqlx::Error, named: &Named) -> Opening {
        let said = named.error(&error);
        match postgres(&error) {
            // Starting, stopping, or a replica.
            Some(error) if matches!(error.code(), "57P01" | "57P02" | "57P03" | "25006") => {
                Opening::Late(said)
            }
            // Full up.
            Some(error) if error.code().starts_with("53") => Opening::Busy(said),
            Some(_) => Opening::Never(said),
            None if is_about_us(&error) => Opening::Never(said),
            // A name, too: it is looked up later as a rule.
            None => Opening::Late(said),
        }
    }
}

/// Is it the configuration or the certificate, which no waiting changes? (A failed handshake comes as an
/// error of the socket.)
fn is_about_us(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Configuration(_) | sqlx::Error::Tls(_) => true,
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::InvalidData,
        _ => false,
    }
}

/// A connection that can be written through. Refused at once while the database is known to be away.
pub async fn connect(options: &Options) -> Result<PgConnection, Opening> {
    if let Some(error) = options.reach.away() {
        return Err(Opening::Late(error));
    }
    let begun = Instant::now();
    let mut connected = connect_now(options).await;
    // One connection that somebody ended is no database that is away.
    if matches!(connected, Err(Opening::Late(_))) && begun.elapsed() < AT_ONCE {
        connected = connect_now(options).await;
    }
    if let Err(Opening::Late(error)) = &connected {
        options.reach.lost(error, options);
    }
    connected
}

/// Of several hosts the first that can be written through, beginning with the one that could be last time.
pub async fn connect_now(options: &Options) -> Result<PgConnection, Opening> {
    let count = options.connect.len();
    let right = options.right.load(Ordering::Relaxed);
    let mut failed: Option<Opening> = None;
    for index in (0..count).map(|offset| (right + offset) % count) {
        let Some(host) = options.connect.get(index) else { continue };
        match watched(&options.named.watch, Operation::PostgresConnect, connect_to(host, options)).await {
            Ok(connection) => {
                options.right.store(index, Ordering::Relaxed);
                return Ok(connection);
            }
            // One that never will be right does not outweigh one that may.
            Err(Opening::Never(error)) => failed = failed.or(Some(Opening::Never(error))),
            Err(later) => failed = Some(later),
        }
    }
    Err(failed.unwrap_or_else(|| Opening::Never(not_understood())))
}

async fn connect_to(host: &PgConnectOptions, options: &Options) -> Result<PgConnection, Opening> {
    let limit = options.connect_limit;
    let connecting = async {
        let mut connection = host.connect().await?;
        let found = set_up(&mut connection, options.statement_limit).await?;
        Ok((connection, found))
    };
    let (connection, found) = match tokio::time::timeout(limit, connecting).await {
        Ok(Ok(connected)) => connected,
        Ok(Err(error)) => return Err(Opening::of(error, &options.named)),
        Err(_) => return Err(Opening::Late(no_answer(&options.named, limit))),
    };
    found.check(&options.named)?;
    Ok(connection)
}

fn not_understood() -> StoreError {
    StoreError::Unavailable(format!(
        "{KEY} is not understood: it is to be as postgres://USER:PASSWORD@HOST:PORT/DATABASE, and odd characters of \
         the password in percent encoding"
    ))
}

fn no_answer(named: &Named, limit: Duration) -> StoreError {
    StoreError::Unavailable(format!("{} did not answer within {} s", named.place, limit.as_secs()))
}

/// What a server says of itself.
struct Found {
    version: i32,
    encoding: String,
    read_only: bool,
}

/// Whatever the server's defaults are, a commit is on its disk when it is answered, a statement sees
/// what was committed before it, and a session that hangs in a transaction is ended.
///
/// A statement is planned once, for any values and any number of rows, and by indexes: what is fast for a table that
/// has just been made is not what it is for one that has filled since, and plans for all months of all tables take
/// longer than the statements.
async fn set_up(connection: &mut PgConnection, limit: Duration) -> Result<Found, sqlx::Error> {
    let millis = limit.as_millis();
    let settings = format!(
        "SET statement_timeout = {millis}; SET idle_in_transaction_session_timeout = {millis};
         SET default_transaction_isolation = 'read committed'; SET client_min_messages = 'warning';
         SET plan_cache_mode = 'force_generic_plan'; SET enable_seqscan = off; SET jit = off;
         SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
    );
    sqlx::raw_sql(AssertSqlSafe(settings)).execute(&mut *connection).await?;
    let (version, encoding, read_only) = sqlx::query_as(
        "SELECT current_setting('server_version_num')::int / 10000, current_setting('server_encoding'),
             pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean",
    )
    .fetch_one(connection)
    .await?;
    Ok(Found { version, encoding, read_only })
}

impl Found {
    fn check(&self, named: &Named) -> Result<(), Opening> {
        let place = &named.place;
        if self.read_only {
            let sentence =
                format!("{place} is read-only, as a replica is: waiting for one that can be written");
            return Err(Opening::Late(StoreError::Unavailable(sentence)));
        }
        let wrong = if self.version < OLDEST {
            format!("{place} is PostgreSQL {}: it takes {OLDEST} or newer", self.version)
        } else if self.encoding != "UTF8" {
            format!("{place} has the encoding {}: make one with ENCODING 'UTF8'", self.encoding)
        } else {
            return Ok(());
        };
        Err(Opening::Never(StoreError::Unavailable(wrong)))
    }
}

/// What becomes of a statement: its result, an error, or no answer in time. After the latter the connection
/// must not be used again.
pub async fn within<T>(
    limit: Duration,
    statement: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    match tokio::time::timeout(limit + GRACE, statement).await {
        Ok(outcome) => outcome,
        Err(_) => Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
    }
}

/// How long a commit whose answer was lost is looked up before whoever asked for it is told to wait, and how
/// often.
pub const DOUBT: Duration = Duration::from_secs(5);
pub const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// The fate of a commit whose answer was lost: the first id that it gave (0 where it gave none), or that
/// it was not committed and never will be. With the connection that says so.
pub async fn settle(
    options: &Options,
    boot: i64,
    slot: i32,
    number: i64,
) -> Result<(Option<i64>, PgConnection), StoreError> {
    let mut connection = connect(options).await.map_err(Opening::error)?;
    let settling = sqlx::query_as("SELECT done, first FROM meerkat_settle($1, $2, $3, $4)")
        .bind(boot)
        .bind(slot)
        .bind(&options.node)
        .bind(number)
        .fetch_one(&mut connection);
    let settled: Result<(bool, Option<i64>), sqlx::Error> = within(options.statement_limit, settling).await;
    let (done, first) = settled.map_err(|error| options.named.error(&error))?;
    Ok((done.then(|| first.unwrap_or(0)), connection))
}

/// A number for this start of this server, which no other start of any server has.
pub fn new_boot() -> i64 {
    (rand::rng().next_u64() >> 1) as i64
}
