//! Events as bytes.
//!
//! ```text
//! content  version (1), then item after item
//! item     1   message   id - first, time, owners, each (account << 3 | role), 0; length, stanza
//!          2   account   change, time, length, address, 1 + length of the reason or 0, reason
//! ```
//!
//! Numbers are LEB128; role: 1 waits, 2 archived, 4 sent. An account's number is never 0.

use smallvec::SmallVec;
use xmpp_core::BareJid;

use super::{AccountChange, AccountEvent, Item, OutboxRow, SavedMessage};
use crate::storage::numbers::{read_number, write_number};
use crate::storage::{AccountNumber, Draft, MessageId, Owner, Peer, Role};

const VERSION: u8 = 1;
const MESSAGE: u8 = 1;
const ACCOUNT: u8 = 2;

/// A row has at most so many bytes, and one event more: who reads is to be able to hold a few.
const ROW_BYTES: usize = 1 << 20;

const CHANGES: [AccountChange; 5] = [
    AccountChange::Created,
    AccountChange::PasswordChanged,
    AccountChange::Banned,
    AccountChange::Unbanned,
    AccountChange::Removed,
];

/// Gathers the events of one commit.
#[derive(Debug, Default)]
pub struct Packer {
    done: Vec<PackedRow>,
    row: PackedRow,
}

/// A row that is about to be written.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct PackedRow {
    pub events: u32,
    pub content: Vec<u8>,
}

impl Packer {
    /// `offset`: how far the message's id is behind the commit's first. What nobody owns is no event.
    pub fn message(&mut self, offset: u64, draft: &Draft) {
        if draft.owners.is_empty() {
            return;
        }
        let row = self.room(draft.stanza.len() + 40);
        row.push(MESSAGE);
        write_number(offset, row);
        write_number(draft.time, row);
        for owner in &draft.owners {
            let role = owner.role;
            let bits = u64::from(role.waits) | u64::from(role.archived) << 1 | u64::from(role.sent) << 2;
            write_number(owner.account.0 << 3 | bits, row);
        }
        row.push(0);
        write_bytes(&draft.stanza, row);
    }

    pub fn account(&mut self, event: &AccountEvent) {
        let row = self.room(event.account.as_str().len() + 40);
        row.extend_from_slice(&[ACCOUNT, event.change as u8]);
        write_number(event.time, row);
        write_bytes(event.account.as_str().as_bytes(), row);
        match &event.reason {
            None => row.push(0),
            Some(reason) => {
                write_number(reason.len() as u64 + 1, row);
                row.extend_from_slice(reason.as_bytes());
            }
        }
    }

    /// The commit's rows; none, where nothing happened.
    pub fn finish(mut self) -> Vec<PackedRow> {
        if self.row.events > 0 {
            self.done.push(self.row);
        }
        self.done
    }

    fn room(&mut self, bytes: usize) -> &mut Vec<u8> {
        if self.row.events > 0 && self.row.content.len() + bytes > ROW_BYTES {
            self.done.push(std::mem::take(&mut self.row));
        }
        if self.row.events == 0 {
            self.row.content.push(VERSION);
        }
        self.row.events += 1;
        &mut self.row.content
    }
}

fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_number(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

impl OutboxRow {
    /// `None` where these are no bytes that a [`Packer`] of this version made.
    pub fn items(&self) -> Option<Vec<Item>> {
        let mut rest: &[u8] = &self.content;
        let mut items = Vec::new();
        let (VERSION, bytes) = take_byte(rest)? else { return None };
        rest = bytes;
        while !rest.is_empty() {
            let (kind, bytes) = take_byte(rest)?;
            rest = bytes;
            items.push(match kind {
                MESSAGE => Item::Message(self.message(&mut rest)?),
                ACCOUNT => Item::Account(account(&mut rest)?),
                _ => return None,
            });
        }
        Some(items)
    }

    fn message(&self, rest: &mut &[u8]) -> Option<SavedMessage> {
        let id = MessageId(self.first.0.checked_add(read_number(rest)?)?);
        let time = read_number(rest)?;
        let mut owners = SmallVec::new();
        loop {
            let number = read_number(rest)?;
            if number == 0 {
                break;
            }
            let role = Role { waits: number & 1 != 0, archived: number & 2 != 0, sent: number & 4 != 0 };
            owners.push(Owner { account: AccountNumber(number >> 3), role, peer: Peer::default() });
        }
        let stanza = read_bytes(rest)?;
        let stanza = self.content.slice_ref(stanza);
        Some(SavedMessage { id, time, owners, stanza })
    }
}

fn account(rest: &mut &[u8]) -> Option<AccountEvent> {
    let (change, bytes) = take_byte(rest)?;
    *rest = bytes;
    let change = *CHANGES.get(change as usize)?;
    let time = read_number(rest)?;
    let account = BareJid::parse(std::str::from_utf8(read_bytes(rest)?).ok()?).ok()?;
    let reason = match read_number(rest)? {
        0 => None,
        length => {
            let reason = take(rest, usize::try_from(length - 1).ok()?)?;
            Some(std::str::from_utf8(reason).ok()?.to_owned())
        }
    };
    Some(AccountEvent { change, account, time, reason })
}

fn take_byte(bytes: &[u8]) -> Option<(u8, &[u8])> {
    bytes.split_first().map(|(byte, rest)| (*byte, rest))
}

fn read_bytes<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let length = usize::try_from(read_number(rest)?).ok()?;
    take(rest, length)
}

