//! What this server knows beside the database: what its sessions took and the database does not know yet,
//! and how many messages wait for whom.
//!
//! Other servers write to the same database. So a count is a hint, and is asked for anew before long; what
//! waits is never answered from here. The one lock is held for moments.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::storage::{AccountNumber, MessageId};

/// How many takings may wait for the database. One more is forgotten: then a message may be given a second
/// time, which is what happens anyway when the database is gone.
const WAITING_TAKINGS: usize = 65_536;
/// How many owners' counts are remembered, and for how long: what other servers saved shows then.
const COUNTS: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();
const COUNT_FOR: Duration = Duration::from_secs(1);

pub type Pair = (AccountNumber, MessageId);

pub struct Books(Mutex<Inner>);

struct Inner {
    takings: HashMap<AccountNumber, BTreeSet<MessageId>, ahash::RandomState>,
    takings_len: usize,
    counts: LruCache<AccountNumber, Count>,
    /// Owners whose messages are being read at this moment.
    readings: HashMap<AccountNumber, Changes, ahash::RandomState>,
}

/// How many waited, without those that were taken, at some moment.
struct Count {
    count: u64,
    until: Instant,
}

/// What happened to an owner's messages while somebody read them.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
struct Changes {
    readers: usize,
    /// Anything that changes a count.
    any: u64,
    /// Takings that the database has, and that are no longer here.
    deleted: u64,
}

/// A reading of an owner's messages, from before it is asked of the database until after.
pub struct Reading<'a> {
    books: &'a Books,
    owner: AccountNumber,
    before: Changes,
    taken: BTreeSet<MessageId>,
}

impl Default for Books {
    fn default() -> Books {
        Books(Mutex::new(Inner {
            takings: HashMap::default(),
            takings_len: 0,
            counts: LruCache::new(COUNTS),
            readings: HashMap::default(),
        }))
    }
}

impl Books {
    /// True when this is the first of what is to be written.
    pub fn take(&self, owner: AccountNumber, id: MessageId) -> bool {
        let mut inner = self.0.lock();
        if inner.takings_len >= WAITING_TAKINGS {
            return false;
        }
        let first = inner.takings_len == 0;
        let new = inner.takings.entry(owner).or_default().insert(id);
        inner.takings_len += usize::from(new);
        // Whether it waited at all the database knows.
        inner.counts.pop(&owner);
        inner.changed(owner);
        first && new
    }

    /// A message was saved that waits for this owner, if it is `certain` that there is such an owner.
    pub fn saved(&self, owner: AccountNumber, certain: bool) {
        let mut inner = self.0.lock();
        match inner.counts.peek_mut(&owner) {
            Some(count) if certain => count.count += 1,
            Some(_) => drop(inner.counts.pop(&owner)),
            None => {}
        }
        inner.changed(owner);
    }

    pub fn remove_owner(&self, owner: AccountNumber) {
        let mut inner = self.0.lock();
        inner.takings_len -= inner.takings.remove(&owner).map_or(0, |ids| ids.len());
        inner.counts.pop(&owner);
        inner.changed(owner);
    }

    /// The count, where it was read a moment ago.
    pub fn count(&self, owner: AccountNumber) -> Option<u64> {
        let mut inner = self.0.lock();
        let count = inner.counts.get(&owner)?;
        (Instant::now() < count.until).then_some(count.count)
    }

