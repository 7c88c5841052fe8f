//! What the Rafts of two nodes say to each other. The envelope around it has the version.

use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest, VoteRequest, VoteResponse,
};

use bytes::Bytes;

use super::codec::{put_entry, put_log_id, put_vote, read_entry, read_log_id, read_vote};
use super::{Types, Vote};
use crate::wire::{Malformed, Reader, put_bytes, put_number, put_option};

#[derive(Debug)]
pub enum Request {
    Append(AppendEntriesRequest<Types>),
    Vote(VoteRequest<Types>),
    PreVote(VoteRequest<Types>),
    Snapshot(Piece),
    TransferLeader(TransferLeaderRequest<Types>),
}

/// A part of a snapshot. The last one is answered when the snapshot is in place.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    pub vote: Vote,
    /// Distinguishes this transfer from the sender's earlier ones.
    pub transfer: u64,
    pub offset: u64,
    pub is_last: bool,
    pub bytes: Bytes,
}

#[derive(Debug)]
pub enum Answer {
    Append(AppendEntriesResponse<Types>),
    Vote(VoteResponse<Types>),
    /// Go on with the next piece.
    More,
    /// An earlier piece is missing: begin again.
    Again,
    Installed(Vote),
    Transferred,
    /// The node cannot answer: it stops, or its disk failed.
    Failed,
}

impl Request {
    pub fn put(&self, out: &mut Vec<u8>) {
        match self {
            Request::Append(append) => {
                out.push(b'A');
                put_vote(out, &append.vote);
                put_option(out, append.prev_log_id, put_log_id);
                put_option(out, append.leader_commit, put_log_id);
                put_number(out, append.entries.len() as u64);
                append.entries.iter().for_each(|entry| put_entry(out, entry));
            }
            Request::Vote(vote) => put_vote_request(out, b'V', vote),
            Request::PreVote(vote) => put_vote_request(out, b'P', vote),
            Request::Snapshot(piece) => {
                out.push(b'S');
                put_vote(out, &piece.vote);
                put_number(out, piece.transfer);
                put_number(out, piece.offset);
                out.push(u8::from(piece.is_last));
                put_bytes(out, &piece.bytes);
            }
            Request::TransferLeader(transfer) => {
                out.push(b'T');
                put_vote(out, transfer.from_leader());
                put_number(out, *transfer.to_node_id());
                put_option(out, transfer.last_log_id().copied(), put_log_id);
            }
        }
    }

    pub fn read(reader: &mut Reader) -> Result<Request, Malformed> {
        let request = match reader.byte()? {
            b'A' => {
                let vote = read_vote(reader)?;
                let prev_log_id = reader.option(read_log_id)?;
                let leader_commit = reader.option(read_log_id)?;
                let count = reader.count()?;
                let entries = (0..count).map(|_| read_entry(reader)).collect::<Result<_, _>>()?;
                Request::Append(AppendEntriesRequest { vote, prev_log_id, entries, leader_commit })
            }
            b'V' => Request::Vote(read_vote_request(reader)?),
            b'P' => Request::PreVote(read_vote_request(reader)?),
            b'S' => Request::Snapshot(Piece {
                vote: read_vote(reader)?,
                transfer: reader.number()?,
                offset: reader.number()?,
                is_last: reader.flag()?,
                bytes: reader.bytes()?,
            }),
            b'T' => {
                let (from, to) = (read_vote(reader)?, u64::from(reader.small()?));
                Request::TransferLeader(TransferLeaderRequest::new(from, to, reader.option(read_log_id)?))
            }
            _ => return Err(Malformed),
        };
        Ok(request)
    }
}

impl Answer {
    pub fn put(&self, out: &mut Vec<u8>) {
        match self {
            Answer::Append(AppendEntriesResponse::Success) => out.push(b'0'),
            Answer::Append(AppendEntriesResponse::PartialSuccess(upto)) => {
                out.push(b'1');
                put_option(out, *upto, put_log_id);
            }
            Answer::Append(AppendEntriesResponse::Conflict) => out.push(b'2'),
            Answer::Append(AppendEntriesResponse::HigherVote(vote)) => {
                out.push(b'3');
                put_vote(out, vote);
            }
            Answer::Vote(answer) => {
                out.push(b'V');
                put_vote(out, &answer.vote);
                out.push(u8::from(answer.vote_granted));
                put_option(out, answer.last_log_id, put_log_id);
            }
            Answer::More => out.push(b'M'),
            Answer::Again => out.push(b'G'),
            Answer::Installed(vote) => {
                out.push(b'I');
                put_vote(out, vote);
            }
            Answer::Transferred => out.push(b'T'),
            Answer::Failed => out.push(b'F'),
        }
    }

