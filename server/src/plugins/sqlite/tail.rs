//! The tail: the messages past the last indexed id, and who of their owners still waits for them.
//!
//! A message is appended to a table that nothing else indexes. Its entries are made later, in sorted
//! bulk, and most never: what is taken while it is in the tail needs none, and its row goes in a range.
//!
//! ```text
//!          entries in `waiting` and `archive`      |  a bulk being filled  |  the rest
//!   1 ......................................... indexed ............... filling ......... newest
//!                                                  |<---------------- the tail --------------->|
//! ```

use std::collections::{HashMap, VecDeque};

use super::packed::{Owners, Pair, Range};
use crate::storage::archive::Filter;
use crate::storage::{AccountNumber, MessageId, Peer};

/// An account that went is remembered for so many messages: more than can be on their way to the store.
const REMEMBERED: u64 = 65_536;

#[derive(Default)]
pub struct Tail {
    indexed: MessageId,
    /// Every row past `indexed`, with the owners that it is still for.
    rows: VecDeque<Row>,
    bytes: usize,
    /// What waits in the tail, by owner, in order.
    waiting: HashMap<AccountNumber, VecDeque<MessageId>, ahash::RandomState>,
    /// The end of the bulk whose entries are being made.
    filling: MessageId,
    /// What was taken after its bulk was read: its entries are made, and have to go again.
    late: Vec<Pair>,
    /// Accounts that went, and the newest id then: a draft made before names them for nothing.
    removed: HashMap<AccountNumber, MessageId>,
}

pub struct Row {
    pub id: MessageId,
    /// How long its stanza is.
    pub bytes: usize,
    pub owners: Owners,
}

/// Where a message that an owner took was waiting.
#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    /// In the tail, where it waits no more.
    Tail,
    /// Among the entries, if at all.
    Entries,
    Nowhere,
}

/// The entries to be made for a part of the tail, each kind in order of owner and id.
#[derive(Debug, PartialEq, Eq, Default)]
pub struct Bulk {
    pub end: MessageId,
    pub waiting: Vec<Entry>,
    pub archive: Vec<Entry>,
    /// The rows that nobody needed when the bulk was read: they have no entries, and are to be deleted.
    /// A range may run over ids that were never given. What is taken later has entries, and goes with
    /// them: a row deleted before its entry would leave that behind in a crash.
    pub dead: Vec<Range>,
}

/// `flag`: of a waiting message, that no other entry needs it; of an archived one, that it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    pub owner: AccountNumber,
    pub id: MessageId,
    pub flag: bool,
    /// Of an archived one.
    pub peer: Peer,
}

impl Tail {
    pub fn new(indexed: MessageId) -> Tail {
        Tail { indexed, ..Tail::default() }
    }

    /// A message was appended. The ids increase.
    pub fn push(&mut self, mut row: Row) {
        let removed = &self.removed;
        row.owners.retain(|owner| {
            (owner.role.waits || owner.role.archived)
                && (removed.is_empty() || !removed.contains_key(&owner.account))
        });
        for owner in row.owners.iter().filter(|owner| owner.role.waits) {
            self.waiting.entry(owner.account).or_default().push_back(row.id);
        }
        self.bytes += row.bytes;
        self.rows.push_back(row);
    }

    pub fn take(&mut self, owner: AccountNumber, id: MessageId) -> Place {
        if id <= self.indexed {
            return Place::Entries;
        }
        let Ok(row) = self.rows.binary_search_by_key(&id, |row| row.id) else { return Place::Nowhere };
        let Some(row) = self.rows.get_mut(row) else { return Place::Nowhere };
        let waiting = row.owners.iter_mut().find(|of| of.account == owner && of.role.waits);
        let Some(waiting) = waiting else { return Place::Nowhere };
        waiting.role.waits = false;
        row.owners.retain(|owner| owner.role.waits || owner.role.archived);
        self.forget(owner, id);
        if id <= self.filling {
            self.late.push((owner, id));
        }
        Place::Tail
    }

    /// What waits for the owner behind an id, and the id up to which entries are to be looked at.
    pub fn waiting(
        &self,
        owner: AccountNumber,
        after: MessageId,
        limit: usize,
    ) -> (MessageId, Vec<MessageId>) {
        let ids = self.waiting.get(&owner).into_iter().flatten();
        (self.indexed, ids.copied().filter(|id| *id > after).take(limit).collect())
    }

