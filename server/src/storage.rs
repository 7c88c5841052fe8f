//! What the server asks of a store: small traits for reading, one enum for writing.
//!
//! Every write is a value ([`Write`]) that one function per store applies, with its times and random
//! parts inside it; ids are given when it is applied. That makes group commit a `Vec` of them, and
//! lets an embedded store be replicated later. Plugins depend on this module and on nothing else of
//! the server; modules see the traits and never a plugin.

pub mod archive;
pub mod blobs;
pub mod cache;
pub mod cold;
pub mod events;
pub mod files;
pub mod finding;
pub mod leases;
pub mod numbers;
pub mod outbox;
pub mod refusal;
pub mod roster;
pub mod subscription;
pub mod watch;
pub mod write;

use std::pin::Pin;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use xmpp_core::sasl::ScramSecret;
use xmpp_core::{BareJid, Jid};

pub use archive::{Archive, Peer, Verified};
pub use blobs::{Around, Arrival, BlobKind, BlobName, BlobPlace, Blobs, Content, PutError, Shown, Usage};
pub use cache::{Cache, CacheError, CacheWatch};
pub use cold::{Candidate, Catalogue, ColdChange, ColdFile, ColdPart, ColdUsage};
pub use files::{File, FileQuota, Files};
pub use finding::{Finding, Level};
pub use leases::{Job, Lease, Leases};
pub use outbox::{Deleted, Outbox, OutboxRow, OutboxSize, Place};
pub use roster::{Roster, RosterChange, RosterItem, RosterLimits, RosterVersion, Subscription};
pub use watch::{Crowded, InState, Operation, Plugin, Pooled, Unwatched, Watch, watched};
pub use write::{Write, Written};

pub type Fut<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
pub type StoreFut<'a, T> = Fut<'a, Result<T, StoreError>>;

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type Millis = u64;

/// An owner of messages. Never given to another account, not even after the first is removed
/// (a new account of the same name must not inherit what waited for the old one).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AccountNumber(pub u64);

/// Increases in commit order within one store. Never on the wire (see `router::stanza_id`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default)]
pub struct MessageId(pub u64);

/// Why a store did not do what it was asked. What was to be saved is not: the sender gets `wait`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// The store cannot be reached or written now (locked, read-only, away, shutting down).
    Unavailable(String),
    /// The write contradicts what is stored (an account that exists already, or does not exist).
    Conflict(String),
    /// A bound of the store or of the account is reached, or the disk is full.
    Full(String),
    /// What was read is not what was written.
    Damaged(String),
}

/// One account as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub number: AccountNumber,
    pub jid: BareJid,
    pub created: Millis,
    /// The reason, when an operator has banned it.
    pub banned: Option<String>,
}

/// What a login needs of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secrets {
    /// One per hash.
    pub by_hash: Vec<ScramSecret>,
    /// An operator has banned it.
    pub banned: bool,
}

/// How a domain's passwords are checked; the mechanisms offered follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authentication {
    /// The store gives StoredKey and ServerKey: SCRAM and PLAIN.
    Secrets,
    /// The store says yes or no to a password or token: PLAIN and the like only.
    Verify,
}

pub trait Users: Send + Sync {
    fn authentication(&self, domain: &str) -> Authentication;
    /// The account, or `None` where it does not exist.
    fn account<'a>(&'a self, jid: &'a BareJid) -> StoreFut<'a, Option<Account>>;
    /// `None` where the account does not exist, which takes as long to say as that it does: who tries to log in
    /// waits for it, and must not learn which accounts there are (RFC 5802 section 9).
    fn secrets<'a>(&'a self, jid: &'a BareJid) -> StoreFut<'a, Option<Secrets>>;
    /// For `Authentication::Verify`. A store of secrets answers `Unavailable`.
    fn verify<'a>(&'a self, jid: &'a BareJid, password: &'a str) -> StoreFut<'a, bool>;
    /// Accounts of a domain in the order of their addresses, those behind `after`.
    fn accounts<'a>(
        &'a self,
        domain: &'a str,
        after: Option<&'a BareJid>,
        limit: usize,
    ) -> StoreFut<'a, Vec<Account>>;
    fn count_accounts<'a>(&'a self, domain: &'a str) -> StoreFut<'a, u64>;
    /// When the account's last session ended, and the status it said then (XEP-0012).
    fn last_logout<'a>(&'a self, owner: AccountNumber) -> StoreFut<'a, Option<(Millis, String)>>;
    /// A value that all nodes share (the key of fake salts, of stanza ids, of TLS tickets): the one
    /// that stands, which is `proposed` if there was none.
    fn shared_secret<'a>(&'a self, name: &'a str, proposed: Vec<u8>) -> StoreFut<'a, Vec<u8>>;
}

