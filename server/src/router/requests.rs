//! IQs that the server itself sends to clients, and their answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ahash::HashMap;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use xmpp_core::{Element, Jid, Payload, Stanza, Type};

use super::Router;
use crate::session::{Delivery, Put, Session};

/// Requests that may wait for an answer at one time.
const LIMIT: usize = 16_384;
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(super) struct Requests {
    next: AtomicU64,
    waiting: Mutex<HashMap<(Jid, u64), oneshot::Sender<Stanza>>>,
}

impl Requests {
    fn begin(&self, whom: &Jid) -> Option<(u64, oneshot::Receiver<Stanza>)> {
        let mut waiting = self.waiting.lock();
        if waiting.len() >= LIMIT {
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        waiting.insert((whom.clone(), number), sender);
        Some((number, receiver))
    }

    /// Takes an answer; false when nobody waits for it.
    pub(super) fn answer(&self, stanza: &Stanza) -> bool {
        let (Some(from), Some(id)) = (&stanza.from, &stanza.id) else { return false };
        let Some(number) = id.strip_prefix("q").and_then(|n| n.parse().ok()) else { return false };
        let Some(waiting) = self.waiting.lock().remove(&(from.clone(), number)) else { return false };
        waiting.send(stanza.clone()).is_ok()
    }

    fn forget(&self, whom: &Jid, number: u64) {
        self.waiting.lock().remove(&(whom.clone(), number));
    }
}

impl Router {
    /// Asks a client. `None`: no answer within 30 seconds, or it is gone. An error is an answer.
    pub async fn ask(
        self: &Arc<Self>,
        session: &Arc<Session>,
        from: Jid,
        type_: Type,
        query: &Element,
    ) -> Option<Stanza> {
        let (number, answer) = self.requests.begin(&session.jid)?;
        let mut iq = Stanza::iq(type_, &id(number)).with_from(from).with_to(session.jid.clone());
        iq.payload = Payload::from_element(query);
        let sent = session.put(Arc::new(Delivery::new(iq, self.now()))) == Put::Put;
        let answer = if sent { wait(answer).await } else { None };
        self.requests.forget(&session.jid, number);
        answer
    }

    /// Sends the operator's IQ get or set, in the name of its `from`, on the way of everybody's, and waits
    /// for what the client at its `to` answers. `from` has no resource, or the answer is not for us.
    pub async fn send_and_wait(self: &Arc<Self>, iq: Stanza) -> Option<Stanza> {
        let whom = iq.to.clone()?;
        let (number, answer) = self.requests.begin(&whom)?;
        self.send(iq.with_id(&id(number))).await;
        let answer = wait(answer).await;
        self.requests.forget(&whom, number);
        answer
    }
}

fn id(number: u64) -> String {
    format!("q{number}")
}

async fn wait(answer: oneshot::Receiver<Stanza>) -> Option<Stanza> {
    tokio::time::timeout(PATIENCE, answer).await.ok().and_then(Result::ok)
}
