//! Archives (XEP-0313): which of an owner's messages are asked for.
//!
//! An archive's order is the order of ids, which is the order of commits: who reads on behind the last
//! id that it saw misses nothing.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;
use xmpp_core::BareJid;

use super::{AccountNumber, Lease, MessageId, Millis, Saved, StoreFut};

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
    /// Messages whose body has all of these [`words`], in any order. A store that was not told to search
    /// by words need not know what to do.
    pub text: Option<String>,
}

/// The words of a text, as they are searched for: runs of letters and digits, in small letters and without
/// accents and the like.
pub fn words(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|c: char| !c.is_alphanumeric() && canonical_combining_class(c) == 0);
    let plain = |word: &str| -> String {
        if word.is_ascii() {
            return word.to_ascii_lowercase();
        }
        word.to_lowercase().nfd().filter(|c| canonical_combining_class(*c) == 0).nfc().collect()
    };
    words.map(plain).filter(|word| !word.is_empty())
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
    /// Looks at every message and every entry, a part at a time while the store is in use, and counts what
    /// it sees. It may take minutes.
    fn verify_archives<'a>(&'a self) -> StoreFut<'a, Verified>;
    /// Does what nobody keeps go by months, by [`Archive::tend_archives`]? Else only by slices.
    fn drops_months(&self) -> bool {
        false
    }
    /// Looks after what the archives are kept in, where there is anything to look after. A part of a job.
    fn tend_archives<'a>(&'a self, _lease: &'a Lease, _keep: &'a Keep) -> StoreFut<'a, Tended> {
        Box::pin(std::future::ready(Ok(Tended::default())))
    }
}

/// What the served domains keep in their archives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keep {
    /// All of them: what accounts of another one have stays.
    pub domains: Vec<String>,
    /// None of them keeps what came before then; `None`: one keeps everything.
    pub before: Option<Millis>,
}

/// What became of looking after them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tended {
    /// Months that were made ahead, and those that were dropped.
    pub made: Vec<String>,
    pub dropped: Vec<String>,
    /// Messages of the latter that stay because somebody waits for them.
    pub still_waiting: u64,
}

/// What a look at all messages and entries has seen, and whether it is as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    pub messages: u64,
    /// Entries in archives, and entries of messages that wait.
    pub archived: u64,
    pub waiting: u64,
    /// Faults: entries whose message is not there.
    pub without_message: u64,
    /// Messages that no entry needs, and that are not about to be deleted.
    pub without_entry: u64,
    /// Entries of an owner that their message does not name, or in another role or with another peer, or that are not
    /// found by it.
    pub not_named: u64,
    /// Messages whose stanza, owners or time cannot be read.
    pub unreadable: u64,
    /// Ids that were given twice, or are larger than the next one to be given.
    pub wrong_ids: u64,
    /// No fault: messages that came earlier than the one before them, by more than commits and clocks
    /// account for. A search by time may miss them.
    pub out_of_order: u64,
}

impl Verified {
    pub fn faults(&self) -> u64 {
        self.without_message + self.without_entry + self.not_named + self.unreadable + self.wrong_ids
    }
}

/// How much later a message may have been committed than it came, and how far a clock may have been
/// set back, for a search by time to find it still.
pub const DISORDER: Millis = 10 * 60 * 1000;
