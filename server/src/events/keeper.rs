//! Looks at the outbox every second: tells the metrics and the store how much is in it, and, where this server
//! relays, throws away what is too much or too old. It goes on while the stream is away, when the relay waits.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::Events;
use super::relay::now;
use crate::storage::outbox::WhenFull;
use crate::storage::{Deleted, OutboxSize, Write, Written};

const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Events {
    pub(super) async fn keep(&self) {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let Ok(size) = self.store.outbox_size().await else { continue };
            self.tell(&size);
            if self.has_too_much(&size) || self.has_old(&size) {
                self.discard().await;
            }
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

    fn has_too_much(&self, size: &OutboxSize) -> bool {
        self.bounds.when_full == WhenFull::Drop && size.bytes > self.bounds.max_bytes
    }

    fn has_old(&self, size: &OutboxSize) -> bool {
        size.oldest.is_some_and(|oldest| oldest < self.oldest_kept())
    }

    fn oldest_kept(&self) -> u64 {
        now().saturating_sub(self.max_age.as_millis() as u64)
    }

    /// A sixteenth more than must be, so that it is not done for each message.
    async fn discard(&self) {
        let lease = self.lease.lock().clone();
        let Some(lease) = lease else { return };
        let keep_bytes = match self.bounds.when_full {
            WhenFull::Drop => self.bounds.max_bytes - self.bounds.max_bytes / 16,
            WhenFull::Wait => u64::MAX,
        };
        let discard = Write::DiscardEvents { keep_bytes, before: self.oldest_kept() };
        match self.store.write(Write::Under { lease, write: Box::new(discard) }).await {
            Ok(Written::Deleted(Deleted { events, bytes, .. })) if events > 0 => {
                self.metrics.dropped.add(events);
                tracing::error!(events, bytes, "Events were thrown away that the event stream did not take");
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "The outbox cannot be made smaller"),
        }
    }
}
