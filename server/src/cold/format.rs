//! What a cold file is: entries of archives in the order of owner and id, in blocks that are read one by one.
//!
//! ```text
//! file     "MKCOLD01", blocks, index, where the index begins (8 bytes)
//! block    zstd, with its checksum; of entries: owner, id, time, sent (0 or 1), peer (8 bytes), length, stanza
//! index    zstd, with its checksum: messages, entries, number of blocks; for each block its length, its length
//!          unpacked, owner and id of its first entry, entries, oldest time, time from there to the newest,
//!          number of peers, the lowest 16 bits of each
//! ```
//!
//! Numbers without a size are in LEB128. A message of two owners stands in the file twice: each finds his own page in
//! a block or two, and what he gives up goes without a look at the other's.

use std::collections::BTreeSet;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::storage::numbers::{read_number, write_number};
use crate::storage::refusal::MESSAGE_BYTES;
use crate::storage::{AccountNumber, ColdPart, MessageId, Millis, Peer};

const MAGIC: &[u8] = b"MKCOLD01";
/// A block is full with so many bytes, unpacked: a page of 50 messages is in one or two.
const BLOCK_BYTES: usize = 64 << 10;
/// The longest block: one that was almost full, and the longest message.
const BLOCK_MOST: usize = BLOCK_BYTES + MESSAGE_BYTES + 64;
/// The longest index, and the most blocks: of files far larger than any that is written.
const INDEX_MOST: usize = 64 << 20;
const LEVEL: i32 = 6;
const TAIL: usize = 8;

/// A message in its owner's archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub owner: AccountNumber,
    pub id: MessageId,
    pub time: Millis,
    pub sent: bool,
    pub peer: Peer,
    pub stanza: Bytes,
}

impl Entry {
    pub fn key(&self) -> (AccountNumber, MessageId) {
        (self.owner, self.id)
    }
}

/// A file as it is to be, and what the catalogue is to know of it.
#[derive(Debug, Clone)]
pub struct Written {
    pub bytes: Bytes,
    pub index_at: u64,
    pub sum: String,
    pub parts: Vec<ColdPart>,
    pub oldest: Millis,
    pub newest: Millis,
    pub messages: u64,
    pub entries: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    pub messages: u64,
    pub entries: u64,
    pub blocks: Vec<Block>,
}

/// Where a block is, and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    pub at: u64,
    pub length: u64,
    unpacked: usize,
    pub first: (AccountNumber, MessageId),
    pub entries: u64,
    pub oldest: Millis,
    pub newest: Millis,
    peers: Vec<u16>,
}

/// Why a file is none, or not the one that it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Garbled(pub &'static str);

impl Index {
    /// The blocks that may have entries of the owner between two ids, both included.
    pub fn blocks_of(
        &self,
        owner: AccountNumber,
        first: MessageId,
        last: MessageId,
    ) -> impl DoubleEndedIterator<Item = (usize, &Block)> {
        // The one before the first that begins behind may end with what is looked for.
        let from = self.blocks.partition_point(|block| block.first <= (owner, first)).saturating_sub(1);
        let to = self.blocks.partition_point(|block| block.first <= (owner, last));
        self.blocks.iter().enumerate().take(to).skip(from)
    }

    /// Reads what is behind `index_at` in the file.
    pub fn read(bytes: &[u8], index_at: u64) -> Result<Index, Garbled> {
        let packed = bytes.len().checked_sub(TAIL).and_then(|end| bytes.split_at_checked(end));
        let (packed, tail) = packed.ok_or(Garbled("its index is cut off"))?;
        if tail != index_at.to_be_bytes() {
            return Err(Garbled("its index begins elsewhere"));
        }
        let index =
            zstd::bulk::decompress(packed, INDEX_MOST).map_err(|_| Garbled("its index is garbled"))?;
        read_index(&index).filter(|index| index.end() == index_at).ok_or(Garbled("its index is wrong"))
    }

    fn end(&self) -> u64 {
        self.blocks.last().map_or(MAGIC.len() as u64, |block| block.at + block.length)
    }
}

