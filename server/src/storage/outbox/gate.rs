//! How much may wait in the outbox, and what a store knows of that while it writes.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::sync::Notify;

use super::OutboxSize;
use crate::storage::StoreError;

/// What may come in, above the bound, until the oldest are thrown away.
const SLACK_BYTES: u64 = 64 << 20;

/// What happens when the outbox is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// The oldest events are thrown away.
    Drop,
    /// Messages are refused.
    Wait,
}

#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub max_bytes: u64,
    pub when_full: WhenFull,
}

/// Stands where a store writes events: lets them in while there is room. Without one a store writes none.
#[derive(Debug)]
pub struct Gate {
    bounds: Bounds,
    /// As far as this server knows: what it writes and deletes itself it counts at once, what others do whenever
    /// somebody looks.
    rows: AtomicU64,
    bytes: AtomicU64,
    filled: Notify,
}

impl Gate {
    pub fn new(bounds: Bounds) -> Gate {
        Gate { bounds, rows: AtomicU64::new(0), bytes: AtomicU64::new(0), filled: Notify::new() }
    }

    /// Refuses messages that there is no room for. With [`WhenFull::Drop`] that is so far above the bound that it
    /// is never reached unless nobody is there to throw anything away.
    pub fn admit(&self) -> Result<(), StoreError> {
        let most = match self.bounds.when_full {
            WhenFull::Wait => self.bounds.max_bytes,
            WhenFull::Drop => self.bounds.max_bytes + (self.bounds.max_bytes / 8).max(SLACK_BYTES),
        };
        if self.bytes.load(Relaxed) < most {
            return Ok(());
        }
        Err(StoreError::Full(
            "more events wait for the event stream than may wait (outbox.max_bytes)".to_owned(),
        ))
    }

    /// A commit has left so much.
    pub fn put(&self, rows: u64, bytes: u64) {
        if rows > 0 {
            self.rows.fetch_add(rows, Relaxed);
            self.bytes.fetch_add(bytes, Relaxed);
            self.filled.notify_one();
        }
    }

    /// So much is gone.
    pub fn gone(&self, rows: u64, bytes: u64) {
        let less = |of: &AtomicU64, by: u64| {
            // The closure never refuses.
            let _ = of.fetch_update(Relaxed, Relaxed, |count| Some(count.saturating_sub(by)));
        };
        less(&self.rows, rows);
        less(&self.bytes, bytes);
    }

    /// Rows and bytes, as far as is known.
    pub fn counted(&self) -> (u64, u64) {
        (self.rows.load(Relaxed), self.bytes.load(Relaxed))
    }

    /// Somebody has looked.
    pub fn set(&self, size: &OutboxSize) {
        self.rows.store(size.rows, Relaxed);
        self.bytes.store(size.bytes, Relaxed);
    }

    pub async fn filled(&self) {
        self.filled.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_refused_at_the_bound() {
        let gate = Gate::new(Bounds { max_bytes: 800, when_full: WhenFull::Wait });
        gate.put(1, 799);
        assert_eq!(gate.admit(), Ok(()));
        gate.put(1, 1);
        assert!(matches!(gate.admit(), Err(StoreError::Full(_))));
        gate.gone(1, 1);
        assert_eq!(gate.admit(), Ok(()));
        gate.gone(9, 9_999);
        gate.set(&OutboxSize { rows: 3, bytes: 900, oldest: None });
        assert!(gate.admit().is_err());
    }

    #[test]
    fn where_the_oldest_go_there_is_time_to_throw_them_away() {
        for (max_bytes, most) in [(800, 800 + SLACK_BYTES), (1 << 40, (1 << 40) / 8 * 9)] {
            let gate = Gate::new(Bounds { max_bytes, when_full: WhenFull::Drop });
            gate.put(1, most - 1);
            assert_eq!(gate.admit(), Ok(()));
            gate.put(1, 1);
            assert!(gate.admit().is_err());
        }
    }
}
