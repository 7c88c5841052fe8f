//! Counts of what happened within a while, for many keys.

use std::hash::Hash;
use std::time::Duration;

use ahash::RandomState;
use lru::LruCache;
use tokio::time::Instant;

/// Keys that are remembered; beyond that the least recently used is forgotten.
pub const KEYS_MAX: usize = 32_768;

/// A window slides in this many steps.
const STEPS: u64 = 8;

/// A count for each key of what happened within a time. What happened decays: it is forgotten at the latest when
/// the time is over, and at the earliest a step before.
pub struct Windows<K> {
    origin: Instant,
    step: Duration,
    counts: LruCache<K, Window, RandomState>,
}

/// Counts by step, in a ring.
#[derive(Debug, Clone, Default)]
struct Window {
    counts: [u32; STEPS as usize],
    /// The latest step that is in the ring.
    latest: u64,
}

impl<K: Hash + Eq> Windows<K> {
    pub fn new(within: Duration) -> Windows<K> {
        Windows {
            origin: Instant::now(),
            step: within / STEPS as u32,
            counts: LruCache::unbounded_with_hasher(RandomState::new()),
        }
    }

    pub fn count(&mut self, key: &K, now: Instant) -> u64 {
        let step = self.step_of(now);
        self.counts.get_mut(key).map_or(0, |window| window.count(step))
    }

    pub fn add(&mut self, key: K, now: Instant) {
        let step = self.step_of(now);
        if self.counts.len() >= KEYS_MAX && !self.counts.contains(&key) {
            self.counts.pop_lru();
        }
        self.counts.get_or_insert_mut(key, Window::default).add(step);
    }

    /// Takes back what was added last.
    pub fn take_back(&mut self, key: &K, now: Instant) {
        let step = self.step_of(now);
        if let Some(window) = self.counts.get_mut(key) {
            window.take_back(step);
        }
    }

    /// Forgets a key, and returns what its count was.
    pub fn forget(&mut self, key: &K, now: Instant) -> u64 {
        let step = self.step_of(now);
        self.counts.pop(key).map_or(0, |mut window| window.count(step))
    }

    /// The step that a time is in. Two times are within the window while they are less than `STEPS` apart.
    fn step_of(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.origin);
        (since.as_nanos() / self.step.as_nanos().max(1)) as u64
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.counts.len()
    }
}

impl Window {
    fn count(&mut self, step: u64) -> u64 {
        self.slide(step);
        self.counts.iter().map(|count| u64::from(*count)).sum()
    }

    fn add(&mut self, step: u64) {
        self.slide(step);
        let count = &mut self.counts[(self.latest % STEPS) as usize];
        *count = count.saturating_add(1);
    }

    fn take_back(&mut self, step: u64) {
        self.slide(step);
        for back in 0..STEPS.min(self.latest + 1) {
            let count = &mut self.counts[((self.latest - back) % STEPS) as usize];
            if *count > 0 {
                *count -= 1;
                return;
            }
        }
    }

    /// Empties the steps that are over.
    fn slide(&mut self, step: u64) {
        for passed in (self.latest + 1..=step).take(STEPS as usize) {
            self.counts[(passed % STEPS) as usize] = 0;
        }
        self.latest = self.latest.max(step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn what_happened_counts_for_the_window_and_no_longer() {
        let mut windows = Windows::new(8 * MINUTE);
        let start = windows.origin;
        windows.add("romeo", start);
        windows.add("romeo", start + 5 * MINUTE);
        for (minutes, expected) in [(0, 2), (7, 2), (8, 1), (12, 1), (13, 0), (1_000, 0)] {
            assert_eq!(windows.count(&"romeo", start + minutes * MINUTE), expected, "{minutes}");
        }
        assert_eq!(windows.count(&"juliet", start), 0);
    }

    #[test]
    fn a_count_grows_and_decays_like_a_list_of_times() {
        use rand::rngs::StdRng;
        use rand::{Rng, SeedableRng};
        let mut random = StdRng::seed_from_u64(1);
        let mut windows = Windows::new(8 * MINUTE);
        let (mut now, mut times) = (windows.origin, Vec::new());
        for _ in 0..10_000 {
            now += Duration::from_secs(random.random_range(0..300));
            let step = |time: Instant| (time - windows.origin).as_secs() / 60;
            times.retain(|time| step(now) - step(*time) < STEPS);
            assert_eq!(windows.count(&(), now), times.len() as u64);
            if random.random_bool(0.2) {
                windows.take_back(&(), now);
                times.pop();
            } else {
                windows.add((), now);
                times.push(now);
            }
        }
    }

    #[test]
    fn the_least_recently_used_key_is_forgotten() {
        let mut windows = Windows::new(MINUTE);
        let now = windows.origin;
        for key in 0..KEYS_MAX {
            windows.add(key, now);
        }
        windows.count(&0, now);
        windows.add(KEYS_MAX, now);
        windows.add(0, now);
        assert_eq!(windows.len(), KEYS_MAX);
        assert_eq!(windows.count(&0, now), 2);
        assert_eq!(windows.count(&1, now), 0);
        assert_eq!(windows.count(&2, now), 1);
    }

    #[test]
    fn a_clock_that_stands_before_the_first_moment_is_no_error() {
        let mut windows = Windows::new(Duration::ZERO);
        let now = windows.origin;
        windows.add("romeo", now.checked_sub(MINUTE).unwrap_or(now));
        assert_eq!(windows.count(&"romeo", now), 1);
    }
}
