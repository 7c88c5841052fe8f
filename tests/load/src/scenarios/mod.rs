//! One file per scenario; README.md says what each measures and how.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::error::{LoadError, Result};
use crate::measure::process::{Measured, Process, open_files_limit};
use crate::options::{Output, Target};
use crate::xmpp::dialer::Dialer;
use crate::xmpp::login::Wish;
use crate::xmpp::session::Session;

pub mod archive;
pub mod chat;
pub mod conversation;
pub mod idle;
pub mod login;
pub mod many_to_one;
pub mod offline;
pub mod presence;
pub mod register;
pub mod roster;

/// A file or two for the runtime, the output, and whatever libraries open.
const OTHER_FILES: usize = 50;
const ROUND_TRIP_TIMEOUT: Duration = Duration::from_secs(30);

/// The server's process, if it was named and is there, and its database's.
pub fn process(output: &Output) -> Result<Option<Measured>> {
    let Some(server) = output.pid.map(Process) else { return Ok(None) };
    let database = output.database_pid.map(Process);
    for process in [Some(server), database].into_iter().flatten() {
        process.cpu_time()?;
    }
    Ok(Some(Measured { server, database }))
}

/// Refuses what the limit on open files would end later, in the middle.
pub async fn dialer(target: &Target, connections: usize) -> Result<Arc<Dialer>> {
    if let Some(limit) = open_files_limit()
        && connections + OTHER_FILES > limit
    {
        let reason =
            format!("{connections} sessions, but only {limit} open files allowed: raise `ulimit -n`");
        return Err(LoadError::Options(reason));
    }
    Dialer::new(target, connections).await.map(Arc::new)
}

/// Makes `count` things, so many at a time, in order. The first failure ends it.
pub async fn in_parallel<T, F, Fut>(count: usize, concurrency: usize, mut make: F) -> Result<Vec<T>>
where
    T: Send + 'static,
    F: FnMut(usize) -> Fut,
    Fut: Future<Output = Result<T>> + Send + 'static,
{
    let mut made: Vec<Option<T>> = (0..count).map(|_| None).collect();
    let mut running = JoinSet::new();
    let mut begun = 0;
    loop {
        while begun < count && running.len() < concurrency.max(1) {
            let number = begun;
            let future = make(number);
            running.spawn(async move { (number, future.await) });
            begun += 1;
        }
        match running.join_next().await {
            None => return Ok(made.into_iter().flatten().collect()),
            Some(Ok((number, Ok(thing)))) => {
                if let Some(place) = made.get_mut(number) {
                    *place = Some(thing);
                }
            }
            Some(Ok((_, Err(error)))) => return Err(error),
            Some(Err(_)) => return Err(LoadError::Options("a task of the tool ended unexpectedly".into())),
        }
    }
}

/// Logs in the accounts `first..first + count`, each with presence, and waits until the server has processed
/// it.
pub async fn log_in_accounts(
    dialer: &Arc<Dialer>,
    target: &Target,
    first: usize,
    count: usize,
    acknowledge_every: Option<u64>,
) -> Result<Vec<Session>> {
    in_parallel(count, target.setup_concurrency, |number| {
        let dialer = dialer.clone();
        async move {
            let account = first + number;
            let wish = Wish { account, resource: "load", presence: true, acknowledge_every };
            let mut session = dialer.log_in(wish).await?;
            session.round_trip(ROUND_TRIP_TIMEOUT, |_| {}).await?;
            Ok(session)
        }
    })
    .await
}
