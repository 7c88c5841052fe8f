//! Failed logins, by address and by account.
//!
//! *By address*: what an account fails refuses its own further attempts from there. For the others it counts with a
//! tenth of the bound at most, and one account alone never refuses them; so neither a client with an old password nor
//! one who guesses behind the same address keeps the others out, and one who tries many names is stopped.
//!
//! *By account*: only addresses that failed are refused, so that nobody can lock the owner out from elsewhere.

use ahash::RandomState;
use tokio::time::Instant;

use super::window::Windows;
use super::{Limited, Source};
use crate::config::Limit;
use crate::telemetry::bound::Bound;

pub struct Logins {
    by_address: ByAddress,
    by_account: ByAccount,
    hash: RandomState,
}

/// An account's name can be a kilobyte, and anybody may send one: what is kept is a hash with a key of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Account(u64);

type Pair = (Source, Account);

struct ByAddress {
    most: Limit,
    failures: Windows<Pair>,
    /// What of them counts for other accounts.
    shares: Windows<Pair>,
    /// The shares of all accounts from an address.
    shared: Windows<Source>,
}

struct ByAccount {
    most: Limit,
    failures: Windows<Account>,
    from: Windows<Pair>,
}

impl Logins {
    pub fn new(by_address: Limited, by_account: Limited) -> Logins {
        Logins {
            by_address: ByAddress {
                most: by_address.most,
                failures: Windows::new(by_address.within),
                shares: Windows::new(by_address.within),
                shared: Windows::new(by_address.within),
            },
            by_account: ByAccount {
                most: by_account.most,
                failures: Windows::new(by_account.within),
                from: Windows::new(by_account.within),
            },
            hash: RandomState::new(),
        }
    }

    pub fn check(&mut self, source: Source, account: &str, now: Instant) -> Result<(), Bound> {
        let pair = self.pair(source, account);
        if self.by_address.refuses(pair, now) {
            return Err(Bound::FailedLoginsPerAddress);
        }
        if self.by_account.refuses(pair, now) {
            return Err(Bound::FailedLoginsPerAccount);
        }
        Ok(())
    }

    pub fn failed(&mut self, source: Source, account: &str, now: Instant) {
        let pair = self.pair(source, account);
        self.by_address.failed(pair, now);
        self.by_account.failed(pair, now);
    }

    pub fn succeeded(&mut self, source: Source, account: &str, now: Instant) {
        let pair = self.pair(source, account);
        self.by_address.succeeded(pair, now);
        self.by_account.succeeded(pair, now);
    }

    /// How much is kept.
    #[cfg(test)]
    pub fn remembered(&self) -> usize {
        let (by_address, by_account) = (&self.by_address, &self.by_account);
        let by_address = by_address.failures.len() + by_address.shares.len() + by_address.shared.len();
        by_address + by_account.failures.len() + by_account.from.len()
    }

    fn pair(&self, source: Source, account: &str) -> Pair {
        (source, Account(self.hash.hash_one(account)))
    }
}

impl ByAddress {
    fn refuses(&mut self, pair: Pair, now: Instant) -> bool {
        let Limit::AtMost(most) = self.most else { return false };
        let others = self.shared.count(&pair.0, now).saturating_sub(self.shares.count(&pair, now));
        // Two at least: a share is smaller.
        self.failures.count(&pair, now) >= most || others >= most.max(2)
    }

    fn failed(&mut self, pair: Pair, now: Instant) {
        let Limit::AtMost(most) = self.most else { return };
        self.failures.add(pair, now);
        if self.shares.count(&pair, now) < (most / 10).max(1) {
            self.shares.add(pair, now);
            self.shared.add(pair.0, now);
        }
    }

    fn succeeded(&mut self, pair: Pair, now: Instant) {
        self.failures.forget(&pair, now);
        for _ in 0..self.shares.forget(&pair, now) {
            self.shared.take_back(&pair.0, now);
        }
    }
}

impl ByAccount {
    fn refuses(&mut self, pair: Pair, now: Instant) -> bool {
        let Limit::AtMost(most) = self.most else { return false };
        self.failures.count(&pair.1, now) >= most && self.from.count(&pair, now) > 0
    }

    fn failed(&mut self, pair: Pair, now: Instant) {
        if self.most == Limit::None {
            return;
        }
        self.failures.add(pair.1, now);
        self.from.add(pair, now);
    }

    fn succeeded(&mut self, pair: Pair, now: Instant) {
        for _ in 0..self.from.forget(&pair, now) {
            self.failures.take_back(&pair.1, now);
        }
    }
}
