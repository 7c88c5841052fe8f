//! A bound session's reader: bytes -> frames -> the router, and what belongs to the stream itself to
//! the session's task.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use xmpp_core::xml::{Fault, Frame, Malformed, Scanner};
use xmpp_core::{Condition, Element, Stanza, StanzaError, StreamCondition, StreamError, ns, sm};

use super::admission::Permit;
use super::buffers;
use super::socket::Socket;
use crate::router::{Fate, Router};
use crate::session::link::Enable;
use crate::session::{Delivery, End, Session};
use crate::telemetry::bound::Bound;

/// So many `<r/>` are answered one by one, while the task has not come to it; more are answered together.
const ANSWERS_DUE_MAX: usize = 1000;

pub struct ReaderSettings {
    /// Bytes per second and what may come at once; `None`: as fast as it comes.
    pub rate: Option<(u64, u64)>,
    pub pending_stanzas: usize,
    pub pending_bytes: usize,
    /// For how long a session may be resumed; `None`: never.
    pub resume_seconds: Option<u32>,
    /// Whether clients may say that they are not looked at (XEP-0352).
    pub csi: bool,
}

pub struct Reader {
    pub router: Arc<Router>,
    pub session: Arc<Session>,
    pub socket: Arc<Socket>,
    pub scanner: Scanner,
    pub settings: Arc<ReaderSettings>,
    pub generation: u64,
    pub stop: Arc<Notify>,
    /// The stream's language, for stanzas without one (RFC 6120 section 8.1.5).
    pub lang: Option<Arc<str>>,
    /// `<enable/>` was accepted on this session.
    pub managed: bool,
    pub bucket: Bucket,
    /// The connection's place among those that are allowed; given back with the reader.
    pub _permit: Option<Permit>,
}

/// Why a reader stops.
enum Stop {
    /// The connection is gone.
    Lost,
    /// The session's end is said.
    Ended,
    /// Another connection takes the session over, or the session ended.
    Told,
}

impl Reader {
    pub async fn run(mut self: Box<Self>) {
        let stopped = self.read().await;
        // All stanzas of its queue reach their fate before anybody counts them (rule 15).
        self.session.inbound.below(1, usize::MAX).await;
        if let Stop::Lost = stopped {
            self.say_lost();
        }
        self.session.link.end_reader(self.generation);
        // Whoever stopped it closes the connection, with a last word that the client is to read. If nobody does,
        // because a hand-over failed, it is lost all the same: nobody reads it any more.
        if !matches!(stopped, Stop::Lost) {
            // Boxed, since only an end needs it.
            Box::pin(self.socket.linger()).await;
            self.say_lost();
        }
    }

    async fn read(&mut self) -> Stop {
        loop {
            // Boxed: a stanza on its way needs ten times what a connection needs that waits for one.
            if let Some(stop) = Box::pin(self.handle_what_came()).await {
                return stop;
            }
            // Only here is it told to stop: a stanza that was begun reaches its fate.
            tokio::select! {
                ready = self.socket.readable() => if ready.is_err() { return Stop::Lost },
                _ = self.stop.notified() => return Stop::Told,
            }
        }
    }

    /// Reads and handles until nothing more is there.
    async fn handle_what_came(&mut self) -> Option<Stop> {
        loop {
            // What is in the scanner already (behind the bind, say) comes first.
            if let Some(stop) = self.handle_frames().await {
                return Some(stop);
            }
            let read = {
                let mut buffer = buffers::read_buffer();
                match self.socket.try_read(&mut buffer) {
                    Ok(0) => return Some(Stop::Lost),
                    Ok(read) => {
                        self.scanner.feed(&buffer[..read]);
                        read
                    }
                    Err(e) if e.kind() == ErrorKind::WouldBlock => return None,
                    Err(_) => return Some(Stop::Lost),
                }
            };
            self.session.heard(self.router.now());
            self.router.metrics.bytes_in(read);
            self.bucket.take(read, &self.router).await;
        }
    }

    async fn handle_frames(&mut self) -> Option<Stop> {
        loop {
            let frame = match self.scanner.next() {
                Ok(Some(frame)) => frame,
                Ok(None) => return None,
                Err(error) => return Some(self.fail(&error)),
            };
            let handled = match frame {
                Frame::Stanza(stanza) => self.stanza(stanza).await,
                Frame::Malformed(malformed) => self.malformed(malformed).await,
                // RFC 6120 section 4.9.1.1: who is told of an error closes the stream and says no more.
                Frame::Element(element) if element.is("error", ns::STREAM) => {
                    return Some(self.close().await);
                }
                Frame::Element(element) => self.element(element).await,
                Frame::Header(_) => Err(StreamError::new(StreamCondition::NotWellFormed)),
                Frame::Close => return Some(self.close().await),
            };
            if let Err(error) = handled {
                return Some(self.fail(&error));
            }
        }
    }

    /// The client closes the stream; what it said before reaches its fate first.
    async fn close(&self) -> Stop {
        self.session.inbound.below(1, usize::MAX).await;
        self.session.end(End::Closed);
        Stop::Ended
    }

