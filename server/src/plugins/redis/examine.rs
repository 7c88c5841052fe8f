//! Redis examined for the operator: can it be reached, written and read, what is it, and is it as quick as the server
//! wants it.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{RedisError, cmd};
use tokio::time::{Instant, timeout};

use super::Options;
use super::link::Link;
use crate::storage::Finding;

const CHECK: &str = "redis";
const LIMIT: Duration = Duration::from_secs(2);
/// What is written lives no longer, whatever becomes of this examination.
const LIFETIME_MS: u32 = 1_000;
const REMEDY: &str = "correct storage.redis.url, or start Redis; without it the servers go on, and ask the database more often";

pub async fn examine(options: &Options) -> Vec<Finding> {
    let begun = Instant::now();
    let link = match Link::connect(options, &[]).await {
        Ok(link) => link,
        Err(why) => return vec![Finding::failed(CHECK, format!("{why} (storage.redis.url)"), REMEDY)],
    };
    let connected = begun.elapsed();
    let key = format!("{}examined", options.prefix);
    let Some(mut server) = link.server(&key) else {
        return vec![Finding::failed(CHECK, "the cluster has no server for a key", REMEDY)];
    };
    match timeout(LIMIT, look(&mut server, &key)).await {
        Ok(Ok((version, took))) => vec![judge(options, &version, connected, took)],
        Ok(Err(error)) => {
            vec![Finding::failed(CHECK, error.to_string(), "look at its log, and at what its user may do")]
        }
        Err(_) => vec![Finding::failed(CHECK, format!("no answer within {} s", LIMIT.as_secs()), REMEDY)],
    }
}

/// Its version, and how long a value took to be written, read and removed.
async fn look(server: &mut MultiplexedConnection, key: &str) -> Result<(String, Duration), RedisError> {
    let about: String = cmd("INFO").arg("server").query_async(server).await?;
    let version = about.lines().find_map(|line| line.strip_prefix("redis_version:"));
    let begun = Instant::now();
    cmd("SET").arg(key).arg("1").arg("PX").arg(LIFETIME_MS).query_async::<()>(server).await?;
    let _: Option<String> = cmd("GET").arg(key).query_async(server).await?;
    cmd("DEL").arg(key).query_async::<()>(server).await?;
    Ok((version.unwrap_or("of an unknown version").trim().to_owned(), begun.elapsed() / 3))
}

fn judge(options: &Options, version: &str, connected: Duration, took: Duration) -> Finding {
    let servers: Vec<String> =
        options.url.servers.iter().map(|(host, port)| format!("{host}:{port}")).collect();
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    let seen = format!(
        "{}: Redis {version}, {}; connected in {:.1} ms, answers in {:.1} ms",
        servers.join(", "),
        if options.url.tls { "TLS" } else { "no TLS" },
        millis(connected),
        millis(took)
    );
    if took <= options.timeout {
        return Finding::ok(CHECK, seen);
    }
    let seen = format!("{seen}, and is waited for {:.0} ms", millis(options.timeout));
    Finding::warning(
        CHECK,
        seen,
        "put it nearer, or raise storage.redis.timeout_ms: as it is, it is of no use",
    )
}
