//! What may be lost: a bounded buffer between those who see it and the one who sends it.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::form::{Former, Passing};
use crate::storage::Millis;
use crate::storage::events::EventStream;
use crate::telemetry::events::EventMetrics;

/// How many are made into events before anybody else has a turn.
const BATCH: usize = 256;

pub struct Offers {
    offers: mpsc::Sender<(Passing, Millis)>,
    /// Until it is taken by who sends them.
    offered: Mutex<Option<mpsc::Receiver<(Passing, Millis)>>>,
    metrics: Arc<EventMetrics>,
}

impl Offers {
    pub fn new(most: usize, metrics: Arc<EventMetrics>) -> Offers {
        let (offers, offered) = mpsc::channel(most.max(1));
        Offers { offers, offered: Mutex::new(Some(offered)), metrics }
    }

    /// Never waits. What there is no room for is lost, and counted.
    pub fn offer(&self, passing: Passing, time: Millis) {
        if self.offers.try_send((passing, time)).is_err() {
            self.metrics.lost.add(1);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.offers.capacity() == self.offers.max_capacity()
    }

    pub(super) async fn send(&self, former: &Former, stream: &dyn EventStream) {
        let offered = self.offered.lock().take();
        let Some(mut offered) = offered else { return };
        let mut batch = Vec::with_capacity(BATCH);
        while offered.recv_many(&mut batch, BATCH).await > 0 {
            for (passing, time) in batch.drain(..) {
                if stream.takes(passing.topic()) {
                    stream.offer(former.passing(&passing, time));
                }
            }
            tokio::task::yield_now().await;
        }
    }
}
