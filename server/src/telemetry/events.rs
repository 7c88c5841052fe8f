//! What is counted of the event stream. All of it stays at nothing where there is none.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use parking_lot::Mutex;
use prometheus_client::registry::Unit;

use super::instruments::{Counter, Gauge, Histogram};
use super::metrics::DURATIONS;
use super::page::Page;

/// A driver has many words for one trouble: so many of them are told until it is over.
const TOLD_AT_MOST: usize = 8;

#[derive(Debug)]
pub struct EventMetrics {
    pub outbox_rows: Gauge,
    pub outbox_bytes: Gauge,
    pub outbox_age_millis: Gauge,
    pub outbox_full: AtomicBool,
    /// 1 or 0.
    pub stream_up: Gauge,
    /// Out of the outbox: handed to the stream, confirmed by it, refused by it (and sent again).
    pub produced: Counter,
    pub confirmed: Counter,
    pub failed: Counter,
    /// Thrown away, because the outbox was full or they were too old.
    pub dropped: Counter,
    /// Of those that may be lost: there was no room.
    pub lost: Counter,
    /// From handing over a parcel of events until all of it was confirmed.
    pub publish_duration: Histogram,
    /// The troubles that were told to the operator, each once, until they are over.
    told: Mutex<Vec<String>>,
}

impl Default for EventMetrics {
    fn default() -> Self {
        EventMetrics {
            outbox_rows: Gauge::default(),
            outbox_bytes: Gauge::default(),
            outbox_age_millis: Gauge::default(),
            outbox_full: AtomicBool::new(false),
            stream_up: Gauge::default(),
            produced: Counter::default(),
            confirmed: Counter::default(),
            failed: Counter::default(),
            dropped: Counter::default(),
            lost: Counter::default(),
            publish_duration: Histogram::new(DURATIONS),
            told: Mutex::default(),
        }
    }
}

impl EventMetrics {
    /// True: this trouble was not told yet, and is to be.
    pub fn is_new(&self, why: &str) -> bool {
        let mut told = self.told.lock();
        let is_new = told.len() < TOLD_AT_MOST && !told.iter().any(|known| known == why);
        if is_new {
            told.push(why.to_owned());
        }
        is_new
    }

    /// It is over. True: there was one.
    pub fn is_over(&self) -> bool {
        !std::mem::take(&mut *self.told.lock()).is_empty()
    }

    pub(super) fn tell(&self, page: &mut Page) -> fmt::Result {
        let bytes = Some(Unit::Bytes);
        let help = "Commits whose events wait in the outbox.";
        page.gauge("meerkat_outbox_rows", help, None, self.outbox_rows.value())?;
        let help = "What waits in the outbox for the event stream.";
        page.gauge("meerkat_outbox", help, bytes, self.outbox_bytes.value())?;
        let help = "Age of what has waited longest in the outbox.";
        let age = self.outbox_age_millis.value() as f64 / 1_000.0;
        page.gauge("meerkat_outbox_age", help, Some(Unit::Seconds), age)?;
        let help = "1 while the outbox is full (outbox.max_bytes).";
        page.gauge("meerkat_outbox_full", help, None, i64::from(self.outbox_full.load(Relaxed)))?;
        let help = "Events of the outbox thrown away: it was full, or they were too old.";
        page.counter("meerkat_outbox_dropped", help, None, self.dropped.value())?;
        let help = "1 while the event stream takes what this server gives it.";
        page.gauge("meerkat_events_stream_up", help, None, self.stream_up.value())?;
        let help = "Events of the outbox handed to the event stream, repetitions included.";
        page.counter("meerkat_events_produced", help, None, self.produced.value())?;
        let help = "Events of the outbox that the event stream confirmed.";
        page.counter("meerkat_events_confirmed", help, None, self.confirmed.value())?;
        let help = "Events of the outbox that the event stream refused; they are sent again.";
        page.counter("meerkat_events_failed", help, None, self.failed.value())?;
        let help = "Events that may be lost and were (deliveries, pushes, presence, sessions).";
        page.counter("meerkat_events_lost", help, None, self.lost.value())?;
        let help = "From handing events to the stream until all of them were confirmed.";
        page.histogram("meerkat_events_publish_duration", help, Some(Unit::Seconds), &self.publish_duration)
    }
}
