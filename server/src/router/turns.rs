//! Turns: changes of one account's roster or block list are made and told one after the other, so that
//! clients are pushed them in the order in which they were stored (RFC 6121 section 2.6.3).

use ahash::RandomState;
use smallvec::SmallVec;
use tokio::sync::{Mutex, MutexGuard};
use xmpp_core::BareJid;

/// Two accounts that share a place wait for each other, which costs a commit's time and nothing else.
const PLACES: usize = 256;

pub struct Turns {
    places: Vec<Mutex<()>>,
    hasher: RandomState,
}

/// Other changes of the same accounts wait while this is kept.
pub struct Turn<'a> {
    _kept: SmallVec<[MutexGuard<'a, ()>; 2]>,
}

impl Default for Turns {
    fn default() -> Turns {
        Turns { places: (0..PLACES).map(|_| Mutex::default()).collect(), hasher: RandomState::new() }
    }
}

impl Turns {
    /// Waits for the turn of these accounts, of all accounts where none is named.
    pub async fn take(&self, accounts: &[BareJid]) -> Turn<'_> {
        let mut wanted: SmallVec<[usize; 2]> = match accounts {
            [] => (0..PLACES).collect(),
            some => some.iter().map(|account| self.place(account)).collect(),
        };
        // Always in the same order, so that nobody waits in a circle.
        wanted.sort_unstable();
        wanted.dedup();
        let mut kept = SmallVec::with_capacity(wanted.len());
        for place in wanted.into_iter().filter_map(|place| self.places.get(place)) {
            kept.push(place.lock().await);
        }
        Turn { _kept: kept }
    }

    fn place(&self, account: &BareJid) -> usize {
        (self.hasher.hash_one(account) % PLACES as u64) as usize
    }
}
