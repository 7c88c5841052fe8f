//! Leases: rows that the servers of one database take from each other. The time is the database's.

use std::time::Duration;

use sqlx::postgres::PgConnection;

use super::Postgres;
use super::failure::Failure;
use crate::storage::leases::Held;
use crate::storage::{Job, Lease, Leases, StoreFut};

impl Leases for Postgres {
    fn lease<'a>(&'a self, job: Job, holder: &'a str, time: Duration) -> StoreFut<'a, Option<Lease>> {
        Box::pin(async move {
            let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
            let sql = "SELECT meerkat_lease($1, $2, $3)";
            let query = || sqlx::query_as(sql).bind(job.name()).bind(holder).bind(millis);
            let row: Option<(Option<i64>,)> = self.pool.one(query).await?;
            let epoch = row.and_then(|row| row.0);
            Ok(epoch.map(|epoch| Lease { job, epoch: epoch as u64 }))
        })
    }

    fn release<'a>(&'a self, lease: &'a Lease) -> StoreFut<'a, ()> {
        Box::pin(async move {
            let sql =
                "UPDATE lease SET until = clock_timestamp() WHERE job = $1 AND epoch = $2 RETURNING job";
            let query = || sqlx::query_as(sql).bind(lease.job.name()).bind(lease.epoch as i64);
            self.pool.one::<(String,)>(query).await.map(|_| ())
        })
    }
}

/// To be called first in each transaction of a job: it fails where the lease is not held any more.
pub async fn check(connection: &mut PgConnection, lease: &Lease) -> Result<(), Failure> {
    let check = sqlx::query("SELECT meerkat_check_lease($1, $2)");
    check.bind(lease.job.name()).bind(lease.epoch as i64).execute(connection).await?;
    Ok(())
}

/// Those that are held now, for an operator.
pub async fn held(connection: &mut PgConnection) -> Result<Vec<Held>, sqlx::Error> {
    let rows: Vec<(String, String, i64, i64, i64)> = sqlx::query_as(
        "SELECT job, holder, epoch, (extract(epoch FROM since) * 1000)::bigint,
             (extract(epoch FROM until) * 1000)::bigint
         FROM lease WHERE until > clock_timestamp() ORDER BY job",
    )
    .fetch_all(connection)
    .await?;
    let held = rows.into_iter().map(|(job, holder, epoch, since, until)| Held {
        job,
        holder,
        epoch: epoch as u64,
        since: since as u64,
        until: until as u64,
    });
    Ok(held.collect())
}
