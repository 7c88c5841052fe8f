//! The small binary columns, all of unsigned numbers in LEB128: who owns a message, which ones were
//! taken, which ids are dead.
//!
//! ```text
//! owners   for each owner   account << 3 | role       role: 1 waits, 2 archived, 4 sent;
//!                          where archived, the other party's number in 8 bytes
//! taken    for each pair    account, id
//! dead     for each range   first - end of the range before, length
//! ```

use smallvec::SmallVec;

use crate::storage::numbers::{read_number, write_number};
use crate::storage::{AccountNumber, MessageId, Owner, Peer, Role};

pub type Owners = SmallVec<[Owner; 2]>;
/// An owner, and a message that waits for it or did.
pub type Pair = (AccountNumber, MessageId);
/// First and last id.
pub type Range = (u64, u64);

pub fn pack_owners(owners: &[Owner], out: &mut Vec<u8>) {
    for owner in owners {
        let role = owner.role;
        let bits = u64::from(role.waits) | u64::from(role.archived) << 1 | u64::from(role.sent) << 2;
        write_number(owner.account.0 << 3 | bits, out);
        if role.archived {
            out.extend_from_slice(&owner.peer.0.to_be_bytes());
        }
    }
}

/// `None` when these bytes are none that [`pack_owners`] wrote; likewise below.
pub fn unpack_owners(mut bytes: &[u8]) -> Option<Owners> {
    let mut owners = Owners::new();
    while !bytes.is_empty() {
        let number = read_number(&mut bytes)?;
        let role = Role { waits: number & 1 != 0, archived: number & 2 != 0, sent: number & 4 != 0 };
        let mut peer = Peer::default();
        if role.archived {
            let (number, rest) = bytes.split_first_chunk()?;
            (peer, bytes) = (Peer(u64::from_be_bytes(*number)), rest);
        }
        owners.push(Owner { account: AccountNumber(number >> 3), role, peer });
    }
    Some(owners)
}

pub fn pack_pairs(pairs: &[Pair]) -> Vec<u8> {
    let mut out = Vec::with_capacity(pairs.len() * 8);
    for (owner, id) in pairs {
        write_number(owner.0, &mut out);
        write_number(id.0, &mut out);
    }
    out
}

pub fn unpack_pairs(mut bytes: &[u8]) -> Option<Vec<Pair>> {
    let mut pairs = Vec::new();
    while !bytes.is_empty() {
        pairs.push((AccountNumber(read_number(&mut bytes)?), MessageId(read_number(&mut bytes)?)));
    }
    Some(pairs)
}

/// The ranges in order, none touching the next.
pub fn pack_ranges(ranges: &[Range]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut end = 0;
    for (first, last) in ranges {
        write_number(first.saturating_sub(end), &mut out);
        write_number(last.saturating_sub(*first), &mut out);
        end = *last;
    }
    out
}

pub fn unpack_ranges(mut bytes: &[u8]) -> Option<Vec<Range>> {
    let mut ranges = Vec::new();
    let mut end = 0u64;
    while !bytes.is_empty() {
        let first = end.checked_add(read_number(&mut bytes)?)?;
        end = first.checked_add(read_number(&mut bytes)?)?;
        ranges.push((first, end));
    }
    Some(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked() {
        let roles =
            (0..8u64).map(|bits| Role { waits: bits & 1 != 0, archived: bits & 2 != 0, sent: bits > 3 });
        let owners: Owners = roles
            .zip([0, 1, 127, 128, 300, 1 << 20, 1 << 40, u64::MAX >> 3])
            .map(|(role, number)| {
                let peer = if role.archived { Peer(number ^ u64::MAX) } else { Peer::default() };
                Owner { account: AccountNumber(number), role, peer }
            })
            .collect();
        let mut bytes = Vec::new();
        pack_owners(&owners, &mut bytes);
        assert_eq!(unpack_owners(&bytes), Some(owners));

        let pairs = vec![(AccountNumber(7), MessageId(u64::MAX)), (AccountNumber(1 << 33), MessageId(0))];
        assert_eq!(unpack_pairs(&pack_pairs(&pairs)), Some(pairs));

        let ranges = vec![(1, 1), (3, 900), (10_000, 10_000), (u64::MAX - 1, u64::MAX)];
        assert_eq!(unpack_ranges(&pack_ranges(&ranges)), Some(ranges));
    }

    #[test]
    fn what_is_cut_or_endless_is_refused() {
        assert_eq!(unpack_owners(&[0x80]), None);
        assert_eq!(unpack_owners(&[2, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(unpack_pairs(&[1]), None);
        assert_eq!(unpack_owners(&[0xff; 20]), None);
        assert_eq!(unpack_ranges(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1]), None);
    }
}
