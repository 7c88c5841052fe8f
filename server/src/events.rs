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

pub use form::{Former, Passed, Passing, SCHEMA, Shown};
pub use offers::Offers;

use crate::router::StanzaIds;
use crate::storage::events::{EventStream, StreamStatus};
use crate::storage::outbox::Bounds;
use crate::storage::{Lease, OutboxSize, Store};
use crate::telemetry::events::EventMetrics;

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
    holder: String,
    /// While this server is the one that relays. A plain lock: no section of it waits for anything.
    lease: Mutex<Option<Lease>>,
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
            holder: format!("{}/{:016x}", std::process::id(), rand::random::<u64>()),
            lease: Mutex::new(None),
            offers,
        })
    }

    /// Until `stop` resolves: tells the stream what is in the outbox and what is offered.
    pub async fn run(self: Arc<Self>, stop: impl Future<Output = ()> + Send) {
        let work = async {
            tokio::join!(self.relay(), self.keep(), self.offers.send(&self.former, &*self.stream));
        };
        tokio::select! {
            () = work => {}
            () = stop => {}
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
