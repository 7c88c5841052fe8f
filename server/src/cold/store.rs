//! The store that everybody asks: one archive of what the store has and what is in files.

use std::time::Duration;

use bytes::Bytes;
use xmpp_core::{BareJid, Jid};

use super::Cold;
use crate::storage::archive::{End, Filter, Keep, Tended};
use crate::storage::*;

/// How often something is counted anew while messages are moved.
const ATTEMPTS: usize = 4;

impl Archive for Cold {
    fn archived<'a>(
        &'a self,
        owner: AccountNumber,
        filter: &'a Filter,
        end: End,
        limit: usize,
    ) -> StoreFut<'a, Vec<Saved>> {
        Box::pin(async move {
            // The store first: what is not there any more is in a file.
            let own = self.store.archived(owner, filter, end, limit).await?;
            let mut of_files = filter.clone();
            let (mut missing, newest) = (limit, end == End::Newest);
            if newest {
                // The newest are the store's own, and from the oldest on they are deleted.
                missing = limit - own.len().min(limit);
                of_files.before = own.first().map(|message| message.id).or(filter.before);
            }
            if missing == 0 {
                return Ok(own);
            }
            let mut page = self.page(owner, &of_files, end, missing).await?;
            match end {
                End::Newest => page.extend(own),
                End::Oldest => {
                    let last = page.last().map(|message| message.id);
                    page.extend(own.into_iter().filter(|message| Some(message.id) > last));
                    page.truncate(limit);
                }
            }
            Ok(page)
        })
    }

    fn count_archived<'a>(
        &'a self,
        owner: AccountNumber,
        filter: &'a Filter,
        at_most: u64,
    ) -> StoreFut<'a, u64> {
        Box::pin(async move {
            if filter.ids.is_some() {
                let page = self.archived(owner, filter, End::Oldest, Filter::IDS + 1).await?;
                return Ok((page.len() as u64).min(at_most));
            }
            for _ in 0..ATTEMPTS {
                let reach = self.files()?.cold_reach().await?;
                let own = Filter { after: filter.after.max(Some(reach)), ..filter.clone() };
                let own = self.store.count_archived(owner, &own, at_most).await?;
                let files = match own < at_most {
                    true => self.count(owner, filter, at_most - own).await?,
                    false => 0,
                };
                // What was moved meanwhile is counted twice, or not at all.
                if self.files()?.cold_reach().await? == reach {
                    return Ok(own + files);
                }
            }
            Err(StoreError::Unavailable("messages are being moved: count them again".to_owned()))
        })
    }

    fn verify_archives<'a>(&'a self) -> StoreFut<'a, Verified> {
        self.store.verify_archives()
    }

    fn drops_months(&self) -> bool {
        self.store.drops_months()
    }

    fn tend_archives<'a>(&'a self, lease: &'a Lease, keep: &'a Keep) -> StoreFut<'a, Tended> {
        Box::pin(async move {
            let mut tended = self.store.tend_archives(lease, keep).await?;
            tended.dropped.extend(self.expire(lease, keep).await?);
            Ok(tended)
        })
    }
}

impl Cold {
    /// Files of which no domain keeps anything go as a whole.
    async fn expire(&self, lease: &Lease, keep: &Keep) -> Result<Vec<String>, StoreError> {
        let mut gone = Vec::new();
        let Some(before) = keep.before else { return Ok(gone) };
        loop {
            let oldest = self.files()?.cold_files(0, false, 1).await?;
            let Some(file) = oldest.into_iter().next().filter(|file| file.newest < before) else {
                return Ok(gone);
            };
            if self.files()?.has_other_domains(&keep.domains).await? {
                return Ok(gone);
            }
            let remove = Box::new(Write::Cold(ColdChange::Remove { number: file.number }));
            self.store.write(Write::Under { lease: lease.clone(), write: remove }).await?;
            self.blocks.forget(&file.place);
            gone.push(format!("cold file {}", file.number));
        }
    }

