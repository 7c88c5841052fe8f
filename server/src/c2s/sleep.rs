//! A session between two connections: it loses one, sleeps, and is resumed by another (XEP-0198
//! section 5; messages.md, rules 15 to 17).

use tokio::time::Instant;
use xmpp_core::sm::{self, HandledTooHigh};
use xmpp_core::{Kind, Stanza, StreamCondition, StreamError};

use super::resume::close_with_conflict;
use super::task::{Connection, Task};
use crate::router::backlog::add_delay;
use crate::session::link::Attach;
use crate::session::{Delivery, End};
use crate::telemetry::labels::SessionState;

impl Task {
    pub(super) fn acknowledged(&mut self, h: u32) {
        let Some(unacknowledged) = &mut self.unacknowledged else { return };
        match unacknowledged.queue.acked(h) {
            Ok(taken) => taken.iter().for_each(|delivery| self.taken(delivery)),
            Err(too_high) => self.handled_too_high(too_high),
        }
    }

    /// XEP-0198 section 6: the client says to have handled what was never sent.
    fn handled_too_high(&mut self, too_high: HandledTooHigh) {
        let error = too_high.stream_error();
        self.router.metrics.stream_error(&error);
        self.due.extend_from_slice(&error.to_xml());
        self.session.end(End::Failed);
    }

    /// The `h` of `<resume/>`: what it acknowledges is taken, the rest is asked about again. False when it is too
    /// high: then nothing is resumed, and the stream ends.
    fn resumed_at(&mut self, h: u32) -> bool {
        let Some(unacknowledged) = &mut self.unacknowledged else { return false };
        match unacknowledged.queue.resume(h) {
            Ok(taken) => {
                taken.iter().for_each(|delivery| self.taken(delivery));
                true
            }
            Err(too_high) => {
                self.handled_too_high(too_high);
                false
            }
        }
    }

    pub(super) fn lose_connection(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        connection.socket.close();
        self.session.link.stop_reader();
        self.due.clear();
        self.asked = None;
        match self.unacknowledged.as_ref().and_then(|u| u.resume) {
            Some(resume) => {
                self.set_sleeping(true);
                self.sleeps_until = Some(Instant::now() + resume);
                self.slept = Some((self.router.now(), u64::MAX));
            }
            None => drop(self.session.end(End::Lost)),
        }
    }

    /// A new connection takes over: both counters, then what is unacknowledged, then what is held,
    /// then the mailbox (messages.md, rule 15).
    pub(super) fn attach(&mut self, attach: Attach) {
        let Attach { socket, generation, h, previd } = attach;
        if let Some(old) = self.connection.take() {
            // Behaviour 82: the old connection was only half dead.
            self.router.metrics.stream_error(&StreamError::new(StreamCondition::Conflict));
            close_with_conflict(&old.socket);
        }
        self.connection = Some(Connection { socket, generation });
        self.sleeps_until = None;
        // A connection that was still there had slept from now on, for all we know.
        let now = self.router.now();
        self.slept = Some((self.slept.map_or(now, |(from, _)| from), now));
        self.asked = None;
        // XEP-0352 section 5: a resumed client is active.
        self.inactive = false;
        self.flushing = true;
        self.due.clear();
        self.set_sleeping(false);
        if !self.resumed_at(h) {
            return;
        }
        sm::write_resumed(&previd, self.session.inbound.handled(), &mut self.due);
        let Some(unacknowledged) = &self.unacknowledged else { return };
        let mut again = Vec::new();
        for delivery in unacknowledged.queue.iter() {
            self.delayed(delivery).write(&mut again);
            self.router.metrics.stanza_out(delivery.stanza.kind);
        }
        self.due.append(&mut again);
    }

    pub(super) fn set_sleeping(&self, sleeping: bool) {
        let sessions = &self.router.metrics.sessions;
        let change = i64::from(sleeping) - i64::from(self.session.link.is_sleeping());
        sessions.of(SessionState::Resumable).add(change);
        sessions.of(SessionState::Connected).add(-change);
        self.session.link.set_sleeping(sleeping);
    }

    /// What is sent again, or came while the client was away, says when it came. An IQ needs no date.
    pub(super) fn delayed(&self, delivery: &Delivery) -> Stanza {
        let mut stanza = delivery.stanza.clone();
        if stanza.kind != Kind::Iq {
            add_delay(&mut stanza, self.session.jid.domain(), delivery.time);
        }
        stanza
    }
}
