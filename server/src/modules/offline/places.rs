//! Room for messages that wait, counted exactly: a message on its way to the store has a place already,
//! so that many at a time do not all find the same last one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use ahash::RandomState;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::storage::{AccountNumber, StoreError, StoreFut};

/// An account is here as long as somebody asks for a place or has one: no more of them than there are
/// messages on their way.
#[derive(Default)]
pub struct Places {
    /// Held for one look-up.
    accounts: Mutex<HashMap<AccountNumber, Taken, RandomState>>,
}

#[derive(Default)]
struct Taken {
    /// Places of messages that the store does not count yet.
    places: u64,
    /// Who asks for one now.
    asking: u64,
    /// Counts places that were given back: the store's count from before one is out of date.
    given_back: u64,
    /// Told of that.
    changed: Arc<Notify>,
}

/// A message's place. It is given back when the message's fate is decided: then the store counts it, or
/// it is not there.
pub struct Place {
    places: Arc<Places>,
    owner: AccountNumber,
}

/// What a look at the places says.
enum Outcome {
    Taken,
    /// The store's count is of before a message's fate was decided.
    OutOfDate,
    /// Messages on their way have what is left.
    Uncertain,
}

/// Keeps an account while somebody asks.
struct Asking<'a> {
    places: &'a Places,
    owner: AccountNumber,
}

impl Places {
    /// A place among `limit`, or `None` where as many messages wait. `count` says how many the store has.
    /// What is on its way may come to nothing: whether the last places are free is known when its fate is.
    pub async fn take<'a>(
        self: &Arc<Self>,
        owner: AccountNumber,
        limit: u64,
        count: impl Fn() -> StoreFut<'a, u64>,
    ) -> Result<Option<Place>, StoreError> {
        let asking = Asking::new(self, owner);
        loop {
            let (given_back, changed) = asking.look();
            // Before the count is read: what changes behind that is not missed.
            let changed = changed.notified_owned();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let waiting = count().await?;
            if waiting >= limit {
                return Ok(None);
            }
            match asking.take(waiting, limit, given_back) {
                Outcome::Taken => return Ok(Some(Place { places: self.clone(), owner })),
                Outcome::OutOfDate => {}
                Outcome::Uncertain => changed.await,
            }
        }
    }

    fn change(&self, owner: AccountNumber, change: impl FnOnce(&mut Taken)) {
        let mut accounts = self.accounts.lock();
        if let Entry::Occupied(mut taken) = accounts.entry(owner) {
            change(taken.get_mut());
            if taken.get().places == 0 && taken.get().asking == 0 {
                taken.remove();
            }
        }
    }
}

impl<'a> Asking<'a> {
    fn new(places: &'a Places, owner: AccountNumber) -> Asking<'a> {
        places.accounts.lock().entry(owner).or_default().asking += 1;
        Asking { places, owner }
    }

    fn look(&self) -> (u64, Arc<Notify>) {
        let mut accounts = self.places.accounts.lock();
        let taken = accounts.entry(self.owner).or_default();
        (taken.given_back, taken.changed.clone())
    }

    fn take(&self, waiting: u64, limit: u64, given_back: u64) -> Outcome {
        let mut accounts = self.places.accounts.lock();
        let taken = accounts.entry(self.owner).or_default();
        if taken.given_back != given_back {
            return Outcome::OutOfDate;
        }
        if waiting + taken.places >= limit {
            return Outcome::Uncertain;
        }
        taken.places += 1;
        Outcome::Taken
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.places.change(self.owner, |taken| taken.asking -= 1);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.change(self.owner, |taken| {
            taken.places -= 1;
            taken.given_back += 1;
            taken.changed.notify_waiters();
        });
    }
}
