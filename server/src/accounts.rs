//! What a stanza's way asks of an account (does it exist, whom does it block, who sees its
//! presence), in one bounded cache.
//!
//! A change commits, then `forget` is called, then the client is answered: nobody who was told of a
//! change can still meet what was there before it.

pub mod preferences;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ahash::RandomState;
use lru::LruCache;
use parking_lot::Mutex;
use tokio::time::Instant;
use xmpp_core::{BareJid, Jid};

use preferences::Preferences;

use crate::config::Archiving;
use crate::router::hooks::Answer;
use crate::storage::{AccountNumber, Roster, Store, StoreError, Subscription};

const SHARDS: usize = 16;
/// An entry lives no longer, so that an invalidation that was lost mends itself.
const LIFETIME: Duration = Duration::from_secs(60);

/// An account as the router sees it. Shared and never changed: a change makes another one.
#[derive(Debug)]
pub struct AccountInfo {
    pub number: AccountNumber,
    pub jid: BareJid,
    pub banned: bool,
    /// Its block list (XEP-0191).
    pub blocked: Vec<Jid>,
    /// What goes into its archive.
    pub archive: Preferences,
    /// Does somebody's subscription request wait for its answer?
    pub is_asked: bool,
    /// Its contacts, sorted by address.
    contacts: Vec<Contact>,
}

/// An item of a roster, as far as presence and guards need it.
#[derive(Debug, Clone)]
pub struct Contact {
    pub jid: BareJid,
    pub subscription: Subscription,
    pub ask: bool,
}

pub struct Accounts {
    store: Arc<dyn Store>,
    shards: Vec<Mutex<LruCache<BareJid, Entry, RandomState>>>,
    hasher: RandomState,
    /// Counts invalidations: what was read before one is not kept behind it.
    changes: AtomicU64,
}

struct Entry {
    /// `None`: there is no such account. That is remembered too.
    info: Option<Arc<AccountInfo>>,
    until: Instant,
}

impl Accounts {
    /// Keeps at most `capacity` accounts.
    pub fn new(store: Arc<dyn Store>, capacity: usize) -> Accounts {
        let per_shard = NonZeroUsize::new(capacity / SHARDS).unwrap_or(NonZeroUsize::MIN);
        let shard = || Mutex::new(LruCache::with_hasher(per_shard, RandomState::new()));
        Accounts {
            store,
            shards: (0..SHARDS).map(|_| shard()).collect(),
            hasher: RandomState::new(),
            changes: AtomicU64::new(0),
        }
    }

    /// The account, or `None` where there is none. At once when it is remembered.
    pub fn find<'a>(&'a self, jid: &BareJid) -> Answer<'a, Result<Option<Arc<AccountInfo>>, StoreError>> {
        if let Some(entry) = self.shard(jid).lock().get(jid)
            && entry.until > Instant::now()
        {
            return Answer::Now(Ok(entry.info.clone()));
        }
        let jid = jid.clone();
        Answer::later(async move { self.load(jid).await })
    }

    /// To be called when a change of this account has committed.
    pub fn forget(&self, jid: &BareJid) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.shard(jid).lock().pop(jid);
    }

    async fn load(&self, jid: BareJid) -> Result<Option<Arc<AccountInfo>>, StoreError> {
        let changes = self.changes.load(Ordering::SeqCst);
        let info = match self.store.account(&jid).await? {
            None => None,
            Some(account) => {
                let blocked = self.store.blocked(account.number).await?;
                let roster = self.store.roster(account.number).await?;
                let archive = self.preferences(account.number).await?;
                Some(Arc::new(AccountInfo {
                    number: account.number,
                    jid: account.jid,
                    banned: account.banned.is_some(),
                    blocked,
                    archive,
                    is_asked: roster.items.iter().any(|item| item.request.is_some()),
                    contacts: contacts(roster),
                }))
            }
        };
        let mut shard = self.shard(&jid).lock();
        if self.changes.load(Ordering::SeqCst) == changes {
            let entry = Entry { info: info.clone(), until: Instant::now() + LIFETIME };
            shard.put(jid, entry);
        }
        Ok(info)
    }

    async fn preferences(&self, owner: AccountNumber) -> Result<Preferences, StoreError> {
        let stored = self.store.item(owner, preferences::COLLECTION, preferences::KEY).await?;
        Ok(stored.map_or_else(Preferences::default, |stored| Preferences::read(&stored)))
    }

    fn shard(&self, jid: &BareJid) -> &Mutex<LruCache<BareJid, Entry, RandomState>> {
        &self.shards[(self.hasher.hash_one(jid) % SHARDS as u64) as usize]
    }
}

