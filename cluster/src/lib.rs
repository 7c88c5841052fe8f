//! Which session is on which node, and parcels between nodes.
//!
//! The doors that pass through agreement (`open`, `presence`, `close`) are futures and rare; the
//! doors on a message's path (`find`, `send`) are not, so that they can never wait for it. This crate
//! knows addresses and sessions; it never looks inside a parcel, and knows no accounts, rooms or XEPs.

mod command;
mod envelope;
mod member;
mod raft;
mod settings;
mod single;
mod table;
pub mod transport;
mod wire;

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use xmpp_core::{BareJid, Jid};

pub use command::{BATCH_MAX_COMMANDS, Batch, Command, Gone, Reply};
pub use member::{ClusterStatus, Events, Member, MemberParts, NoEvents, NodeStatus, Role};
pub use raft::{LogError, MemoryDisk, Peer, StartError};
pub use settings::{BadSetting, Settings};
pub use single::SingleNode;
pub use table::{BatchReply, Frozen, NodeSeen, SessionTable, SnapshotError};
pub use wire::Malformed;

/// Where a node keeps its log and its snapshots.
#[derive(Clone)]
pub enum Disk {
    /// For simulations.
    Memory(MemoryDisk),
    /// A folder of its own, made when it is not there.
    Folder(std::path::PathBuf),
}

pub type Fut<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

/// Grows with each start of a node and with each return after it was declared down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Boot(pub u64);

/// Names a session for ever: a later session of the same address has another id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId {
    pub node: NodeId,
    pub boot: Boot,
    pub number: u64,
}

/// What a session's presence means to the table: who gets presence, and who gets messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// No presence yet, or unavailable.
    None,
    /// Available with a negative priority: presence yes, messages to the bare address no.
    Present,
    /// Available with a priority of zero or more.
    Willing,
}

/// One session of an account, as every node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub jid: Jid,
    pub session: SessionId,
    pub presence: Presence,
    /// When it became willing, in the table's order: the smallest one is given what waits.
    pub willing_since: u64,
}

/// The sessions of an account, in the order of their binding. Shared, never changed in place.
pub type SessionsAt = Arc<[Entry]>;

/// The answer to `open`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The session that had this full address until now. It is to end with `conflict`.
    pub replaced: Option<SessionId>,
}

/// The answer to `presence`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct First {
    /// The session has just become the first willing one of its account: what waits is for it.
    pub first_willing: bool,
    /// It was the first willing one and is willing no more: this one is to be given what waits.
    pub next_willing: Option<SessionId>,
}

/// Bytes from one node's router to another's.
#[derive(Debug, Clone)]
pub struct Parcel(pub Bytes);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterError {
    /// No majority of nodes can be reached: a new bind waits, open sessions go on.
    NoQuorum,
    /// The session is not in the table (any more).
    Unknown,
    /// The node is stopping.
    Stopped,
}

pub trait Cluster: Send + Sync {
    /// This node, and this start of it.
    fn here(&self) -> (NodeId, Boot);
    /// A session id of this node that was never given before.
    fn next_session(&self) -> SessionId;
    /// Binds. Idempotent by session id.
    fn open<'a>(&'a self, jid: &'a Jid, session: SessionId) -> Fut<'a, Result<Opened, ClusterError>>;
    fn presence<'a>(
        &'a self,
        jid: &'a Jid,
        session: SessionId,
        presence: Presence,
    ) -> Fut<'a, Result<First, ClusterError>>;
    /// Takes the session out. The answer names the session that is now the first willing one, if this
    /// one was: it is to be given what waits.
    fn close<'a>(
        &'a self,
        jid: &'a Jid,
        session: SessionId,
    ) -> Fut<'a, Result<Option<SessionId>, ClusterError>>;
    /// Everybody who is there, willing or not. From memory.
    fn find(&self, account: &BareJid) -> SessionsAt;
    /// Gives the parcel back when the link's queue is full or the node is not known.
    fn send(&self, node: NodeId, parcel: Parcel) -> Result<(), Parcel>;
}
