//! `login`: one account after the other logs in on a connection of its own and leaves again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::{dialer, in_parallel, process};
use crate::error::{LoadError, Result};
use crate::measure::meter::Meter;
use crate::measure::report::{Faults, Report, Stopwatch};
use crate::options::{Output, Period, Target};
use crate::xmpp::dialer::Dialer;
use crate::xmpp::login::Wish;

/// Connections that were closed keep their ports for a minute, so logins come from several addresses.
const SOURCES: u32 = 8;

#[derive(Args, Debug)]
pub struct Login {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub output: Output,
    #[command(flatten)]
    pub period: Period,
    /// Accounts that take turns.
    #[arg(long, default_value_t = 100)]
    pub accounts: usize,
    /// Logins under way at a time.
    #[arg(long, default_value_t = 16)]
    pub concurrency: usize,
    /// Send initial presence before leaving.
    #[arg(long)]
    pub presence: bool,
}

pub async fn run(options: &Login) -> Result<Report> {
    let process = process(&options.output)?;
    let mut target = options.target.clone();
    if target.sources.is_none() && target.host.starts_with("127.") {
        target.sources = Some(SOURCES);
    }
    let dialer = dialer(&target, options.concurrency).await?;
    // Every account once beforehand, which derives its keys (PBKDF2) in the tool, and here one failure is the
    // end.
    let (accounts, first, presence) = (options.accounts.max(1), target.first, options.presence);
    in_parallel(accounts, options.concurrency, |number| {
        let dialer = dialer.clone();
        async move { log_in_and_out(&dialer, first + number, presence).await.map(drop) }
    })
    .await?;

    let meter = Arc::new(Meter::new());
    let turn =
        Arc::new(Turn { next: AtomicUsize::new(0), stop: AtomicBool::new(false), accounts, first, presence });
    let workers: Vec<_> = (0..options.concurrency.max(1))
        .map(|_| tokio::spawn(work(dialer.clone(), turn.clone(), meter.clone())))
        .collect();
    sleep(Duration::from_secs_f64(options.period.warmup)).await;
    let stopwatch = Stopwatch::start(process)?;
    meter.begin();
    let before = meter.arrived();
    sleep(Duration::from_secs_f64(options.period.duration)).await;
    let mut phase = stopwatch.stop("logins", "login", meter.arrived() - before, None)?;
    meter.end();
    turn.stop.store(true, Ordering::Relaxed);
    for worker in workers {
        let ended = timeout(Duration::from_secs_f64(options.period.drain), worker).await;
        ended.map_err(|_| LoadError::Timeout("the last login"))?.ok();
    }
    phase.latency_us = meter.latency().latency();
    let settings = BTreeMap::from([
        ("accounts", json!(accounts)),
        ("concurrency", json!(options.concurrency)),
        ("mechanism", json!(format!("{:?}", target.mechanism))),
        ("tls", json!(format!("{:?}", target.tls))),
        ("tls resumption", json!(target.tls_resume)),
        ("presence", json!(presence)),
    ]);
    let faults = Faults::of(&meter);
    let findings = BTreeMap::from([("resumed TLS handshakes", json!(dialer.resumed()))]);
    Ok(Report { scenario: "login", settings, phases: vec![phase], faults, findings })
}

/// Whose turn it is.
struct Turn {
    next: AtomicUsize,
    stop: AtomicBool,
    accounts: usize,
    first: usize,
    presence: bool,
}

async fn work(dialer: Arc<Dialer>, turn: Arc<Turn>, meter: Arc<Meter>) {
    while !turn.stop.load(Ordering::Relaxed) {
        let account = turn.first + turn.next.fetch_add(1, Ordering::Relaxed) % turn.accounts;
        let begun = meter.now();
        match log_in_and_out(&dialer, account, turn.presence).await {
            Ok(taken) => {
                let bound = begun + u64::try_from(taken.as_nanos()).unwrap_or(0);
                meter.count_arrived(bound, &[begun]);
            }
            Err(error) => meter.trouble(|| error.to_string()),
        }
    }
}

/// Returns how long it took from the connection to the bound session; leaving is not in it.
async fn log_in_and_out(dialer: &Dialer, account: usize, presence: bool) -> Result<Duration> {
    let begun = Instant::now();
    // A resource for each login: the same one could meet its own predecessor on the way out.
    let resource = format!("load-{:08x}", rand::random::<u32>());
    let wish = Wish { account, resource: &resource, presence, acknowledge_every: None };
    let session = dialer.log_in(wish).await?;
    let taken = begun.elapsed();
    session.close().await;
    Ok(taken)
}
