//! How a node asks another: bytes go, bytes come back, or a time limit passes.
//!
//! A transport knows nothing of what it carries. It must not answer for a peer, and it may lose,
//! delay and reorder: whoever asks lives with that.

mod memory;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub use memory::{MemoryNetwork, MemoryTransport, Weather};

use crate::{Fut, NodeId, Peer};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportError {
    /// No answer came in time: it may have been carried out or not.
    TimedOut,
    /// The request did not leave: there is no link to the peer.
    Unreachable,
}

pub trait Transport: Send + Sync + 'static {
    /// Sends a request and awaits its answer, `limit` at most.
    fn request(
        &self,
        to: NodeId,
        request: Bytes,
        limit: Duration,
    ) -> Fut<'static, Result<Bytes, TransportError>>;

    /// Where a node is reached from now on: told before the first request to it, and when it moves.
    fn know(&self, node: NodeId, peer: &Peer);
}

/// What answers the requests of others. Its transport says truly whose they are.
pub trait Answers: Send + Sync + 'static {
    fn answer(self: Arc<Self>, from: NodeId, request: Bytes) -> Fut<'static, Bytes>;
}

impl std::fmt::Display for TransportError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            TransportError::TimedOut => "no answer in time",
            TransportError::Unreachable => "no link",
        })
    }
}

impl std::error::Error for TransportError {}
