//! The session's task: mailbox -> hold (XEP-0352) -> numbers (XEP-0198) -> out buffer -> socket.
//!
//! It outlives connections: between two of them the session sleeps, and what comes for it is held.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use xmpp_core::Kind;
use xmpp_core::sm::{self, Outgoing};

use super::C2s;
use super::buffers;
use super::hold::{Hold, is_unimportant};
use super::socket::Socket;
use crate::router::Router;
use crate::session::link::Said;
use crate::session::{Delivery, Session};
use crate::storage::Millis;
use crate::telemetry::bound::Bound;
use crate::telemetry::labels::SessionState;

/// One write carries at most about this much.
const WRITE_BYTES: usize = 64 * 1024;

/// How the task treats its session; from the configuration, at bind.
#[derive(Debug, Clone)]
pub struct TaskSettings {
    pub ping_after: Duration,
    pub ping_timeout: Duration,
    /// A peer that takes nothing for so long is gone.
    pub write_timeout: Duration,
    pub unacknowledged_stanzas: usize,
    pub unacknowledged_bytes: usize,
    pub held_stanzas: usize,
    pub held_bytes: usize,
}

pub struct Task {
    pub(super) c2s: Arc<C2s>,
    pub(super) router: Arc<Router>,
    pub(super) session: Arc<Session>,
    pub(super) mail: mpsc::Receiver<Arc<Delivery>>,
    pub(super) settings: Arc<TaskSettings>,
    pub(super) connection: Option<Connection>,
    pub(super) hold: Hold,
    /// The client says that nobody looks at it (XEP-0352).
    pub(super) inactive: bool,
    /// Everything held is to be written, and then the mailbox.
    pub(super) flushing: bool,
    /// Received from the mailbox and not yet looked at.
    pub(super) peeked: Option<Arc<Delivery>>,
    /// Bytes of the stream itself, written before anything else.
    pub(super) due: Vec<u8>,
    /// With stream management: what was written and not acknowledged.
    pub(super) unacknowledged: Option<Box<Unacknowledged>>,
    /// Sleeping: when it ends for good.
    pub(super) sleeps_until: Option<Instant>,
    /// From when until when it slept last.
    pub(super) slept: Option<(Millis, Millis)>,
    /// A ping or an `<r/>` for an idle client is out since then.
    pub(super) asked_at: Option<Instant>,
}

pub(super) struct Connection {
    pub(super) socket: Arc<Socket>,
    pub(super) generation: u64,
}

pub(super) struct Unacknowledged {
    pub(super) queue: Outgoing<Arc<Delivery>>,
    pub(super) resume: Option<Duration>,
}

/// What the task waits for next.
enum Next {
    Mail(Option<Arc<Delivery>>),
    Woken,
    Deadline,
}

impl Task {
    pub fn new(
        c2s: Arc<C2s>,
        session: Arc<Session>,
        mail: mpsc::Receiver<Arc<Delivery>>,
        settings: Arc<TaskSettings>,
        connection: Connection,
    ) -> Task {
        let router = c2s.router.clone();
        let connection = Some(connection);
        Task {
            c2s,
            router,
            session,
            mail,
            settings,
            connection,
            hold: Hold::default(),
            inactive: false,
            flushing: false,
            peeked: None,
            due: Vec::new(),
            unacknowledged: None,
            sleeps_until: None,
            slept: None,
            asked_at: None,
        }
    }

    pub async fn run(mut self) {
        self.router.metrics.sessions.of(SessionState::Connected).add(1);
        let end = loop {
            self.hear();
            if let Some(end) = self.session.ended() {
                break end;
            }
            if self.write_due().await {
                continue;
            }
            match self.next().await {
                Next::Mail(delivery) => self.peeked = delivery,
                Next::Woken => {}
                Next::Deadline => self.deadline_passed(),
            }
        };
        self.finish(end).await;
    }

    async fn next(&mut self) -> Next {
        let takes = match self.connection {
            Some(_) => !self.is_blocked(),
            None => self.hold.len() < self.settings.unacknowledged_stanzas,
        };
        let deadline = self.deadline();
        tokio::select! {
            delivery = self.mail.recv(), if takes && self.peeked.is_none() => Next::Mail(delivery),
            _ = self.session.wake.notified() => Next::Woken,
            _ = tokio::time::sleep_until(deadline) => Next::Deadline,
        }
    }

    /// Takes in what the reader has said.
    pub(super) fn hear(&mut self) {
        let Said { attach, lost, acknowledged, answers_due, enable, active, bytes } =
            self.session.link.take();
        if let Some(generation) = lost
            && self.connection.as_ref().is_some_and(|c| c.generation == generation)
        {
            self.lose_connection();
        }
        if let Some(attach) = attach {
            self.attach(attach);
        }
        if let Some(h) = acknowledged {
            self.acknowledged(h);
        }
        if let Some(enable) = enable {
            self.due.extend_from_slice(&enable.answer);
            let bounds = (self.settings.unacknowledged_stanzas, self.settings.unacknowledged_bytes);
            self.unacknowledged = Some(Box::new(Unacknowledged {
                queue: Outgoing::new(bounds.0, bounds.1),
                resume: enable.resume_seconds.map(|s| Duration::from_secs(s.into())),
            }));
        }
        for _ in 0..answers_due {
            sm::write_a(self.session.inbound.handled(), &mut self.due);
        }
        if let Some(active) = active {
            self.inactive = !active;
            self.flushing |= active;
        }
        self.due.extend_from_slice(&bytes.unwrap_or_default());
    }

