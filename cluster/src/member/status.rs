//! What an operator is shown.

use super::Inner;
use crate::{Boot, NodeId, Peer};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Leader,
    Voter,
    Learner,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStatus {
    pub node: NodeId,
    pub peer: Peer,
    pub role: Role,
    /// By the table: it counts sessions on this node.
    pub is_up: bool,
    pub boot: Boot,
    pub sessions: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterStatus {
    pub leader: Option<NodeId>,
    pub term: u64,
    pub last_log: u64,
    pub applied: u64,
    pub snapshot: u64,
    /// Every member, in the order of ids.
    pub nodes: Vec<NodeStatus>,
    /// This node's disk failed, or it was stopped.
    pub is_dead: bool,
}

pub fn status(inner: &Inner) -> ClusterStatus {
    let raft = inner.raft.status();
    let role = |node: NodeId| match () {
        () if raft.leader == Some(node) => Role::Leader,
        () if raft.voters.contains(&node) => Role::Voter,
        () => Role::Learner,
    };
    let nodes = raft.members.iter().map(|(node, peer)| {
        let seen = inner.table.node(*node);
        NodeStatus {
            node: *node,
            peer: peer.clone(),
            role: role(*node),
            is_up: seen.is_some_and(|seen| seen.is_up),
            boot: seen.map_or(Boot(0), |seen| seen.boot),
            sessions: inner.table.count_of(*node),
        }
    });
    ClusterStatus {
        leader: raft.leader,
        term: raft.term,
        last_log: raft.last_log,
        applied: raft.applied,
        snapshot: raft.snapshot,
        nodes: nodes.collect(),
        is_dead: raft.is_dead,
    }
}