    async fn stanza(&mut self, mut stanza: Stanza) -> Result<(), StreamError> {
        self.router.metrics.stanza_in(stanza.kind);
        // RFC 6120 section 8.1.2.1: a client speaks for nobody else.
        let own = |from: &xmpp_core::Jid| *from == self.session.jid || *from == self.session.jid.to_bare();
        if stanza.from.as_ref().is_some_and(|from| !own(from)) {
            return Err(StreamError::new(StreamCondition::InvalidFrom));
        }
        stanza.from = Some(self.session.jid.clone());
        if stanza.lang.is_none() {
            stanza.lang = self.lang.clone();
        }
        let inbound = &self.session.inbound;
        // Only messages may overtake a commit, in the commit's own queue; what asks a store or
        // answers waits until everything before it is decided (messages.md, rule 3).
        if stanza.kind != xmpp_core::Kind::Message {
            inbound.below(1, usize::MAX).await;
        }
        let fate = self.router.submit(&self.session, stanza).await;
        match fate {
            Fate::Pending => {
                self.count_pending();
                inbound.below(self.settings.pending_stanzas, self.settings.pending_bytes).await;
            }
            Fate::Decided => {
                // `h` counts in order: what came before is counted first.
                inbound.below(1, usize::MAX).await;
                inbound.handled_now();
            }
        }
        Ok(())
    }

    /// Is it read no further until something is committed?
    fn count_pending(&self) {
        let (stanzas, bytes) = self.session.inbound.pending();
        if stanzas >= self.settings.pending_stanzas {
            self.router.metrics.refused(Bound::PendingCommitStanzas);
        } else if bytes >= self.settings.pending_bytes {
            self.router.metrics.refused(Bound::PendingCommitBytes);
        }
    }

    /// A stanza that cannot be routed as it is: its sender is told.
    async fn malformed(&mut self, malformed: Malformed) -> Result<(), StreamError> {
        let Malformed { mut stanza, condition, fault } = malformed;
        self.router.metrics.stanza_in(stanza.kind);
        if fault == Fault::From {
            return Err(StreamError::new(StreamCondition::InvalidFrom));
        }
        self.session.inbound.below(1, usize::MAX).await;
        stanza.from = Some(self.session.jid.clone());
        if let Some(reply) = stanza.error_reply(&StanzaError::new(condition)) {
            self.router.metrics.stanza_error(condition);
            self.session.put_waiting(Arc::new(Delivery::new(reply, self.router.now()))).await;
        }
        self.session.inbound.handled_now();
        Ok(())
    }

    async fn element(&mut self, element: Element) -> Result<(), StreamError> {
        match (element.ns(), element.name()) {
            (ns::SM, "r") if self.managed => {
                // Said when everything before it is decided; the counter is read when it is written.
                self.session.inbound.below(1, usize::MAX).await;
                self.session.link.say(&self.session, |said| {
                    said.answers_due = (said.answers_due + 1).min(ANSWERS_DUE_MAX);
                });
            }
            (ns::SM, "a") if self.managed => {
                let h = sm::parse_a(&element).ok_or(StreamError::new(StreamCondition::BadFormat))?;
                self.session.link.say(&self.session, |said| said.acknowledged = Some(h));
            }
            (ns::SM, "enable") => self.enable(&element).await?,
            (ns::SM, "resume") => self.say_bytes(sm::failed(Condition::UnexpectedRequest, None)),
            (ns::CSI, "active") if self.settings.csi => {
                self.session.link.say(&self.session, |said| said.active = Some(true))
            }
            (ns::CSI, "inactive") if self.settings.csi => {
                self.session.link.say(&self.session, |said| said.active = Some(false))
            }
            // Behaviour 13.
            _ => return Err(StreamError::new(StreamCondition::UnsupportedStanzaType)),
        }
        Ok(())
    }

    async fn enable(&mut self, element: &Element) -> Result<(), StreamError> {
        if self.managed {
            // Behaviour 78: a second <enable/>.
            return Err(StreamError::new(StreamCondition::PolicyViolation));
        }
        self.session.inbound.below(1, usize::MAX).await;
        self.managed = true;
        self.session.inbound.start_counting();
        let wanted = sm::Enable::parse(element);
        let resume_seconds = match (wanted.resume, self.settings.resume_seconds) {
            (true, Some(most)) => Some(wanted.max.map_or(most, |max| max.min(most))),
            _ => None,
        };
        let answer = super::resume::enabled(&self.session, resume_seconds);
        self.session.link.say(&self.session, |said| said.enable = Some(Enable { answer, resume_seconds }));
        Ok(())
    }

    fn say_lost(&self) {
        // A later connection of the session may have been lost before.
        self.session.link.say(&self.session, |said| said.lost = said.lost.max(Some(self.generation)));
    }

    fn say_bytes(&self, bytes: Vec<u8>) {
        self.session.link.say(&self.session, |said| said.bytes = Some(bytes));
    }

    /// The stream is told what the client did wrong, and ends.
    fn fail(&self, error: &StreamError) -> Stop {
        tracing::debug!(jid = %self.session.jid, ?error, "the client broke the stream");
        self.router.metrics.stream_error(error);
        self.say_bytes(error.to_xml());
        self.session.end(End::Failed);
        Stop::Ended
    }
}

/// Bytes that may come now; what exceeds them is waited for, which the client feels as a slow server
/// and not as a lost connection.
pub struct Bucket {
    rate: Option<(u64, u64)>,
    level: u64,
    at: Instant,
}

impl Bucket {
    pub fn new(rate: Option<(u64, u64)>) -> Bucket {
        Bucket { rate, level: rate.map_or(0, |(_, burst)| burst), at: Instant::now() }
    }

    async fn take(&mut self, bytes: usize, router: &Router) {
        let Some((per_second, burst)) = self.rate else { return };
        let passed = self.at.elapsed();
        self.at = Instant::now();
        let gained = (passed.as_micros() as u64).saturating_mul(per_second) / 1_000_000;
        self.level = (self.level + gained).min(burst);
        match self.level.checked_sub(bytes as u64) {
            Some(level) => self.level = level,
            None => {
                router.metrics.slowed_down();
                let missing = bytes as u64 - self.level;
                self.level = 0;
                tokio::time::sleep(Duration::from_micros(missing * 1_000_000 / per_second.max(1))).await;
                self.at = Instant::now();
            }
        }
    }
}
