//! Latencies in buckets whose width grows with the value: at most 1/64 wrong, from a nanosecond to hours.

use serde::Serialize;

/// Each power of two is divided into so many buckets.
const PARTS: u64 = 64;
const PARTS_BITS: u32 = PARTS.trailing_zeros();
/// Values up to 2^44 ns, some five hours; what is larger counts as that.
const BUCKETS: usize = 39 * PARTS as usize;

#[derive(Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    largest: u64,
    sum: u128,
}

/// Latencies in microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    pub count: u64,
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

impl Histogram {
    pub fn new() -> Histogram {
        Histogram { counts: vec![0; BUCKETS], total: 0, largest: 0, sum: 0 }
    }

    pub fn record(&mut self, nanoseconds: u64) {
        let bucket = bucket_of(nanoseconds).min(BUCKETS - 1);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.total += 1;
        self.sum += u128::from(nanoseconds);
        self.largest = self.largest.max(nanoseconds);
    }

    /// The upper end of the bucket in which the value at this fraction lies.
    pub fn quantile(&self, fraction: f64) -> u64 {
        let rank = ((self.total as f64 * fraction).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper_end(bucket).min(self.largest);
            }
        }
        self.largest
    }

    /// None if nothing was recorded.
    pub fn latency(&self) -> Option<Latency> {
        if self.total == 0 {
            return None;
        }
        let microseconds = |nanoseconds: u64| nanoseconds as f64 / 1000.0;
        Some(Latency {
            count: self.total,
            mean: self.sum as f64 / self.total as f64 / 1000.0,
            p50: microseconds(self.quantile(0.5)),
            p90: microseconds(self.quantile(0.9)),
            p99: microseconds(self.quantile(0.99)),
            p999: microseconds(self.quantile(0.999)),
            max: microseconds(self.largest),
        })
    }
}

/// Values below [`PARTS`] have a bucket each; above, the highest bit chooses the row and the next six the
/// place.
fn bucket_of(value: u64) -> usize {
    if value < PARTS {
        return value as usize;
    }
    let shift = value.ilog2() - PARTS_BITS;
    ((u64::from(shift) + 1) * PARTS + (value >> shift) - PARTS) as usize
}

fn upper_end(bucket: usize) -> u64 {
    let (row, place) = (bucket as u64 / PARTS, bucket as u64 % PARTS);
    if row == 0 { place } else { ((PARTS + place + 1) << (row - 1)) - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lies_in_its_bucket_and_the_bucket_is_narrow() {
        for value in (0..40).flat_map(|power| [1u64 << power, (1 << power) + 1, (1 << power) * 5 / 3]) {
            let bucket = bucket_of(value);
            let end = upper_end(bucket);
            assert!(end >= value && end - value <= value / PARTS, "{value} in {bucket} up to {end}");
            assert!(bucket == 0 || upper_end(bucket - 1) < value);
        }
    }

    #[test]
    fn quantiles_of_a_thousand_values() {
        let mut histogram = Histogram::new();
        (1..=1000).for_each(|value| histogram.record(value * 1000));
        let latency = histogram.latency().unwrap();
        for (measured, exact) in [(latency.p50, 500.0), (latency.p90, 900.0), (latency.p99, 990.0)] {
            assert!(measured >= exact && measured <= exact * 1.016, "{measured} for {exact}");
        }
        assert_eq!((latency.count, latency.max), (1000, 1000.0));
    }

    #[test]
    fn nothing_recorded_is_no_latency() {
        assert!(Histogram::new().latency().is_none());
    }
}
