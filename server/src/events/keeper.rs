//! Looks at the outbox every second: tells the metrics and the store how much is in it, and, where this server
//! relays, throws away what is too much or too old. It goes on while the stream is away, when the relay waits.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Events;
use super::relay::now;
use crate::storage::outbox::{Bounds, WhenFull};
use crate::storage::{Deleted, OutboxSize, Write, Written};

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A look that takes long, because much is there, is taken so much more seldom: at most a twentieth of the time.
const REST: u32 = 20;
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(30);
/// Rows that are thrown away in one transaction.
const SLICE: u32 = 256;

impl Events {
    pub(super) async fn keep(&self) {
        loop {
            let begun = Instant::now();
            if let Ok(size) = self.store.outbox_size().await {
                self.tell(&size);
                if self.too_much(&size) > 0 || self.has_old(&size) {
                    self.discard(self.too_much(&size)).await;
                }
            }
            sleep((begun.elapsed() * REST).clamp(LOOK_EVERY, LOOK_AT_LEAST_EVERY)).await;
        }
    }

    fn tell(&self, size: &OutboxSize) {
        let metrics = &self.metrics;
        metrics.outbox_rows.set(size.rows as i64);
        metrics.outbox_bytes.set(size.bytes as i64);
        let age = size.oldest.map_or(0, |oldest| now().saturating_sub(oldest));
        metrics.outbox_age_millis.set(age as i64);
        let full = size.bytes >= self.bounds.max_bytes;
        if metrics.outbox_full.swap(full, Relaxed) != full && full {
            let then = match self.bounds.when_full {
                WhenFull::Drop => "the oldest events are thrown away",
                WhenFull::Wait => "messages are refused, and their senders told to wait",
            };
            tracing::error!(bytes = size.bytes, "The outbox is full (outbox.max_bytes): {then}");
        }
    }

    /// Bytes that are to go: a sixteenth more than must be, so that it is not done for each message.
    fn too_much(&self, size: &OutboxSize) -> u64 {
        let Bounds { max_bytes, when_full } = self.bounds;
        if when_full == WhenFull::Wait || size.bytes <= max_bytes {
            return 0;
        }
        size.bytes - max_bytes + max_bytes / 16
    }

    fn has_old(&self, size: &OutboxSize) -> bool {
        size.oldest.is_some_and(|oldest| oldest < self.oldest_kept())
    }

    fn oldest_kept(&self) -> u64 {
        now().saturating_sub(self.max_age.as_millis() as u64)
    }

    /// In slices, so that no commit waits long for one.
    async fn discard(&self, mut bytes: u64) {
        loop {
            let lease = self.lease.lock().clone();
            let Some(lease) = lease else { return };
            let discard = Write::DiscardEvents { bytes, before: self.oldest_kept(), limit: SLICE };
            let deleted = match self.store.write(Write::Under { lease, write: Box::new(discard) }).await {
                Ok(Written::Deleted(deleted)) => deleted,
                Ok(_) => return,
                Err(error) => return tracing::warn!(%error, "The outbox cannot be made smaller"),
            };
            let Deleted { rows, events, bytes: gone } = deleted;
            if events > 0 {
                self.metrics.dropped.add(events);
                tracing::error!(
                    events,
                    bytes = gone,
                    "Events were thrown away that the event stream did not take"
                );
            }
            bytes = bytes.saturating_sub(gone);
            if rows < u64::from(SLICE) {
                return;
            }
        }
    }
}
