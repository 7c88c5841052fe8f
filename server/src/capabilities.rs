//! What clients can do, as their entity capabilities say (XEP-0115): verified, shared by all sessions
//! that announce the same, bounded. `modules/caps.rs` fills it; who wants to know reads [`Capabilities::of`].

pub mod verification;

use std::num::NonZeroUsize;
use std::sync::Arc;

use ahash::{HashMap, RandomState};
use cluster::SessionId;
use lru::LruCache;
use parking_lot::Mutex;
use xmpp_core::Element;

use crate::session::Session;

/// A disco answer that is longer is not kept: those of today's clients have 3 000 bytes.
pub const INFO_MAX_BYTES: usize = 16 * 1024;

/// What one kind of client can do.
#[derive(Debug, PartialEq, Eq)]
pub struct Info {
    /// Sorted.
    features: Box<[Box<str>]>,
}

/// Two plain locks, held for a look-up each.
pub struct Capabilities {
    /// Verified, by the name of the hash function and its value.
    known: Mutex<LruCache<Arc<str>, Arc<Info>, RandomState>>,
    /// What each session of this node said last.
    sessions: Mutex<HashMap<SessionId, Said>>,
}

struct Said {
    key: Arc<str>,
    /// Once it is known. A session keeps what it can do while the cache forgets.
    info: Option<Arc<Info>>,
}

/// What is to be done about a presence's capabilities.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing: known, or said before by this session.
    Settled,
    /// Nobody has verified them yet.
    New,
}

impl Info {
    /// Of a `<query/>` of disco#info.
    pub fn new(query: &Element) -> Info {
        let features = query.elements().filter(|element| element.name() == "feature");
        let mut features: Vec<Box<str>> =
            features.filter_map(|feature| feature.attribute("var")).map(Box::from).collect();
        features.sort_unstable();
        features.dedup();
        Info { features: features.into() }
    }

    pub fn has(&self, feature: &str) -> bool {
        self.features.binary_search_by(|known| (**known).cmp(feature)).is_ok()
    }

    pub fn features(&self) -> impl Iterator<Item = &str> {
        self.features.iter().map(|feature| &**feature)
    }
}

impl Capabilities {
    /// Remembers at most `capacity` kinds of clients, besides those that are here.
    pub fn new(capacity: usize) -> Capabilities {
        let capacity = NonZeroUsize::new(capacity).unwrap_or(NonZeroUsize::MIN);
        Capabilities {
            known: Mutex::new(LruCache::with_hasher(capacity, RandomState::new())),
            sessions: Mutex::default(),
        }
    }

    /// What the session's client can do; `None` while that is not known.
    pub fn of(&self, session: SessionId) -> Option<Arc<Info>> {
        let mut sessions = self.sessions.lock();
        let said = sessions.get_mut(&session)?;
        if said.info.is_none() {
            said.info = self.find(&said.key);
        }
        said.info.clone()
    }

    /// How many kinds of clients are remembered.
    pub fn capacity(&self) -> usize {
        self.known.lock().cap().get()
    }

    fn find(&self, key: &str) -> Option<Arc<Info>> {
        self.known.lock().get(key).cloned()
    }

    /// A session announces its capabilities.
    pub fn hear(&self, session: &Session, key: &Arc<str>) -> Heard {
        let mut sessions = self.sessions.lock();
        if sessions.get(&session.id).is_some_and(|said| said.key == *key) || session.ended().is_some() {
            return Heard::Settled;
        }
        let info = self.find(key);
        let heard = if info.is_some() { Heard::Settled } else { Heard::New };
        sessions.insert(session.id, Said { key: key.clone(), info });
        heard
    }

    /// Verified: true for whoever announces it.
    pub fn learn(&self, key: &Arc<str>, info: Arc<Info>) {
        self.known.lock().put(key.clone(), info);
    }

    /// Not verifiable: true of this session alone, while it announces it.
    pub fn learn_of(&self, session: SessionId, key: &str, info: Arc<Info>) {
        if let Some(said) = self.sessions.lock().get_mut(&session)
            && *said.key == *key
        {
            said.info = Some(info);
        }
    }

    /// The session has ended, or is to be asked at its next presence.
    pub fn forget(&self, session: SessionId) {
        self.sessions.lock().remove(&session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_found() {
        let feature = |var: &str| Element::new("feature", xmpp_core::ns::DISCO_INFO).attr("var", var);
        let query = Element::new("query", xmpp_core::ns::DISCO_INFO).child(feature("b")).child(feature("a"));
        let info = Info::new(&query);
        assert!(info.has("a") && info.has("b") && !info.has("c"));
        assert_eq!(info.features().collect::<Vec<_>>(), ["a", "b"]);
    }
}
