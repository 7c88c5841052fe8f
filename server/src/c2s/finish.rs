//! The end of a session: the stream is told, the table, the modules, and what was in its queues goes
//! where it must (messages.md, rule 11).

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use xmpp_core::{Element, Jid, Kind, Stanza, StreamCondition, StreamError, Type, ns};

use super::buffers;
use super::resume::tell_end;
use super::task::{Asked, Task};
use crate::session::{Delivery, End, Full};
use crate::telemetry::bound::Bound;
use crate::telemetry::labels::SessionState;

/// The last words may take so long.
const LAST_WORDS: Duration = Duration::from_secs(2);

impl Task {
    /// When the task must look up although nobody woke it: the sleeper's end, or the next question to
    /// an idle client.
    pub(super) fn deadline(&self) -> Instant {
        if let Some(end) = self.sleeps_until {
            return end;
        }
        if let Some(asked) = &self.asked {
            return asked.at + self.settings.ping_timeout;
        }
        let idle = Duration::from_millis(self.router.now().saturating_sub(self.session.last_heard()));
        Instant::now() + self.settings.ping_after.saturating_sub(idle).max(Duration::from_secs(1))
    }

    pub(super) fn deadline_passed(&mut self) {
        if self.sleeps_until.is_some() {
            if self.sleeps_until.is_some_and(|end| end <= Instant::now()) {
                self.session.end(End::Lost);
            }
            return;
        }
        let idle = Duration::from_millis(self.router.now().saturating_sub(self.session.last_heard()));
        match &self.asked {
            Some(asked) if self.session.last_heard() != asked.last_heard => self.asked = None,
            // Behaviour 84: no answer is a lost connection, which a session may survive.
            Some(asked) if asked.at.elapsed() >= self.settings.ping_timeout => {
                self.router.metrics.refused(Bound::PingTimeoutSeconds);
                // RFC 6120 section 4.9.3.4, should somebody read it after all.
                if let Some(connection) = &self.connection {
                    let timeout = StreamError::new(StreamCondition::ConnectionTimeout);
                    self.router.metrics.stream_error(&timeout);
                    tell_end(&connection.socket, StreamCondition::ConnectionTimeout);
                }
                self.lose_connection();
            }
            Some(_) => {}
            None if idle >= self.settings.ping_after => self.ask_idle_client(),
            None => {}
        }
    }

    fn ask_idle_client(&mut self) {
        self.asked = Some(Asked { at: Instant::now(), last_heard: self.session.last_heard() });
        if self.unacknowledged.is_some() {
            xmpp_core::sm::write_r(&mut self.due);
            return;
        }
        let Ok(domain) = Jid::new(None, self.session.jid.domain(), None) else { return };
        let ping = Stanza::iq(Type::Get, "ping").with_from(domain).with_to(self.session.jid.clone());
        ping.with_child(&Element::new("ping", ns::PING)).write(&mut self.due);
        self.router.metrics.stanza_out(Kind::Iq);
    }

    pub(super) async fn finish(mut self: Box<Self>, end: End) {
        self.hear();
        self.set_sleeping(false);
        match end {
            End::Slow(Full::Stanzas) => self.router.metrics.refused(Bound::MailboxStanzas),
            End::Slow(Full::Bytes) => self.router.metrics.refused(Bound::MailboxBytes),
            _ => {}
        }
        self.last_words(end).await;
        self.session.link.stop_reader();
        let left = self.left();
        if end == End::Lost {
            self.c2s.timed_out.note(&self.session);
        }
        self.router.close_session(&self.session, end, left).await;
        self.router.metrics.sessions.of(SessionState::Connected).add(-1);
        self.session.link.finished();
    }

    /// Writes what is still due, and why the stream ends.
    async fn last_words(&mut self, end: End) {
        let Some(connection) = self.connection.take() else { return };
        let mut out = buffers::write_buffer();
        out.0.append(&mut self.due);
        let mut written: Vec<Arc<Delivery>> = Vec::new();
        if matches!(end, End::Closed | End::Shutdown | End::Removed) {
            // Behaviour 16: what was on its way is flushed before the stream closes. Who removed its own
            // account is to read the answer.
            self.flushing = true;
            self.inactive = false;
            while !self.is_blocked()
                && let Some(delivery) = self.next_delivery()
            {
                self.encode(delivery, &mut out.0, &mut written);
            }
        }
        if let Some(error) = stream_error(end, self.session.end_reason()) {
            self.router.metrics.stream_error(&error);
            out.0.extend_from_slice(&error.to_xml());
        }
        out.0.extend_from_slice(b"</stream:stream>");
        self.router.metrics.bytes_out(out.0.len());
        let socket = connection.socket;
        let done = tokio::time::timeout(LAST_WORDS, socket.write_all(&out.0)).await;
        match matches!(done, Ok(Ok(()))) {
            true => written.iter().for_each(|delivery| self.taken(delivery)),
            false => written.into_iter().for_each(|delivery| drop(self.hold.push(delivery))),
        }
        socket.close();
    }

    /// Everything that was given to the session and that its client did not take, in order.
    fn left(&mut self) -> Vec<Arc<Delivery>> {
        let mut left = Vec::new();
        if let Some(unacknowledged) = self.unacknowledged.take() {
            left.extend(unacknowledged.queue.into_items());
        }
        while let Some(delivery) = self.hold.pop() {
            left.push(delivery);
        }
        left.extend(std::iter::from_fn(|| self.session.take()));
        left
    }
}

fn stream_error(end: End, reason: Option<String>) -> Option<StreamError> {
    match end {
        End::Closed | End::Failed | End::Lost => None,
        End::Replaced => Some(StreamError::new(StreamCondition::Conflict)),
        End::Kicked => {
            let error = StreamError::new(StreamCondition::PolicyViolation);
            let text = reason.map_or(Cow::Borrowed("the session was ended by an operator"), Cow::Owned);
            Some(error.with_text(text))
        }
        End::Removed => {
            Some(StreamError::new(StreamCondition::NotAuthorized).with_text("the account is gone"))
        }
        End::Slow(_) => {
            Some(StreamError::new(StreamCondition::ResourceConstraint).with_text("too slow to keep up"))
        }
        End::Shutdown => Some(StreamError::new(StreamCondition::SystemShutdown)),
    }
}
