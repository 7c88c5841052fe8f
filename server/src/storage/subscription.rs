//! Subscriptions by the complete tables of RFC 6121 appendix A: pure functions over the two sides'
//! roster items, and the chain that one presence stanza sets off when both sides are local.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use xmpp_core::BareJid;

use super::{RosterItem, RosterVersion};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verb {
    Subscribe,
    Subscribed,
    Unsubscribe,
    Unsubscribed,
}

/// What is to be done, in this order, once the transaction has committed.
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
}
