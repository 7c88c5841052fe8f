//! Agreement by Raft. The only folder that knows openraft, whose API is not settled before its 1.0.
//!
//! What the rest of the crate sees is `RaftNode`: propose bytes, learn who leads, change the members.

mod codec;
mod log_memory;
mod log_redb;
mod machine;
mod message;
mod network;
mod node;
mod serve;
mod snapshots;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use openraft::rt::deterministic_rng::DeterministicRng;

pub use log_redb::{LogError, RedbLog};
pub(crate) use machine::Applied;
pub use node::StartError;
pub(crate) use node::{Parts, ProposeError, RaftNode, RaftStatus};
pub use snapshots::MemoryDisk;

/// Where a node is reached, and what people call it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Peer {
    /// As in `meerkat@meerkat-0`.
    pub name: String,
    /// Host and port, or whatever the transport understands.
    pub address: String,
}

/// Chance comes from a seed that is given at the start: a simulation gives a fixed one.
pub(crate) type Runtime = DeterministicRng<openraft::impls::TokioRuntime>;

openraft::declare_raft_types!(
    pub(crate) Types:
        D = Proposal,
        R = (),
        NodeId = u64,
        Node = Peer,
        AsyncRuntime = Runtime,
);

pub(crate) type LogId = openraft::alias::LogIdOf<Types>;
pub(crate) type Vote = openraft::alias::VoteOf<Types>;
pub(crate) type Entry = openraft::alias::EntryOf<Types>;
pub(crate) type Membership = openraft::Membership<u64, Peer>;
pub(crate) type StoredMembership = openraft::alias::StoredMembershipOf<Types>;
pub(crate) type SnapshotMeta = openraft::alias::SnapshotMetaOf<Types>;
pub(crate) type Snapshot = openraft::alias::SnapshotOf<Types, snapshots::Body>;

/// A batch of commands as it goes over links and onto disks: encoded once, by its node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proposal(pub Bytes);

impl std::fmt::Display for Proposal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}