    /// What matches of the owner's archive, but for the times, in order; and the id up to which entries
    /// are to be looked at.
    pub fn archived(&self, owner: AccountNumber, filter: &Filter) -> (MessageId, Vec<MessageId>) {
        let first = filter.after.map_or(0, |after| self.rows.partition_point(|row| row.id <= after));
        let end =
            filter.before.map_or(self.rows.len(), |before| self.rows.partition_point(|row| row.id < before));
        let rows = self.rows.range(first..end.max(first)).filter(|row| {
            row.owners.iter().any(|of| {
                of.account == owner
                    && of.role.archived
                    && (of.role.sent || !filter.sent)
                    && filter.with.is_none_or(|with| of.peer == with)
            }) && filter.ids.as_ref().is_none_or(|ids| ids.contains(&row.id))
        });
        (self.indexed, rows.map(|row| row.id).collect())
    }

    pub fn waits(&self, owner: AccountNumber, id: MessageId) -> bool {
        self.waiting.get(&owner).is_some_and(|ids| ids.binary_search(&id).is_ok())
    }

    pub fn count_waiting(&self, owner: AccountNumber) -> usize {
        self.waiting.get(&owner).map_or(0, VecDeque::len)
    }

    /// An account went. Entries of it that a bulk made already are for the caller to delete.
    pub fn remove_owner(&mut self, owner: AccountNumber) {
        let newest = self.newest();
        self.removed.insert(owner, newest);
        self.waiting.remove(&owner);
        for row in &mut self.rows {
            row.owners.retain(|of| of.account != owner);
        }
    }

    pub fn indexed(&self) -> MessageId {
        self.indexed
    }

