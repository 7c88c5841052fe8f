//! `chat`: pairs of sessions, the first of each writes to the second, in a closed or an open loop.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::conversation::{Beat, Conversation};
use super::{dialer, log_in_accounts, process};
use crate::error::{LoadError, Result};
use crate::flow::{Flow, Listener, Pace, Talker};
use crate::mark::Template;
use crate::measure::meter::Meter;
use crate::measure::report::Report;
use crate::options::{Acknowledgement, Address, Output, Period, Target};
use crate::xmpp::session::Session;

/// The open loop begins this long after the logins.
const HEAD_START_NS: u64 = 100_000_000;
const SECOND_NS: f64 = 1e9;

#[derive(Args, Debug)]
pub struct Chat {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub output: Output,
    #[command(flatten)]
    pub period: Period,
    #[command(flatten)]
    pub acknowledgement: Acknowledgement,
    /// Pairs; accounts 0 and 1 are the first pair, 2 and 3 the second.
    #[arg(long, default_value_t = 100)]
    pub pairs: usize,
    /// Closed loop: messages under way per pair.
    #[arg(long, default_value_t = 10)]
    pub window: u64,
    /// Open loop instead: messages per second of all pairs together, sent on time whatever the server does.
    #[arg(long)]
    pub rate: Option<f64>,
    /// Bytes of a message as it is sent, tags included.
    #[arg(long, default_value_t = 300)]
    pub size: usize,
    /// Where messages are addressed to.
    #[arg(long, value_enum, default_value_t = Address::Bare)]
    pub to: Address,
}

pub async fn run(options: &Chat) -> Result<Report> {
    let process = process(&options.output)?;
    let beat = options.rate.map(interval).transpose()?;
    let dialer = dialer(&options.target, options.pairs * 2).await?;
    let (first, every) = (options.target.first, options.acknowledgement.every());
    let sessions = log_in_accounts(&dialer, &options.target, first, options.pairs * 2, every).await?;

    let meter = Arc::new(Meter::new());
    let beat = beat.map(|interval| Beat { first: meter.now() + HEAD_START_NS, interval });
    let mut conversation = Conversation {
        meter: meter.clone(),
        talkers: Vec::new(),
        listeners: Vec::new(),
        flows: Vec::new(),
        fan: 1,
        unit: "message",
        name: "chat",
        beat,
    };
    let mut sessions = sessions.into_iter();
    let mut size = 0;
    while let (Some(romeo), Some(juliet)) = (sessions.next(), sessions.next()) {
        let pair = conversation.flows.len();
        let to = address(options.to, &juliet);
        let template =
            Template::message(&to, meter.run, u32::try_from(pair).unwrap_or(u32::MAX), options.size);
        size = template.size();
        let flow = Arc::new(Flow::default());
        let pace = pace(options, beat, pair as u64);
        conversation.flows.push(flow.clone());
        conversation.listeners.push(Listener::new(juliet, meter.clone(), pair, vec![flow.clone()]));
        conversation.talkers.push(Talker { session: romeo, template, flow, meter: meter.clone(), pace });
    }
    let (phase, faults) = conversation.run(&options.period, process).await?;
    let mut findings = BTreeMap::new();
    if let Some(late) = meter.lateness().latency() {
        findings.insert("tool's own lateness us", json!({"p50": late.p50, "p99": late.p99, "max": late.max}));
    }
    if meter.stale() > 0 {
        findings.insert("of earlier runs", json!(meter.stale()));
    }
    Ok(Report { scenario: "chat", settings: settings(options, size), phases: vec![phase], faults, findings })
}

pub fn address(to: Address, session: &Session) -> String {
    let jid = match to {
        Address::Full => &session.jid,
        Address::Bare => session.jid.split('/').next().unwrap_or_default(),
    };
    crate::xmpp::scan::escape(jid)
}

fn pace(options: &Chat, beat: Option<Beat>, pair: u64) -> Pace {
    match beat {
        None => Pace::Window { messages: options.window.max(1), fan: 1 },
        Some(beat) => Pace::Schedule {
            first: beat.first + pair * beat.interval,
            interval: beat.interval * options.pairs as u64,
        },
    }
}

/// Nanoseconds between two messages.
fn interval(rate: f64) -> Result<u64> {
    if rate.is_finite() && (0.001..=10_000_000.0).contains(&rate) {
        return Ok((SECOND_NS / rate) as u64);
    }
    Err(LoadError::Options("--rate must lie between 0.001 and ten million".into()))
}

fn settings(options: &Chat, size: usize) -> BTreeMap<&'static str, serde_json::Value> {
    let loop_of = match options.rate {
        Some(rate) => format!("open, {rate}/s"),
        None => format!("closed, window {}", options.window),
    };
    BTreeMap::from([
        ("pairs", json!(options.pairs)),
        ("loop", json!(loop_of)),
        ("bytes", json!(size)),
        ("tls", json!(format!("{:?}", options.target.tls))),
        ("sm", json!(options.acknowledgement.sm)),
        ("to", json!(format!("{:?}", options.to))),
    ])
}
