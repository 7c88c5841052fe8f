//! The nodes that are up, and where their sessions are, so that a node's end needs no walk over the table.

use std::collections::BTreeMap;

use hashbrown::HashTable;

use super::{Order, SessionTable, account_of, first_willing, shard_of};
use crate::{Boot, Entry, Gone, NodeId, Reply, SessionsAt};

/// A node as the table knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeSeen {
    /// The number that its node gave when it came.
    pub start: u64,
    pub boot: Boot,
    /// The last batch of this boot that was applied.
    pub batch: u64,
    /// A node that went stays known: its start, so that its late `NodeUp` is refused.
    pub is_up: bool,
}

#[derive(Default)]
pub(super) struct Nodes {
    known: BTreeMap<NodeId, Node>,
}

struct Node {
    seen: NodeSeen,
    /// The hash of the account of each of its sessions: 9 to 18 bytes a session.
    accounts: HashTable<u64>,
}

impl Nodes {
    pub fn is_up(&self, node: NodeId, boot: Boot) -> bool {
        self.known.get(&node).is_some_and(|n| n.seen.is_up && n.seen.boot == boot)
    }

    /// Only of a node that is up.
    pub fn seen_mut(&mut self, node: NodeId) -> Option<&mut NodeSeen> {
        self.known.get_mut(&node).map(|n| &mut n.seen).filter(|seen| seen.is_up)
    }

    pub fn all(&self) -> impl Iterator<Item = (NodeId, NodeSeen)> + '_ {
        self.known.iter().map(|(id, node)| (*id, node.seen))
    }

    pub fn learn(&mut self, node: NodeId, seen: NodeSeen) {
        self.known.insert(node, Node { seen, accounts: HashTable::new() });
    }

    pub fn add(&mut self, node: NodeId, hash: u64) {
        if let Some(node) = self.known.get_mut(&node) {
            node.accounts.insert_unique(hash, hash, |hash| *hash);
        }
    }

    /// One of them, if several sessions of the account are on the node.
    pub fn remove(&mut self, node: NodeId, hash: u64) {
        if let Some(node) = self.known.get_mut(&node)
            && let Ok(found) = node.accounts.find_entry(hash, |have| *have == hash)
        {
            found.remove();
        }
    }
}

impl SessionTable {
    /// Every node that ever came, in the order of their ids.
    pub fn nodes(&self) -> Vec<(NodeId, NodeSeen)> {
        self.order.lock().nodes.all().collect()
    }

    pub fn node(&self, node: NodeId) -> Option<NodeSeen> {
        self.order.lock().nodes.known.get(&node).map(|n| n.seen)
    }

    pub fn count_of(&self, node: NodeId) -> usize {
        self.order.lock().nodes.known.get(&node).map_or(0, |n| n.accounts.len())
    }

    /// Every session of a node.
    pub fn sessions_of(&self, node: NodeId) -> Vec<Entry> {
        let order = self.order.lock();
        let Some(known) = order.nodes.known.get(&node) else { return Vec::new() };
        let mut hashes: Vec<u64> = known.accounts.iter().copied().collect();
        hashes.sort_unstable();
        hashes.dedup();
        let mut entries = Vec::with_capacity(known.accounts.len());
        for hash in hashes {
            let shard = self.shards[shard_of(hash)].read();
            let same_hash = shard.iter_hash(hash).filter(|s| self.hash(account_of(s)) == hash);
            entries.extend(same_hash.flat_map(|s| s.iter().filter(|e| e.session.node == node).cloned()));
        }
        entries
    }

    pub(super) fn node_up(&self, order: &mut Order, node: NodeId, start: u64) -> Reply {
        if let Some(known) = order.nodes.known.get(&node) {
            let seen = known.seen;
            match () {
                _ if seen.start == start && seen.is_up => {
                    return Reply::NodeUp { boot: seen.boot, gone: Vec::new() };
                }
                _ if seen.start >= start => return Reply::Unknown,
                _ => {}
            }
        }
        let gone = self.take_sessions(order, node);
        // A start is a time, so that boots go on growing when a cluster begins again from nothing.
        order.applied = order.applied.max(start);
        let boot = Boot(order.applied);
        order.nodes.learn(node, NodeSeen { start, boot, batch: 0, is_up: true });
        Reply::NodeUp { boot, gone }
    }

    pub(super) fn node_down(&self, order: &mut Order, node: NodeId, boot: Boot) -> Reply {
        if !order.nodes.is_up(node, boot) {
            return Reply::Unknown;
        }
        let gone = self.take_sessions(order, node);
        if let Some(seen) = order.nodes.seen_mut(node) {
            seen.is_up = false;
        }
        Reply::NodeDown { gone }
    }

    /// Takes a node's sessions out, account by account, and says who went.
    fn take_sessions(&self, order: &mut Order, node: NodeId) -> Vec<Gone> {
        let Some(known) = order.nodes.known.get_mut(&node) else { return Vec::new() };
        let mut hashes: Vec<u64> = std::mem::take(&mut known.accounts).into_iter().collect();
        // An account with several sessions here is met once.
        hashes.sort_unstable();
        hashes.dedup();
        let mut gone = Vec::with_capacity(hashes.len());
        for hash in hashes {
            let mut shard = self.shards[shard_of(hash)].write();
            let on_node = |s: &SessionsAt| s.iter().any(|e| e.session.node == node);
            // Several accounts may have the same hash.
            while let Some(found) = shard.find(hash, on_node).cloned() {
                let (went, stay): (Vec<Entry>, Vec<Entry>) =
                    found.iter().cloned().partition(|e| e.session.node == node);
                let first = first_willing(&found);
                let next = first_willing(&stay);
                let of = |entry: Entry| {
                    let next_willing = next.filter(|_| first == Some(entry.session));
                    Gone { entry, next_willing }
                };
                self.sessions.fetch_sub(went.len(), std::sync::atomic::Ordering::Relaxed);
                self.put(&mut shard, hash, account_of(&found), stay);
                gone.extend(went.into_iter().map(of));
            }
        }
        gone
    }
}
