//! `offline`: messages to accounts that nobody is logged in to, and then somebody logs in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use super::roster::close_all;
use super::{dialer, in_parallel, log_in_accounts, process};
use crate::error::{LoadError, Result};
use crate::flow::note_bounce;
use crate::mark::{self, Template};
use crate::measure::meter::Meter;
use crate::measure::report::{Faults, Report, Stopwatch};
use crate::measure::sequence::Sequence;
use crate::options::{Acknowledgement, Output, Target};
use crate::xmpp::dialer::Dialer;
use crate::xmpp::login::Wish;
use crate::xmpp::session::Session;

/// How long one window of messages may take to be confirmed.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(60);
/// Everything arrived: so long a recipient listens for duplicates.
const DUPLICATES: Duration = Duration::from_millis(500);
/// What is written lazily gets this long before the recipients come.
const CALM: Duration = Duration::from_secs(1);

#[derive(Args, Debug)]
pub struct Offline {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub output: Output,
    #[command(flatten)]
    pub acknowledgement: Acknowledgement,
    /// Sessions that write: accounts 0 to SENDERS-1.
    #[arg(long, default_value_t = 10)]
    pub senders: usize,
    /// Absent accounts, from SENDERS onwards. What waits for them already is taken away first.
    #[arg(long, default_value_t = 200)]
    pub recipients: usize,
    /// Messages for each recipient.
    #[arg(long, default_value_t = 50)]
    pub messages: u64,
    /// Messages a sender sends before it waits for their confirmation.
    #[arg(long, default_value_t = 50)]
    pub window: u64,
    /// Bytes of a message as it is sent, tags included.
    #[arg(long, default_value_t = 300)]
    pub size: usize,
    /// Seconds a recipient waits for its messages after login.
    #[arg(long, default_value_t = 30.0)]
    pub patience: f64,
}

pub async fn run(options: &Offline) -> Result<Report> {
    let process = process(&options.output)?;
    let dialer = dialer(&options.target, options.senders + options.recipients).await?;
    let first = options.target.first;
    let every = options.acknowledgement.every();
    let meter = Arc::new(Meter::new());
    let emptied =
        log_in_accounts(&dialer, &options.target, first + options.senders, options.recipients, None);
    let emptied = emptied.await?;
    sleep(CALM).await;
    close_all(emptied).await;
    let senders = log_in_accounts(&dialer, &options.target, first, options.senders.max(1), every).await?;

    let total = options.recipients as u64 * options.messages;
    let stopwatch = Stopwatch::start(process)?;
    meter.begin();
    let senders = store(options, &dialer, &meter, senders).await?;
    meter.end();
    let store_latency = meter.latency().latency();
    let stored = stopwatch.stop("store", "message", total, store_latency)?;
    sleep(CALM).await;

    let stopwatch = Stopwatch::start(process)?;
    let (faults, seconds) = collect(options, &dialer, &meter).await?;
    let collected = stopwatch.stop("collect", "message", total - faults.lost, None)?;
    let unacknowledged = senders.iter().map(Session::unacknowledged).sum();
    close_all(senders).await;

    let settings = BTreeMap::from([
        ("senders", json!(options.senders)),
        ("recipients", json!(options.recipients)),
        ("messages each", json!(options.messages)),
        ("window", json!(options.window)),
        ("bytes", json!(options.size)),
        ("tls", json!(format!("{:?}", options.target.tls))),
        ("sm", json!(options.acknowledgement.sm)),
    ]);
    let findings =
        BTreeMap::from([("slowest collection s", json!(seconds)), ("of earlier runs", json!(meter.stale()))]);
    let faults = Faults { unacknowledged, ..faults };
    Ok(Report { scenario: "offline", settings, phases: vec![stored, collected], faults, findings })
}

