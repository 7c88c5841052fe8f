//! What all sessions of a run count together.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::histogram::Histogram;

/// So many different troubles are told in words; the rest are only counted.
const MOST_TROUBLES: usize = 5;

pub struct Meter {
    /// A random number that every stanza of this run carries.
    pub run: u32,
    epoch: Instant,
    /// The measured interval, in nanoseconds since the epoch. Messages that were to be sent within it have
    /// their latency recorded, however late they arrive: slow ones must not drop out at the end.
    begin: AtomicU64,
    end: AtomicU64,
    sent: AtomicU64,
    arrived: AtomicU64,
    errors: AtomicU64,
    stale: AtomicU64,
    latency: Mutex<Histogram>,
    lateness: Mutex<Histogram>,
    troubles: Mutex<Vec<String>>,
}

impl Meter {
    pub fn new() -> Meter {
        Meter {
            run: rand::random(),
            epoch: Instant::now(),
            begin: AtomicU64::new(u64::MAX),
            end: AtomicU64::new(u64::MAX),
            sent: AtomicU64::new(0),
            arrived: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            stale: AtomicU64::new(0),
            latency: Mutex::new(Histogram::new()),
            lateness: Mutex::new(Histogram::new()),
            troubles: Mutex::new(Vec::new()),
        }
    }

    /// Nanoseconds since the run's epoch.
    pub fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    pub fn begin(&self) {
        self.begin.store(self.now(), Ordering::Relaxed);
    }

    /// From here on nobody sends anything new.
    pub fn end(&self) {
        self.end.store(self.now(), Ordering::Relaxed);
    }

    /// When sending ends, or the end of time while that is not known.
    pub fn end_of_sending(&self) -> u64 {
        self.end.load(Ordering::Relaxed)
    }

    pub fn count_sent(&self, stanzas: u64) {
        self.sent.fetch_add(stanzas, Ordering::Relaxed);
    }

    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Counts stanzas that arrived for the first time, each with the time when it was to be sent.
    pub fn count_arrived(&self, now: u64, sent_at: &[u64]) {
        self.arrived.fetch_add(sent_at.len() as u64, Ordering::Relaxed);
        self.record(&self.latency, now, sent_at);
    }

    pub fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }

    /// How late the tool itself was: messages that it wrote now and should have written then.
    pub fn count_late(&self, now: u64, intended: &[u64]) {
        self.record(&self.lateness, now, intended);
    }

    /// A stanza of an earlier run.
    pub fn count_stale(&self) {
        self.stale.fetch_add(1, Ordering::Relaxed);
    }

    pub fn stale(&self) -> u64 {
        self.stale.load(Ordering::Relaxed)
    }

    /// Something that must not happen: a bounced message, a session that was lost.
    pub fn trouble(&self, text: impl FnOnce() -> String) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        if let Ok(mut troubles) = self.troubles.lock()
            && troubles.len() < MOST_TROUBLES
        {
            troubles.push(text());
        }
    }

    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    pub fn troubles(&self) -> Vec<String> {
        self.troubles.lock().map(|troubles| troubles.clone()).unwrap_or_default()
    }

    pub fn latency(&self) -> Histogram {
        self.latency.lock().map_or_else(|_| Histogram::new(), |histogram| histogram.clone())
    }

    pub fn lateness(&self) -> Histogram {
        self.lateness.lock().map_or_else(|_| Histogram::new(), |histogram| histogram.clone())
    }

    fn record(&self, histogram: &Mutex<Histogram>, now: u64, since: &[u64]) {
        let (begin, end) = (self.begin.load(Ordering::Relaxed), self.end.load(Ordering::Relaxed));
        if now < begin {
            return;
        }
        if let Ok(mut histogram) = histogram.lock() {
            for then in since.iter().filter(|then| (begin..end).contains(*then)) {
                histogram.record(now.saturating_sub(*then));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_to_be_sent_within_the_interval_is_timed() {
        let meter = Meter::new();
        meter.count_arrived(meter.now(), &[0]);
        meter.begin();
        let within = meter.now();
        meter.count_arrived(meter.now(), &[0, within]);
        meter.end();
        meter.count_arrived(meter.now(), &[within, meter.now()]);
        assert_eq!(meter.arrived(), 5);
        assert_eq!(meter.latency().latency().unwrap().count, 2);
    }
}
