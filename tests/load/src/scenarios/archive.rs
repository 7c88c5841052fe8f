//! `archive`: fills archives (XEP-0313), then reads them page by page.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::offline::send_all;
use super::roster::close_all;
use super::{dialer, in_parallel, log_in_accounts, process};
use crate::error::{LoadError, Result};
use crate::flow::note_bounce;
use crate::mark::{self, Template};
use crate::measure::meter::Meter;
use crate::measure::report::{Faults, Report, Stopwatch};
use crate::measure::sequence::Sequence;
use crate::options::{Output, Period, Target};
use crate::xmpp::scan;
use crate::xmpp::session::Session;

/// How long one page may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the filling may take: a server may have an fsync for each message.
const FILLING: Duration = Duration::from_secs(600);
/// What is written lazily gets this long before the first page is asked for.
const CALM: Duration = Duration::from_secs(1);
/// Messages the writer has under way while it fills.
const WINDOW: u64 = 50;

#[derive(Args, Debug)]
pub struct Archive {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub output: Output,
    #[command(flatten)]
    pub period: Period,
    /// Sessions that read their archives, from account 1 onwards; account 0 writes to them.
    #[arg(long, default_value_t = 10)]
    pub readers: usize,
    /// Messages in each archive.
    #[arg(long, default_value_t = 1000)]
    pub messages: u64,
    /// Messages in a page.
    #[arg(long, default_value_t = 50)]
    pub page: usize,
    /// Bytes of a message as it is sent, tags included.
    #[arg(long, default_value_t = 300)]
    pub size: usize,
}

pub async fn run(options: &Archive) -> Result<Report> {
    let process = process(&options.output)?;
    let readers = options.readers.max(1);
    let dialer = dialer(&options.target, readers + 1).await?;
    let first = options.target.first;
    let writer = log_in_accounts(&dialer, &options.target, first, 1, None).await?;
    let sessions = log_in_accounts(&dialer, &options.target, first + 1, readers, None).await?;
    let meter = Arc::new(Meter::new());
    let templates: Vec<Template> = (0..readers)
        .map(|reader| {
            let flow = u32::try_from(reader).unwrap_or(u32::MAX);
            Template::message(&dialer.bare_jid(first + 1 + reader), meter.run, flow, options.size)
        })
        .collect();
    let writer = writer.into_iter().next().ok_or(LoadError::Closed)?;
    let (writer, sessions) = tokio::try_join!(
        send_all(writer, &templates, options.messages, WINDOW, &meter),
        hear_all(sessions, options.messages, &meter)
    )?;
    sleep(CALM).await;

    let stop = Arc::new(AtomicBool::new(false));
    let working: Vec<_> = sessions
        .into_iter()
        .map(|session| {
            let walker = Walker {
                page: options.page,
                messages: options.messages,
                meter: meter.clone(),
                stop: stop.clone(),
            };
            tokio::spawn(walker.walk(session))
        })
        .collect();
    sleep(Duration::from_secs_f64(options.period.warmup)).await;
    let stopwatch = Stopwatch::start(process)?;
    meter.begin();
    let before = meter.arrived();
    sleep(Duration::from_secs_f64(options.period.duration)).await;
    let mut phase = stopwatch.stop("pages", "page", meter.arrived() - before, None)?;
    meter.end();
    stop.store(true, Ordering::Relaxed);
    let mut faults = Faults::default();
    let mut sessions = vec![writer];
    for walk in working {
        let (session, seen) = walk.await.map_err(|_| LoadError::Timeout("the last page"))??;
        sessions.push(session);
        faults.lost += seen.lost;
        faults.duplicated += seen.duplicated;
        faults.out_of_order += seen.out_of_order;
    }
    close_all(sessions).await;
    phase.latency_us = meter.latency().latency();
    let settings = BTreeMap::from([
        ("readers", json!(readers)),
        ("messages each", json!(options.messages)),
        ("page", json!(options.page)),
        ("bytes", json!(options.size)),
        ("tls", json!(format!("{:?}", options.target.tls))),
    ]);
    let Faults { errors, troubles, .. } = Faults::of(&meter);
    let faults = Faults { errors, troubles, ..faults };
    let findings = BTreeMap::from([("of earlier runs", json!(meter.stale()))]);
    Ok(Report { scenario: "archive", settings, phases: vec![phase], faults, findings })
}

