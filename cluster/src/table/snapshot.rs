//! The whole table as bytes, written and read in a stream.
//!
//! ```text
//! "MKST" | version 1
//! block*: length (4 bytes, big-endian) | CRC-32 of the bytes (4) | bytes      an empty block is the end
//! first block: applied | count x node: id | start | boot | batch | is up
//! others:      count x account: bare address | count x session
//! session:     resource | node | boot | number | presence | willing since
//! ```

use std::io::{self, Read, Write};
use std::sync::atomic::Ordering;

use bytes::Bytes;
use xmpp_core::Jid;

use super::{NodeSeen, Nodes, SHARDS, SessionTable, Shard, account_of, shard_of};
use crate::command::{presence_byte, read_presence};
use crate::wire::{Malformed, Reader, put_bytes, put_number, put_text};
use crate::{Boot, Entry, NodeId, SessionId, SessionsAt};

const MAGIC: &[u8; 5] = b"MKST\x01";
/// A block is closed when it has reached this size; one account more may be behind it.
const BLOCK_BYTES: usize = 64 * 1024;
const BLOCK_MAX_BYTES: usize = 16 * 1024 * 1024;

#[derive(Debug)]
pub enum SnapshotError {
    /// The disk or the link failed.
    Io(io::Error),
    /// These are not the bytes of a snapshot, or they were damaged.
    Damaged,
}

/// The table as it was at one moment, shared with the live one.
pub struct Frozen {
    applied: u64,
    nodes: Vec<(NodeId, NodeSeen)>,
    accounts: Vec<SessionsAt>,
}

impl SessionTable {
    /// Copies pointers, while commands wait: 1 000 000 sessions in about a tenth of a second.
    pub fn freeze(&self) -> Frozen {
        let order = self.order.lock();
        let mut accounts = Vec::with_capacity(self.len());
        for shard in &self.shards {
            accounts.extend(shard.read().iter().cloned());
        }
        Frozen { applied: order.applied, nodes: order.nodes.all().collect(), accounts }
    }

    /// Replaces everything by what a snapshot holds, or leaves everything as it was. A reader sees an
    /// account before or after, never between.
    pub fn restore(&self, from: &mut dyn Read) -> Result<(), SnapshotError> {
        let mut magic = [0; MAGIC.len()];
        from.read_exact(&mut magic)?;
        if &magic != MAGIC {
            return Err(SnapshotError::Damaged);
        }
        let mut head = Reader::new(read_block(from)?.ok_or(SnapshotError::Damaged)?);
        let (applied, mut nodes) = read_head(&mut head)?;
        let mut shards: Vec<Shard> = (0..SHARDS).map(|_| Shard::new()).collect();
        let mut sessions = 0;
        while let Some(block) = read_block(from)? {
            let mut reader = Reader::new(block);
            for _ in 0..reader.count()? {
                let entries = read_account(&mut reader)?;
                let hash = self.hash(entries.first().ok_or(Malformed)?.jid.bare_str());
                entries.iter().for_each(|e| nodes.add(e.session.node, hash));
                sessions += entries.len();
                shards[shard_of(hash)].insert_unique(hash, entries.into(), |s| self.hash(account_of(s)));
            }
            reader.end()?;
        }
        let mut order = self.order.lock();
        for (old, new) in self.shards.iter().zip(shards) {
            *old.write() = new;
        }
        self.sessions.store(sessions, Ordering::Relaxed);
        order.applied = applied;
        order.nodes = nodes;
        Ok(())
    }
}

impl Frozen {
    pub fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        to.write_all(MAGIC)?;
        let mut head = Vec::new();
        put_number(&mut head, self.applied);
        put_number(&mut head, self.nodes.len() as u64);
        for (id, seen) in &self.nodes {
            put_number(&mut head, u64::from(id.0));
            put_number(&mut head, seen.start);
            put_number(&mut head, seen.boot.0);
            put_number(&mut head, seen.batch);
            head.push(u8::from(seen.is_up));
        }
        write_block(to, &head)?;
        let (mut block, mut count) = (Vec::with_capacity(BLOCK_BYTES * 2), 0);
        for sessions in &self.accounts {
            put_account(&mut block, sessions);
            count += 1;
            if block.len() >= BLOCK_BYTES {
                write_accounts(to, &mut block, &mut count)?;
            }
        }
        if count > 0 {
            write_accounts(to, &mut block, &mut count)?;
        }
        write_block(to, &[])
    }
}

