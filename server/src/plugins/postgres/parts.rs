//! The parts of `message`, `archive` and `message_text`, each a range of ids and so of time, most of them a month:
//! made ahead, so that a new one is never waited for, and dropped when nobody keeps it any more.
//!
//! ```text
//!   [ kept | 2025_11 | 2025_12 | ... | this month | the next two | rest ]      ids ->
//!     |      |                                                      |
//!     |      the next one to be dropped                             empty, unless months were not made in time
//!     what still waits of the months that were dropped
//! ```
//!
//! There is no gap and no default: so any message can be saved, and the database knows the parts' order. What
//! locks whole tables is done by functions of the schema, in a transaction of its own, and gives up rather than
//! let others wait for long.

use std::time::Duration;

use super::Postgres;
use super::pool::Pool;
use crate::storage::archive::{Keep, Tended};
use crate::storage::{Lease, Millis, StoreError};

/// How often it is tried to get the tables to oneself for a moment, and how long others have them meanwhile.
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(700);
/// Rows that are looked at in one statement.
const SLICE: i64 = 20_000;

/// The oldest part, and whether no domain keeps anything that came before a time (in milliseconds since 1970) at which
/// the part was over. Never this month or what is behind it, whatever the time is that is asked for.
const OLDEST: &str = "SELECT name, first, behind, behind <= $1::bigint << 20
        AND NOT EXISTS (SELECT FROM account WHERE domain <> ALL ($2))
    FROM part WHERE name NOT IN ('kept', 'rest') AND behind <= (SELECT first FROM meerkat_month(meerkat_now(), 0))
    ORDER BY first LIMIT 1";
/// Is nothing of it in an archive?
const UNARCHIVED: &str = "SELECT NOT EXISTS (SELECT FROM archive WHERE id >= $1 AND id < $2)";
/// The last of the next messages, and whether one of them came at $3 or later.
const YOUNG: &str =
    "SELECT max(id), bool_or(time >= 'epoch'::timestamptz + $3::bigint * interval '1 millisecond')
    FROM (SELECT id, time FROM message WHERE id > $1 AND id < $2 ORDER BY id LIMIT $4) AS slice";

impl Postgres {
    pub(super) async fn tend_parts(&self, lease: &Lease, keep: &Keep) -> Result<Tended, StoreError> {
        let made = make_months(&self.pool).await?;
        let mut tended = Tended { made, ..Tended::default() };
        // Times of ids end in the year 2248.
        let before = keep.before.map_or(-1, |before| before.min((i64::MAX >> 20) as Millis) as i64);
        loop {
            let query = || sqlx::query_as(OLDEST).bind(before).bind(&keep.domains);
            let oldest: Option<(String, i64, i64, bool)> = self.pool.one(query).await?;
            let Some((name, first, behind, is_old)) = oldest else { return Ok(tended) };
            let mut goes = is_old && !self.has_young(behind, before).await?;
            if is_old && !goes {
                tracing::warn!(
                    part = name,
                    "old messages are not dropped: some of the same part are younger"
                );
            }
            if !goes {
                let query = || sqlx::query_as(UNARCHIVED).bind(first).bind(behind);
                goes = self.pool.one(query).await?.is_some_and(|row: (bool,)| row.0);
            }
            if !goes {
                return Ok(tended);
            }
            tended.still_waiting += self.drop_part(&name, lease).await?;
            tended.dropped.push(name);
        }
    }

    /// Is there a message below this id that came at that time or later? Clocks may be wrong, and ids that were
    /// copied from elsewhere are no times.
    async fn has_young(&self, behind: i64, before: i64) -> Result<bool, StoreError> {
        let mut last = -1;
        loop {
            let query = || sqlx::query_as(YOUNG).bind(last).bind(behind).bind(before).bind(SLICE);
            let row: Option<(Option<i64>, Option<bool>)> = self.pool.one(query).await?;
            match row {
                Some((_, Some(true))) => return Ok(true),
                Some((Some(newest), _)) => last = newest,
                _ => return Ok(false),
            }
        }
    }

    /// Drops the oldest part; how many of its messages stay because they wait.
    pub(super) async fn drop_part(&self, name: &str, lease: &Lease) -> Result<u64, StoreError> {
        let (job, epoch) = (lease.job.name(), lease.epoch as i64);
        let loosen = "SELECT meerkat_loosen_part($1, $2, $3)";
        self.pool.one::<(i64,)>(|| sqlx::query_as(loosen).bind(name).bind(job).bind(epoch)).await?;
        let drop = "SELECT meerkat_drop_part($1, $2, $3)";
        let mut attempt = 1;
        loop {
            let dropped = self.pool.one(|| sqlx::query_as(drop).bind(name).bind(job).bind(epoch)).await;
            match dropped {
                Ok(kept) => return Ok(kept.map_or(0, |(kept,): (i64,)| kept as u64)),
                Err(error) if attempt == ATTEMPTS || matches!(error, StoreError::Conflict(_)) => {
                    return Err(error);
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
            attempt += 1;
        }
    }
}

/// Makes the months that are missing; whoever starts does it, and the job. Doing it twice does no harm, so that it
/// needs no lease.
pub async fn make_months(pool: &Pool) -> Result<Vec<String>, StoreError> {
    let mut attempt = 1;
    loop {
        let make = "SELECT meerkat_make_months()";
        match pool.one(|| sqlx::query_as::<_, (Vec<String>,)>(make)).await {
            Ok(made) => return Ok(made.map(|row| row.0).unwrap_or_default()),
            Err(error) if attempt == ATTEMPTS => return Err(error),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
        attempt += 1;
    }
}
