//! Subscriptions by the complete tables of RFC 6121 appendix A: pure functions over the two sides'
//! roster items, and the chain that one presence stanza sets off when both sides are local.
//!
//! A store loads the [`Side`]s that are its own into a [`Pair`], lets the pair take the stanza, and
//! writes back each side that [`Side::changed`], all in one transaction.

pub mod table;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use xmpp_core::BareJid;

use super::{RosterItem, RosterLimits, RosterVersion, StoreError};
use table::{State, inbound, outbound};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verb {
    Subscribe,
    Subscribed,
    Unsubscribe,
    Unsubscribed,
}

/// What is to be done, in this order, once the transaction has committed.
///
/// The order is that of RFC 6121: what a client asked for is pushed to its own account first, what
/// arrives is delivered before it is pushed (sections 3.1.6, 3.2.3 and 3.3.3: MUST), `unavailable`
/// goes before `unsubscribed` (3.2.2), presence after `subscribed` (3.1.5).
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// A roster push to the owner's interested resources.
    Push { owner: BareJid, item: RosterItem, version: RosterVersion },
    /// A push with `subscription='remove'`.
    PushRemoved { owner: BareJid, contact: BareJid, version: RosterVersion },
    /// The presence of this subscription type goes from one account to the other: to the available
    /// resources (`subscribe`) or the interested ones (the others) of a local recipient, or to the
    /// recipient's server. `stanza`: what the request carried, for `Subscribe` only.
    Deliver { from: BareJid, to: BareJid, verb: Verb, stanza: Option<Bytes> },
    /// `from` sends the current presence of each of its resources to `to` (RFC 6121 section 3.1.5).
    SendPresence { from: BareJid, to: BareJid },
    /// `from` sends `unavailable` of each of its available resources to `to` (section 3.2.2).
    SendUnavailable { from: BareJid, to: BareJid },
    /// `owner` has no room for one more request, so that this one was passed over.
    NoRoom { owner: BareJid },
}

/// One local account's view of the other party, as its store loaded it and shall write it back.
#[derive(Debug, Clone)]
pub struct Side {
    pub item: Option<RosterItem>,
    pub version: RosterVersion,
    /// How many items the account lists, and how many unlisted requests wait for its answer.
    pub listed: u32,
    pub requests: u32,
    /// Has `item` to be written, or its row deleted where it is `None`?
    pub changed: bool,
    /// Has a client seen the change: is `version` a new one, that of the item or of its tombstone?
    pub pushed: bool,
}

/// An address, and what a store has of it.
#[derive(Debug, Clone)]
pub struct Party {
    pub jid: BareJid,
    /// `None` for an account of another server.
    pub home: Home,
}

/// Where a party's roster is.
#[derive(Debug, Clone)]
pub enum Home {
    /// On another server, which does its own half.
    Remote,
    /// On a domain of ours, and not there: what comes for it is passed over (section 8.5.1).
    Missing,
    Here(Side),
}

/// The two parties of one subscription: `from` acts, `to` is acted on.
#[derive(Debug, Clone)]
pub struct Pair {
    pub from: Party,
    pub to: Party,
    pub limits: RosterLimits,
}

impl Pair {
    /// `from` sends presence of a subscription type. `Full` when it would need an item more than its
    /// roster holds; a request that is one too many for `to` is passed over in silence.
    pub fn send(&mut self, verb: Verb, stanza: &Bytes) -> Result<Vec<Effect>, StoreError> {
        let mut effects = Vec::new();
        // Nobody needs a subscription to oneself (section 4.3.2): it could only contradict itself.
        if self.from.jid == self.to.jid {
            return Ok(effects);
        }
        let (from, to) = (self.from.jid.clone(), self.to.jid.clone());
        match &mut self.from.home {
            Home::Missing => return Ok(effects),
            Home::Remote => {
                self.arrive(verb, stanza, &mut effects);
                return Ok(effects);
            }
            Home::Here(side) => {
                let before = State::of(side.item.as_ref());
                let after = outbound(before, verb);
                if side.set_own(&to, after.state, self.limits)? {
                    effects.extend(side.push(&from));
                }
                if !after.route {
                    return Ok(effects);
                }
                // Section 3.2.2: while `to` is still subscribed. Who only asked learns of no resource.
                if verb == Verb::Unsubscribed && before.from {
                    effects.push(Effect::SendUnavailable { from: from.clone(), to: to.clone() });
                }
            }
        }
        self.arrive(verb, stanza, &mut effects);
        if verb == Verb::Subscribed {
            effects.push(Effect::SendPresence { from, to });
        }
        Ok(effects)
    }

    /// `from` removes `to` from its roster (section 2.5.2). `Conflict` when it lists no such item.
    pub fn remove(&mut self) -> Result<Vec<Effect>, StoreError> {
        let mut effects = Vec::new();
        let Home::Here(side) = &mut self.from.home else {
            return Err(StoreError::no_account(&self.from.jid));
        };
        if !side.item.as_ref().is_some_and(|item| item.listed) {
            return Err(StoreError::no_item(&self.to.jid));
        }
        let before = State::of(side.item.as_ref());
        side.item = None;
        side.changed = true;
        side.pushed = true;
        side.version.counter += 1;
        effects.push(Effect::PushRemoved {
            owner: self.from.jid.clone(),
            contact: self.to.jid.clone(),
            version: side.version,
        });
        self.part(before, &mut effects);
        Ok(effects)
    }