/// The readers take what is sent to them, so that none of it waits.
async fn hear_all(sessions: Vec<Session>, messages: u64, meter: &Arc<Meter>) -> Result<Vec<Session>> {
    let count = sessions.len();
    let mut sessions = sessions.into_iter();
    in_parallel(count, count, |_| {
        let (session, meter) = (sessions.next(), meter.clone());
        async move {
            let mut session = session.ok_or(LoadError::Closed)?;
            let mut heard = 0;
            let all = session.until(|stanza, _| {
                match mark::find(stanza) {
                    Some(mark) if mark.run == meter.run => heard += 1,
                    _ => note_bounce(stanza, &meter),
                }
                heard >= messages
            });
            timeout(FILLING, all).await.map_err(|_| LoadError::Timeout("the archives to fill"))??;
            Ok(session)
        }
    })
    .await
}

/// Reads an archive from its oldest message to its newest, again and again.
struct Walker {
    page: usize,
    messages: u64,
    meter: Arc<Meter>,
    stop: Arc<AtomicBool>,
}

/// What was wrong with the walks that came to an end.
#[derive(Default)]
struct Seen {
    lost: u64,
    duplicated: u64,
    out_of_order: u64,
}

/// What a page ended with.
struct End {
    last: Option<String>,
    complete: bool,
}

impl Walker {
    async fn walk(self, mut session: Session) -> Result<(Session, Seen)> {
        let mut seen = Seen::default();
        let (mut sequence, mut after) = (Sequence::default(), None);
        while !self.stop.load(Ordering::Relaxed) {
            let asked = self.meter.now();
            let end = self.read(&mut session, after.as_deref(), &mut sequence).await?;
            self.meter.count_arrived(self.meter.now(), &[asked]);
            after = end.last;
            if end.complete || after.is_none() {
                seen.lost += sequence.lost(self.messages);
                seen.duplicated += sequence.duplicated;
                seen.out_of_order += sequence.out_of_order;
                (sequence, after) = (Sequence::default(), None);
            }
        }
        Ok((session, seen))
    }

    /// One page behind `after` (XEP-0059, section 2.2).
    async fn read(&self, session: &mut Session, after: Option<&str>, sequence: &mut Sequence) -> Result<End> {
        let after = after.map(|id| format!("<after>{}</after>", scan::escape(id))).unwrap_or_default();
        let query = format!(
            "<iq type='set' id='page'><query xmlns='urn:xmpp:mam:2'>\
             <set xmlns='http://jabber.org/protocol/rsm'><max>{}</max>{after}</set></query></iq>",
            self.page
        );
        session.outbox().stanza().extend_from_slice(query.as_bytes());
        let mut end = None;
        let answered = session.until(|stanza, _| {
            let tag = scan::start_tag(stanza);
            if tag.starts_with(b"<iq") && scan::attribute(tag, "id") == Some(b"page") {
                if scan::attribute(tag, "type") == Some(b"error") {
                    self.meter.trouble(|| scan::excerpt(stanza));
                }
                let fin = scan::elements(stanza, "fin").next().unwrap_or_default();
                let complete = matches!(scan::attribute(fin, "complete"), Some(b"true" | b"1"));
                end = Some(End { last: scan::texts(stanza, "last").next(), complete });
                return true;
            }
            match mark::find(stanza) {
                Some(mark) if mark.run == self.meter.run => {
                    sequence.arrived(mark.number);
                }
                Some(_) => self.meter.count_stale(),
                None => {}
            }
            false
        });
        timeout(PATIENCE, answered).await.map_err(|_| LoadError::Timeout("a page"))??;
        end.ok_or(LoadError::Closed)
    }
}
