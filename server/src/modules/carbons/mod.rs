//! Message carbons (XEP-0280), with all rules of its section 6.1: an account's clients that want it get
//! copies of what its other clients send and receive.

mod eligible;

use std::num::NonZeroUsize;
use std::sync::Arc;

use ahash::RandomState;
use cluster::SessionId;
use lru::LruCache;
use parking_lot::Mutex;
use smallvec::SmallVec;
use xmpp_core::{BareJid, Jid, Payload, Stanza, StanzaError, ns};

use crate::host::{HostBuilder, Module, Scope};
use crate::router::Router;
use crate::router::hooks::{Answer, AnswerIq, Delivered, Iq, IqResult, OnDelivered};
use crate::session::{Delivery, Session, Wants};
use eligible::{is_eligible, is_room_private};

/// Of so many messages it is remembered that their errors are copied as they were.
const REMEMBERED: usize = 16_384;

pub struct Carbons {
    /// The messages of which copies were made, by a hash of sender, recipient and `id`: an error that
    /// answers one is eligible, and need not say what it answers (section 10.3).
    copied: Mutex<LruCache<u64, ()>>,
    hasher: RandomState,
}

impl Default for Carbons {
    fn default() -> Carbons {
        let capacity = NonZeroUsize::new(REMEMBERED).unwrap_or(NonZeroUsize::MIN);
        Carbons { copied: Mutex::new(LruCache::new(capacity)), hasher: RandomState::new() }
    }
}

impl Module for Carbons {
    fn name(&self) -> &'static str {
        "carbons"
    }

    fn install(self: Arc<Self>, host: &mut HostBuilder) {
        host.on_delivered(self.clone());
        host.feature(ns::CARBONS, Scope::Both);
        host.feature(ns::CARBONS_RULES, Scope::Both);
        host.answer_iq(ns::CARBONS, Scope::Account, self);
    }
}

/// Sections 4 and 5. To enable or disable it twice is no error.
impl AnswerIq for Carbons {
    fn answer<'a>(&'a self, iq: &'a Iq<'a>, _: &'a Arc<Router>) -> Answer<'a, IqResult> {
        let wanted = match (iq.is_set, iq.query.name()) {
            (true, "enable") => true,
            (true, "disable") => false,
            _ => return Answer::Now(Err(StanzaError::bad_request())),
        };
        Answer::Now(match (iq.own(StanzaError::not_allowed()), iq.session) {
            (Ok(_), Some(session)) => {
                session.set_wants(Wants::Carbons, wanted);
                Ok(None)
            }
            (Ok(_), None) => Err(StanzaError::not_allowed()),
            (Err(error), _) => Err(error),
        })
    }
}

impl OnDelivered for Carbons {
    fn on_delivered(&self, delivered: &Delivered<'_>, router: &Arc<Router>) {
        let answers_copied = || self.answers_copied(delivered.stanza);
        if !is_eligible(delivered.stanza, answers_copied) {
            return;
        }
        let to_itself = self.received(delivered, router);
        if let Some(sender) = delivered.sender.filter(|_| !to_itself) {
            self.sent(delivered, sender, router);
        }
    }
}

/// What a copy says of the message in it.
#[derive(Clone, Copy)]
enum Direction {
    Sent,
    Received,
}

impl Carbons {
    /// Section 7. True for a message from an account to itself, of which each client gets one copy
    /// (messages.md, rule 21).
    fn received(&self, delivered: &Delivered<'_>, router: &Router) -> bool {
        let Some(recipient) = delivered.recipient else { return false };
        let from_itself = delivered.sender.is_some_and(|sender| sender.jid.bare() == *recipient);
        if is_room_private(delivered.sent) {
            // The room sends each of its occupant's clients one of its own.
            return from_itself;
        }
        let waits = delivered.saved.is_some() && delivered.given.is_empty();
        let mut copies = copies_for(recipient, router, |session| {
            let has_it = delivered.given.iter().any(|given| given.id == session);
            let sent_it = from_itself && delivered.sender.is_some_and(|sender| sender.id == session);
            !has_it && !sent_it
        });
        // It will be given what waits, when it becomes available.
        copies.retain(|session| !waits || session.wants(Wants::Presence));
        give(&copies, Direction::Received, delivered.stanza, delivered.time, delivered.original);
        from_itself
    }

    /// Section 8.
    fn sent(&self, delivered: &Delivered<'_>, sender: &Session, router: &Router) {
        let copies = copies_for(&sender.jid.bare(), router, |session| session != sender.id);
        if copies.is_empty() {
            return;
        }
        if let Some(key) = self.key(&delivered.sent.from, &delivered.sent.to, delivered.sent.id.as_deref()) {
            self.copied.lock().put(key, ());
        }
        let sent = match delivered.in_senders_archive {
            Some((account, id)) => router.with_stanza_id(delivered.sent, &sender.jid.bare(), account, id),
            None => delivered.sent.clone(),
        };
        give(&copies, Direction::Sent, &sent, delivered.time, None);
    }

    fn answers_copied(&self, error: &Stanza) -> bool {
        let key = self.key(&error.to, &error.from, error.id.as_deref());
        key.is_some_and(|key| self.copied.lock().contains(&key))
    }

    /// The recipient counts without its resource: who was addressed by the bare address may answer from
    /// the full one.
    fn key(&self, sender: &Option<Jid>, recipient: &Option<Jid>, id: Option<&str>) -> Option<u64> {
        let (sender, recipient) = (sender.as_ref()?, recipient.as_ref()?);
        Some(self.hasher.hash_one((sender.as_str(), recipient.bare_str(), id?)))
    }
}

type Sessions = SmallVec<[Arc<Session>; 4]>;

/// Those who want copies, of those that `lacks` names: mostly nobody, so that no session is looked up.
fn copies_for(account: &BareJid, router: &Router, lacks: impl Fn(SessionId) -> bool) -> Sessions {
    let entries = router.cluster.find(account);
    let lacking = entries.iter().map(|entry| entry.session).filter(|session| lacks(*session));
    let sessions = lacking.filter_map(|session| router.sessions.find(session));
    sessions.filter(|session| session.wants(Wants::Carbons)).collect()
}

/// The copies share what is in them. One that cannot be delivered is nobody's loss: its own error, too,
/// would go to the account itself and end there (section 10.3).
fn give(to: &[Arc<Session>], direction: Direction, stanza: &Stanza, time: u64, of: Option<&Arc<Delivery>>) {
    if to.is_empty() {
        return;
    }
    let payload = wrapped(direction, stanza);
    for session in to {
        let copy =
            Stanza::message(stanza.type_).with_from(session.jid.to_bare()).with_to(session.jid.clone());
        let copy = Stanza { payload: payload.clone(), ..copy };
        session.put(Arc::new(Delivery::copy(copy, time, of)));
    }
}

fn wrapped(direction: Direction, stanza: &Stanza) -> Payload {
    let name = match direction {
        Direction::Sent => "sent",
        Direction::Received => "received",
    };
    let mut xml = Vec::with_capacity(stanza.payload.len_bytes() + 400);
    xml.extend_from_slice(b"<");
    xml.extend_from_slice(name.as_bytes());
    xml.extend_from_slice(b" xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>");
    stanza.write_in(ns::CLIENT, &mut xml);
    xml.extend_from_slice(b"</forwarded></");
    xml.extend_from_slice(name.as_bytes());
    xml.extend_from_slice(b">");
    let mut payload = Payload::empty();
    payload.push_raw(&xml);
    payload
}

#[cfg(test)]
mod tests;