    /// The account of `from` goes: `to` learns it as if `from` had removed it from its roster. Nothing
    /// is written back of `from`, whose rows go with the account.
    pub fn remove_account(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        if let Home::Here(side) = &self.from.home {
            let before = State::of(side.item.as_ref());
            self.from.home = Home::Missing;
            self.part(before, &mut effects);
        }
        effects
    }

    /// Ends both directions, requests that nobody answered yet included: a request left behind would
    /// be granted to somebody who does not want it any more.
    fn part(&mut self, before: State, effects: &mut Vec<Effect>) {
        if self.from.jid == self.to.jid {
            return;
        }
        if before.to || before.pending_out {
            self.arrive(Verb::Unsubscribe, &Bytes::new(), effects);
        }
        if before.from {
            let (from, to) = (self.from.jid.clone(), self.to.jid.clone());
            effects.push(Effect::SendUnavailable { from, to });
        }
        if before.from || before.pending_in {
            self.arrive(Verb::Unsubscribed, &Bytes::new(), effects);
        }
    }

    /// `to` receives what `from` sent, and its server answers where the tables say so.
    fn arrive(&mut self, verb: Verb, stanza: &Bytes, effects: &mut Vec<Effect>) {
        let subscribed_before = match &self.to.home {
            Home::Here(side) => State::of(side.item.as_ref()).from,
            _ => false,
        };
        let reply = receive(&mut self.to, &self.from.jid, verb, stanza, self.limits, effects);
        let Some(reply) = reply else { return };
        let (from, to) = (self.from.jid.clone(), self.to.jid.clone());
        // Section 3.3.3: the one who unsubscribed sees the resources go.
        if reply == Verb::Unsubscribed && subscribed_before {
            effects.push(Effect::SendUnavailable { from: to.clone(), to: from.clone() });
        }
        receive(&mut self.from, &to, reply, stanza, self.limits, effects);
        if reply == Verb::Subscribed {
            effects.push(Effect::SendPresence { from: to, to: from });
        }
    }
}

/// One party receives; the answer that its server gives for it, if any.
fn receive(
    party: &mut Party,
    sender: &BareJid,
    verb: Verb,
    stanza: &Bytes,
    limits: RosterLimits,
    effects: &mut Vec<Effect>,
) -> Option<Verb> {
    let request = (verb == Verb::Subscribe).then(|| stanza.clone());
    let deliver = |to: &BareJid| {
        let (from, to, stanza) = (sender.clone(), to.clone(), request.clone());
        Effect::Deliver { from, to, verb, stanza }
    };
    let side = match &mut party.home {
        Home::Missing => return None,
        Home::Remote => {
            effects.push(deliver(&party.jid));
            return None;
        }
        Home::Here(side) => side,
    };
    let after = inbound(State::of(side.item.as_ref()), verb);
    if after.state.pending_in && side.item.is_none() && side.requests >= limits.requests {
        effects.push(Effect::NoRoom { owner: party.jid.clone() });
        return None;
    }
    let shown = side.set(sender, after.state, request.as_ref().unwrap_or(&Bytes::new()));
    if after.deliver {
        effects.push(deliver(&party.jid));
    }
    if shown {
        effects.extend(side.push(&party.jid));
    }
    after.reply
}

impl Side {
    pub fn new(version: RosterVersion, item: Option<RosterItem>, listed: u32, requests: u32) -> Side {
        Side { item, version, listed, requests, changed: false, pushed: false }
    }

    /// The owner's own act, which may make the contact an item of its roster.
    fn set_own(&mut self, contact: &BareJid, state: State, limits: RosterLimits) -> Result<bool, StoreError> {
        let listed = self.item.as_ref().is_some_and(|item| item.listed);
        if state.is_shown() && !listed && self.listed >= limits.items {
            return Err(StoreError::roster_full(limits.items));
        }
        Ok(self.set(contact, state, &Bytes::new()))
    }

    /// Brings the item to a state: makes it, changes it, or lets a mere request go. True when a client
    /// sees a difference, which has a version of its own then.
    fn set(&mut self, contact: &BareJid, state: State, stanza: &Bytes) -> bool {
        let before = self.item.clone();
        let mut item = self.item.take().unwrap_or_else(|| RosterItem::unlisted(contact.clone()));
        state.write_to(&mut item, stanza);
        item.listed |= state.is_shown();
        if item.listed || item.request.is_some() {
            self.item = Some(item);
        }
        self.changed |= self.item != before;
        let shown = !RosterItem::look_the_same(before.as_ref(), self.item.as_ref());
        if shown {
            self.version.counter += 1;
            self.pushed = true;
        }
        shown
    }

    fn push(&self, owner: &BareJid) -> Option<Effect> {
        let item = self.item.clone()?;
        Some(Effect::Push { owner: owner.clone(), item, version: self.version })
    }
}

#[cfg(test)]
mod tests;
