//! Entity capabilities (XEP-0115): our own in the stream features and under their disco node; those of
//! clients asked for once per hash, verified before they are believed, and kept over restarts.

use std::sync::Arc;

use ahash::HashMap;
use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::Mutex;
use xmpp_core::{Element, Jid, Kind, Stanza, Type, ns};

use crate::capabilities::verification::{Hash, ver};
use crate::capabilities::{Capabilities, Heard, INFO_MAX_BYTES, Info};
use crate::config::Config;
use crate::host::{Host, HostBuilder, Module, Scope};
use crate::router::Router;
use crate::router::hooks::{Answer, Letter, OnSent, OnSession, Verdict};
use crate::session::Session;
use crate::storage::Write;
use crate::telemetry::bound::Bound;

/// The software, for those who want to read about it (section 4).
const NODE: &str = "https://github.com/meerkat-im/meerkat";
const COLLECTION: &str = "caps";
/// The longest attributes of `<c/>` that are looked at: SHA-512 in base64 has 88 bytes.
const VER_MAX_BYTES: usize = 128;
const NODE_MAX_BYTES: usize = 1023;
/// Sessions that stand by to be asked when the first one's answer proves nothing.
const SUBSTITUTES: usize = 8;

pub struct Caps {
    live: Arc<ArcSwap<Config>>,
    finder: Arc<Finder>,
    own: Mutex<Option<Own>>,
}

/// Our own `ver`, for as long as the configuration stands that it was computed under.
struct Own {
    config: Arc<Config>,
    ver: Arc<str>,
}

/// Finds out what clients announce.
struct Finder {
    capabilities: Arc<Capabilities>,
    /// What is being found out, and who else announced it meanwhile. A plain lock: nothing waits
    /// under it.
    asking: Mutex<HashMap<Arc<str>, Vec<Arc<Session>>>>,
}

/// What a `<c/>` announces.
struct Announced {
    /// `None` for a function that this server does not have.
    hash: Option<Hash>,
    ver: String,
    key: Arc<str>,
    /// The disco node under which the client explains it.
    node: String,
}

impl Caps {
    pub fn new(live: Arc<ArcSwap<Config>>, capabilities: Arc<Capabilities>) -> Caps {
        let finder = Finder { capabilities, asking: Mutex::default() };
        Caps { live, finder: Arc::new(finder), own: Mutex::default() }
    }

    /// Computed anew when a reload has replaced the configuration, which may change what is announced.
    fn own_ver(&self, host: &Host) -> Arc<str> {
        let config = self.live.load_full();
        let mut own = self.own.lock();
        match &*own {
            Some(known) if Arc::ptr_eq(&known.config, &config) => known.ver.clone(),
            _ => {
                let ver: Arc<str> = ver(Hash::Sha1, &host.server_info()).unwrap_or_default().into();
                *own = Some(Own { config, ver: ver.clone() });
                ver
            }
        }
    }
}

impl Module for Caps {
    fn name(&self) -> &'static str {
        "caps"
    }

    fn install(self: Arc<Self>, host: &mut HostBuilder) {
        host.feature(ns::CAPS, Scope::Server);
        host.on_sent(self.clone());
        host.on_session(self.clone());
        let this = self.clone();
        // Section 6.3.
        host.stream_feature_with(move |host| {
            let c = Element::new("c", ns::CAPS).attr("hash", "sha-1").attr("node", NODE);
            c.attr("ver", this.own_ver(host))
        });
        // Section 6.2.
        host.server_node(move |host, node| {
            let ver = node.strip_prefix(NODE)?.strip_prefix('#')?;
            (*ver == *self.own_ver(host)).then(|| host.server_info())
        });
    }
}

impl OnSent for Caps {
    fn on_sent<'a>(&'a self, letter: &'a mut Letter, router: &'a Arc<Router>) -> Answer<'a, Verdict> {
        if let Some(session) = letter.session()
            && let Some(announced) = Announced::read(&letter.stanza, session)
            && self.finder.capabilities.hear(session, &announced.key) == Heard::New
        {
            let most = self.live.load().modules.caps.pending_queries as usize;
            self.finder.begin(session, announced, most, router);
        }
        Answer::Now(Verdict::Pass)
    }
}

impl OnSession for Caps {
    fn on_ended<'a>(&'a self, session: &'a Arc<Session>, _: &'a Arc<Router>) -> Answer<'a, ()> {
        self.finder.capabilities.forget(session.id);
        Answer::Now(())
    }
}

