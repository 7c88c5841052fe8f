//! The database examined for the operator: can it be reached, written and read, what is it, how fast, whose clock is
//! right, and has it room for this server's connections.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tokio::time::Instant;

use super::link::{self, Opening, Options};
use super::schema;
use crate::storage::{Finding, StoreError};

const CHECK: &str = "postgres";
/// From here on a database is slow for each of its writes; and a clock is wrong.
const SLOW: Duration = Duration::from_millis(50);
const CLOCK_WARNING: f64 = 1.0;
const CLOCK_FAILED: f64 = 60.0;

pub async fn examine(options: &Options) -> Vec<Finding> {
    let begun = Instant::now();
    let mut connection = match link::connect_now(options).await {
        Ok(connection) => connection,
        Err(opening) => return vec![unreachable(opening)],
    };
    let connected = begun.elapsed();
    let place = options.named.place.clone();
    match link::within(options.statement_limit, look(&mut connection, options, connected)).await {
        Ok(findings) => findings,
        Err(error) => vec![Finding::failed(CHECK, options.named.error(&error).to_string(), advice(&place))],
    }
}

fn unreachable(opening: Opening) -> Finding {
    let advice = match &opening {
        Opening::Late(_) => {
            "start the database, or correct storage.postgres.url; a starting server waits for it"
        }
        Opening::Busy(_) => {
            "give the database more max_connections, or the servers fewer storage.postgres.connections"
        }
        Opening::Never(_) => "a server does not start with it: correct storage.postgres.url, or the database",
    };
    Finding::failed(CHECK, why(opening.error()), advice)
}

fn advice(place: &str) -> String {
    format!("look at the log of {place}, and at the rights of its user")
}

/// Without the words that every error of a store begins with.
fn why(error: StoreError) -> String {
    match error {
        StoreError::Unavailable(why)
        | StoreError::Conflict(why)
        | StoreError::Full(why)
        | StoreError::Damaged(why) => why,
    }
}

async fn look(
    connection: &mut PgConnection,
    options: &Options,
    connected: Duration,
) -> Result<Vec<Finding>, sqlx::Error> {
    let place = &options.named.place;
    let (version, tls): (String, bool) = sqlx::query_as(
        "SELECT current_setting('server_version'),
             coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false)",
    )
    .fetch_one(&mut *connection)
    .await?;
    let read = latency(connection).await?;
    let mut findings = Vec::new();
    let about = format!(
        "{place}: PostgreSQL {version}, {}; connected in {}, answers in {}",
        if tls { "TLS" } else { "no TLS" },
        millis(connected),
        millis(read)
    );
    findings.push(match read > SLOW {
        false => Finding::ok(CHECK, about),
        true => Finding::warning(
            CHECK,
            about,
            "each message waits for this: put the database nearer, or give it more CPU",
        ),
    });
    findings.push(write(connection, options).await?);
    findings.push(room(connection, options).await?);
    findings.push(clock(connection, place).await?);
    findings.extend(unsafe_settings(connection).await?);
    Ok(findings)
}

/// The median of a few statements that do nothing.
async fn latency(connection: &mut PgConnection) -> Result<Duration, sqlx::Error> {
    let mut times = Vec::new();
    for _ in 0..5 {
        let begun = Instant::now();
        sqlx::query("SELECT 1").execute(&mut *connection).await?;
        times.push(begun.elapsed());
    }
    times.sort();
    Ok(times.get(2).copied().unwrap_or_default())
}

