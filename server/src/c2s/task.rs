//! The session's task: mailbox -> hold (XEP-0352) -> numbers (XEP-0198) -> out buffer -> socket.
//!
//! It outlives connections: between two of them the session sleeps, and what comes for it is held.

use std::io::{self, ErrorKind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

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
/// What is kept for the next answer to `<r/>`. A resumption leaves much more.
const KEPT_DUE_BYTES: usize = 64;

/// A question to an idle client.
pub(super) struct Asked {
    pub at: Instant,
    /// When the client had been heard last: any other time is an answer. (It may answer within the
    /// millisecond that times are told in, so that no later time need be.)
    pub last_heard: Millis,
}

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
    pub(super) settings: Arc<TaskSettings>,
    pub(super) connection: Option<Connection>,
    pub(super) hold: Hold,
    /// The client says that nobody looks at it (XEP-0352).
    pub(super) inactive: bool,
    /// Everything held is to be written, and then the mailbox.
    pub(super) flushing: bool,
    /// Bytes of the stream itself, written before anything else.
    pub(super) due: Vec<u8>,
    /// With stream management: what was written and not acknowledged.
    pub(super) unacknowledged: Option<Box<Unacknowledged>>,
    /// Sleeping: when it ends for good.
    pub(super) sleeps_until: Option<Instant>,
    /// From when until when it slept last.
    pub(super) slept: Option<(Millis, Millis)>,
    /// A ping or an `<r/>` for an idle client is out.
    pub(super) asked: Option<Asked>,
}

pub(super) struct Connection {
    pub(super) socket: Arc<Socket>,
    pub(super) generation: u64,
}

pub(super) struct Unacknowledged {
    pub(super) queue: Outgoing<Arc<Delivery>>,
    pub(super) resume: Option<Duration>,
}

/// What became of what there was to write.
enum Written {
    /// There was nothing, or nobody to write to.
    Nothing,
    Done,
    /// The peer takes no more for now.
    Stalled(Batch),
}

/// What is written in one go.
struct Batch {
    out: buffers::WriteBuffer,
    /// So many of its bytes are written.
    sent: usize,
    /// Messages in it that are taken as soon as all of it is written.
    messages: Vec<Arc<Delivery>>,
}

impl Task {
    pub fn new(
        c2s: Arc<C2s>,
        session: Arc<Session>,
        settings: Arc<TaskSettings>,
        connection: Connection,
    ) -> Task {
        let router = c2s.router.clone();
        let connection = Some(connection);
        Task {
            c2s,
            router,
            session,
            settings,
            connection,
            hold: Hold::default(),
            inactive: false,
            flushing: false,
            due: Vec::new(),
            unacknowledged: None,
            sleeps_until: None,
            slept: None,
            asked: None,
        }
    }

    /// Every idle session carries this future: what it needs only now and then is boxed.
    pub async fn run(mut self: Box<Self>) {
        self.router.metrics.sessions.of(SessionState::Connected).add(1);
        // Of one session all its life: a deadline mostly moves on, which costs nothing before it is due.
        let mut timer = pin!(tokio::time::sleep_until(self.deadline()));
        let end = loop {
            self.hear();
            if let Some(end) = self.session.ended() {
                break end;
            }
            match self.write_due() {
                Written::Nothing => {}
                Written::Done => {
                    // A busy mailbox leaves the thread to others now and then.
                    tokio::task::coop::consume_budget().await;
                    continue;
                }
                Written::Stalled(batch) => {
                    Box::pin(self.write_rest(batch)).await;
                    continue;
                }
            }
            let deadline = self.deadline();
            if deadline < timer.deadline() {
                timer.as_mut().reset(deadline);
            }
            tokio::select! {
                _ = self.session.wake.notified() => {}
                _ = timer.as_mut() => {
                    self.deadline_passed();
                    let deadline = self.deadline();
                    timer.as_mut().reset(deadline);
                }
            }
        };
        Box::pin(self.finish(end)).await;
    }

    /// Takes in what the reader has said.
    pub(super) fn hear(&mut self) {
        let Some(said) = self.session.link.take() else { return };
        let Said { attach, lost, acknowledged, answers_due, enable, active, bytes } = *said;
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

    /// Writes what there is to write, as far as that goes without waiting.
    fn write_due(&mut self) -> Written {
        let Some(connection) = &self.connection else {
            self.hold_mail();
            return Written::Nothing;
        };
        let socket = connection.socket.clone();
        let mut batch = Batch { out: buffers::write_buffer(), sent: 0, messages: Vec::new() };
        let out = &mut batch.out.0;
        out.append(&mut self.due);
        self.due.shrink_to(KEPT_DUE_BYTES);
        while out.len() < WRITE_BYTES && !self.is_blocked() {
            let Some(delivery) = self.next_delivery() else { break };
            self.encode(delivery, out, &mut batch.messages);
        }
        if out.is_empty() {
            return Written::Nothing;
        }
        let idle = out.len() < WRITE_BYTES;
        self.request_acknowledgement(idle, out);
        self.router.metrics.bytes_out(out.len());
        match batch.send(&socket) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Written::Stalled(batch),
            sent => self.sent(batch, sent.is_ok()),
        }
        Written::Done
    }

    /// Writes what the peer did not take at once.
    async fn write_rest(&mut self, mut batch: Batch) {
        let Some(socket) = self.connection.as_ref().map(|c| c.socket.clone()) else { return };
        let written = self.wait_and_write(&socket, &mut batch).await;
        self.sent(batch, written);
    }

    fn sent(&mut self, batch: Batch, written: bool) {
        if written {
            return batch.messages.iter().for_each(|delivery| self.taken(delivery));
        }
        // What was not surely written was not taken: it waits for the next session.
        batch.messages.into_iter().for_each(|delivery| self.keep(delivery));
        self.lose_connection();
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
            let delivery = self.session.take()?;
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
            let Some(delivery) = self.session.take() else { return };
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

    /// True when all of it was written.
    async fn wait_and_write(&self, socket: &Socket, batch: &mut Batch) -> bool {
        let mut stalled = Instant::now() + self.settings.write_timeout;
        loop {
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
            let sent = batch.sent;
            match batch.send(socket) {
                Ok(()) => return true,
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return false,
            }
            if batch.sent > sent {
                stalled = Instant::now() + self.settings.write_timeout;
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

impl Batch {
    /// Writes on from where it stands. `WouldBlock`: not all is written.
    fn send(&mut self, socket: &Socket) -> io::Result<()> {
        let mut left = self.out.0.get(self.sent..).unwrap_or_default();
        let done = socket.try_write_all(&mut left);
        self.sent = self.out.0.len() - left.len();
        done
    }
}
