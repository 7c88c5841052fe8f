//! What a stanza's way asks of an account (does it exist, whom does it block, who sees its
//! presence), in one bounded cache.
//!
//! A change is begun, commits, and is ended; then the client is answered: nobody who was told of a
//! change can still meet what was there before it. Where nodes share a cache, that holds for all of them, and what
//! this one remembers is looked up there whether it is still so.

mod agreement;
pub mod preferences;
mod record;
pub mod shared;

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
use shared::{Begun, Found, SharedAccounts, Stamp};

use crate::config::Archiving;
use crate::router::hooks::Answer;
use crate::storage::{AccountNumber, Roster, Store, StoreError, Subscription, Written};

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
    /// What nodes share, where they do.
    shared: Option<Arc<SharedAccounts>>,
}

/// A change of accounts that was begun, and is to be ended.
#[must_use]
pub struct Change<'a> {
    accounts: &'a Accounts,
    changed: Vec<BareJid>,
    begun: Option<Begun>,
}

struct Entry {
    /// `None`: there is no such account. That is remembered too.
    info: Option<Arc<AccountInfo>>,
    until: Instant,
    /// Its version in the shared cache, where there is one.
    stamp: Option<Stamp>,
}

impl Accounts {
    /// Keeps at most `capacity` accounts.
    pub fn new(store: Arc<dyn Store>, capacity: usize, shared: Option<Arc<SharedAccounts>>) -> Accounts {
        let per_shard = NonZeroUsize::new(capacity / SHARDS).unwrap_or(NonZeroUsize::MIN);
        let shard = || Mutex::new(LruCache::with_hasher(per_shard, RandomState::new()));
        Accounts {
            store,
            shards: (0..SHARDS).map(|_| shard()).collect(),
            hasher: RandomState::new(),
            changes: AtomicU64::new(0),
            shared,
        }
    }

    /// The account, or `None` where there is none. At once when it is remembered, and no other node can change it.
    pub fn find<'a>(&'a self, jid: &BareJid) -> Answer<'a, Result<Option<Arc<AccountInfo>>, StoreError>> {
        if let Some(shared) = &self.shared {
            let jid = jid.clone();
            return Answer::later(async move { self.find_shared(shared, jid).await });
        }
        if let Some(entry) = self.shard(jid).lock().get(jid)
            && entry.until > Instant::now()
        {
            return Answer::Now(Ok(entry.info.clone()));
        }
        let jid = jid.clone();
        Answer::later(async move { self.load(jid).await })
    }

    /// What nodes share, where they do.
    pub fn shared(&self) -> Option<&SharedAccounts> {
        self.shared.as_deref()
    }

    /// To be called before a change of these accounts commits.
    pub async fn begin(&self, changed: &[BareJid]) -> Change<'_> {
        let begun = match &self.shared {
            Some(shared) => Some(shared.begin(changed).await),
            None => None,
        };
        Change { accounts: self, changed: changed.to_vec(), begun }
    }

    /// What this node remembers of it. A change of it is to be begun and ended besides.
    pub fn forget(&self, jid: &BareJid) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.shard(jid).lock().pop(jid);
    }

    async fn find_shared(
        &self,
        shared: &SharedAccounts,
        jid: BareJid,
    ) -> Result<Option<Arc<AccountInfo>>, StoreError> {
        let known =
            self.shard(&jid).lock().get(&jid).and_then(|entry| Some((entry.info.clone(), entry.stamp?)));
        let (info, stamp) = match (shared.look(&jid, known.as_ref().map(|(_, stamp)| *stamp)).await, known) {
            (Found::Same, Some((info, _))) => return Ok(info),
            (Found::There(info, stamp), _) => (info.map(Arc::new), stamp),
            (Found::Absent(stamp), _) => {
                let info = self.read(&jid).await?;
                shared.put(&jid, info.as_deref(), stamp).await;
                (info, stamp)
            }
            (Found::Nowhere | Found::Same, _) => return self.read(&jid).await,
        };
        let entry = Entry { info: info.clone(), until: Instant::now() + LIFETIME, stamp: Some(stamp) };
        self.shard(&jid).lock().put(jid, entry);
        Ok(info)
    }

    async fn load(&self, jid: BareJid) -> Result<Option<Arc<AccountInfo>>, StoreError> {
        let changes = self.changes.load(Ordering::SeqCst);
        let info = self.read(&jid).await?;
        let mut shard = self.shard(&jid).lock();
        if self.changes.load(Ordering::SeqCst) == changes {
            let entry = Entry { info: info.clone(), until: Instant::now() + LIFETIME, stamp: None };
            shard.put(jid, entry);
        }
        Ok(info)
    }

    async fn read(&self, jid: &BareJid) -> Result<Option<Arc<AccountInfo>>, StoreError> {
        Ok(match self.store.account(jid).await? {
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
        })
    }

    async fn preferences(&self, owner: AccountNumber) -> Result<Preferences, StoreError> {
        let stored = self.store.item(owner, preferences::COLLECTION, preferences::KEY).await?;
        Ok(stored.map_or_else(Preferences::default, |stored| Preferences::read(&stored)))
    }

    fn shard(&self, jid: &BareJid) -> &Mutex<LruCache<BareJid, Entry, RandomState>> {
        &self.shards[(self.hasher.hash_one(jid) % SHARDS as u64) as usize]
    }
}

impl Change<'_> {
    /// When `written` is known, and before anybody is told of it. `more`: accounts of which only the commit knew that it
    /// changes them.
    pub async fn end(mut self, written: &Result<Written, StoreError>, more: &[BareJid]) {
        more.iter().for_each(|jid| self.accounts.forget(jid));
        let Some(begun) = self.begun.take() else { return };
        let Some(shared) = self.accounts.shared.clone() else { return };
        // What has no answer may still be committed.
        if matches!(written, Err(StoreError::Unavailable(_))) {
            shared.unanswered(begun);
        } else {
            let more = more.to_vec();
            // A task of its own: who waits for it may go away.
            let _ = tokio::spawn(async move { shared.end(begun, &more).await }).await;
        }
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        // Where nobody ended it, the write may be under way, and the begun change keeps everybody from remembering.
        self.changed.iter().for_each(|jid| self.accounts.forget(jid));
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