    pub fn begin(&self, owner: AccountNumber) -> Reading<'_> {
        let mut inner = self.0.lock();
        let changes = inner.readings.entry(owner).or_default();
        changes.readers += 1;
        let before = *changes;
        let taken = inner.takings.get(&owner).cloned().unwrap_or_default();
        Reading { books: self, owner, before, taken }
    }

    /// Some of the takings, in an order that all servers have, so that they do not wait for each other
    /// in a circle.
    pub fn takings(&self, limit: usize) -> Vec<Pair> {
        let inner = self.0.lock();
        let pairs = inner.takings.iter().flat_map(|(owner, ids)| ids.iter().map(|id| (*owner, *id)));
        let mut pairs: Vec<Pair> = pairs.take(limit).collect();
        pairs.sort_unstable();
        pairs
    }

    /// The database has these takings.
    pub fn deleted(&self, pairs: &[Pair]) {
        let mut inner = self.0.lock();
        for (owner, id) in pairs {
            if let Some(changes) = inner.readings.get_mut(owner) {
                changes.any += 1;
                changes.deleted += 1;
            }
            let Some(ids) = inner.takings.get_mut(owner) else { continue };
            let removed = ids.remove(id);
            if ids.is_empty() {
                inner.takings.remove(owner);
            }
            inner.takings_len -= usize::from(removed);
        }
    }

    pub fn has_takings(&self) -> bool {
        self.0.lock().takings_len > 0
    }
}

impl Inner {
    fn changed(&mut self, owner: AccountNumber) {
        if let Some(changes) = self.readings.get_mut(&owner) {
            changes.any += 1;
        }
    }
}

impl Reading<'_> {
    /// What was taken before: the database may say so by the time it is read, or not yet.
    pub fn taken(&self) -> &BTreeSet<MessageId> {
        &self.taken
    }

    /// What is taken now, and whether the database learned of some of it meanwhile.
    pub fn end(self) -> (BTreeSet<MessageId>, bool) {
        let inner = self.books.0.lock();
        let deleted = inner.readings.get(&self.owner).is_some_and(|now| now.deleted != self.before.deleted);
        (inner.takings.get(&self.owner).cloned().unwrap_or_default(), deleted)
    }

    /// So many wait, without those that were taken before. False when that is out of date already.
    pub fn learn(self, count: u64) -> bool {
        let mut inner = self.books.0.lock();
        let current = inner.readings.get(&self.owner).is_some_and(|now| now.any == self.before.any);
        if current {
            inner.counts.put(self.owner, Count { count, until: Instant::now() + COUNT_FOR });
        }
        current
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let mut inner = self.books.0.lock();
        if let Some(changes) = inner.readings.get_mut(&self.owner) {
            changes.readers -= 1;
            if changes.readers == 0 {
                inner.readings.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JULIET: AccountNumber = AccountNumber(2);

    fn learn(books: &Books, count: u64) -> bool {
        books.begin(JULIET).learn(count)
    }

    #[tokio::test(start_paused = true)]
    async fn a_count_is_a_hint_for_a_moment() {
        let books = Books::default();
        assert_eq!(books.count(JULIET), None);
        assert!(learn(&books, 3));
        books.saved(JULIET, true);
        assert_eq!(books.count(JULIET), Some(4));
        tokio::time::advance(COUNT_FOR).await;
        assert_eq!(books.count(JULIET), None);
        assert!(learn(&books, 3));
        books.take(JULIET, MessageId(1));
        assert_eq!(books.count(JULIET), None);
    }

    #[test]
    fn a_count_read_while_messages_came_is_not_remembered() {
        let books = Books::default();
        let reading = books.begin(JULIET);
        books.saved(JULIET, true);
        assert!(!reading.learn(1));
        assert_eq!(books.count(JULIET), None);
        assert!(books.0.lock().readings.is_empty());
    }

    #[test]
    fn what_is_deleted_while_somebody_reads_is_noticed() {
        let books = Books::default();
        assert!(books.take(JULIET, MessageId(1)));
        let reading = books.begin(JULIET);
        assert_eq!(reading.taken().len(), 1);
        books.take(JULIET, MessageId(2));
        assert_eq!(reading.end(), (BTreeSet::from([MessageId(1), MessageId(2)]), false));

        let reading = books.begin(JULIET);
        let pairs = books.takings(10);
        books.deleted(&pairs);
        assert_eq!(reading.end(), (BTreeSet::new(), true));
        assert!(!books.has_takings());
    }

    #[test]
    fn takings_are_bounded() {
        let books = Books::default();
        for id in 0..WAITING_TAKINGS as u64 + 1 {
            books.take(JULIET, MessageId(id));
        }
        assert_eq!(books.takings(usize::MAX).len(), WAITING_TAKINGS);
    }
}
