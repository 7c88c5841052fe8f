//! What is not written yet although it has left the mailbox: for a client that says it is not looked
//! at (XEP-0352), for a session that sleeps, or because too much is unacknowledged.
//!
//! Presence is merged here, the newest of each sender, because none of it has a number yet
//! (messages.md, rule 17): a busy roster does not fill the queue of a sleeping phone.

use std::collections::VecDeque;
use std::sync::Arc;

use ahash::HashMap;
use xmpp_core::{Element, Jid, Kind, Stanza, Type, ns};

use crate::session::Delivery;

#[derive(Default)]
pub struct Hold {
    /// In the order of arrival; a merged presence leaves an empty place.
    queue: VecDeque<Option<Arc<Delivery>>>,
    bytes: usize,
    /// How many places have gone from the front since `presences` counts them.
    gone: usize,
    /// Where each sender's newest presence stands.
    presences: Option<Box<HashMap<Jid, usize>>>,
}

impl Hold {
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub fn len(&self) -> usize {
        self.queue.len()
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds one; gives back what it replaces.
    pub fn push(&mut self, delivery: Arc<Delivery>) -> Option<Arc<Delivery>> {
        let place = self.gone + self.queue.len();
        let replaced = match mergeable(&delivery.stanza) {
            Some(from) => self.presences.get_or_insert_default().insert(from.clone(), place),
            None => None,
        };
        self.bytes += delivery.bytes as usize;
        self.queue.push_back(Some(delivery));
        let old = replaced.and_then(|place| self.queue.get_mut(place.checked_sub(self.gone)?)?.take());
        self.bytes -= old.as_ref().map_or(0, |d| d.bytes as usize);
        old
    }

    pub fn pop(&mut self) -> Option<Arc<Delivery>> {
        while let Some(place) = self.queue.pop_front() {
            self.gone += 1;
            if let Some(delivery) = place {
                self.bytes -= delivery.bytes as usize;
                return Some(delivery);
            }
        }
        *self = Hold::default();
        None
    }
}

/// Available and unavailable presence of somebody replaces the last one.
fn mergeable(stanza: &Stanza) -> Option<&Jid> {
    let plain = stanza.kind == Kind::Presence && matches!(stanza.type_, Type::None | Type::Unavailable);
    // What a room says (status codes, other people's nicknames) is told in full.
    let of_a_room = stanza.payload.has_ns(ns::MUC_USER);
    if plain && !of_a_room { stanza.from.as_ref() } else { None }
}

/// May it wait while nobody looks (XEP-0352 section 5)? Presence and chat states may, and copies of chat
/// states: a conversation on another client would wake this one all the time.
pub fn is_unimportant(stanza: &Stanza) -> bool {
    match stanza.kind {
        Kind::Presence => matches!(stanza.type_, Type::None | Type::Unavailable),
        Kind::Message => stanza.payload.children().all(|child| {
            says_little(child.name, child.ns) || (child.ns == ns::CARBONS && copies_little(&child.element()))
        }),
        Kind::Iq => false,
    }
}

fn says_little(name: &str, ns: &str) -> bool {
    matches!(ns, ns::CHAT_STATES | ns::HINTS | ns::STANZA_ID) || name == "thread"
}

/// `<sent/>` or `<received/>` with a message in it (XEP-0280).
fn copies_little(copy: &Element) -> bool {
    let message = copy.find("forwarded", ns::FORWARD).and_then(|f| f.find("message", ns::CLIENT));
    message.is_some_and(|message| message.elements().all(|child| says_little(child.name(), child.ns())))
}
