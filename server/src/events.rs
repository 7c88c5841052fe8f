//! The event stream's near side: what is made of what happened, and how it gets there.
//!
//! ```text
//!   a commit ----> outbox (in the store) ----> relay: one server, by lease ----> EventStream::publish
//!   a hook ------> offers (in memory, bounded) ----> sender -------------------> EventStream::offer
//! ```
//!
//! It knows no broker: whatever implements [`EventStream`](crate::storage::events::EventStream) will do.

mod form;
mod head;
mod json;
mod keeper;
mod offers;
mod relay;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinHandle;

pub use form::{Former, Passed, Passing, SCHEMA, Shown};
pub use offers::Offers;

use crate::router::StanzaIds;
use crate::storage::events::{EventStream, StreamStatus};
use crate::storage::outbox::Bounds;
use crate::storage::{Lease, OutboxSize, Store};
use crate::telemetry::events::EventMetrics;

/// When the server stops, what is offered is waited for so many hundredths of a second.
const LAST_OFFERS: u32 = 50;

/// How the outbox and the stream are, for the operator.
#[derive(Debug, Clone)]
pub struct Status {
    pub stream: StreamStatus,
    pub outbox: OutboxSize,
    pub bounds: Bounds,
    /// This server is the one that tells the stream.
    pub relays: bool,
}

/// Everything that moves events, of one server.
pub struct Events {
    store: Arc<dyn Store>,
    stream: Arc<dyn EventStream>,
    former: Former,
    metrics: Arc<EventMetrics>,
    bounds: Bounds,
    /// What waits longer goes.
    max_age: Duration,
    /// Of this process, as leases know it.
    holder: Arc<str>,
    /// While this server is the one that relays. A plain lock: no section of it waits for anything.
    lease: Mutex<Option<Lease>>,
    running: Mutex<Option<JoinHandle<()>>>,
    pub offers: Arc<Offers>,
}

/// What of the configuration concerns events.
pub struct Settings {
    pub bounds: Bounds,
    pub max_age: Duration,
    pub buffer_events: usize,
}

impl Events {
    pub fn new(
        store: Arc<dyn Store>,
        stream: Arc<dyn EventStream>,
        ids: StanzaIds,
        metrics: Arc<EventMetrics>,
        settings: Settings,
    ) -> Arc<Events> {
        let former = Former::new(ids, stream.max_event_bytes());
        let offers = Arc::new(Offers::new(settings.buffer_events, metrics.clone()));
        Arc::new(Events {
            store,
            stream,
            former,
            metrics,
            bounds: settings.bounds,
            max_age: settings.max_age,
            holder: crate::jobs::holder(),
            lease: Mutex::new(None),
            running: Mutex::new(None),
            offers,
        })
    }

    /// From now on the stream is told what is in the outbox, and what is offered.
    pub fn start(self: &Arc<Self>) {
        let events = self.clone();
        let running = tokio::spawn(async move {
            tokio::join!(events.relay(), events.keep(), events.offers.send(&events.former, &*events.stream));
        });
        *self.running.lock() = Some(running);
    }

    /// What is in the outbox stays there for the next start.
    pub async fn stop(&self) {
        // What ended sessions said last is still to be sent.
        for _ in 0..LAST_OFFERS {
            if self.offers.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let running = self.running.lock().take();
        if let Some(running) = running {
            running.abort();
            let _ = running.await;
        }
        // Another may go on at once.
        let lease = self.lease.lock().take();
        if let Some(lease) = lease {
            let _ = tokio::time::timeout(Duration::from_secs(2), self.store.release(&lease)).await;
        }
        self.stream.close().await;
    }

    pub async fn status(&self) -> Result<Status, crate::storage::StoreError> {
        let outbox = self.store.outbox_size().await?;
        let relays = self.lease.lock().is_some();
        Ok(Status { stream: self.stream.status(), outbox, bounds: self.bounds, relays })
    }
}
