//! What can wait a little: telling the database what was taken, deleting what accounts that are gone left
//! behind, and taking in words that may be searched for.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, sleep_until};

use super::books::{Books, Pair};
use super::pool::Pool;
use super::text;
use crate::storage::StoreError;

/// How many takings go into one statement.
const TAKINGS: usize = 2048;
/// How long a taking waits for others; and how long all wait after an error.
const TAKINGS_WAIT: Duration = Duration::from_millis(100);
const AFTER_ERROR: Duration = Duration::from_millis(500);
/// How often somebody looks for what accounts left behind.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// And for words, between which a search takes in what is missing.
const TEXT_EVERY: Duration = Duration::from_secs(2);
/// Entries deleted in one transaction.
const SWEPT: i32 = 512;
/// How long the end may take to write out the takings. What is left comes again, as after a crash.
const LAST_WRITES: Duration = Duration::from_secs(5);

/// Tells the chores to end, and when they have.
pub struct Closing {
    close: oneshot::Sender<oneshot::Sender<()>>,
}

impl Closing {
    /// Writes out what is due, and closes the pool.
    pub async fn close(self) {
        let (done, ended) = oneshot::channel();
        if self.close.send(done).is_ok() {
            let _ = ended.await;
        }
    }
}

/// Told to end, and whom to tell that it has.
type Closed = oneshot::Receiver<oneshot::Sender<()>>;

pub fn start(pool: Arc<Pool>, books: Arc<Books>, due: Arc<Notify>) -> Closing {
    let (close, closed) = oneshot::channel();
    tokio::spawn(run(pool, books, due, closed));
    Closing { close }
}

async fn run(pool: Arc<Pool>, books: Arc<Books>, due: Arc<Notify>, mut closed: Closed) {
    if let Err(error) = forget_commits(&pool).await {
        tracing::debug!(%error, "the notes of old commits stay for now");
    }
    let mut sweep_at = Instant::now() + SWEEP_EVERY;
    let mut text_at = Instant::now();
    loop {
        tokio::select! {
            done = &mut closed => return end(done.ok(), &pool, &books).await,
            () = due.notified() => sleep(TAKINGS_WAIT).await,
            () = sleep_until(text_at), if pool.options.full_text => {
                if let Err(error) = take_in_words(&pool, &closed, &due).await {
                    tracing::debug!(%error, "what was said cannot be found by its words yet");
                }
                text_at = Instant::now() + TEXT_EVERY;
                continue;
            }
            () = sleep_until(sweep_at) => {
                if let Err(error) = sweep(&pool, &closed).await {
                    tracing::debug!(%error, "what accounts left behind has to wait");
                }
                sweep_at = Instant::now() + SWEEP_EVERY;
                continue;
            }
        }
        while books.has_takings() && closed.is_empty() {
            if let Err(error) = write_takings(&pool, &books).await {
                tracing::debug!(%error, "what was taken cannot be written yet");
                sleep(AFTER_ERROR).await;
            }
        }
    }
}

async fn end(done: Option<oneshot::Sender<()>>, pool: &Pool, books: &Books) {
    let write_out = async { while books.has_takings() && write_takings(pool, books).await.is_ok() {} };
    let _ = tokio::time::timeout(LAST_WRITES, write_out).await;
    pool.close();
    // Nobody waits where the store was only dropped.
    let _ = done.map(|done| done.send(()));
}

async fn write_takings(pool: &Pool, books: &Books) -> Result<(), StoreError> {
    let pairs: Vec<Pair> = books.takings(TAKINGS);
    let owners: Vec<i64> = pairs.iter().map(|(owner, _)| owner.0 as i64).collect();
    let ids: Vec<i64> = pairs.iter().map(|(_, id)| id.0 as i64).collect();
    // Doing it twice does no harm, so that a lost answer is none either.
    let take = "SELECT 1 FROM meerkat_take($1, $2)";
    pool.all(|| sqlx::query_as::<_, (i32,)>(take).bind(&owners).bind(&ids)).await?;
    books.deleted(&pairs);
    Ok(())
}

/// Until there is no more, or something else is to be done.
async fn take_in_words(pool: &Pool, closed: &Closed, due: &Notify) -> Result<(), StoreError> {
    while closed.is_empty() && text::fill(pool).await? {
        let other = tokio::time::timeout(Duration::from_millis(10), due.notified()).await;
        if other.is_ok() {
            due.notify_one();
            break;
        }
    }
    Ok(())
}

/// One server at a time deletes what one account left. It waits until no saving can be under way that saw
/// the account alive.
async fn sweep(pool: &Pool, closed: &Closed) -> Result<(), StoreError> {
    let forget = "SELECT meerkat_forget(number, $1) FROM (
            SELECT number FROM account_removed WHERE removed < now() - interval '1 minute'
            ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED
        ) AS gone";
    while closed.is_empty() && pool.one(|| sqlx::query_as::<_, (bool,)>(forget).bind(SWEPT)).await?.is_some()
    {
        // Others want to write, too.
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// The notes of commits of servers that are long gone.
async fn forget_commits(pool: &Pool) -> Result<(), StoreError> {
    let forget = "DELETE FROM committed WHERE time < now() - interval '7 days' RETURNING number";
    pool.all(|| sqlx::query_as::<_, (i64,)>(forget)).await.map(|_| ())
}