/// Commits a row, reads it back, and deletes it. Where there is no schema yet: may one be made?
async fn write(connection: &mut PgConnection, options: &Options) -> Result<Finding, sqlx::Error> {
    let named = &options.named;
    let schema = schema::look(connection).await?;
    let (found, newest) = (schema.found, schema.newest);
    if found > newest {
        let seen = format!(
            "{} has schema {found}, which a newer Meerkat made; this one knows {newest}",
            named.place
        );
        return Ok(Finding::failed(
            CHECK,
            seen,
            "start the newer Meerkat, or put back a backup from before the upgrade",
        ));
    }
    if found < newest {
        let mut trying = connection.begin().await?;
        let made = sqlx::raw_sql("CREATE TABLE meerkat_doctor (one integer)").execute(&mut *trying).await;
        trying.rollback().await?;
        return Ok(match made {
            Ok(_) => Finding::ok(
                CHECK,
                format!(
                    "its schema is {found}, and {newest} the newest: the next start, or `meerkatctl db migrate`, brings it up to date"
                ),
            ),
            Err(error) => Finding::failed(
                CHECK,
                why(named.error(&error)),
                "the schema cannot be made: GRANT CREATE ON SCHEMA public, or make the user its owner",
            ),
        });
    }
    let boot = link::new_boot();
    let begun = Instant::now();
    let written: Result<(), sqlx::Error> = async {
        sqlx::query("SELECT meerkat_note($1, 0, 'doctor', 1, NULL)")
            .bind(boot)
            .execute(&mut *connection)
            .await?;
        let there: i64 = sqlx::query_scalar("SELECT count(*) FROM committed WHERE boot = $1")
            .bind(boot)
            .fetch_one(&mut *connection)
            .await?;
        sqlx::query("DELETE FROM committed WHERE boot = $1").bind(boot).execute(&mut *connection).await?;
        if there == 1 { Ok(()) } else { Err(sqlx::Error::RowNotFound) }
    }
    .await;
    Ok(match written {
        Ok(()) => Finding::ok(
            CHECK,
            format!("schema {found}; a row was written, read and deleted in {}", millis(begun.elapsed())),
        ),
        Err(error) => Finding::failed(CHECK, why(named.error(&error)), advice(&named.place)),
    })
}

/// Has it connections enough for one server of this configuration?
async fn room(connection: &mut PgConnection, options: &Options) -> Result<Finding, sqlx::Error> {
    let (most, used): (i64, i64) = sqlx::query_as(
        "SELECT current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint,
             (SELECT count(*) FROM pg_stat_activity
              WHERE backend_type = 'client backend' AND application_name <> 'meerkat')",
    )
    .fetch_one(connection)
    .await?;
    // Beside those of the pool: the one that saves, and one that looks whether the database is back.
    let wanted = options.connections as i64 + 2;
    let seen = format!("it allows {most} connections, others use {used}, one server wants up to {wanted}");
    Ok(match most - used >= wanted {
        true => Finding::ok(CHECK, seen),
        false => Finding::warning(
            CHECK,
            seen,
            "raise the database server's max_connections, or lower storage.postgres.connections",
        ),
    })
}

/// Times are given by servers and compared by all: their clocks must agree.
async fn clock(connection: &mut PgConnection, place: &str) -> Result<Finding, sqlx::Error> {
    let begun = now();
    let theirs: f64 = sqlx::query_scalar("SELECT extract(epoch FROM clock_timestamp())::double precision")
        .fetch_one(connection)
        .await?;
    let ours = (begun + now()) / 2.0;
    let apart = theirs - ours;
    let seen = format!(
        "the clock of {place} is {:.3} s {} this machine's",
        apart.abs(),
        if apart < 0.0 { "behind" } else { "ahead of" }
    );
    let advice = "synchronise both machines (chrony, ntpd or systemd-timesyncd)";
    Ok(match apart.abs() {
        apart if apart > CLOCK_FAILED => Finding::failed("clock", seen, advice),
        apart if apart > CLOCK_WARNING => Finding::warning("clock", seen, advice),
        _ => Finding::ok("clock", seen),
    })
}

async fn unsafe_settings(connection: &mut PgConnection) -> Result<Vec<Finding>, sqlx::Error> {
    let mut findings = Vec::new();
    for (setting, why) in super::tools::SETTINGS {
        let value: String = sqlx::query_scalar("SELECT current_setting($1)")
            .bind(setting)
            .fetch_one(&mut *connection)
            .await?;
        if value == "off" {
            let advice = format!("set {setting} = on in the database server's configuration");
            findings.push(Finding::warning(CHECK, format!("{setting} is off: {why}"), advice));
        }
    }
    Ok(findings)
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

fn millis(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}