impl Block {
    /// May it have a message with this one?
    pub fn has_peer(&self, peer: Peer) -> bool {
        self.peers.binary_search(&short(peer)).is_ok()
    }

    /// The block's bytes as entries.
    pub fn read(&self, bytes: &[u8]) -> Result<Vec<Entry>, Garbled> {
        let garbled = Garbled("a block of it is garbled");
        if self.unpacked > BLOCK_MOST {
            return Err(garbled);
        }
        let unpacked = zstd::bulk::decompress(bytes, self.unpacked).map_err(|_| garbled.clone())?;
        let unpacked = Bytes::from(unpacked);
        let entries = read_entries(&unpacked).ok_or(garbled.clone())?;
        match entries.len() as u64 == self.entries && entries.first().map(Entry::key) == Some(self.first) {
            true => Ok(entries),
            false => Err(garbled),
        }
    }
}

/// Makes a file of entries, which are at least one. The work of a second: not for the reactor.
pub fn write(mut entries: Vec<Entry>) -> Result<Written, std::io::Error> {
    entries.sort_unstable_by_key(Entry::key);
    let mut packer = zstd::bulk::Compressor::new(LEVEL)?;
    packer.include_checksum(true)?;
    let mut bytes = MAGIC.to_vec();
    let mut blocks = Vec::new();
    let mut open = Open::default();
    for entry in &entries {
        open.push(entry);
        if open.bytes.len() >= BLOCK_BYTES {
            open.close(&mut packer, &mut bytes, &mut blocks)?;
        }
    }
    open.close(&mut packer, &mut bytes, &mut blocks)?;
    let messages = entries.iter().map(|entry| entry.id).collect::<BTreeSet<_>>().len() as u64;
    let index = Index { messages, entries: entries.len() as u64, blocks };
    let index_at = bytes.len() as u64;
    bytes.extend_from_slice(&packer.compress(&write_index(&index))?);
    bytes.extend_from_slice(&index_at.to_be_bytes());
    let times = || entries.iter().map(|entry| entry.time);
    Ok(Written {
        index_at,
        sum: sum(&bytes),
        parts: parts(&entries),
        oldest: times().min().unwrap_or_default(),
        newest: times().max().unwrap_or_default(),
        messages,
        entries: index.entries,
        bytes: bytes.into(),
    })
}

/// All of a file, as the catalogue knows it by its sum.
pub fn read(bytes: &[u8], expected: &str, index_at: u64) -> Result<(Index, Vec<Entry>), Garbled> {
    if sum(bytes) != expected {
        return Err(Garbled("its checksum is another"));
    }
    if !bytes.starts_with(MAGIC) {
        return Err(Garbled("it is no cold file, or of a newer Meerkat"));
    }
    let at = usize::try_from(index_at).unwrap_or(usize::MAX);
    let index = Index::read(bytes.get(at..).unwrap_or_default(), index_at)?;
    let mut entries = Vec::new();
    for block in &index.blocks {
        let (from, to) = (block.at as usize, (block.at + block.length) as usize);
        entries.extend(block.read(bytes.get(from..to).unwrap_or_default())?);
    }
    let messages = entries.iter().map(|entry| entry.id).collect::<BTreeSet<_>>().len() as u64;
    let is_ordered = entries.is_sorted_by(|one, next| one.key() < next.key());
    match is_ordered && index.entries == entries.len() as u64 && index.messages == messages {
        true => Ok((index, entries)),
        false => Err(Garbled("its index is of other entries")),
    }
}

/// What each owner has of entries in their order.
pub fn parts(entries: &[Entry]) -> Vec<ColdPart> {
    let of_owner = entries.chunk_by(|one, next| one.owner == next.owner);
    let parts = of_owner.filter_map(|entries| {
        let (first, last) = (entries.first()?, entries.last()?);
        Some(ColdPart { owner: first.owner, first: first.id, last: last.id, entries: entries.len() as u64 })
    });
    parts.collect()
}