fn contacts(roster: Roster) -> Vec<Contact> {
    let items = roster.items.into_iter();
    let mut contacts: Vec<Contact> = items
        .filter(|item| item.listed || item.subscription != Subscription::None || item.ask)
        .map(|item| Contact { jid: item.contact, subscription: item.subscription, ask: item.ask })
        .collect();
    contacts.sort_by(|a, b| a.jid.cmp(&b.jid));
    contacts
}

impl AccountInfo {
    /// An account that knows nobody and has set nothing.
    #[cfg(test)]
    pub fn without_contacts(number: AccountNumber, jid: BareJid) -> AccountInfo {
        AccountInfo {
            number,
            jid,
            banned: false,
            blocked: Vec::new(),
            archive: Preferences::default(),
            is_asked: false,
            contacts: Vec::new(),
        }
    }

    pub fn contacts(&self) -> &[Contact] {
        &self.contacts
    }

    pub fn contact(&self, jid: &BareJid) -> Option<&Contact> {
        self.contacts.binary_search_by(|c| c.jid.cmp(jid)).ok().map(|at| &self.contacts[at])
    }

    /// May `jid` see this account's presence? The account itself always may.
    pub fn shows_presence_to(&self, jid: &BareJid) -> bool {
        *jid == self.jid || self.contact(jid).is_some_and(|c| c.subscription.from())
    }

    /// Does what goes to or comes from this address go into its archive? `default` is the configuration's.
    pub fn archives(&self, peer: &Jid, default: Archiving) -> bool {
        self.archive.archives(peer, default, || self.contact(&peer.bare()).is_some())
    }

    /// Is `jid` on the block list? Matched in the order of XEP-0191 section 3: the full address, the
    /// bare one, the domain with the resource, the domain. One's own account is never blocked.
    pub fn blocks(&self, jid: &Jid) -> bool {
        if self.blocked.is_empty() || jid.bare() == self.jid {
            return false;
        }
        self.blocked.iter().any(|entry| {
            entry.domain() == jid.domain()
                && match (entry.local(), entry.resource()) {
                    (None, None) => true,
                    (Some(_), None) => entry.local() == jid.local(),
                    (_, Some(_)) => entry == jid,
                }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// XEP-0191 section 5.
    #[test]
    fn what_an_entry_of_a_block_list_means() {
        let blocks = |entry: &str, jid: &str| {
            let own = BareJid::parse("romeo@example.com").expect("an address");
            let blocked = vec![Jid::parse(entry).expect("an address")];
            let info = AccountInfo { blocked, ..AccountInfo::without_contacts(AccountNumber(1), own) };
            info.blocks(&Jid::parse(jid).expect("an address"))
        };
        for (entry, blocked, passed) in [
            ("a@b/c", &["a@b/c"][..], &["a@b", "a@b/d", "b/c", "b"][..]),
            ("a@b", &["a@b/c", "a@b", "A@B"], &["x@b", "b", "b/c"]),
            ("b/c", &["b/c"], &["b", "a@b/c", "b/d"]),
            ("b", &["b", "b/c", "a@b", "a@b/c"], &["a@c.b", "a@c"]),
            ("example.com", &["juliet@example.com"], &["romeo@example.com", "romeo@example.com/x"]),
            ("romeo@example.com", &[], &["romeo@example.com/x"]),
        ] {
            assert!(blocked.iter().all(|jid| blocks(entry, jid)), "{entry}");
            assert!(!passed.iter().any(|jid| blocks(entry, jid)), "{entry}");
        }
    }
}