    /// Writes what there is to write. False when there was nothing, or nobody to write to.
    async fn write_due(&mut self) -> bool {
        let Some(connection) = &self.connection else {
            self.hold_mail();
            return false;
        };
        let socket = connection.socket.clone();
        let mut out = buffers::write_buffer();
        out.0.append(&mut self.due);
        let mut written = Vec::new();
        while out.0.len() < WRITE_BYTES && !self.is_blocked() {
            let Some(delivery) = self.next_delivery() else { break };
            self.encode(delivery, &mut out.0, &mut written);
        }
        if out.0.is_empty() {
            return false;
        }
        let idle = out.0.len() < WRITE_BYTES;
        self.request_acknowledgement(idle, &mut out.0);
        self.router.metrics.bytes_out(out.0.len());
        match self.write(&socket, &out.0).await {
            true => written.iter().for_each(|delivery| self.taken(delivery)),
            // What was not surely written was not taken: it waits for the next session.
            false => {
                written.into_iter().for_each(|delivery| self.keep(delivery));
                self.lose_connection();
            }
        }
        true
    }

    pub(super) fn encode(
        &mut self,
        delivery: Arc<Delivery>,
        out: &mut Vec<u8>,
        written: &mut Vec<Arc<Delivery>>,
    ) {
        match self.slept.is_some_and(|(from, to)| (from..to).contains(&delivery.time)) {
            true => self.delayed(&delivery).write(out),
            false => delivery.stanza.write(out),
        }
        self.session.unqueued(&delivery);
        self.router.metrics.stanza_out(delivery.stanza.kind);
        match &mut self.unacknowledged {
            // A number is given when a stanza is written (messages.md, rule 17).
            Some(unacknowledged) => {
                let bytes = delivery.bytes as usize;
                unacknowledged.queue.push(delivery, bytes);
                // From here on nothing more is written until the client acknowledges some.
                if unacknowledged.queue.is_full() {
                    let stanzas = unacknowledged.queue.len() >= self.settings.unacknowledged_stanzas;
                    let bound =
                        if stanzas { Bound::UnacknowledgedStanzas } else { Bound::UnacknowledgedBytes };
                    self.router.metrics.refused(bound);
                }
            }
            None if delivery.stanza.kind == Kind::Message => written.push(delivery),
            None => {}
        }
    }

    /// The next one to be written now, if any: what is held first, then the mailbox.
    pub(super) fn next_delivery(&mut self) -> Option<Arc<Delivery>> {
        loop {
            if self.flushing {
                match self.hold.pop() {
                    Some(delivery) => return Some(delivery),
                    None => self.flushing = false,
                }
            }
            let delivery = self.peeked.take().or_else(|| self.mail.try_recv().ok())?;
            if !self.inactive && self.hold.is_empty() {
                return Some(delivery);
            }
            // XEP-0352 section 5: something important takes all that was held along, before it.
            let important = !is_unimportant(&delivery.stanza);
            self.hold_back(delivery);
            let full = self.hold.len() >= self.settings.held_stanzas
                || self.hold.bytes() >= self.settings.held_bytes;
            self.flushing = !self.inactive || important || full;
        }
    }

    /// While nobody is connected, what comes is held, presence merged.
    fn hold_mail(&mut self) {
        while self.hold.len() < self.settings.unacknowledged_stanzas {
            let Some(delivery) = self.peeked.take().or_else(|| self.mail.try_recv().ok()) else { return };
            self.hold_back(delivery);
            if self.hold.len() == self.settings.unacknowledged_stanzas {
                self.router.metrics.refused(Bound::UnacknowledgedStanzas);
            }
        }
    }

    fn hold_back(&mut self, delivery: Arc<Delivery>) {
        if let Some(replaced) = self.hold.push(delivery) {
            self.session.unqueued(&replaced);
        }
    }

    /// Back into the queue of what nobody took, behind a write that failed.
    fn keep(&mut self, delivery: Arc<Delivery>) {
        self.hold.push(delivery);
    }

    /// Too much is unacknowledged: the mailbox fills, and at its bound the session ends.
    pub(super) fn is_blocked(&self) -> bool {
        self.unacknowledged.as_ref().is_some_and(|u| u.queue.is_full())
    }

    fn request_acknowledgement(&mut self, idle: bool, out: &mut Vec<u8>) {
        if let Some(unacknowledged) = &mut self.unacknowledged
            && unacknowledged.queue.take_request(idle)
        {
            sm::write_r(out);
        }
    }

    pub(super) async fn write(&self, socket: &Socket, mut bytes: &[u8]) -> bool {
        let mut stalled = Instant::now() + self.settings.write_timeout;
        loop {
            let attempt = match bytes.is_empty() {
                false => socket.try_write(bytes).map(|taken| {
                    bytes = &bytes[taken..];
                    stalled = Instant::now() + self.settings.write_timeout;
                }),
                true => match socket.try_flush() {
                    Ok(()) => return true,
                    Err(e) => Err(e),
                },
            };
            match attempt {
                Ok(()) => continue,
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return false,
            }
            tokio::select! {
                ready = socket.writable() => if ready.is_err() { return false },
                _ = self.session.wake.notified() => {
                    let gone = self.session.ended().is_some() || self.session.link.replaces_connection();
                    if gone { return false }
                }
                _ = tokio::time::sleep_until(stalled) => {
                    self.router.metrics.refused(Bound::WriteTimeoutSeconds);
                    return false;
                }
            }
        }
    }

    pub(super) fn taken(&self, delivery: &Delivery) {
        delivery.note_taken();
        if let Some(id) = delivery.saved
            && self.session.release(id)
        {
            self.router.store.taken(self.session.account, id);
        }
    }
}
