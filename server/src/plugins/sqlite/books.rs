//! What the store knows without asking its file: the tail, what was taken and is not written yet, and
//! how many messages wait for whom. The one lock over it is held for moments.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroUsize;

use lru::LruCache;

use super::packed::Pair;
use super::tail::{Bulk, Place, Row, Tail};
use crate::storage::archive::Filter;
use crate::storage::{AccountNumber, MessageId};

/// How many takings may wait for the disk, of each kind. One more is forgotten: then a message may be
/// given a second time, which is what happens anyway when the disk is gone.
const WAITING_TAKINGS: usize = 65_536;
/// How many owners' counts are remembered.
const COUNTS: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();

pub struct Books {
    tail: Tail,
    /// Taken of what is indexed: these entries are to be deleted.
    takings: HashMap<AccountNumber, BTreeSet<MessageId>, ahash::RandomState>,
    takings_len: usize,
    /// Taken of the tail, for the note that keeps a restart from repeating them.
    notes: Vec<Pair>,
    /// How many entries an owner has in `waiting`, those of `takings` included.
    counts: LruCache<AccountNumber, u64>,
    /// Increases whenever entries are made or deleted: a count read meanwhile is of no use.
    changes: u64,
}

/// What is to be read from the file to answer what waits for an owner.
pub struct Sources {
    /// Entries count up to here.
    pub indexed: MessageId,
    /// Entries that were taken before; the file may say so by the time it is read, or not yet.
    pub taken: BTreeSet<MessageId>,
    pub tail: Vec<MessageId>,
}

impl Books {
    pub fn new(tail: Tail) -> Books {
        Books {
            tail,
            takings: HashMap::default(),
            takings_len: 0,
            notes: Vec::new(),
            counts: LruCache::new(COUNTS),
            changes: 0,
        }
    }

    /// A message is in the file.
    pub fn saved(&mut self, row: Row) {
        self.tail.push(row);
    }

    /// True when this is the first of what is to be written.
    pub fn take(&mut self, owner: AccountNumber, id: MessageId) -> bool {
        let first = !self.has_takings_or_notes();
        match self.tail.take(owner, id) {
            Place::Tail if self.notes.len() < WAITING_TAKINGS => self.notes.push((owner, id)),
            Place::Entries if self.takings_len < WAITING_TAKINGS => self.take_entry((owner, id)),
            Place::Tail | Place::Entries | Place::Nowhere => return false,
        }
        first
    }

    fn take_entry(&mut self, (owner, id): Pair) {
        let new = self.takings.entry(owner).or_default().insert(id);
        self.takings_len += usize::from(new);
    }

    /// Does the message, which was read from the file, still wait for the owner?
    pub fn waits(&self, owner: AccountNumber, id: MessageId) -> bool {
        if id > self.tail.indexed() {
            return self.tail.waits(owner, id);
        }
        !self.takings.get(&owner).is_some_and(|ids| ids.contains(&id))
    }

    pub fn waiting(&self, owner: AccountNumber, after: MessageId, limit: usize) -> Sources {
        let (indexed, tail) = self.tail.waiting(owner, after, limit);
        Sources { indexed, taken: self.takings.get(&owner).cloned().unwrap_or_default(), tail }
    }

    pub fn archived(&self, owner: AccountNumber, filter: &Filter) -> (MessageId, Vec<MessageId>) {
        self.tail.archived(owner, filter)
    }

    /// How many wait for the owner, if its entries were counted; else the state that a count of them
    /// has to be read in, and up to which id.
    pub fn count_waiting(&mut self, owner: AccountNumber) -> Result<u64, (u64, MessageId)> {
        let Some(entries) = self.counts.get(&owner).copied() else {
            return Err((self.changes, self.tail.indexed()));
        };
        Ok(self.add_up(owner, entries))
    }

    /// The owner's entries were counted in this state. The sum is right now; it is remembered unless
    /// the entries changed meanwhile.
    pub fn learn_count(&mut self, owner: AccountNumber, entries: u64, state: u64) -> u64 {
        if state == self.changes {
            self.counts.put(owner, entries);
        }
        self.add_up(owner, entries)
    }

    fn add_up(&self, owner: AccountNumber, entries: u64) -> u64 {
        let taken = self.takings.get(&owner).map_or(0, BTreeSet::len) as u64;
        entries.saturating_sub(taken) + self.tail.count_waiting(owner) as u64
    }

    pub fn remove_owner(&mut self, owner: AccountNumber) {
        self.tail.remove_owner(owner);
        self.takings_len -= self.takings.remove(&owner).map_or(0, |ids| ids.len());
        self.counts.pop(&owner);
        self.changes += 1;
    }

    /// Notes to go with the next commit; those of messages that are indexed now have become needless.
    pub fn notes(&mut self, limit: usize) -> Vec<Pair> {
        let indexed = self.tail.indexed();
        self.notes.retain(|(_, id)| *id > indexed);
        self.notes.drain(..self.notes.len().min(limit)).collect()
    }

    /// The commit failed.
    pub fn put_back_notes(&mut self, notes: Vec<Pair>) {
        self.notes.splice(..0, notes);
        self.notes.truncate(WAITING_TAKINGS);
    }

