//! What somebody must look after: the leader, who is silent and who has a vote; every node, its own log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Inner;
use super::voters::{Health, choose_voters};
use crate::envelope::Told;
use crate::raft::RaftStatus;
use crate::{Batch, Boot, Command, NodeId};

const TICK: Duration = Duration::from_millis(200);
/// This process itself was asleep when a tick comes so late: what it did not hear proves nothing.
const ASLEEP: Duration = Duration::from_secs(1);

pub async fn run(inner: Arc<Inner>) {
    let mut watch = Watch::default();
    let mut last = Instant::now();
    loop {
        sleep(TICK).await;
        let now = Instant::now();
        if now.duration_since(last) > ASLEEP {
            watch = Watch::default();
        }
        last = now;
        if inner.local.bytes_since_snapshot() >= inner.settings.snapshot_after_bytes {
            inner.local.snapshot_begun();
            inner.raft.snapshot().await;
        }
        let status = inner.raft.status();
        if status.leader != Some(inner.id) {
            watch = Watch::default();
            continue;
        }
        watch.look(&inner, &status, now);
        declare_down(&inner, &watch, now).await;
        give_votes(&inner, &status, &watch, now).await;
    }
}

/// What this leader has heard, since it leads.
#[derive(Default)]
struct Watch {
    term: u64,
    heard: BTreeMap<NodeId, Instant>,
}

impl Watch {
    fn look(&mut self, inner: &Inner, status: &RaftStatus, now: Instant) {
        if self.term != status.term {
            *self = Watch { term: status.term, heard: BTreeMap::new() };
        }
        let known = inner.table.nodes();
        let nodes = status.members.keys().copied().chain(known.iter().map(|(node, _)| *node));
        for node in nodes {
            // One that was never heard of is given its time from the first look.
            let heard = self.heard.entry(node).or_insert(now);
            if let Some(later) = status.heard.get(&node) {
                *heard = (*heard).max(*later);
            }
        }
        self.heard.insert(inner.id, now);
    }

    fn silent_for(&self, node: NodeId, now: Instant) -> Duration {
        self.heard.get(&node).map_or(Duration::ZERO, |heard| now.duration_since(*heard))
    }
}

async fn declare_down(inner: &Inner, watch: &Watch, now: Instant) {
    let is_silent = |node| watch.silent_for(node, now) >= inner.settings.node_timeout;
    let silent = inner.table.nodes().into_iter().filter(|(node, seen)| seen.is_up && is_silent(*node));
    let down = |(node, seen): (NodeId, crate::NodeSeen)| {
        tracing::warn!(node = node.0, "not heard from, declared down");
        Command::NodeDown { node, boot: seen.boot }
    };
    let commands: Vec<Command> = silent.map(down).take(crate::BATCH_MAX_COMMANDS).collect();
    if !commands.is_empty() {
        // Not heard, or not leading any more: the next look says the same again, or another leader does.
        let _ = inner.propose_here(of_leader(inner, commands).encode()).await;
    }
}

fn of_leader(inner: &Inner, commands: Vec<Command>) -> Batch {
    Batch { node: inner.id, boot: Boot(0), number: 0, commands }
}

async fn give_votes(inner: &Inner, status: &RaftStatus, watch: &Watch, now: Instant) {
    if !status.is_membership_settled {
        return;
    }
    let up: BTreeSet<NodeId> = inner.table.nodes().iter().filter(|(_, s)| s.is_up).map(|(n, _)| *n).collect();
    let health = |node: NodeId| match watch.silent_for(node, now) {
        silence if silence >= inner.settings.replace_voter_after => Health::Lost,
        silence if silence >= inner.settings.heartbeat * 10 || !up.contains(&node) => Health::Missed,
        _ => Health::Up,
    };
    let nodes = status.members.keys().map(|node| (*node, health(*node))).collect();
    let voters = choose_voters(&nodes, &status.voters, inner.id, inner.settings.voters);
    if voters != status.voters {
        tracing::info!(?voters, "other nodes have votes");
        // It is looked at again when this was done, or could not be.
        let change = inner.raft.set_voters(&voters);
        let _ = tokio::time::timeout(inner.settings.quorum_wait, change).await;
    }
}

/// Takes a node out, on the leader: its sessions, its vote, its membership.
pub async fn remove(inner: &Inner, node: NodeId) -> Told {
    let status = inner.raft.status();
    if node == inner.id {
        // Somebody else is to do it.
        let others = status.voters.iter().find(|voter| **voter != inner.id);
        if let Some(other) = others {
            inner.raft.transfer_leader(*other).await;
        }
        return Told::NotNow;
    }
    if let Some(seen) = inner.table.node(node).filter(|seen| seen.is_up) {
        let down = Command::NodeDown { node, boot: seen.boot };
        let _ = inner.propose_here(of_leader(inner, vec![down]).encode()).await;
    }
    if !status.members.contains_key(&node) {
        return Told::Done;
    }
    if status.voters.contains(&node) {
        let mut rest = status.voters.clone();
        rest.remove(&node);
        if rest.is_empty() || inner.raft.set_voters(&rest).await.is_err() {
            return Told::NotNow;
        }
    }
    match inner.raft.remove_learner(node).await {
        Ok(()) => Told::Done,
        Err(_) => Told::NotNow,
    }
}
