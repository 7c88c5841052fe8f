//! Archives (XEP-0313): which of an owner's messages are asked for.
//!
//! An archive's order is the order of ids, which is the order of commits: who reads on behind the last
//! id that it saw misses nothing.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use xmpp_core::BareJid;

use super::{AccountNumber, MessageId, Millis, Saved, StoreFut};

/// Stands for the other party's bare address in an archive's index: a number, since an index entry per
/// message and owner is what an archive is made of. Never changes its meaning; two addresses share one
/// about as often as 64 random bits do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Peer(pub u64);

impl Peer {
    pub fn of(jid: &BareJid) -> Peer {
        let digest = Sha256::digest(jid.as_str().as_bytes());
        Peer(digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}

/// Which of an owner's archived messages. What is absent does not limit; what is there does together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// Messages from or to this address.
    pub with: Option<Peer>,
    /// Saved then or later, and not later than then.
    pub start: Option<Millis>,
    pub end: Option<Millis>,
    /// Behind this one and before that one, neither included.
    pub after: Option<MessageId>,
    pub before: Option<MessageId>,
    /// Only these, at most [`Filter::IDS`].
    pub ids: Option<Vec<MessageId>>,
    /// Only what the owner sent.
    pub sent: bool,
}

impl Filter {
    pub const IDS: usize = 256;
}

/// From which end of what matches a page is taken. It is in order of ids either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Oldest,
    Newest,
}

pub trait Archive: Send + Sync {
    /// Up to `limit` messages of the owner's archive that match. Those of an account that is gone are
    /// nobody's.
    fn archived<'a>(
        &'a self,
        owner: AccountNumber,
        filter: &'a Filter,
        end: End,
        limit: usize,
    ) -> StoreFut<'a, Vec<Saved>>;
    /// How many match, counted to `at_most`.
    fn count_archived<'a>(
        &'a self,
        owner: AccountNumber,
        filter: &'a Filter,
        at_most: u64,
    ) -> StoreFut<'a, u64>;
}
