//! Counters, gauges and histograms on plain atomics: nothing hashes, locks or allocates when counting.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::labels::Label;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Relaxed);
    }

    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    pub fn add(&self, amount: i64) {
        self.0.fetch_add(amount, Relaxed);
    }

    pub fn set(&self, value: i64) {
        self.0.store(value, Relaxed);
    }

    pub fn value(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// One instrument for each value of a label.
#[derive(Debug)]
pub struct Per<L, T> {
    instruments: Box<[T]>,
    label: PhantomData<L>,
}

impl<L: Label, T: Default> Default for Per<L, T> {
    fn default() -> Self {
        Per { instruments: (0..L::COUNT).map(|_| T::default()).collect(), label: PhantomData }
    }
}

impl<L: Label> Per<L, Histogram> {
    pub fn histograms(bounds: &'static [u64]) -> Self {
        Per { instruments: (0..L::COUNT).map(|_| Histogram::new(bounds)).collect(), label: PhantomData }
    }
}

impl<L: Label, T> Per<L, T> {
    pub fn of(&self, label: L) -> &T {
        &self.instruments[label.index()]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (L, &T)> {
        L::all().into_iter().map(|label| (label, self.of(label)))
    }
}

/// How often a value fell between two bounds. Values and bounds are whole numbers, of nanoseconds or of
/// things.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    /// One for each bound, and one for what is greater than the last.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    pub fn new(bounds: &'static [u64]) -> Histogram {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Histogram { bounds, counts, sum: AtomicU64::new(0) }
    }

    pub fn observe(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.counts[bucket].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    pub fn observe_duration(&self, duration: Duration) {
        self.observe(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// The sum of all values, their number, and the number in each bucket, the last of which has no bound.
    pub(super) fn read(&self, unit: f64) -> (f64, u64, Vec<(f64, u64)>) {
        let counts = self.counts.iter().map(|count| count.load(Relaxed));
        let bounds = self.bounds.iter().map(|bound| *bound as f64 / unit).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        // From the buckets, and not from a counter of its own: both must agree in every reading.
        let count = buckets.iter().map(|(_, count)| count).sum();
        (self.sum.load(Relaxed) as f64 / unit, count, buckets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_a_bound_is_within_it() {
        let histogram = Histogram::new(&[10, 20]);
        for value in [0, 10, 11, 20, 21, 1_000] {
            histogram.observe(value);
        }
        let (sum, count, buckets) = histogram.read(1.0);
        assert_eq!((sum, count), (1_062.0, 6));
        assert_eq!(buckets, [(10.0, 2), (20.0, 2), (f64::INFINITY, 2)]);
    }

    #[test]
    fn durations_are_read_in_seconds() {
        let histogram = Histogram::new(&[1_000_000]);
        histogram.observe_duration(Duration::from_micros(500));
        histogram.observe_duration(Duration::from_millis(1_500));
        let (sum, count, buckets) = histogram.read(1e9);
        assert!((sum - 1.5005).abs() < 1e-9);
        assert_eq!((count, buckets), (2, vec![(0.001, 1), (f64::INFINITY, 1)]));
    }
}
