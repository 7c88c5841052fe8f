//! What is counted of the event stream. All of it stays at nothing where there is none.

use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;

use super::instruments::{Counter, Gauge, Histogram};
use super::metrics::DURATIONS;

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
    /// The trouble that was last told to the operator, until it is over.
    trouble: Mutex<Option<String>>,
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
            trouble: Mutex::new(None),
        }
    }
}

impl EventMetrics {
    /// True: this trouble is another than the last that was told.
    pub fn said(&self, why: &str) -> bool {
        let mut trouble = self.trouble.lock();
        let is_new = trouble.as_deref() != Some(why);
        if is_new {
            *trouble = Some(why.to_owned());
        }
        is_new
    }

    /// It is over. True: there was one.
    pub fn said_nothing(&self) -> bool {
        self.trouble.lock().take().is_some()
    }
}