pub fn sum(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// A block that entries come to.
#[derive(Default)]
struct Open {
    bytes: Vec<u8>,
    first: Option<(AccountNumber, MessageId)>,
    entries: u64,
    times: Option<(Millis, Millis)>,
    peers: BTreeSet<u16>,
}

impl Open {
    fn push(&mut self, entry: &Entry) {
        for number in [entry.owner.0, entry.id.0, entry.time, u64::from(entry.sent)] {
            write_number(number, &mut self.bytes);
        }
        self.bytes.extend_from_slice(&entry.peer.0.to_be_bytes());
        write_number(entry.stanza.len() as u64, &mut self.bytes);
        self.bytes.extend_from_slice(&entry.stanza);
        self.first.get_or_insert(entry.key());
        self.entries += 1;
        let (oldest, newest) = self.times.unwrap_or((entry.time, entry.time));
        self.times = Some((oldest.min(entry.time), newest.max(entry.time)));
        self.peers.insert(short(entry.peer));
    }

    fn close(
        &mut self,
        packer: &mut zstd::bulk::Compressor<'_>,
        file: &mut Vec<u8>,
        blocks: &mut Vec<Block>,
    ) -> Result<(), std::io::Error> {
        let open = std::mem::take(self);
        let (Some(first), Some((oldest, newest))) = (open.first, open.times) else { return Ok(()) };
        let packed = packer.compress(&open.bytes)?;
        blocks.push(Block {
            at: file.len() as u64,
            length: packed.len() as u64,
            unpacked: open.bytes.len(),
            first,
            entries: open.entries,
            oldest,
            newest,
            peers: open.peers.into_iter().collect(),
        });
        file.extend_from_slice(&packed);
        Ok(())
    }
}

/// Enough of it to pass over most blocks without the peer.
fn short(peer: Peer) -> u16 {
    peer.0 as u16
}

fn write_index(index: &Index) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in [index.messages, index.entries, index.blocks.len() as u64] {
        write_number(number, &mut bytes);
    }
    for block in &index.blocks {
        let (owner, id) = block.first;
        let times = [block.oldest, block.newest - block.oldest];
        for number in
            [block.length, block.unpacked as u64, owner.0, id.0, block.entries].into_iter().chain(times)
        {
            write_number(number, &mut bytes);
        }
        write_number(block.peers.len() as u64, &mut bytes);
        block.peers.iter().for_each(|peer| bytes.extend_from_slice(&peer.to_be_bytes()));
    }
    bytes
}

fn read_index(mut bytes: &[u8]) -> Option<Index> {
    let bytes = &mut bytes;
    let (messages, entries, count) = (read_number(bytes)?, read_number(bytes)?, read_number(bytes)?);
    let mut blocks = Vec::new();
    let mut at = MAGIC.len() as u64;
    for _ in 0..count {
        let (length, unpacked) = (read_number(bytes)?, usize::try_from(read_number(bytes)?).ok()?);
        let first = (AccountNumber(read_number(bytes)?), MessageId(read_number(bytes)?));
        let (entries, oldest) = (read_number(bytes)?, read_number(bytes)?);
        let newest = oldest.checked_add(read_number(bytes)?)?;
        let mut peers = Vec::new();
        for _ in 0..read_number(bytes)? {
            let (peer, rest) = bytes.split_first_chunk()?;
            peers.push(u16::from_be_bytes(*peer));
            *bytes = rest;
        }
        blocks.push(Block { at, length, unpacked, first, entries, oldest, newest, peers });
        at = at.checked_add(length)?;
    }
    bytes.is_empty().then_some(Index { messages, entries, blocks })
}