    /// Drops the oldest of an archive, which are in files, up to the first that came then or later. Gives how many.
    async fn purge(
        &self,
        lease: Option<&Lease>,
        owner: AccountNumber,
        before: Millis,
    ) -> Result<u64, StoreError> {
        let mut dropped = 0;
        loop {
            let (after, ever) = (MessageId(0), MessageId(u64::MAX));
            let parts = self.files()?.cold_parts(owner, after, ever, End::Oldest, 1).await?;
            let Some((file, part)) = parts.into_iter().next() else { return Ok(dropped) };
            let left = match file.newest < before {
                true => None,
                false => self.left_of(owner, &part, before).await?,
            };
            let (first, entries) = left.unwrap_or((part.last, 0));
            if left.is_some() && first == part.first {
                return Ok(dropped);
            }
            let mut write = Write::Cold(ColdChange::Trim { number: file.number, owner, left });
            if let Some(lease) = lease {
                write = Write::Under { lease: lease.clone(), write: Box::new(write) };
            }
            self.store.write(write).await?;
            dropped += part.entries.saturating_sub(entries);
            if left.is_some() {
                return Ok(dropped);
            }
        }
    }

    /// The first of a part that came then or later, and how many there are from there on.
    async fn left_of(
        &self,
        owner: AccountNumber,
        part: &ColdPart,
        before: Millis,
    ) -> Result<Option<(MessageId, u64)>, StoreError> {
        let below = Some(MessageId(part.last.0.saturating_add(1)));
        let after = |id: MessageId| Some(MessageId(id.0.saturating_sub(1)));
        let young =
            Filter { start: Some(before), after: after(part.first), before: below, ..Filter::default() };
        let young = self.page(owner, &young, End::Oldest, 1).await?;
        let Some(first) = young.first().map(|message| message.id) else { return Ok(None) };
        let rest = Filter { after: after(first), before: below, ..Filter::default() };
        Ok(Some((first, self.count(owner, &rest, u64::MAX).await?)))
    }
}

impl Store for Cold {
    fn write<'a>(&'a self, write: Write) -> StoreFut<'a, Written> {
        Box::pin(async move {
            let (lease, inner) = match &write {
                Write::Under { lease, write } => (Some(lease), &**write),
                write => (None, write),
            };
            let Write::PurgeArchive { owner, before, .. } = *inner else {
                let removes = matches!(inner, Write::RemoveAccount { .. });
                let written = self.store.write(write).await?;
                if removes {
                    self.removed.notify_one();
                }
                return Ok(written);
            };
            let of_files = self.purge(lease, owner, before).await?;
            // Of what is in files it may still have the same.
            match self.store.write(write).await? {
                Written::Dropped(own) => Ok(Written::Dropped(of_files + own)),
                written => Ok(written),
            }
        })
    }

    fn save<'a>(&'a self, drafts: Vec<Draft>) -> StoreFut<'a, Vec<MessageId>> {
        self.store.save(drafts)
    }

    fn health<'a>(&'a self) -> StoreFut<'a, ()> {
        self.store.health()
    }

    fn catalogue(&self) -> Option<&dyn Catalogue> {
        self.store.catalogue()
    }

    fn queued_writes(&self) -> usize {
        self.store.queued_writes()
    }

    fn close<'a>(&'a self) -> Fut<'a, ()> {
        self.store.close()
    }
}

/// The rest is the store's own.
macro_rules! of_the_store {
    ($Trait:ident { $( fn $name:ident<$a:lifetime>(&$b:lifetime self $(, $argument:ident: $type:ty)*)
        -> $answer:ty; )* }) => {
        impl $Trait for Cold {
            $( fn $name<$a>(&$b self $(, $argument: $type)*) -> $answer {
                self.store.$name($($argument),*)
            } )*
        }
    };
}

