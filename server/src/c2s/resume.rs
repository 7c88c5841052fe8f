//! Resumption (XEP-0198 section 5): which session an id means, and how a new connection takes it over
//! (messages.md, rules 15 and 16).

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lru::LruCache;
use parking_lot::Mutex;
use xmpp_core::sm::{self, Enabled, SmId};
use xmpp_core::{BareJid, StreamCondition, StreamError};

use super::socket::Socket;
use crate::router::Router;
use crate::session::Session;
use crate::session::link::Attach;

/// A hand-over takes no longer, or it fails and the client binds.
const HAND_OVER: Duration = Duration::from_secs(5);
/// So many sessions that timed out are remembered with their `h`.
const TIMED_OUT: usize = 10_000;

/// Each connection of a session has its own number.
pub fn next_generation() -> u64 {
    static GENERATION: AtomicU64 = AtomicU64::new(1);
    GENERATION.fetch_add(1, Ordering::Relaxed)
}

/// What sessions had handled that nobody resumed in time.
pub struct TimedOut(Mutex<LruCache<u64, (SmId, u32)>>);

impl Default for TimedOut {
    fn default() -> TimedOut {
        TimedOut(Mutex::new(LruCache::new(NonZeroUsize::new(TIMED_OUT).unwrap_or(NonZeroUsize::MIN))))
    }
}

impl TimedOut {
    pub fn note(&self, session: &Session) {
        if let Some(id) = session.sm_id.get() {
            self.0.lock().put(session.id.number, (**id, session.inbound.handled()));
        }
    }

    fn h(&self, id: &SmId) -> Option<u32> {
        self.0.lock().get(&id.number()).filter(|(known, _)| known == id).map(|(_, h)| *h)
    }
}

/// `<enabled/>`. With `seconds` the session can be resumed from now on.
pub fn enabled(session: &Session, seconds: Option<u32>) -> Vec<u8> {
    let id = seconds.map(|_| {
        let new = || SmId::new(session.id.node.0, session.id.boot.0, session.id.number, &mut super::chance);
        session.sm_id.get_or_init(|| Box::new(new())).encode()
    });
    let mut out = Vec::new();
    sm::write_enabled(Enabled { id: id.as_deref(), max: seconds, location: None }, &mut out);
    out
}

/// The session that `previd` means, with its reader stopped and everything it had sent decided.
/// `Err`: there is none for this account; with `h` when it timed out here.
pub async fn find(
    router: &Arc<Router>,
    timed_out: &TimedOut,
    account: &BareJid,
    previd: &str,
) -> Result<Arc<Session>, Option<u32>> {
    let id = SmId::parse(previd).ok_or(None)?;
    let (node, boot) = router.cluster.here();
    if (id.node(), id.boot()) != (node.0, boot.0) {
        return Err(None);
    }
    let session = cluster::SessionId { node, boot, number: id.number() };
    let Some(session) = router.sessions.find(session) else { return Err(timed_out.h(&id)) };
    // Behaviour 79: only by the same account, and the id cannot be guessed.
    let known = session.sm_id.get().is_some_and(|known| **known == id);
    if !known || session.jid.bare() != *account || session.ended().is_some() {
        return Err(None);
    }
    let quiet = async {
        session.link.without_reader().await;
        session.inbound.below(1, usize::MAX).await;
    };
    match tokio::time::timeout(HAND_OVER, quiet).await {
        Ok(()) if session.ended().is_none() => Ok(session),
        _ => Err(None),
    }
}

/// Gives the session its new connection; its task writes `<resumed/>` and all that follows.
pub fn attach(session: &Arc<Session>, socket: Arc<Socket>, generation: u64, previd: String, h: u32) {
    let attach = Attach { socket, generation, h, previd };
    let mut overtaken = None;
    session.link.say(session, |said| overtaken = said.attach.replace(attach));
    // The task has not seen it, and need not.
    if let Some(overtaken) = overtaken {
        close_with_conflict(&overtaken.socket);
    }
}

/// A connection whose session has another one.
pub fn close_with_conflict(socket: &Socket) {
    tell_end(socket, StreamCondition::Conflict);
    socket.close();
}

/// Why a connection ends whose session may go on, as far as that can be said without waiting.
pub fn tell_end(socket: &Socket, condition: StreamCondition) {
    let mut last_words = StreamError::new(condition).to_xml();
    last_words.extend_from_slice(b"</stream:stream>");
    let _ = socket.try_write(&last_words);
}