fn read_entries(block: &Bytes) -> Option<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut bytes: &[u8] = block;
    while !bytes.is_empty() {
        let (owner, id) = (read_number(&mut bytes)?, read_number(&mut bytes)?);
        let (time, sent) = (read_number(&mut bytes)?, read_number(&mut bytes)?);
        let (peer, rest) = bytes.split_first_chunk()?;
        bytes = rest;
        let length = usize::try_from(read_number(&mut bytes)?).ok()?;
        let (stanza, rest) = bytes.split_at_checked(length)?;
        bytes = rest;
        entries.push(Entry {
            owner: AccountNumber(owner),
            id: MessageId(id),
            time,
            sent: sent != 0,
            peer: Peer(u64::from_be_bytes(*peer)),
            stanza: block.slice_ref(stanza),
        });
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(count: u64) -> Vec<Entry> {
        let entry = |n: u64| Entry {
            owner: AccountNumber(1 + n % 3),
            id: MessageId(100 + n / 2),
            time: 1_700_000_000_000 + n * 1_000,
            sent: n.is_multiple_of(2),
            peer: Peer(n % 7 * 0x0123_4567_89ab_cdef),
            stanza: format!("<message><body>{n} {}</body></message>", "x".repeat(n as usize % 500)).into(),
        };
        let mut entries: Vec<Entry> = (0..count).map(entry).collect();
        entries.sort_by_key(Entry::key);
        entries.dedup_by_key(|entry| entry.key());
        entries
    }

    #[test]
    fn what_is_written_is_read() {
        for count in [1, 2, 3_000] {
            let entries = entries(count);
            let written = write(entries.clone()).expect("writes");
            let (index, read) = read(&written.bytes, &written.sum, written.index_at).expect("reads");
            assert_eq!(read, entries);
            assert_eq!((index.entries, written.entries), (entries.len() as u64, entries.len() as u64));
            assert_eq!(index.messages, written.messages);
            assert_eq!(written.parts, parts(&entries));
            assert_eq!(written.parts.iter().map(|part| part.entries).sum::<u64>(), written.entries);
        }
    }

    #[test]
    fn blocks_are_found_by_owner_id_and_peer() {
        let entries = entries(3_000);
        let written = write(entries.clone()).expect("writes");
        let at = written.index_at as usize;
        let index = Index::read(&written.bytes[at..], written.index_at).expect("reads");
        assert!(index.blocks.len() > 5, "{} blocks", index.blocks.len());
        for entry in &entries {
            let found: Vec<Entry> = index
                .blocks_of(entry.owner, entry.id, entry.id)
                .filter(|(_, block)| block.has_peer(entry.peer))
                .flat_map(|(_, block)| {
                    let bytes = &written.bytes[block.at as usize..(block.at + block.length) as usize];
                    block.read(bytes).expect("reads")
                })
                .filter(|found| found.key() == entry.key())
                .collect();
            assert_eq!(found, std::slice::from_ref(entry));
        }
        let hers = index.blocks_of(AccountNumber(2), MessageId(0), MessageId(u64::MAX)).count();
        assert!(hers <= index.blocks.len() / 2, "{hers} of {} blocks", index.blocks.len());
        assert_eq!(index.blocks_of(AccountNumber(0), MessageId(0), MessageId(u64::MAX)).count(), 0);
    }

    /// A file of another sum is refused as a whole; and so is each block that differs in a byte.
    #[test]
    fn a_flipped_byte_is_noticed() {
        let written = write(entries(300)).expect("writes");
        let at = written.index_at as usize;
        let index = Index::read(&written.bytes[at..], written.index_at).expect("reads");
        for place in (0..written.bytes.len()).step_by(7) {
            let mut bytes = written.bytes.to_vec();
            bytes[place] ^= 1;
            assert!(read(&bytes, &written.sum, written.index_at).is_err());
            if place >= at {
                assert!(Index::read(&bytes[at..], written.index_at).is_err(), "byte {place}");
            }
            for block in &index.blocks {
                let range = block.at as usize..(block.at + block.length) as usize;
                assert_eq!(
                    block.read(&bytes[range.clone()]).is_err(),
                    range.contains(&place),
                    "byte {place}"
                );
            }
        }
        assert!(read(&written.bytes[..at], &written.sum, written.index_at).is_err());
        assert!(Index::read(&[], 0).is_err());
    }
}
