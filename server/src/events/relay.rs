//! The relay: what is in the outbox goes to the stream in its order, and is deleted when it arrived.
//!
//! One server does it, by lease. It reads the oldest rows, sends their events, waits for the fate of each, and
//! deletes exactly these rows; whatever dies in between, the rows are there, and are sent again. So each event
//! arrives at least once, and of one key none arrives for the first time behind a later one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Events;
use crate::storage::events::{Event, Parcel, Topic};
use crate::storage::{Job, Lease, Millis, OutboxRow, Place, StoreError, Write};

/// How long the lease is taken for, and how often it is renewed.
const LEASE: Duration = Duration::from_secs(10);
const RENEW_EVERY: Duration = Duration::from_secs(3);
/// One parcel: so much of the outbox at a time.
const PARCEL_BYTES: u64 = 2 << 20;
const PARCEL_ROWS: u32 = 1_024;
/// Other servers' rows are found by looking.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A commit's row waits so long for others.
const GATHER: Duration = Duration::from_millis(20);
/// What was refused is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// A stream that has not answered for so long is said to be away.
const AWAY_AFTER: Duration = Duration::from_secs(3);

/// Why a turn ended.
enum Turn {
    /// Everything is told.
    Idle,
    Busy,
    /// The lease is another's.
    Lost,
    Failed,
}

impl Events {
    pub(super) async fn relay(&self) {
        loop {
            match self.store.lease(Job::Outbox, &self.holder, LEASE).await {
                Ok(Some(lease)) => {
                    *self.lease.lock() = Some(lease.clone());
                    self.relay_under(&lease).await;
                    *self.lease.lock() = None;
                }
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "The outbox cannot be leased"),
            }
            sleep(AGAIN_AFTER).await;
        }
    }

    /// Until the lease is lost.
    async fn relay_under(&self, lease: &Lease) {
        let mut renew_at = Instant::now() + RENEW_EVERY;
        loop {
            if Instant::now() >= renew_at {
                if !self.renew(lease).await {
                    return;
                }
                renew_at = Instant::now() + RENEW_EVERY;
            }
            match self.turn(lease, &mut renew_at).await {
                Turn::Idle => {
                    let _ = timeout(LOOK_EVERY, self.store.outbox_filled()).await;
                    sleep(GATHER).await;
                }
                Turn::Busy => {}
                Turn::Lost => return,
                Turn::Failed => sleep(AGAIN_AFTER).await,
            }
        }
    }

    /// False: it is lost, or may be.
    async fn renew(&self, lease: &Lease) -> bool {
        match self.store.lease(Job::Outbox, &self.holder, LEASE).await {
            Ok(Some(renewed)) => renewed.epoch == lease.epoch,
            Ok(None) => false,
            Err(error) => {
                tracing::debug!(%error, "The outbox's lease cannot be renewed");
                false
            }
        }
    }

    async fn turn(&self, lease: &Lease, renew_at: &mut Instant) -> Turn {
        let rows = match self.store.outbox(Place(0), PARCEL_BYTES, PARCEL_ROWS).await {
            Ok(rows) if rows.is_empty() => return Turn::Idle,
            Ok(rows) => rows,
            Err(error) => {
                tracing::debug!(%error, "The outbox cannot be read");
                return Turn::Failed;
            }
        };
        let places: Vec<Place> = rows.iter().map(|row| row.place).collect();
        let mut parcel = self.parcel(rows);
        loop {
            match self.deliver(&mut parcel, lease, renew_at).await {
                Some(true) => break,
                Some(false) => sleep(AGAIN_AFTER).await,
                None => return Turn::Lost,
            }
        }
        self.delete(lease, places).await
    }

    fn parcel(&self, rows: Vec<OutboxRow>) -> Parcel {
        let mut events: Vec<Event> = Vec::new();
        for row in rows {
            if self.former.events(&row, |topic: Topic| self.stream.takes(topic), &mut events).is_none() {
                // Nothing can be made of it by anybody: it must not be in the way of the others.
                tracing::error!(place = row.place.0, "A row of the outbox is garbled, and is left out");
                self.metrics.dropped.add(1);
            }
        }
        let mut parcel = Parcel::default();
        events.into_iter().for_each(|event| parcel.push(event));
        parcel
    }

    /// Sends what has not arrived. True: all of it did. `None`: the lease was lost meanwhile.
    async fn deliver(&self, parcel: &mut Parcel, lease: &Lease, renew_at: &mut Instant) -> Option<bool> {
        let before = parcel.pending().count() as u64;
        if before == 0 {
            return Some(true);
        }
        let begun = Instant::now();
        self.metrics.produced.add(before);
        let outcome = {
            let mut publishing = self.stream.publish(parcel);
            let mut away_at = begun + AWAY_AFTER;
            loop {
                tokio::select! {
                    biased;
                    outcome = &mut publishing => break outcome,
                    () = sleep_until(*renew_at) => {
                        // Dropped, the stream gives up what it has not sent.
                        if !self.renew(lease).await {
                            return None;
                        }
                        *renew_at = Instant::now() + RENEW_EVERY;
                    }
                    () = sleep_until(away_at) => {
                        away_at += AWAY_AFTER;
                        self.is_away();
                    }
                }
            }
        };
        let left = parcel.pending().count() as u64;
        self.metrics.confirmed.add(before - left);
        self.metrics.failed.add(left);
        match outcome {
            Ok(()) => {
                self.metrics.publish_duration.observe_duration(begun.elapsed());
                self.is_well();
                Some(true)
            }
            Err(why) => {
                self.complain(&why);
                Some(false)
            }
        }
    }

    fn is_away(&self) {
        let status = self.stream.status();
        self.complain(&status.trouble.unwrap_or_else(|| format!("{} does not answer", status.place)));
    }

    /// Once for each trouble.
    fn complain(&self, why: &str) {
        self.metrics.stream_up.set(0);
        if self.metrics.is_new(why) {
            tracing::error!("The event stream takes nothing, and events wait in the outbox: {why}");
        }
    }

    fn is_well(&self) {
        self.metrics.stream_up.set(1);
        if self.metrics.is_over() {
            tracing::info!("The event stream takes events again");
        }
    }

    async fn delete(&self, lease: &Lease, places: Vec<Place>) -> Turn {
        let confirm = Write::Under { lease: lease.clone(), write: Box::new(Write::ConfirmEvents { places }) };
        match self.store.write(confirm).await {
            Ok(_) => Turn::Busy,
            Err(StoreError::Conflict(_)) => Turn::Lost,
            Err(error) => {
                tracing::debug!(%error, "What the event stream has cannot be deleted from the outbox");
                Turn::Failed
            }
        }
    }
}

pub(super) fn now() -> Millis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
}
