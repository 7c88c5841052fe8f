//! `many-to-one`: many sessions write to one, as into a support account or a bot.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::chat::address;
use super::conversation::Conversation;
use super::{dialer, log_in_accounts, process};
use crate::error::{LoadError, Result};
use crate::flow::{Flow, Listener, Pace, Talker};
use crate::mark::Template;
use crate::measure::meter::Meter;
use crate::measure::report::Report;
use crate::options::{Acknowledgement, Address, Output, Period, Target};

#[derive(Args, Debug)]
pub struct ManyToOne {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub output: Output,
    #[command(flatten)]
    pub period: Period,
    #[command(flatten)]
    pub acknowledgement: Acknowledgement,
    /// Sessions that write; account 0 reads.
    #[arg(long, default_value_t = 100)]
    pub senders: usize,
    /// Messages under way per sender.
    #[arg(long, default_value_t = 2)]
    pub window: u64,
    /// Bytes of a message as it is sent, tags included.
    #[arg(long, default_value_t = 300)]
    pub size: usize,
    /// Where messages are addressed to.
    #[arg(long, value_enum, default_value_t = Address::Bare)]
    pub to: Address,
}

pub async fn run(options: &ManyToOne) -> Result<Report> {
    let process = process(&options.output)?;
    let dialer = dialer(&options.target, options.senders + 1).await?;
    let (first, every) = (options.target.first, options.acknowledgement.every());
    let sessions = log_in_accounts(&dialer, &options.target, first, options.senders + 1, every).await?;
    let mut sessions = sessions.into_iter();
    let reader = sessions.next().ok_or_else(|| LoadError::Options("nobody to write to".into()))?;

    let meter = Arc::new(Meter::new());
    let to = address(options.to, &reader);
    let flows: Vec<Arc<Flow>> = (0..options.senders).map(|_| Arc::new(Flow::default())).collect();
    let talkers = sessions.zip(&flows).enumerate().map(|(number, (session, flow))| Talker {
        session,
        template: Template::message(&to, meter.run, u32::try_from(number).unwrap_or(u32::MAX), options.size),
        flow: flow.clone(),
        meter: meter.clone(),
        pace: Pace::Window { messages: options.window.max(1), fan: 1 },
    });
    let conversation = Conversation {
        talkers: talkers.collect(),
        listeners: vec![Listener::new(reader, meter.clone(), 0, flows.clone())],
        meter,
        flows,
        fan: 1,
        unit: "message",
        name: "many to one",
        beat: None,
    };
    let (phase, faults) = conversation.run(&options.period, process).await?;
    let settings = BTreeMap::from([
        ("senders", json!(options.senders)),
        ("window", json!(options.window)),
        ("bytes", json!(options.size)),
        ("tls", json!(format!("{:?}", options.target.tls))),
        ("sm", json!(options.acknowledgement.sm)),
        ("to", json!(format!("{:?}", options.to))),
    ]);
    Ok(Report { scenario: "many-to-one", settings, phases: vec![phase], faults, findings: BTreeMap::new() })
}