pub trait Rosters: Send + Sync {
    /// All items with a subscription or an entry of the owner's; those only pending in are not items
    /// for a client, but stand here with `listed == false`.
    fn roster<'a>(&'a self, owner: AccountNumber) -> StoreFut<'a, Roster>;
    /// What changed behind a version, oldest first; `None` when that cannot be said (another epoch,
    /// or a removal that is no longer remembered).
    fn roster_since<'a>(
        &'a self,
        owner: AccountNumber,
        version: RosterVersion,
    ) -> StoreFut<'a, Option<Vec<RosterChange>>>;
    /// The subscription requests that wait for an answer, as they came (RFC 6121 section 3.1.3).
    fn subscription_requests<'a>(&'a self, owner: AccountNumber) -> StoreFut<'a, Vec<(BareJid, Bytes)>>;
    /// The block list of XEP-0191.
    fn blocked<'a>(&'a self, owner: AccountNumber) -> StoreFut<'a, Vec<Jid>>;
}

/// A saved message, as one of its owners gets it back.
#[derive(Debug, Clone)]
pub struct Saved {
    pub id: MessageId,
    /// When it came.
    pub time: Millis,
    /// Is it in the owner's archive? Else it only waits.
    pub archived: bool,
    /// The stanza as [`xmpp_core::Stanza::read`] takes it.
    pub stanza: Bytes,
}

pub trait OfflineQueue: Send + Sync {
    /// Up to `limit` messages behind `after` that wait for the owner and that nobody took, in order
    /// of id. What is held by a session is here too: who holds what only the node knows.
    fn waiting<'a>(
        &'a self,
        owner: AccountNumber,
        after: MessageId,
        limit: usize,
    ) -> StoreFut<'a, Vec<Saved>>;
    /// How many wait. Cheap enough to be asked for each message to an absent account: from memory
    /// once the owner is known.
    fn count_waiting<'a>(&'a self, owner: AccountNumber) -> StoreFut<'a, u64>;
    /// Says that a session of the owner took the message: it waits no more. Returns at once; the
    /// store's reads obey at once and its disk a little later, so that a crash may repeat a message
    /// and never lose one (messages.md, rule 8). A pair that is not known is ignored.
    fn taken(&self, owner: AccountNumber, id: MessageId);
}

pub trait Items: Send + Sync {
    /// One value of an account's collection (`private`, `vcard`).
    fn item<'a>(
        &'a self,
        owner: AccountNumber,
        collection: &'a str,
        key: &'a str,
    ) -> StoreFut<'a, Option<Bytes>>;
    fn items<'a>(&'a self, owner: AccountNumber, collection: &'a str) -> StoreFut<'a, Vec<(String, Bytes)>>;
    /// The names of the account's collections that have anything in them.
    fn collections<'a>(&'a self, owner: AccountNumber) -> StoreFut<'a, Vec<String>>;
    /// Values that belong to no account: verified entity capabilities, by hash and `ver`.
    fn shared_item<'a>(&'a self, collection: &'a str, key: &'a str) -> StoreFut<'a, Option<Bytes>>;
}

/// What a message is to one of its owners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub account: AccountNumber,
    pub role: Role,
    /// The other party, by which an archive is searched.
    pub peer: Peer,
}

impl Owner {
    /// The message waits for the account, and is in no archive of it.
    pub fn queued(account: AccountNumber) -> Owner {
        Owner { account, role: Role::QUEUED, peer: Peer::default() }
    }
}

/// A message waits for an inbound owner; an archive keeps it. `Sent` entries never wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Role {
    pub waits: bool,
    pub archived: bool,
    pub sent: bool,
}

impl Role {
    /// Waits until taken, then goes: an account without an archive.
    pub const QUEUED: Role = Role { waits: true, archived: false, sent: false };
}

/// A message about to be saved: one row, and an entry for each owner.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Draft {
    pub time: Millis,
    pub owners: SmallVec<[Owner; 2]>,
    /// As [`Saved::stanza`].
    pub stanza: Bytes,
}

/// Everything durable. The reading traits above, and two ways to write.
pub trait Store: Users + Rosters + OfflineQueue + Archive + Items + Files + Leases + Outbox {
    /// Applies one write, durable when this returns. Concurrent writes share a commit.
    fn write<'a>(&'a self, write: Write) -> StoreFut<'a, Written>;
    /// Saves messages in one commit, all or none, durable when this returns. The ids increase in
    /// the order given and are larger than every id given before.
    fn save<'a>(&'a self, drafts: Vec<Draft>) -> StoreFut<'a, Vec<MessageId>>;
    /// Can it be written now? For `/readyz` and the operator; the reason when not.
    fn health<'a>(&'a self) -> StoreFut<'a, ()>;
    /// The catalogue of the cold archive, where the store has one.
    fn catalogue(&self) -> Option<&dyn Catalogue> {
        None
    }
    /// Writes that wait for their transaction.
    fn queued_writes(&self) -> usize {
        0
    }
    /// Writes out what is due (noted takings too) and stops.
    fn close<'a>(&'a self) -> Fut<'a, ()>;
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StoreError::Unavailable(why) => write!(f, "the store is not available: {why}"),
            StoreError::Conflict(why) => write!(f, "the store refused: {why}"),
            StoreError::Full(why) => write!(f, "the store is full: {why}"),
            StoreError::Damaged(why) => write!(f, "the store is damaged: {why}"),
        }
    }
}

impl std::error::Error for StoreError {}