/// Recipients are dealt to senders in turn, and each sender serves its own in turn, so that a recipient's
/// messages come from one sender in order and many queues grow at the same time.
async fn store(
    options: &Offline,
    dialer: &Dialer,
    meter: &Arc<Meter>,
    senders: Vec<Session>,
) -> Result<Vec<Session>> {
    let count = senders.len();
    let first_recipient = options.target.first + options.senders;
    let mut senders = senders.into_iter().enumerate();
    in_parallel(count, count, |_| {
        let next = senders.next();
        let templates: Vec<Template> = (next.as_ref().map_or(0, |(number, _)| *number)..options.recipients)
            .step_by(count)
            .map(|recipient| {
                let to = dialer.bare_jid(first_recipient + recipient);
                let flow = u32::try_from(recipient).unwrap_or(u32::MAX);
                Template::message(&to, meter.run, flow, options.size)
            })
            .collect();
        let (meter, messages, window) = (meter.clone(), options.messages, options.window.max(1));
        async move {
            let (_, session) = next.ok_or_else(|| LoadError::Options("a session is missing".into()))?;
            send_all(session, &templates, messages, window, &meter).await
        }
    })
    .await
}

/// A message counts as stored when the server has acknowledged it (XEP-0198), or has answered a ping that was
/// sent after it (RFC 6120, section 10.1: in order).
pub async fn send_all(
    mut session: Session,
    templates: &[Template],
    messages: u64,
    window: u64,
    meter: &Meter,
) -> Result<Session> {
    let mut sent_at = Vec::new();
    let last = (messages, templates.len());
    for (number, place) in (0..messages).flat_map(|number| (0..last.1).map(move |place| (number, place))) {
        let Some(template) = templates.get(place) else { continue };
        let now = meter.now();
        template.write(number, now, session.outbox().stanza());
        sent_at.push(now);
        let final_one = number + 1 == messages && place + 1 == last.1;
        if sent_at.len() as u64 == window || final_one {
            confirm(&mut session, meter).await?;
            meter.count_arrived(meter.now(), &sent_at);
            sent_at.clear();
        }
    }
    Ok(session)
}

async fn confirm(session: &mut Session, meter: &Meter) -> Result<()> {
    if session.managed() {
        return session.settle(CONFIRM_TIMEOUT).await;
    }
    session.round_trip(CONFIRM_TIMEOUT, |stanza| note_bounce(stanza, meter)).await
}

/// Logs every recipient in and counts what comes. Returns the faults, and how long the slowest took in
/// seconds.
async fn collect(options: &Offline, dialer: &Arc<Dialer>, meter: &Arc<Meter>) -> Result<(Faults, f64)> {
    let first_recipient = options.target.first + options.senders;
    let (messages, patience) = (options.messages, Duration::from_secs_f64(options.patience));
    let results = in_parallel(options.recipients, options.target.setup_concurrency, |recipient| {
        let (dialer, meter) = (dialer.clone(), meter.clone());
        let wish = Wish {
            account: first_recipient + recipient,
            resource: "load",
            presence: true,
            acknowledge_every: options.acknowledgement.every(),
        };
        async move {
            let session = dialer.log_in(wish).await?;
            Ok(collect_one(session, recipient, messages, patience, &meter).await)
        }
    })
    .await?;
    let mut faults = Faults::of(meter);
    for (sequence, _) in &results {
        faults.lost += sequence.lost(messages);
        faults.duplicated += sequence.duplicated;
        faults.out_of_order += sequence.out_of_order;
    }
    let slowest = results.iter().map(|(_, seconds)| *seconds).fold(0.0, f64::max);
    Ok((faults, slowest))
}

async fn collect_one(
    mut session: Session,
    recipient: usize,
    messages: u64,
    patience: Duration,
    meter: &Meter,
) -> (Sequence, f64) {
    let begun = Instant::now();
    let mut sequence = Sequence::default();
    if messages > 0 {
        let all = session.until(|stanza, _| {
            count(stanza, recipient, &mut sequence, meter);
            sequence.unique == messages
        });
        if let Ok(Err(error)) = timeout(patience, all).await {
            meter.trouble(|| error.to_string());
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    // Duplicates would come now.
    let more = session.until(|stanza, _| {
        count(stanza, recipient, &mut sequence, meter);
        false
    });
    let _ = timeout(DUPLICATES, more).await;
    session.close().await;
    (sequence, seconds)
}

fn count(stanza: &[u8], recipient: usize, sequence: &mut Sequence, meter: &Meter) {
    match mark::find(stanza) {
        Some(mark) if mark.run != meter.run => meter.count_stale(),
        Some(mark) if mark.flow as usize != recipient => {
            meter.trouble(|| format!("recipient {recipient} was given a message for {}", mark.flow));
        }
        Some(mark) => {
            sequence.arrived(mark.number);
        }
        None => note_bounce(stanza, meter),
    }
}