    pub fn newest(&self) -> MessageId {
        self.rows.back().map_or(self.indexed, |row| row.id)
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Reads the entries that the oldest `rows` of the tail need, so that they can be made.
    pub fn read_bulk(&mut self, rows: usize) -> Bulk {
        let mut bulk = Bulk { end: self.indexed, ..Bulk::default() };
        let mut was_dead = false;
        for row in self.rows.iter().take(rows) {
            bulk.end = row.id;
            let is_dead = row.owners.is_empty();
            match bulk.dead.last_mut() {
                Some(range) if is_dead && was_dead => range.1 = row.id.0,
                _ if is_dead => bulk.dead.push((row.id.0, row.id.0)),
                _ => row.enter_into(&mut bulk),
            }
            was_dead = is_dead;
        }
        bulk.waiting.sort_unstable();
        bulk.archive.sort_unstable();
        self.filling = bulk.end;
        bulk
    }

    /// The entries up to `end` are made: from now on they are what is looked at. Gives back what was
    /// taken too late to keep them from being made.
    pub fn advance(&mut self, end: MessageId) -> Vec<Pair> {
        let made = self.rows.partition_point(|row| row.id <= end);
        let rows: Vec<Row> = self.rows.drain(..made).collect();
        for row in rows {
            self.bytes -= row.bytes;
            for owner in row.owners.iter().filter(|owner| owner.role.waits) {
                self.forget(owner.account, row.id);
            }
        }
        self.indexed = end;
        self.removed.retain(|_, newest| newest.0.saturating_add(REMEMBERED) >= end.0);
        std::mem::take(&mut self.late)
    }

    fn forget(&mut self, owner: AccountNumber, id: MessageId) {
        let Some(ids) = self.waiting.get_mut(&owner) else { return };
        if let Ok(at) = ids.binary_search(&id) {
            ids.remove(at);
        }
        if ids.is_empty() {
            self.waiting.remove(&owner);
        }
    }
}

impl Row {
    fn enter_into(&self, bulk: &mut Bulk) {
        let roles = self.owners.iter().map(|owner| owner.role);
        let alone = roles.map(|role| u8::from(role.waits) + u8::from(role.archived)).sum::<u8>() == 1;
        for owner in &self.owners {
            let entry = |flag| Entry { owner: owner.account, id: self.id, flag, peer: owner.peer };
            if owner.role.waits {
                bulk.waiting.push(entry(alone));
            }
            if owner.role.archived {
                bulk.archive.push(entry(owner.role.sent));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Owner, Role};

    const ROMEO: AccountNumber = AccountNumber(1);
    const JULIET: AccountNumber = AccountNumber(2);
    const ARCHIVED: Role = Role { waits: true, archived: true, sent: false };
    const SENT: Role = Role { waits: false, archived: true, sent: true };

    fn owners<const N: usize>(owners: [(AccountNumber, Role); N]) -> Owners {
        owners.into_iter().map(|(account, role)| Owner { account, role, peer: Peer::default() }).collect()
    }

    fn entry(owner: AccountNumber, id: u64, flag: bool) -> Entry {
        Entry { owner, id: MessageId(id), flag, peer: Peer::default() }
    }

    fn row(id: u64, owners: Owners) -> Row {
        Row { id: MessageId(id), bytes: 100, owners }
    }

    fn tail_of(rows: impl IntoIterator<Item = (u64, Owners)>) -> Tail {
        let mut tail = Tail::new(MessageId(0));
        for (id, owners) in rows {
            tail.push(row(id, owners));
        }
        tail
    }

    fn waits(tail: &Tail, owner: AccountNumber) -> Vec<u64> {
        tail.waiting(owner, MessageId(0), 100).1.into_iter().map(|id| id.0).collect()
    }

    #[test]
    fn what_is_taken_in_the_tail_gets_no_entry_and_its_row_goes() {
        let mut tail = tail_of((1..=5).map(|id| (id, owners([(JULIET, Role::QUEUED)]))));
        assert_eq!(tail.count_waiting(JULIET), 5);
        for id in [1, 2, 4] {
            assert_eq!(tail.take(JULIET, MessageId(id)), Place::Tail);
        }
        assert_eq!(tail.take(JULIET, MessageId(1)), Place::Nowhere);
        assert_eq!(tail.take(ROMEO, MessageId(3)), Place::Nowhere);
        assert_eq!(waits(&tail, JULIET), [3, 5]);

        let bulk = tail.read_bulk(4);
        let waiting = vec![entry(JULIET, 3, true)];
        assert_eq!(bulk, Bulk { end: MessageId(4), waiting, archive: vec![], dead: vec![(1, 2), (4, 4)] });
        assert_eq!(tail.advance(bulk.end), []);
        assert_eq!((waits(&tail, JULIET), tail.len(), tail.bytes()), (vec![5], 1, 100));
        assert_eq!(tail.take(JULIET, MessageId(3)), Place::Entries);
    }

    #[test]
    fn what_is_taken_while_its_entries_are_made_is_given_back() {
        let mut tail = tail_of((1..=3).map(|id| (id, owners([(JULIET, Role::QUEUED)]))));
        let bulk = tail.read_bulk(2);
        assert_eq!(bulk.dead, []);
        assert_eq!(tail.take(JULIET, MessageId(2)), Place::Tail);
        assert_eq!(tail.take(JULIET, MessageId(3)), Place::Tail);
        assert_eq!(tail.advance(bulk.end), [(JULIET, MessageId(2))]);
        assert_eq!(tail.read_bulk(2).waiting, []);
    }

    #[test]
    fn an_archived_message_keeps_its_row_and_knows_its_other_entries() {
        let mut tail = tail_of([
            (1, owners([(ROMEO, SENT), (JULIET, ARCHIVED)])),
            (2, owners([(ROMEO, Role::QUEUED), (JULIET, Role::QUEUED)])),
            (4, owners([(ROMEO, Role::QUEUED), (JULIET, Role::QUEUED)])),
        ]);
        tail.take(JULIET, MessageId(1));
        tail.take(ROMEO, MessageId(2));
        let bulk = tail.read_bulk(10);
        let waiting = vec![entry(ROMEO, 4, false), entry(JULIET, 2, true), entry(JULIET, 4, false)];
        let archive = vec![entry(ROMEO, 1, true), entry(JULIET, 1, false)];
        assert_eq!(bulk, Bulk { end: MessageId(4), waiting, archive, dead: vec![] });
    }

    #[test]
    fn a_removed_owner_leaves_nothing_and_gets_nothing() {
        let mut tail = tail_of([
            (1, owners([(ROMEO, Role::QUEUED)])),
            (2, owners([(ROMEO, Role::QUEUED), (JULIET, Role::QUEUED)])),
        ]);
        tail.remove_owner(ROMEO);
        tail.push(row(3, owners([(ROMEO, Role::QUEUED)])));
        assert_eq!(tail.count_waiting(ROMEO), 0);
        let bulk = tail.read_bulk(10);
        assert_eq!(bulk.waiting, [entry(JULIET, 2, true)]);
        assert_eq!(bulk.dead, [(1, 1), (3, 3)]);
        // Indexed at once; a draft that was made before it went may come behind.
        tail.advance(bulk.end);
        tail.push(row(4, owners([(ROMEO, Role::QUEUED)])));
        assert_eq!(tail.count_waiting(ROMEO), 0);
    }

    #[test]
    fn ranges_run_over_ids_that_were_never_given() {
        let mut tail = tail_of([1, 5, 9].map(|id| (id, owners([(JULIET, Role::QUEUED)]))));
        for id in [1, 5, 9] {
            tail.take(JULIET, MessageId(id));
        }
        assert_eq!(tail.read_bulk(2).dead, [(1, 5)]);
        assert_eq!(tail.read_bulk(3).dead, [(1, 9)]);
    }
}
