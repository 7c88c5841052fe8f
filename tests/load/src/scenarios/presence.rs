//! `presence`: users change their status, and all their contacts are told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::conversation::Conversation;
use super::roster::{self, Size};
use super::{dialer, log_in_accounts, process};
use crate::error::Result;
use crate::flow::{Flow, Listener, Pace, Talker};
use crate::mark::Template;
use crate::measure::meter::Meter;
use crate::measure::report::Report;
use crate::options::{Acknowledgement, Output, Period, Target};
use crate::xmpp::session::Session;

/// After the logins everybody's presence is on its way to everybody.
const CALM: Duration = Duration::from_secs(2);

#[derive(Args, Debug)]
pub struct Presence {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub output: Output,
    #[command(flatten)]
    pub period: Period,
    #[command(flatten)]
    pub acknowledgement: Acknowledgement,
    #[command(flatten)]
    pub size: Size,
    /// Changes under way per user. A server may merge those that are not delivered yet, which shows as loss.
    #[arg(long, default_value_t = 1)]
    pub window: u64,
}

pub async fn run(options: &Presence) -> Result<Report> {
    let process = process(&options.output)?;
    let size = options.size;
    let count = size.users + size.contacts;
    let dialer = dialer(&options.target, count).await?;
    let first = options.target.first;
    // Once to make the contacts, and once more so that what is measured does not depend on whether they were
    // made.
    let sessions = log_in_accounts(&dialer, &options.target, first, count, None).await?;
    let (sessions, made) = roster::subscribe(sessions, size).await?;
    roster::close_all(sessions).await;
    let every = options.acknowledgement.every();
    let sessions = log_in_accounts(&dialer, &options.target, first, count, every).await?;
    tokio::time::sleep(CALM).await;

    let conversation = conversation(sessions, size, options.window);
    let (phase, faults) = conversation.run(&options.period, process).await?;
    let settings = BTreeMap::from([
        ("users", json!(size.users)),
        ("contacts", json!(size.contacts)),
        ("window", json!(options.window)),
        ("tls", json!(format!("{:?}", options.target.tls))),
        ("sm", json!(options.acknowledgement.sm)),
    ]);
    let findings = BTreeMap::from([("subscriptions made", json!(made))]);
    Ok(Report { scenario: "presence", settings, phases: vec![phase], faults, findings })
}

fn conversation(sessions: Vec<Session>, size: Size, window: u64) -> Conversation {
    let meter = Arc::new(Meter::new());
    let fan = size.contacts.max(1) as u64;
    let flows: Vec<Arc<Flow>> = (0..size.users).map(|_| Arc::new(Flow::default())).collect();
    let mut talkers = Vec::new();
    let mut listeners = Vec::new();
    for (number, session) in sessions.into_iter().enumerate() {
        match flows.get(number) {
            Some(flow) => talkers.push(Talker {
                session,
                template: Template::presence(meter.run, u32::try_from(number).unwrap_or(u32::MAX)),
                flow: flow.clone(),
                meter: meter.clone(),
                pace: Pace::Window { messages: window.max(1), fan },
            }),
            None => listeners.push(Listener::new(session, meter.clone(), 0, flows.clone())),
        }
    }
    Conversation { meter, talkers, listeners, flows, fan, unit: "delivery", name: "presence", beat: None }
}
