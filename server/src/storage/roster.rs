//! Rosters as they are stored (RFC 6121 section 2).

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use xmpp_core::BareJid;

/// How many removals of an account are remembered for [`super::Rosters::roster_since`].
pub const REMEMBERED_REMOVALS: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub enum Subscription {
    #[default]
    None,
    To,
    From,
    Both,
}

/// One contact of an account: an item of its roster, or only a request that waits for an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterItem {
    pub contact: BareJid,
    pub name: String,
    pub groups: Vec<String>,
    pub subscription: Subscription,
    /// Pending out: `ask='subscribe'`.
    pub ask: bool,
    /// Pre-approved (section 3.4): `approved='true'`.
    pub approved: bool,
    /// Pending in: the request as it came, kept until it is answered.
    pub request: Option<Bytes>,
    /// False when there is nothing here but a pending request: then no client sees it
    /// (RFC 6121 section A.1).
    pub listed: bool,
}

/// How much an account's roster holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterLimits {
    /// Items that it lists.
    pub items: u32,
    /// Requests beside them that wait for an answer.
    pub requests: u32,
}

impl RosterLimits {
    /// For what only takes away.
    pub const NONE: RosterLimits = RosterLimits { items: u32::MAX, requests: u32::MAX };
}

#[derive(Debug, Clone, Default)]
pub struct Roster {
    pub version: RosterVersion,
    pub items: Vec<RosterItem>,
}

/// A random epoch per creation of an account, and a counter that each pushed change moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct RosterVersion {
    pub epoch: u64,
    pub counter: u64,
}

#[derive(Debug, Clone)]
pub enum RosterChange {
    Put(RosterItem, RosterVersion),
    Removed(BareJid, RosterVersion),
}

impl RosterItem {
    pub fn new(contact: BareJid) -> RosterItem {
        RosterItem {
            contact,
            name: String::new(),
            groups: Vec::new(),
            subscription: Subscription::None,
            ask: false,
            approved: false,
            request: None,
            listed: true,
        }
    }

    /// A contact that only asks, or of whom nothing is known yet.
    pub fn unlisted(contact: BareJid) -> RosterItem {
        RosterItem { listed: false, ..RosterItem::new(contact) }
    }

    /// What stands once an operator has put this item over one with `request`: a state that the
    /// tables of RFC 6121 know. Nothing is pending where it is granted.
    pub fn put_by_hand(self, request: Option<Bytes>) -> RosterItem {
        let request = request.filter(|_| !self.subscription.from());
        RosterItem { ask: self.ask && !self.subscription.to(), request, listed: true, ..self }
    }

    /// Does a client see no difference? It sees no request, and nothing of what is not listed.
    pub fn look_the_same(one: Option<&RosterItem>, other: Option<&RosterItem>) -> bool {
        fn looks(item: &RosterItem) -> Option<(&str, &[String], Subscription, bool, bool)> {
            let looks = (&*item.name, &*item.groups, item.subscription, item.ask, item.approved);
            item.listed.then_some(looks)
        }
        one.and_then(looks) == other.and_then(looks)
    }
}

impl Subscription {
    pub fn new(to: bool, from: bool) -> Subscription {
        match (to, from) {
            (false, false) => Subscription::None,
            (true, false) => Subscription::To,
            (false, true) => Subscription::From,
            (true, true) => Subscription::Both,
        }
    }

    /// Does the owner see the contact's presence?
    pub fn to(self) -> bool {
        matches!(self, Subscription::To | Subscription::Both)
    }

    /// Does the contact see the owner's presence?
    pub fn from(self) -> bool {
        matches!(self, Subscription::From | Subscription::Both)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Subscription::None => "none",
            Subscription::To => "to",
            Subscription::From => "from",
            Subscription::Both => "both",
        }
    }
}

impl std::fmt::Display for RosterVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:x}-{}", self.epoch, self.counter)
    }
}

impl std::str::FromStr for RosterVersion {
    type Err = ();

    fn from_str(text: &str) -> Result<RosterVersion, ()> {
        let (epoch, counter) = text.split_once('-').ok_or(())?;
        Ok(RosterVersion {
            epoch: u64::from_str_radix(epoch, 16).map_err(|_| ())?,
            counter: counter.parse().map_err(|_| ())?,
        })
    }
}