    pub fn read(reader: &mut Reader) -> Result<Answer, Malformed> {
        let answer = match reader.byte()? {
            b'0' => Answer::Append(AppendEntriesResponse::Success),
            b'1' => Answer::Append(AppendEntriesResponse::PartialSuccess(reader.option(read_log_id)?)),
            b'2' => Answer::Append(AppendEntriesResponse::Conflict),
            b'3' => Answer::Append(AppendEntriesResponse::HigherVote(read_vote(reader)?)),
            b'V' => {
                let (vote, granted) = (read_vote(reader)?, reader.flag()?);
                Answer::Vote(VoteResponse::new(vote, reader.option(read_log_id)?, granted))
            }
            b'M' => Answer::More,
            b'G' => Answer::Again,
            b'I' => Answer::Installed(read_vote(reader)?),
            b'T' => Answer::Transferred,
            b'F' => Answer::Failed,
            _ => return Err(Malformed),
        };
        Ok(answer)
    }
}

fn put_vote_request(out: &mut Vec<u8>, tag: u8, request: &VoteRequest<Types>) {
    out.push(tag);
    put_vote(out, &request.vote);
    put_option(out, request.last_log_id, put_log_id);
    out.push(u8::from(request.leadership_transfer));
}

fn read_vote_request(reader: &mut Reader) -> Result<VoteRequest<Types>, Malformed> {
    let mut request = VoteRequest::new(read_vote(reader)?, reader.option(read_log_id)?);
    request.leadership_transfer = reader.flag()?;
    Ok(request)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use openraft::EntryPayload;

    use super::super::codec::read_log_id;
    use super::super::{Entry, LogId, Membership, Peer, Proposal};
    use super::*;

    fn log_id(index: u64) -> LogId {
        let mut out = Vec::new();
        [300, 2, index].iter().for_each(|n| put_number(&mut out, *n));
        read_log_id(&mut Reader::new(out.into())).unwrap()
    }

    /// It comes back the same, and no prefix of it can be read.
    fn check(request: Request) {
        let mut out = Vec::new();
        request.put(&mut out);
        let bytes = Bytes::from(out);
        let mut reader = Reader::new(bytes.clone());
        let again = Request::read(&mut reader).unwrap();
        reader.end().unwrap();
        assert_eq!(format!("{request:?}"), format!("{again:?}"));
        for cut in 0..bytes.len() {
            assert!(Request::read(&mut Reader::new(bytes.slice(..cut))).is_err());
        }
    }

    #[test]
    fn every_request_comes_back() {
        let peer =
            |n: u64| Peer { name: format!("meerkat@meerkat-{n}"), address: format!("10.0.0.{n}:4369") };
        let nodes: BTreeMap<u64, Peer> = (1..=4).map(|n| (n, peer(n))).collect();
        let joint = vec![BTreeSet::from([1, 2, 3]), BTreeSet::from([1, 2, 4])];
        let membership = Membership::new(joint, nodes).unwrap();
        let entry = |index, payload| Entry { log_id: log_id(index), payload };
        let entries = vec![
            entry(5, EntryPayload::Blank),
            entry(6, EntryPayload::Normal(Proposal(Bytes::from_static(b"batch")))),
            entry(7, EntryPayload::Membership(membership)),
        ];
        let (vote, prev_log_id) = (Vote::new_committed(3, 2), Some(log_id(4)));
        check(Request::Append(AppendEntriesRequest { vote, prev_log_id, entries, leader_commit: None }));
        let mut asks = VoteRequest::new(Vote::new(4, 1), Some(log_id(4)));
        asks.leadership_transfer = true;
        check(Request::Vote(asks.clone()));
        check(Request::PreVote(asks));
        let bytes = Bytes::from_static(b"MKST");
        check(Request::Snapshot(Piece { vote, transfer: 9, offset: 1 << 33, is_last: true, bytes }));
        check(Request::TransferLeader(TransferLeaderRequest::new(vote, 3, None)));
    }

    #[test]
    fn every_answer_comes_back() {
        let vote = Vote::new(8, 3);
        let answers = [
            Answer::Append(AppendEntriesResponse::Success),
            Answer::Append(AppendEntriesResponse::PartialSuccess(Some(log_id(4)))),
            Answer::Append(AppendEntriesResponse::PartialSuccess(None)),
            Answer::Append(AppendEntriesResponse::Conflict),
            Answer::Append(AppendEntriesResponse::HigherVote(vote)),
            Answer::Vote(VoteResponse::new(vote, Some(log_id(1)), true)),
            Answer::More,
            Answer::Again,
            Answer::Installed(vote),
            Answer::Transferred,
            Answer::Failed,
        ];
        for answer in answers {
            let mut out = Vec::new();
            answer.put(&mut out);
            let again = Answer::read(&mut Reader::new(out.into())).unwrap();
            assert_eq!(format!("{answer:?}"), format!("{again:?}"));
        }
    }
}