fn take<'b>(rest: &mut &'b [u8], length: usize) -> Option<&'b [u8]> {
    let (bytes, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::storage::outbox::Place;

    fn row(content: Vec<u8>) -> OutboxRow {
        OutboxRow { place: Place(1), first: MessageId(100), content: Bytes::from(content) }
    }

    fn draft(owners: &[(u64, Role)], stanza: &str) -> Draft {
        let owners = owners.iter().map(|(number, role)| Owner {
            account: AccountNumber(*number),
            role: *role,
            peer: Peer(0),
        });
        Draft { time: 1_700_000_000_123, owners: owners.collect(), stanza: Bytes::from(stanza.to_owned()) }
    }

    const SENT: Role = Role { waits: false, archived: true, sent: true };

    fn event(change: AccountChange, reason: Option<&str>) -> AccountEvent {
        let account = BareJid::parse("romeo@example.com").expect("an address");
        AccountEvent { change, account, time: 7, reason: reason.map(str::to_owned) }
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        let drafts = [
            draft(&[(1, SENT), (1 << 40, Role::QUEUED)], "<message><body>\u{1f600}</body></message>"),
            draft(&[], "<message/>"),
            draft(&[(3, Role::default())], ""),
        ];
        let events = CHANGES.map(|change| event(change, (change == AccountChange::Banned).then_some("")));
        let mut packer = Packer::default();
        drafts.iter().zip(0..).for_each(|(draft, offset)| packer.message(offset, draft));
        events.iter().for_each(|event| packer.account(event));
        let [PackedRow { events: 7, content }] = &packer.finish()[..] else { panic!("one row") };
        let row = row(content.clone());
        let items = row.items().expect("whole");
        let Item::Message(first) = &items[0] else { panic!("a message") };
        assert_eq!((first.id, first.time), (MessageId(100), drafts[0].time));
        assert_eq!((&first.owners, &first.stanza), (&drafts[0].owners, &drafts[0].stanza));
        let Item::Message(third) = &items[1] else { panic!("a message") };
        assert_eq!((third.id, third.stanza.len()), (MessageId(102), 0));
        let accounts: Vec<Item> = events.into_iter().map(Item::Account).collect();
        assert_eq!(items[2..], accounts);
        for cut in 0..content.len() {
            // A cut between two items leaves whole ones; nothing panics, and nothing is made up.
            let found = self::row(content[..cut].to_vec()).items();
            assert!(found.is_none_or(|found| items.starts_with(&found)), "cut at {cut}");
        }
    }

    #[test]
    fn a_large_commit_has_several_rows() {
        let body = "x".repeat(300_000);
        let mut packer = Packer::default();
        (0..10).for_each(|offset| packer.message(offset, &draft(&[(1, SENT)], &body)));
        let rows = packer.finish();
        assert_eq!(rows.len(), 4);
        let ids = rows.into_iter().flat_map(|packed| row(packed.content).items().expect("whole"));
        let ids: Vec<u64> = ids
            .map(|item| match item {
                Item::Message(message) => message.id.0,
                Item::Account(_) => 0,
            })
            .collect();
        assert_eq!(ids, (100..110).collect::<Vec<_>>());
    }

    #[test]
    fn nothing_is_no_row() {
        let mut packer = Packer::default();
        packer.message(0, &draft(&[], "<message/>"));
        assert!(packer.finish().is_empty());
        assert_eq!(row(vec![]).items(), None);
        assert_eq!(row(vec![2]).items(), None);
        assert_eq!(row(vec![1]).items(), Some(vec![]));
    }
}
