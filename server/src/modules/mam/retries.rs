//! A client that lost its connection may send again what the server has already (messages.md, rule 14):
//! what is the same as one of the sender's latest is passed over, for a minute behind the session's bind.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hash};
use std::num::NonZeroUsize;

use ahash::RandomState;
use cluster::SessionId;
use lru::LruCache;
use parking_lot::Mutex;
use xmpp_core::{Stanza, ns};

use crate::router::Router;
use crate::router::hooks::{Answer, Letter, Verdict};
use crate::storage::archive::{End, Filter};
use crate::storage::{AccountNumber, Millis};

/// How long behind its bind a session's messages may be retries.
const AFTER_BIND: Millis = 60 * 1000;
/// Among how many of the sender's latest they are looked for, and how old these may be.
const LATEST: usize = 1024;
const OLDEST: Millis = 24 * 60 * 60 * 1000;
/// Sessions whose latest are remembered; of one more they are read again.
const SESSIONS: usize = 1024;

pub struct Retries {
    /// What each session's account had sent before, as hashes.
    latest: Mutex<LruCache<SessionId, HashSet<u64>>>,
    hasher: RandomState,
}

impl Default for Retries {
    fn default() -> Retries {
        let sessions = NonZeroUsize::new(SESSIONS).unwrap_or(NonZeroUsize::MIN);
        Retries { latest: Mutex::new(LruCache::new(sessions)), hasher: RandomState::new() }
    }
}

impl Retries {
    /// Drops what was sent before: that counts it and no more.
    pub fn check<'a>(&'a self, letter: &'a Letter, router: &'a Router) -> Answer<'a, Verdict> {
        let Some(session) = letter.session() else { return Answer::Now(Verdict::Pass) };
        let may_be = router.now().saturating_sub(session.opened) < AFTER_BIND
            && letter.stanza.payload.has("origin-id", ns::STANZA_ID);
        let Some(hash) = self.hash(&letter.stanza).filter(|_| may_be) else {
            return Answer::Now(Verdict::Pass);
        };
        if let Some(latest) = self.latest.lock().get(&session.id) {
            return Answer::Now(verdict(latest, hash));
        }
        let (id, owner) = (session.id, session.account);
        Answer::later(async move {
            let latest = self.read(owner, router).await;
            let verdict = verdict(&latest, hash);
            self.latest.lock().put(id, latest);
            verdict
        })
    }

    /// What cannot be read is not known, and a message more does no harm.
    async fn read(&self, owner: AccountNumber, router: &Router) -> HashSet<u64> {
        let start = Some(router.now().saturating_sub(OLDEST));
        let filter = Filter { sent: true, start, ..Filter::default() };
        let latest = router.store.archived(owner, &filter, End::Newest, LATEST).await.unwrap_or_default();
        let stanzas = latest.iter().filter_map(|message| Stanza::read(&message.stanza).ok());
        stanzas.filter_map(|stanza| self.hash(&stanza)).collect()
    }

    /// Recipient, type, origin-id (a part of the payload) and payload.
    fn hash(&self, stanza: &Stanza) -> Option<u64> {
        let mut hasher = self.hasher.build_hasher();
        stanza.to.as_ref()?.as_str().hash(&mut hasher);
        stanza.type_.hash(&mut hasher);
        stanza.payload.bytes().hash(&mut hasher);
        Some(std::hash::Hasher::finish(&hasher))
    }
}

fn verdict(latest: &HashSet<u64>, hash: u64) -> Verdict {
    if latest.contains(&hash) { Verdict::Drop } else { Verdict::Pass }
}
