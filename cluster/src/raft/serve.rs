//! What other Rafts ask of ours.

use std::io::{self, Write};

use openraft::raft::TransferLeaderRequest;
use parking_lot::Mutex;

use super::message::{Answer, Piece, Request};
use super::node::Raft;
use super::snapshots::{Growing, Place};
use super::{Types, Vote};
use crate::NodeId;

/// A snapshot that is coming. There is one at a time: a newer one takes its place.
pub struct Incoming {
    place: Place,
    growing: Mutex<Option<Part>>,
}

struct Part {
    from: NodeId,
    transfer: u64,
    next: u64,
    bytes: Growing,
}

impl Incoming {
    pub fn new(place: Place) -> Incoming {
        Incoming { place, growing: Mutex::default() }
    }

    /// The whole, when this was the last piece; nothing, when a piece is missing before it.
    fn take(&self, from: NodeId, piece: &Piece) -> io::Result<Option<Part>> {
        let mut growing = self.growing.lock();
        let mut part = match growing.take() {
            _ if piece.offset == 0 => {
                let bytes = self.place.begin("snapshot.coming")?;
                Part { from, transfer: piece.transfer, next: 0, bytes }
            }
            Some(part) if (part.from, part.transfer, part.next) == (from, piece.transfer, piece.offset) => {
                part
            }
            // A late piece of another transfer does not disturb this one.
            other => {
                *growing = other;
                return Ok(None);
            }
        };
        part.bytes.write_all(&piece.bytes)?;
        part.next += piece.bytes.len() as u64;
        if piece.is_last {
            return Ok(Some(part));
        }
        *growing = Some(part);
        Ok(None)
    }

    fn is_at(&self, from: NodeId, piece: &Piece) -> bool {
        let after = piece.offset + piece.bytes.len() as u64;
        let growing = self.growing.lock();
        growing
            .as_ref()
            .is_some_and(|part| (part.from, part.transfer, part.next) == (from, piece.transfer, after))
    }
}

pub async fn serve(raft: &Raft, incoming: &Incoming, from: NodeId, request: Request) -> Answer {
    match request {
        Request::Append(append) => raft.append_entries(append).await.map_or(Answer::Failed, Answer::Append),
        Request::Vote(vote) => raft.vote(vote).await.map_or(Answer::Failed, Answer::Vote),
        Request::PreVote(vote) => raft.pre_vote(vote).await.map_or(Answer::Failed, Answer::Vote),
        Request::Snapshot(piece) => take_piece(raft, incoming, from, piece).await,
        Request::TransferLeader(transfer) => transfer_leader(raft, transfer).await,
    }
}

async fn take_piece(raft: &Raft, incoming: &Incoming, from: NodeId, piece: Piece) -> Answer {
    match incoming.take(from, &piece) {
        Ok(Some(whole)) => match install(raft, piece.vote, whole.bytes).await {
            Ok(vote) => Answer::Installed(vote),
            Err(error) => {
                tracing::error!(%error, "a snapshot from another node cannot be taken in");
                Answer::Failed
            }
        },
        Ok(None) if incoming.is_at(from, &piece) => Answer::More,
        Ok(None) => Answer::Again,
        Err(error) => {
            tracing::error!(%error, "a snapshot from another node cannot be written");
            Answer::Failed
        }
    }
}

async fn install(raft: &Raft, vote: Vote, growing: Growing) -> io::Result<Vote> {
    let snapshot = growing.finish()?.into_snapshot()?;
    let answer = raft.install_full_snapshot(vote, snapshot).await.map_err(io::Error::other)?;
    Ok(answer.vote)
}

async fn transfer_leader(raft: &Raft, transfer: TransferLeaderRequest<Types>) -> Answer {
    match raft.handle_transfer_leader(transfer).await {
        Ok(Ok(())) => Answer::Transferred,
        _ => Answer::Failed,
    }
}
