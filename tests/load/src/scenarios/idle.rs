//! `idle`: holds sessions that do nothing, and reads what each costs the server in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{dialer, in_parallel, process};
use crate::error::{LoadError, Result};
use crate::measure::meter::Meter;
use crate::measure::process::Memory;
use crate::measure::report::{Faults, Report, Stopwatch};
use crate::options::{Acknowledgement, Output, Target};
use crate::xmpp::dialer::Dialer;
use crate::xmpp::login::Wish;
use crate::xmpp::session::Session;

#[derive(Args, Debug)]
pub struct Idle {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub output: Output,
    #[command(flatten)]
    pub acknowledgement: Acknowledgement,
    /// Sessions to hold.
    #[arg(long, default_value_t = 2000)]
    pub sessions: usize,
    /// Sessions that each account has; the account's other resources get each one's presence.
    #[arg(long, default_value_t = 1)]
    pub per_account: usize,
    /// Sessions that come and go before the first reading, so that caches and heaps have their working size.
    #[arg(long, default_value_t = 200)]
    pub rehearsal: usize,
    /// Send no presence.
    #[arg(long)]
    pub no_presence: bool,
    /// Seconds of silence before each reading, for garbage collectors to do their work.
    #[arg(long, default_value_t = 15.0)]
    pub settle: f64,
    /// Seconds over which the CPU time of doing nothing is read.
    #[arg(long, default_value_t = 10.0)]
    pub duration: f64,
}

pub async fn run(options: &Idle) -> Result<Report> {
    let process = process(&options.output)?;
    let measured = process.ok_or_else(|| LoadError::Options("idle needs --pid".into()))?;
    let process = measured.server;
    let dialer = dialer(&options.target, options.sessions.max(options.rehearsal)).await?;
    let meter = Arc::new(Meter::new());
    let settle = Duration::from_secs_f64(options.settle);

    let mut rehearsal = hold(options, options.rehearsal.min(options.sessions), &dialer, &meter).await?;
    sleep(Duration::from_secs(1)).await;
    rehearsal.shutdown().await;
    sleep(settle).await;
    let before = process.memory()?;
    let stopwatch = Stopwatch::start(Some(measured))?;
    let mut held = hold(options, options.sessions, &dialer, &meter).await?;
    let opened = stopwatch.stop("open", "session", options.sessions as u64, None)?;
    sleep(settle).await;
    let stopwatch = Stopwatch::start(Some(measured))?;
    sleep(Duration::from_secs_f64(options.duration)).await;
    let alive = held.len() as u64;
    let idle = stopwatch.stop("hold", "session", alive, None)?;
    let after = process.memory()?;
    held.shutdown().await;

    let settings = BTreeMap::from([
        ("sessions", json!(options.sessions)),
        ("per account", json!(options.per_account)),
        ("tls", json!(format!("{:?}", options.target.tls))),
        ("sm", json!(options.acknowledgement.sm)),
        ("presence", json!(!options.no_presence)),
    ]);
    let findings = findings(before, after, options.sessions);
    Ok(Report {
        scenario: "idle",
        settings,
        phases: vec![opened, idle],
        faults: Faults::of(&meter),
        findings,
    })
}

fn findings(before: Memory, after: Memory, sessions: usize) -> BTreeMap<&'static str, serde_json::Value> {
    let each = |before: u64, after: u64| (after as f64 - before as f64) * 1024.0 / sessions.max(1) as f64;
    let mut findings =
        BTreeMap::from([("bytes per session", json!(each(before.rss_kib, after.rss_kib).round()))]);
    if let Some((before, after)) = before.pss_kib.zip(after.pss_kib) {
        findings.insert("PSS bytes per session", json!(each(before, after).round()));
    }
    findings
}

/// Opens the sessions and leaves each in a task that reads and answers for ever.
async fn hold(options: &Idle, count: usize, dialer: &Arc<Dialer>, meter: &Arc<Meter>) -> Result<JoinSet<()>> {
    let mut held = JoinSet::new();
    let (first, per_account) = (options.target.first, options.per_account.max(1));
    let (presence, acknowledge_every) = (!options.no_presence, options.acknowledgement.every());
    // In slices, so that early sessions are read while later ones log in.
    let mut opened = 0;
    while opened < count {
        let slice = (count - opened).min(options.target.setup_concurrency.max(1) * 8);
        let begin = opened;
        let sessions = in_parallel(slice, options.target.setup_concurrency, |number| {
            let dialer = dialer.clone();
            let number = begin + number;
            async move {
                let resource = format!("idle-{}", number % per_account);
                let account = first + number / per_account;
                dialer.log_in(Wish { account, resource: &resource, presence, acknowledge_every }).await
            }
        })
        .await?;
        opened += slice;
        for session in sessions {
            held.spawn(keep(session, meter.clone()));
        }
    }
    Ok(held)
}

async fn keep(mut session: Session, meter: Arc<Meter>) {
    if let Err(error) = session.hold().await {
        meter.trouble(|| format!("{}: {error}", session.jid));
    }
}
