//! What our Raft asks of others, over the transport.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use openraft::OptionalSend;
use openraft::alias::VoteOf;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{Backoff, RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};

use super::message::{Answer, Piece, Request};
use super::snapshots::Body;
use super::{Peer, Snapshot, Types};
use crate::NodeId;
use crate::envelope;
use crate::transport::{Transport, TransportError};
use crate::wire::Malformed;

/// A snapshot goes in pieces of this size, one after the other.
const PIECE_BYTES: usize = 256 * 1024;
const PIECE_LIMIT: Duration = Duration::from_secs(5);
/// The last piece is answered when the whole was read into memory.
const INSTALL_LIMIT: Duration = Duration::from_secs(60);
/// A disk that is slower than this is as good as none.
const APPEND_LIMIT: Duration = Duration::from_secs(1);

pub struct Links {
    pub transport: Arc<dyn Transport>,
}

pub struct Link {
    transport: Arc<dyn Transport>,
    to: NodeId,
    transfers: u64,
}

impl RaftNetworkFactory<Types> for Links {
    type Network = Link;

    async fn new_client(&mut self, target: u64, peer: &Peer) -> Link {
        let to = NodeId(u32::try_from(target).unwrap_or_default());
        self.transport.know(to, peer);
        Link { transport: self.transport.clone(), to, transfers: 0 }
    }
}

/// Why there was no answer that makes sense.
#[derive(Debug)]
enum LinkError {
    Transport(TransportError),
    Malformed,
    /// It answered, but not what was asked.
    Failed,
}

impl Link {
    async fn ask(&self, request: &Request, limit: Duration) -> Result<Answer, LinkError> {
        let bytes = envelope::raft(|out| request.put(out));
        let answer = self.transport.request(self.to, bytes, limit).await.map_err(LinkError::Transport)?;
        envelope::read_raft(answer, Answer::read).map_err(|Malformed| LinkError::Malformed)
    }
}

impl RaftNetworkV2<Types> for Link {
    type SnapshotData = Body;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        // A heartbeat that takes long is useless; entries may wait for a disk.
        let limit = if request.entries.is_empty() { option.soft_ttl() } else { APPEND_LIMIT };
        match self.ask(&Request::Append(request), limit).await? {
            Answer::Append(answer) => Ok(answer),
            _ => Err(LinkError::Failed.into()),
        }
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        match self.ask(&Request::Vote(request), option.soft_ttl()).await? {
            Answer::Vote(answer) => Ok(answer),
            _ => Err(LinkError::Failed.into()),
        }
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        match self.ask(&Request::PreVote(request), option.soft_ttl()).await? {
            Answer::Vote(answer) => Ok(answer),
            _ => Err(LinkError::Failed.into()),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<Types>,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let mut cancel = std::pin::pin!(cancel);
        self.transfers += 1;
        let (transfer, body) = (self.transfers, snapshot.snapshot);
        let mut offset = 0;
        loop {
            let read = |from| body.read_at(from, PIECE_BYTES);
            let unread = |error| StreamingError::Network(NetworkError::new(&error));
            let bytes = read(offset).map_err(unread)?;
            let next = offset + bytes.len() as u64;
            let is_last = read(next).map_err(unread)?.is_empty();
            let limit = if is_last { INSTALL_LIMIT } else { PIECE_LIMIT };
            let request = Request::Snapshot(Piece { vote, transfer, offset, is_last, bytes });
            let answer = tokio::select! {
                biased;
                closed = &mut cancel => return Err(closed.into()),
                answer = self.ask(&request, limit) => answer?,
            };
            match answer {
                Answer::More if !is_last => offset = next,
                Answer::Installed(vote) => return Ok(SnapshotResponse::new(vote)),
                _ => return Err(LinkError::Failed.into()),
            }
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        match self.ask(&Request::TransferLeader(request), option.soft_ttl()).await? {
            Answer::Transferred => Ok(Ok(())),
            _ => Err(LinkError::Failed.into()),
        }
    }

    /// After a peer was away it is tried again soon: a heal is to be noticed within a second.
    fn backoff(&self) -> Option<Backoff> {
        Some(Backoff::new(std::iter::repeat(Duration::from_millis(200))))
    }
}

impl std::fmt::Display for LinkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LinkError::Transport(error) => write!(f, "{error}"),
            LinkError::Malformed => f.write_str("an answer that cannot be read"),
            LinkError::Failed => f.write_str("the peer cannot answer"),
        }
    }
}

impl std::error::Error for LinkError {}

impl From<LinkError> for RPCError<Types> {
    fn from(error: LinkError) -> RPCError<Types> {
        match error {
            LinkError::Transport(TransportError::Unreachable) => {
                RPCError::Unreachable(Unreachable::new(&error))
            }
            _ => RPCError::Network(NetworkError::new(&error)),
        }
    }
}

impl From<LinkError> for StreamingError<Types> {
    fn from(error: LinkError) -> StreamingError<Types> {
        match error {
            // Not at once again: a snapshot is large.
            LinkError::Transport(_) => StreamingError::Unreachable(Unreachable::new(&error)),
            _ => StreamingError::Network(NetworkError::new(&error)),
        }
    }
}