    /// Some of the entries that are to be deleted, in order.
    pub fn takings(&self, limit: usize) -> Vec<Pair> {
        let pairs = self.takings.iter().flat_map(|(owner, ids)| ids.iter().map(|id| (*owner, *id)));
        let mut pairs: Vec<Pair> = pairs.take(limit).collect();
        pairs.sort_unstable();
        pairs
    }

    /// These of the takings are dealt with; `deleted` of them were there.
    pub fn deleted(&mut self, pairs: &[Pair], deleted: &[Pair]) {
        for (owner, id) in pairs {
            let Some(ids) = self.takings.get_mut(owner) else { continue };
            self.takings_len -= usize::from(ids.remove(id));
            if ids.is_empty() {
                self.takings.remove(owner);
            }
        }
        for (owner, _) in deleted {
            if let Some(count) = self.counts.peek_mut(owner) {
                *count = count.saturating_sub(1);
            }
        }
        self.changes += 1;
    }

    /// The bulk's entries are in the file, and count from now on.
    pub fn indexed(&mut self, bulk: &Bulk) {
        for entry in &bulk.waiting {
            if let Some(count) = self.counts.peek_mut(&entry.owner) {
                *count += 1;
            }
        }
        for pair in self.tail.advance(bulk.end) {
            self.take_entry(pair);
        }
        self.changes += 1;
    }

    pub fn tail(&mut self) -> &mut Tail {
        &mut self.tail
    }

    pub fn has_notes(&self) -> bool {
        !self.notes.is_empty()
    }

    pub fn has_takings_or_notes(&self) -> bool {
        self.takings_len > 0 || self.has_notes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Owner;

    const JULIET: AccountNumber = AccountNumber(2);

    fn with_messages(count: u64) -> Books {
        let mut books = Books::new(Tail::new(MessageId(0)));
        for id in 1..=count {
            let owners = [Owner::queued(JULIET)].into_iter().collect();
            books.saved(Row { id: MessageId(id), bytes: 100, owners });
        }
        books
    }

    fn count(books: &mut Books) -> Option<u64> {
        books.count_waiting(JULIET).ok()
    }

    #[test]
    fn a_count_stays_right_while_messages_are_saved_indexed_and_taken() {
        let mut books = with_messages(4);
        let (state, _) = books.count_waiting(JULIET).expect_err("not counted yet");
        assert_eq!(books.learn_count(JULIET, 0, state), 4);
        books.take(JULIET, MessageId(1));
        assert_eq!(count(&mut books), Some(3));
        let bulk = books.tail().read_bulk(3);
        books.take(JULIET, MessageId(2));
        books.indexed(&bulk);
        assert_eq!(count(&mut books), Some(2));
        books.take(JULIET, MessageId(3));
        assert_eq!(count(&mut books), Some(1));
        let takings = books.takings(10);
        assert_eq!(takings, [(JULIET, MessageId(2)), (JULIET, MessageId(3))]);
        books.deleted(&takings, &takings);
        assert_eq!((count(&mut books), books.takings_len), (Some(1), 0));
    }

    #[test]
    fn a_taking_of_nothing_is_not_counted_once_the_file_has_said_so() {
        let mut books = with_messages(2);
        let bulk = books.tail().read_bulk(2);
        books.indexed(&bulk);
        let (state, _) = books.count_waiting(JULIET).expect_err("not counted yet");
        books.learn_count(JULIET, 2, state);
        let pairs = [(JULIET, MessageId(1)), (JULIET, MessageId(1)), (AccountNumber(9), MessageId(2))];
        for (owner, id) in pairs {
            books.take(owner, id);
        }
        let takings = books.takings(10);
        assert_eq!(takings.len(), 2);
        books.deleted(&takings, &[(JULIET, MessageId(1))]);
        // Taken a second time, after it was deleted.
        books.take(JULIET, MessageId(1));
        let again = books.takings(10);
        books.deleted(&again, &[]);
        assert_eq!(count(&mut books), Some(1));
    }

    #[test]
    fn a_count_read_while_entries_changed_is_not_remembered() {
        let mut books = with_messages(2);
        let (state, _) = books.count_waiting(JULIET).expect_err("not counted yet");
        let bulk = books.tail().read_bulk(2);
        books.indexed(&bulk);
        books.learn_count(JULIET, 0, state);
        assert_eq!(count(&mut books), None);
    }

    #[test]
    fn takings_are_bounded() {
        let mut books = Books::new(Tail::new(MessageId(1 << 40)));
        for id in 0..WAITING_TAKINGS as u64 {
            books.take(JULIET, MessageId(id));
        }
        books.take(JULIET, MessageId(1 << 39));
        assert!(!books.waits(JULIET, MessageId(0)));
        assert!(books.waits(JULIET, MessageId(1 << 39)));
    }

    #[test]
    fn notes_of_what_is_indexed_are_needless() {
        let mut books = with_messages(3);
        let bulk = books.tail().read_bulk(2);
        books.take(JULIET, MessageId(1));
        books.take(JULIET, MessageId(3));
        books.indexed(&bulk);
        assert_eq!(books.notes(10), [(JULIET, MessageId(3))]);
        assert!(!books.has_notes());
    }
}