fn write_accounts(to: &mut dyn Write, block: &mut Vec<u8>, count: &mut u64) -> io::Result<()> {
    let mut whole = Vec::with_capacity(block.len() + 10);
    put_number(&mut whole, *count);
    whole.append(block);
    *count = 0;
    write_block(to, &whole)
}

fn write_block(to: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
    to.write_all(&(bytes.len() as u32).to_be_bytes())?;
    to.write_all(&crc32fast::hash(bytes).to_be_bytes())?;
    to.write_all(bytes)
}

fn read_block(from: &mut dyn Read) -> Result<Option<Bytes>, SnapshotError> {
    let mut four = [0; 4];
    from.read_exact(&mut four)?;
    let length = u32::from_be_bytes(four) as usize;
    from.read_exact(&mut four)?;
    if length > BLOCK_MAX_BYTES {
        return Err(SnapshotError::Damaged);
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    if crc32fast::hash(&bytes) != u32::from_be_bytes(four) {
        return Err(SnapshotError::Damaged);
    }
    Ok((length > 0).then(|| bytes.into()))
}

fn read_head(reader: &mut Reader) -> Result<(u64, Nodes), Malformed> {
    let applied = reader.number()?;
    let mut nodes = Nodes::default();
    for _ in 0..reader.count()? {
        let id = NodeId(reader.small()?);
        let (start, boot, batch) = (reader.number()?, Boot(reader.number()?), reader.number()?);
        nodes.learn(id, NodeSeen { start, boot, batch, is_up: reader.flag()? });
    }
    Ok((applied, nodes))
}

fn put_account(out: &mut Vec<u8>, sessions: &SessionsAt) {
    let account = account_of(sessions);
    put_text(out, account);
    put_number(out, sessions.len() as u64);
    for entry in sessions.iter() {
        put_bytes(out, entry.jid.resource().unwrap_or_default().as_bytes());
        put_number(out, u64::from(entry.session.node.0));
        put_number(out, entry.session.boot.0);
        put_number(out, entry.session.number);
        out.push(presence_byte(entry.presence));
        put_number(out, entry.willing_since);
    }
}

fn read_account(reader: &mut Reader) -> Result<Vec<Entry>, Malformed> {
    let account = reader.text()?;
    let mut text = String::with_capacity(account.len() + 64);
    let count = reader.count()?;
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let resource = reader.bytes()?;
        text.clear();
        text.push_str(&account);
        if !resource.is_empty() {
            text.push('/');
            text.push_str(std::str::from_utf8(&resource).map_err(|_| Malformed)?);
        }
        let jid = Jid::parse(&text).map_err(|_| Malformed)?;
        let session = SessionId {
            node: NodeId(reader.small()?),
            boot: Boot(reader.number()?),
            number: reader.number()?,
        };
        let presence = read_presence(reader)?;
        entries.push(Entry { jid, session, presence, willing_since: reader.number()? });
    }
    Ok(entries)
}

impl std::fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SnapshotError::Io(error) => write!(f, "{error}"),
            SnapshotError::Damaged => f.write_str("not a snapshot of sessions, or a damaged one"),
        }
    }
}

impl std::error::Error for SnapshotError {}

impl From<io::Error> for SnapshotError {
    fn from(error: io::Error) -> SnapshotError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => SnapshotError::Damaged,
            _ => SnapshotError::Io(error),
        }
    }
}

impl From<Malformed> for SnapshotError {
    fn from(_: Malformed) -> SnapshotError {
        SnapshotError::Damaged
    }
}
