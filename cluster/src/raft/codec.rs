//! Raft's own data as bytes, the same on links and on disks.
//!
//! ```text
//! vote:       term | node | is committed
//! log id:     term | node | index
//! entry:      log id | tag: 0 blank, 1 batch: bytes, 2 membership
//! membership: count x (count x voter) | count x (node | name | address)
//! ```

use std::collections::{BTreeMap, BTreeSet};

use openraft::EntryPayload;
use openraft::vote::RaftLeaderId;

use super::{Entry, LogId, Membership, Peer, Proposal, StoredMembership, Types, Vote};
use crate::wire::{Malformed, Reader, put_bytes, put_number, put_option, put_text};

type LeaderId = openraft::alias::LeaderIdOf<Types>;

pub fn put_vote(out: &mut Vec<u8>, vote: &Vote) {
    put_number(out, vote.leader_id.term);
    put_number(out, vote.leader_id.node_id);
    out.push(u8::from(vote.committed));
}

pub fn read_vote(reader: &mut Reader) -> Result<Vote, Malformed> {
    let (term, node) = (reader.number()?, read_node(reader)?);
    let vote = if reader.flag()? { Vote::new_committed(term, node) } else { Vote::new(term, node) };
    Ok(vote)
}

pub fn put_log_id(out: &mut Vec<u8>, id: LogId) {
    put_number(out, id.leader_id.term);
    put_number(out, id.leader_id.node_id);
    put_number(out, id.index);
}

pub fn read_log_id(reader: &mut Reader) -> Result<LogId, Malformed> {
    let (term, node) = (reader.number()?, read_node(reader)?);
    Ok(LogId { leader_id: LeaderId::new(term, node), index: reader.number()? })
}

pub fn put_entry(out: &mut Vec<u8>, entry: &Entry) {
    put_log_id(out, entry.log_id);
    match &entry.payload {
        EntryPayload::Blank => out.push(0),
        EntryPayload::Normal(Proposal(bytes)) => {
            out.push(1);
            put_bytes(out, bytes);
        }
        EntryPayload::Membership(membership) => {
            out.push(2);
            put_membership(out, membership);
        }
    }
}

pub fn read_entry(reader: &mut Reader) -> Result<Entry, Malformed> {
    let log_id = read_log_id(reader)?;
    let payload = match reader.byte()? {
        0 => EntryPayload::Blank,
        1 => EntryPayload::Normal(Proposal(reader.bytes()?)),
        2 => EntryPayload::Membership(read_membership(reader)?),
        _ => return Err(Malformed),
    };
    Ok(Entry { log_id, payload })
}

pub fn put_peer(out: &mut Vec<u8>, peer: &Peer) {
    put_text(out, &peer.name);
    put_text(out, &peer.address);
}

pub fn read_peer(reader: &mut Reader) -> Result<Peer, Malformed> {
    Ok(Peer { name: reader.text()?, address: reader.text()? })
}

pub fn put_stored_membership(out: &mut Vec<u8>, stored: &StoredMembership) {
    put_option(out, *stored.log_id(), put_log_id);
    put_membership(out, stored.membership());
}

pub fn read_stored_membership(reader: &mut Reader) -> Result<StoredMembership, Malformed> {
    let log_id = reader.option(read_log_id)?;
    Ok(StoredMembership::new(log_id, read_membership(reader)?))
}

fn put_membership(out: &mut Vec<u8>, membership: &Membership) {
    let configs = membership.get_joint_config();
    put_number(out, configs.len() as u64);
    for config in configs {
        put_number(out, config.len() as u64);
        config.iter().for_each(|node| put_number(out, *node));
    }
    put_number(out, membership.nodes().count() as u64);
    for (node, peer) in membership.nodes() {
        put_number(out, *node);
        put_peer(out, peer);
    }
}

fn read_membership(reader: &mut Reader) -> Result<Membership, Malformed> {
    let mut configs = Vec::new();
    for _ in 0..reader.count()? {
        let count = reader.count()?;
        configs.push((0..count).map(|_| read_node(reader)).collect::<Result<BTreeSet<_>, _>>()?);
    }
    let mut nodes = BTreeMap::new();
    for _ in 0..reader.count()? {
        nodes.insert(read_node(reader)?, read_peer(reader)?);
    }
    if configs.is_empty() && nodes.is_empty() {
        return Ok(Membership::default());
    }
    Membership::new(configs, nodes).map_err(|_| Malformed)
}

/// A node's id has 32 bits everywhere but in openraft.
fn read_node(reader: &mut Reader) -> Result<u64, Malformed> {
    reader.small().map(u64::from)
}
