//! A store that forgets everything with its process: for tests and plays.
//!
//! Its semantics are complete (one suite runs over every store), and its faults are wanted: writes
//! and reads fail or wait for as long as a test says so.

mod files;
mod outbox;
mod roster;
mod state;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use parking_lot::Mutex;
use xmpp_core::{BareJid, Jid};

use crate::storage::archive::{End, Filter};
use crate::storage::leases::OwnLeases;
use crate::storage::outbox::{AccountEvent, Gate};
use crate::storage::*;
use state::State;

#[derive(Default)]
pub struct Memory {
    /// A plain lock: no section of it waits for anything.
    state: Mutex<State>,
    faults: Mutex<Faults>,
    /// Lets events into the outbox, where there is an event stream.
    gate: Option<Arc<Gate>>,
    leases: OwnLeases,
}

#[derive(Debug, Clone, Default)]
struct Faults {
    writes: Option<StoreError>,
    reads: Option<StoreError>,
    delay: Option<Duration>,
    read_delay: Option<Duration>,
    closed: bool,
}

impl Memory {
    pub fn new() -> Memory {
        Memory::default()
    }

    /// One that keeps events for an event stream.
    pub fn with_outbox(gate: Option<Arc<Gate>>) -> Memory {
        Memory { gate, ..Memory::default() }
    }

    /// Every write and save fails with this, changing nothing, until [`Memory::heal`].
    pub fn fail_writes(&self, error: StoreError) {
        self.faults.lock().writes = Some(error);
    }

    /// Every read fails with this until [`Memory::heal`].
    pub fn fail_reads(&self, error: StoreError) {
        self.faults.lock().reads = Some(error);
    }

    /// Every write and save takes this long before it is applied, until [`Memory::heal`].
    pub fn delay(&self, time: Duration) {
        self.faults.lock().delay = Some(time);
    }

    /// Every read takes this long until [`Memory::heal`].
    pub fn delay_reads(&self, time: Duration) {
        self.faults.lock().read_delay = Some(time);
    }

    /// Ends all faults, and opens again what was closed, as a restart would.
    pub fn heal(&self) {
        *self.faults.lock() = Faults::default();
    }

    /// How many message rows there are, waiting and archived.
    pub fn count_messages(&self) -> usize {
        self.state.lock().messages.len()
    }

    async fn change<T>(
        &self,
        change: impl FnOnce(&mut State) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let faults = self.faults.lock().clone();
        if let Some(delay) = faults.delay {
            tokio::time::sleep(delay).await;
        }
        match faults.writes {
            _ if faults.closed => Err(StoreError::closed()),
            Some(error) => Err(error),
            None => change(&mut self.state.lock()),
        }
    }

    fn read<'a, T: Send + 'a>(&self, read: impl FnOnce(&State) -> Result<T, StoreError>) -> StoreFut<'a, T> {
        let faults = self.faults.lock().clone();
        let answer = match faults.reads {
            _ if faults.closed => Err(StoreError::closed()),
            Some(error) => Err(error),
            None => read(&self.state.lock()),
        };
        match faults.read_delay {
            None => Box::pin(std::future::ready(answer)),
            Some(delay) => Box::pin(async move {
                tokio::time::sleep(delay).await;
                answer
            }),
        }
    }
}

impl Users for Memory {
    fn authentication(&self, _domain: &str) -> Authentication {
        Authentication::Secrets
    }

    fn account<'a>(&'a self, jid: &'a BareJid) -> StoreFut<'a, Option<Account>> {
        self.read(|state| Ok(state.accounts.get(jid).map(|record| record.account.clone())))
    }

    fn secrets<'a>(&'a self, jid: &'a BareJid) -> StoreFut<'a, Option<Secrets>> {
        self.read(|state| {
            let record = state.accounts.get(jid);
            Ok(record.map(|record| Secrets {
                by_hash: record.secrets.clone(),
                banned: record.account.banned.is_some(),
            }))
        })
    }

