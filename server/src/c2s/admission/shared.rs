//! Failed logins as all nodes count them together, by the rules of `logins.rs`. Each node counts its own besides; so
//! without the cache, or while it is away or was emptied, each node's own bounds hold.
//!
//! Addresses and accounts are keyed hashes there.

use std::sync::Arc;

use aws_lc_rs::hmac;
use tokio::join;

use super::{Limited, Settings, Source};
use crate::config::Limit;
use crate::storage::Cache;
use crate::storage::cache::{Attempt, FailureCounts, Failures};
use crate::telemetry::bound::Bound;

pub struct Shared {
    cache: Arc<dyn Cache>,
    key: hmac::Key,
}

impl Shared {
    pub fn new(cache: Arc<dyn Cache>, secret: &[u8]) -> Shared {
        Shared { cache, key: hmac::Key::new(hmac::HMAC_SHA256, secret) }
    }

    pub(super) async fn attempt(
        &self,
        settings: &Settings,
        source: Source,
        account: &str,
        attempt: Attempt,
    ) -> Result<(), Bound> {
        let source = self.hash(&source.bytes());
        let account = self.hash(account.as_bytes());
        let (by_address, by_account) = (settings.failed_per_address, settings.failed_per_account);
        // Of an account's failures a tenth of the bound counts for the others of an address; those of an address
        // count for an account as they are.
        let share = by_address.most.at_most().map_or(1, |most| (most / 10).max(1));
        let (of_address, of_account) = join!(
            self.count(by_address, format!("a{source}"), account.clone(), share, attempt),
            self.count(by_account, format!("u{account}"), source.clone(), u64::MAX, attempt),
        );
        if let (Limit::AtMost(most), Some(counts)) = (by_address.most, of_address) {
            let others = counts.group.saturating_sub(counts.share);
            // Two at least: a share is smaller.
            if counts.one >= most || others >= most.max(2) {
                return Err(Bound::FailedLoginsPerAddress);
            }
        }
        if let (Limit::AtMost(most), Some(counts)) = (by_account.most, of_account)
            && counts.group >= most
            && counts.one > 0
        {
            return Err(Bound::FailedLoginsPerAccount);
        }
        Ok(())
    }

    /// `None` where nothing is counted, or cannot be.
    async fn count(
        &self,
        limited: Limited,
        group: String,
        one: String,
        share: u64,
        attempt: Attempt,
    ) -> Option<FailureCounts> {
        limited.most.at_most()?;
        let failures = Failures { group, one, within: limited.within, share };
        self.cache.failures(&failures, attempt).await.ok()
    }

    fn hash(&self, bytes: &[u8]) -> String {
        hmac::sign(&self.key, bytes).as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}