impl OfflineQueue for Cold {
    fn waiting<'a>(
        &'a self,
        owner: AccountNumber,
        after: MessageId,
        limit: usize,
    ) -> StoreFut<'a, Vec<Saved>> {
        self.store.waiting(owner, after, limit)
    }

    fn count_waiting<'a>(&'a self, owner: AccountNumber) -> StoreFut<'a, u64> {
        self.store.count_waiting(owner)
    }

    fn taken(&self, owner: AccountNumber, id: MessageId) {
        self.store.taken(owner, id);
    }
}

of_the_store!(Users {
    fn authentication<'a>(&'a self, domain: &str) -> Authentication;
        fn account<'a>(&'a self, jid: &'a BareJid) -> StoreFut<'a, Option<Account>>;
    fn secrets<'a>(&'a self, jid: &'a BareJid) -> StoreFut<'a, Option<Secrets>>;
    fn verify<'a>(&'a self, jid: &'a BareJid, password: &'a str) -> StoreFut<'a, bool>;
    fn accounts<'a>(&'a self, domain: &'a str, after: Option<&'a BareJid>, limit: usize) -> StoreFut<'a, Vec<Account>>;
    fn count_accounts<'a>(&'a self, domain: &'a str) -> StoreFut<'a, u64>;
    fn last_logout<'a>(&'a self, owner: AccountNumber) -> StoreFut<'a, Option<(Millis, String)>>;
    fn shared_secret<'a>(&'a self, name: &'a str, proposed: Vec<u8>) -> StoreFut<'a, Vec<u8>>;
});

of_the_store!(Rosters {
    fn roster<'a>(&'a self, owner: AccountNumber) -> StoreFut<'a, Roster>;
    fn roster_since<'a>(&'a self, owner: AccountNumber, version: RosterVersion) -> StoreFut<'a, Option<Vec<RosterChange>>>;
    fn subscription_requests<'a>(&'a self, owner: AccountNumber) -> StoreFut<'a, Vec<(BareJid, Bytes)>>;
    fn blocked<'a>(&'a self, owner: AccountNumber) -> StoreFut<'a, Vec<Jid>>;
});

of_the_store!(Items {
    fn item<'a>(&'a self, owner: AccountNumber, collection: &'a str, key: &'a str) -> StoreFut<'a, Option<Bytes>>;
    fn items<'a>(&'a self, owner: AccountNumber, collection: &'a str) -> StoreFut<'a, Vec<(String, Bytes)>>;
    fn collections<'a>(&'a self, owner: AccountNumber) -> StoreFut<'a, Vec<String>>;
    fn shared_item<'a>(&'a self, collection: &'a str, key: &'a str) -> StoreFut<'a, Option<Bytes>>;
});

of_the_store!(Files {
    fn file<'a>(&'a self, name: &'a str) -> StoreFut<'a, Option<File>>;
    fn files<'a>(&'a self, owner: Option<AccountNumber>, after: &'a str, limit: usize) -> StoreFut<'a, Vec<File>>;
    fn files_granted<'a>(&'a self, owner: AccountNumber, since: Millis, limit: usize) -> StoreFut<'a, Vec<(Millis, u64)>>;
    fn files_due<'a>(&'a self, now: Millis, limit: usize) -> StoreFut<'a, Vec<String>>;
    fn file_usage<'a>(&'a self, owner: Option<AccountNumber>) -> StoreFut<'a, Usage>;
});

of_the_store!(Leases {
    fn lease<'a>(&'a self, job: Job, holder: &'a str, time: Duration) -> StoreFut<'a, Option<Lease>>;
    fn release<'a>(&'a self, lease: &'a Lease) -> StoreFut<'a, ()>;
});

of_the_store!(Outbox {
    fn outbox<'a>(&'a self, after: Place, bytes: u64, rows: u32) -> StoreFut<'a, Vec<OutboxRow>>;
    fn outbox_size<'a>(&'a self) -> StoreFut<'a, OutboxSize>;
    fn outbox_filled<'a>(&'a self) -> Fut<'a, ()>;
});