impl Announced {
    /// `None` without capabilities, and for those of the format before version 1.4, which prove
    /// nothing (section 10).
    fn read(stanza: &Stanza, session: &Session) -> Option<Announced> {
        let broadcast = stanza.kind == Kind::Presence && stanza.type_ == Type::None && stanza.to.is_none();
        let c = broadcast.then(|| stanza.payload.get("c", ns::CAPS)).flatten()?;
        let (name, node, ver) = (c.attribute("hash")?, c.attribute("node")?, c.attribute("ver")?);
        if name.len() > VER_MAX_BYTES || ver.len() > VER_MAX_BYTES || node.len() > NODE_MAX_BYTES {
            return None;
        }
        let hash = Hash::from_name(name);
        let key = match hash {
            Some(_) => format!("{name} {ver}"),
            // Section 5.4, item 2: true of this client alone, so that no other may share it.
            None => format!("{name} {ver} {}", session.jid),
        };
        Some(Announced { hash, ver: ver.to_owned(), key: key.into(), node: format!("{node}#{ver}") })
    }

    /// What the answer tells; nothing where it does not prove what was announced (section 5.4, item 3).
    fn prove(&self, query: &Element) -> Option<Arc<Info>> {
        let proven = self.hash.is_none_or(|hash| ver(hash, query).as_deref() == Ok(self.ver.as_str()));
        proven.then(|| Arc::new(Info::new(query)))
    }
}

impl Finder {
    /// Finds out what it means in a task of its own, one per hash.
    fn begin(
        self: &Arc<Self>,
        session: &Arc<Session>,
        announced: Announced,
        most: usize,
        router: &Arc<Router>,
    ) {
        let mut asking = self.asking.lock();
        let under_way = asking.len();
        match asking.get_mut(&announced.key) {
            Some(substitutes) if substitutes.len() < SUBSTITUTES => substitutes.push(session.clone()),
            Some(_) => {}
            // Its next presence is soon enough.
            None if under_way >= most => {
                router.metrics.refused(Bound::PendingQueries);
                self.capabilities.forget(session.id);
            }
            None => {
                asking.insert(announced.key.clone(), Vec::new());
                let (this, session, router) = (self.clone(), session.clone(), router.clone());
                tokio::spawn(async move { this.find(session, &announced, &router).await });
            }
        }
    }

    async fn find(&self, first: Arc<Session>, announced: &Announced, router: &Arc<Router>) {
        let mut known = self.recall(announced, router).await;
        let mut session = first;
        loop {
            known = known || self.ask(&session, announced, router).await;
            let mut asking = self.asking.lock();
            // Section 5.4, item 3.9: another who announces the same may prove it.
            match asking.get_mut(&announced.key).and_then(Vec::pop) {
                Some(substitute) if !known => session = substitute,
                _ => {
                    asking.remove(&announced.key);
                    return;
                }
            }
        }
    }

    /// Was it verified before the server was started?
    async fn recall(&self, announced: &Announced, router: &Router) -> bool {
        let stored = match router.store.shared_item(COLLECTION, &announced.key).await {
            Ok(stored) => stored,
            Err(error) => {
                tracing::debug!(%error, "stored capabilities cannot be read; the client is asked");
                None
            }
        };
        let query = stored.and_then(|stored| Element::parse(&stored).ok());
        let info = query.and_then(|query| announced.prove(&query));
        if let Some(info) = &info {
            self.capabilities.learn(&announced.key, info.clone());
        }
        info.is_some()
    }

    async fn ask(&self, session: &Arc<Session>, announced: &Announced, router: &Arc<Router>) -> bool {
        let Ok(domain) = Jid::new(None, session.jid.domain(), None) else { return false };
        let query = Element::new("query", ns::DISCO_INFO).attr("node", &announced.node);
        let answer = router.ask(session, domain, Type::Get, &query).await;
        let Some(answer) = answer.filter(|answer| answer.payload.len_bytes() <= INFO_MAX_BYTES) else {
            return false;
        };
        let Some(query) = answer.payload.get("query", ns::DISCO_INFO) else { return false };
        let Some(info) = announced.prove(&query) else {
            tracing::debug!(jid = %session.jid, "the client's capabilities are not what it announced");
            return false;
        };
        if announced.hash.is_none() {
            self.capabilities.learn_of(session.id, &announced.key, info);
            return true;
        }
        self.capabilities.learn(&announced.key, info);
        let write = Write::SetSharedItem {
            collection: COLLECTION.to_owned(),
            key: announced.key.to_string(),
            value: Bytes::from(query.to_xml()),
            limit: self.capabilities.capacity() as u32,
        };
        if let Err(error) = router.store.write(write).await {
            tracing::debug!(%error, "verified capabilities were not stored; they are asked for again");
        }
        true
    }
}

#[cfg(test)]
mod tests;
