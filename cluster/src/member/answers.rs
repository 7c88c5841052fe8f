//! What this node answers to others.

use std::sync::Arc;

use bytes::Bytes;

use super::{Inner, steward};
use crate::envelope::{self, Ask, Received, Told};
use crate::transport::Answers;
use crate::{Batch, Command, Fut, NodeId, Peer};

impl Answers for Inner {
    fn answer(self: Arc<Self>, from: NodeId, request: Bytes) -> Fut<'static, Bytes> {
        Box::pin(async move {
            let answer = match envelope::read_request(request) {
                Ok(Received::Raft(reader)) => self.raft.serve(from, reader).await,
                Ok(Received::Ask(ask)) => Ok(self.told(from, ask).await.encode()),
                Err(malformed) => Err(malformed),
            };
            answer.unwrap_or_else(|_| {
                tracing::warn!(node = from.0, "a request from another node that cannot be read");
                Told::NotNow.encode()
            })
        })
    }
}

impl Inner {
    pub(super) async fn told(&self, from: NodeId, ask: Ask) -> Told {
        let leader = self.raft.status().leader;
        if leader != Some(self.id) {
            return Told::NotLeader(leader);
        }
        match ask {
            Ask::Propose(batch) if is_own(from, &batch) => self.propose_here(batch).await,
            Ask::Propose(_) => Told::NotNow,
            Ask::Join { node, peer } => self.take_in(node, peer).await,
            Ask::Remove { node } => steward::remove(self, node).await,
        }
    }

    async fn take_in(&self, node: NodeId, peer: Peer) -> Told {
        if self.raft.status().members.get(&node) == Some(&peer) {
            return Told::Done;
        }
        match self.raft.add_learner(node, peer).await {
            Ok(()) => Told::Done,
            Err(_) => Told::NotNow,
        }
    }
}

/// What goes into the log is read by every node: it is whole, and its node's own. Only the leader
/// declares others down.
fn is_own(from: NodeId, batch: &Bytes) -> bool {
    let is_allowed = |command: &Command| !matches!(command, Command::NodeDown { .. });
    Batch::decode(batch.clone()).is_ok_and(|b| b.node == from && b.commands.iter().all(is_allowed))
}