    fn verify<'a>(&'a self, _jid: &'a BareJid, _password: &'a str) -> StoreFut<'a, bool> {
        Box::pin(std::future::ready(Err(StoreError::no_verification())))
    }

    fn accounts<'a>(
        &'a self,
        domain: &'a str,
        after: Option<&'a BareJid>,
        limit: usize,
    ) -> StoreFut<'a, Vec<Account>> {
        self.read(|state| {
            let of_domain = state.accounts.values().map(|record| &record.account);
            let of_domain = of_domain.filter(|account| account.jid.domain() == domain);
            let behind = of_domain.filter(|account| after.is_none_or(|after| account.jid > *after));
            Ok(behind.take(limit).cloned().collect())
        })
    }

    fn count_accounts<'a>(&'a self, domain: &'a str) -> StoreFut<'a, u64> {
        self.read(|state| Ok(state.accounts.keys().filter(|jid| jid.domain() == domain).count() as u64))
    }

    fn last_logout<'a>(&'a self, owner: AccountNumber) -> StoreFut<'a, Option<(Millis, String)>> {
        self.read(|state| Ok(state.owned(owner).and_then(|record| record.last_logout.clone())))
    }

    fn shared_secret<'a>(&'a self, name: &'a str, proposed: Vec<u8>) -> StoreFut<'a, Vec<u8>> {
        Box::pin(
            self.change(move |state| {
                Ok(state.shared_secrets.entry(name.to_owned()).or_insert(proposed).clone())
            }),
        )
    }
}

impl Rosters for Memory {
    fn roster<'a>(&'a self, owner: AccountNumber) -> StoreFut<'a, Roster> {
        self.read(|state| Ok(state.owned(owner).map(|record| record.roster.all()).unwrap_or_default()))
    }

    fn roster_since<'a>(
        &'a self,
        owner: AccountNumber,
        version: RosterVersion,
    ) -> StoreFut<'a, Option<Vec<RosterChange>>> {
        self.read(|state| Ok(state.owned(owner).and_then(|record| record.roster.since(version))))
    }

    fn subscription_requests<'a>(&'a self, owner: AccountNumber) -> StoreFut<'a, Vec<(BareJid, Bytes)>> {
        self.read(|state| Ok(state.owned(owner).map(|record| record.roster.requests()).unwrap_or_default()))
    }

    fn blocked<'a>(&'a self, owner: AccountNumber) -> StoreFut<'a, Vec<Jid>> {
        self.read(|state| {
            let blocked = state.owned(owner).map(|record| record.blocked.iter().cloned().collect());
            Ok(blocked.unwrap_or_default())
        })
    }
}

impl OfflineQueue for Memory {
    fn waiting<'a>(
        &'a self,
        owner: AccountNumber,
        after: MessageId,
        limit: usize,
    ) -> StoreFut<'a, Vec<Saved>> {
        self.read(|state| Ok(state.waiting(owner, after, limit)))
    }

    fn count_waiting<'a>(&'a self, owner: AccountNumber) -> StoreFut<'a, u64> {
        self.read(|state| Ok(state.owned(owner).map_or(0, |record| record.waiting.len() as u64)))
    }

    fn taken(&self, owner: AccountNumber, id: MessageId) {
        self.state.lock().taken(owner, id);
    }
}

impl Archive for Memory {
    fn archived<'a>(
        &'a self,
        owner: AccountNumber,
        filter: &'a Filter,
        end: End,
        limit: usize,
    ) -> StoreFut<'a, Vec<Saved>> {
        self.read(|state| {
            let matching = state.archived(owner, filter).map(|(id, kept)| kept.saved(id, owner));
            Ok(match end {
                End::Oldest => matching.take(limit).collect(),
                End::Newest => {
                    let mut page: Vec<Saved> = matching.rev().take(limit).collect();
                    page.reverse();
                    page
                }
            })
        })
    }

    fn count_archived<'a>(
        &'a self,
        owner: AccountNumber,
        filter: &'a Filter,
        at_most: u64,
    ) -> StoreFut<'a, u64> {
        self.read(|state| Ok((state.archived(owner, filter).count() as u64).min(at_most)))
    }

    fn verify_archives<'a>(&'a self) -> StoreFut<'a, Verified> {
        self.read(|state| Ok(state.verify()))
    }
}

