//! Resumption (XEP-0198 section 5): which session an id means, and how a new connection takes it over
//! (messages.md, rules 15 and 16).

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lru::LruCache;
use parking_lot::Mutex;
use xmpp_core::BareJid;
use xmpp_core::sm::{self, SmId};

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
pub struct TimedOut(Mutex<LruCache<u64, (u64, u32)>>);

impl Default for TimedOut {
    fn default() -> TimedOut {
        TimedOut(Mutex::new(LruCache::new(NonZeroUsize::new(TIMED_OUT).unwrap_or(NonZeroUsize::MIN))))
    }
}

impl TimedOut {
    pub fn note(&self, session: &Session) {
        if session.resume_key() != 0 {
            let last = (session.resume_key(), session.inbound.handled());
            self.0.lock().put(session.id.number, last);
        }
    }

    fn h(&self, id: &SmId) -> Option<u32> {
        let mut timed_out = self.0.lock();
        timed_out.get(&id.session).filter(|(key, _)| *key == id.key).map(|(_, h)| *h)
    }
}

/// `<enabled/>`. With `seconds` the session can be resumed from now on.
pub fn enabled(session: &Session, seconds: Option<u32>) -> Vec<u8> {
    let id = seconds.map(|_| {
        session.set_resume_key(rand::random::<u64>() | 1);
        sm_id(session).to_string()
    });
    sm::Enabled { id, max: seconds, location: None }.to_xml()
}

fn sm_id(session: &Session) -> SmId {
    SmId {
        node: session.id.node.0,
        boot: session.id.boot.0,
        session: session.id.number,
        key: session.resume_key(),
    }
}

/// The session that `previd` means, with its reader stopped and everything it had sent decided.
/// `Err`: there is none for this account; with `h` when it timed out here.
pub async fn find(
    router: &Arc<Router>,
    timed_out: &TimedOut,
    account: &BareJid,
    previd: &str,
) -> Result<Arc<Session>, Option<u32>> {
    let id: SmId = previd.parse().map_err(|_| None)?;
    let (node, boot) = router.cluster.here();
    if (id.node, id.boot) != (node.0, boot.0) {
        return Err(None);
    }
    let session = cluster::SessionId { node, boot, number: id.session };
    let Some(session) = router.sessions.find(session) else { return Err(timed_out.h(&id)) };
    // Behaviour 79: only by the same account, and the id cannot be guessed.
    let known = session.resume_key() == id.key && id.key != 0;
    if !known || session.jid.bare() != *account || session.ended().is_some() {
        return Err(None);
    }
    session.link.stop_reader();
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
    session.link.say(session, |said| said.attach = Some(attach));
}