impl Items for Memory {
    fn item<'a>(
        &'a self,
        owner: AccountNumber,
        collection: &'a str,
        key: &'a str,
    ) -> StoreFut<'a, Option<Bytes>> {
        self.read(|state| {
            let collection = state.owned(owner).and_then(|record| record.items.get(collection));
            Ok(collection.and_then(|items| items.get(key)).cloned())
        })
    }

    fn items<'a>(&'a self, owner: AccountNumber, collection: &'a str) -> StoreFut<'a, Vec<(String, Bytes)>> {
        self.read(|state| {
            let collection = state.owned(owner).and_then(|record| record.items.get(collection));
            let items = collection.into_iter().flatten();
            Ok(items.map(|(key, value)| (key.clone(), value.clone())).collect())
        })
    }

    fn collections<'a>(&'a self, owner: AccountNumber) -> StoreFut<'a, Vec<String>> {
        self.read(|state| {
            let collections = state.owned(owner).into_iter().flat_map(|record| &record.items);
            Ok(collections.filter(|(_, items)| !items.is_empty()).map(|(name, _)| name.clone()).collect())
        })
    }

    fn shared_item<'a>(&'a self, collection: &'a str, key: &'a str) -> StoreFut<'a, Option<Bytes>> {
        self.read(|state| {
            let collection = state.shared_items.get(collection);
            let item = collection.and_then(|items| items.iter().find(|item| item.0 == key));
            Ok(item.map(|item| item.1.clone()))
        })
    }
}

impl Leases for Memory {
    fn lease<'a>(&'a self, job: Job, holder: &'a str, time: Duration) -> StoreFut<'a, Option<Lease>> {
        Box::pin(self.change(move |_| Ok(self.leases.lease(job, holder, time))))
    }

    fn release<'a>(&'a self, lease: &'a Lease) -> StoreFut<'a, ()> {
        Box::pin(self.change(|_| {
            self.leases.release(lease);
            Ok(())
        }))
    }
}

impl Store for Memory {
    fn write<'a>(&'a self, write: Write) -> StoreFut<'a, Written> {
        Box::pin(self.change(move |state| {
            let event = self.gate.as_ref().and_then(|_| AccountEvent::of(&write, now()));
            let written = state.apply(&self.leases, write)?;
            if let Some(gate) = &self.gate {
                let (rows, bytes) = event.map_or((0, 0), |event| state.put_event(&event));
                gate.put(rows, bytes);
                if let Written::Deleted(deleted) = &written {
                    gate.gone(deleted.rows, deleted.bytes);
                }
            }
            Ok(written)
        }))
    }

    fn save<'a>(&'a self, drafts: Vec<Draft>) -> StoreFut<'a, Vec<MessageId>> {
        Box::pin(self.change(|state| {
            drafts.iter().try_for_each(Draft::check)?;
            let Some(gate) = &self.gate else {
                return Ok(drafts.into_iter().map(|draft| state.save(draft)).collect());
            };
            gate.admit()?;
            let (ids, (rows, bytes)) = state.save_with_events(drafts, now());
            gate.put(rows, bytes);
            Ok(ids)
        }))
    }

    fn health<'a>(&'a self) -> StoreFut<'a, ()> {
        Box::pin(self.change(|_| Ok(())))
    }

    fn close<'a>(&'a self) -> Fut<'a, ()> {
        self.faults.lock().closed = true;
        Box::pin(std::future::ready(()))
    }
}

fn now() -> Millis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64)
}
