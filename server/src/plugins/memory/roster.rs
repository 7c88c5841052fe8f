//! One account's roster in memory, and what a subscription does to two of them.

use std::collections::BTreeMap;

use bytes::Bytes;
use xmpp_core::BareJid;

use super::state::State;
use crate::storage::roster::REMEMBERED_REMOVALS;
use crate::storage::subscription::{Effect, Home, Pair, Party, Side};
use crate::storage::{Roster, RosterChange, RosterItem, RosterLimits, RosterVersion, StoreError, Written};

pub struct OwnRoster {
    version: RosterVersion,
    /// Each item with the version counter of its last push.
    items: BTreeMap<BareJid, (RosterItem, u64)>,
    /// The contacts removed, by the version counter of their removal: the newest ones.
    removed: BTreeMap<u64, BareJid>,
    /// The newest removal that is no longer remembered.
    forgotten: u64,
}

impl OwnRoster {
    pub fn new(epoch: u64) -> OwnRoster {
        let version = RosterVersion { epoch, counter: 0 };
        OwnRoster { version, items: BTreeMap::new(), removed: BTreeMap::new(), forgotten: 0 }
    }

    pub fn all(&self) -> Roster {
        Roster { version: self.version, items: self.items.values().map(|item| item.0.clone()).collect() }
    }

    pub fn since(&self, version: RosterVersion) -> Option<Vec<RosterChange>> {
        let known = version.epoch == self.version.epoch
            && (self.forgotten..=self.version.counter).contains(&version.counter);
        if !known {
            return None;
        }
        let at = |counter| RosterVersion { counter, ..self.version };
        let mut changes = BTreeMap::new();
        for (item, counter) in self.items.values().filter(|item| item.1 > version.counter && item.0.listed) {
            changes.insert(*counter, RosterChange::Put(item.clone(), at(*counter)));
        }
        for (counter, contact) in self.removed.range(version.counter + 1..) {
            changes.insert(*counter, RosterChange::Removed(contact.clone(), at(*counter)));
        }
        Some(changes.into_values().collect())
    }

    pub fn requests(&self) -> Vec<(BareJid, Bytes)> {
        let items = self.items.values().map(|item| &item.0);
        items.filter_map(|item| Some((item.contact.clone(), item.request.clone()?))).collect()
    }

    /// A client's roster set.
    pub fn set(
        &mut self,
        contact: BareJid,
        name: String,
        groups: Vec<String>,
        limit: u32,
    ) -> Result<Written, StoreError> {
        let item = self.items.get(&contact).map(|item| item.0.clone());
        let item = item.unwrap_or_else(|| RosterItem::unlisted(contact));
        self.list(RosterItem { name, groups, ..item }, limit)
    }

    /// The operator's hand.
    pub fn put(&mut self, item: RosterItem, limit: u32) -> Result<Written, StoreError> {
        let request = self.items.get(&item.contact).and_then(|item| item.0.request.clone());
        self.list(item.put_by_hand(request), limit)
    }

    fn list(&mut self, mut item: RosterItem, limit: u32) -> Result<Written, StoreError> {
        let listed = self.items.get(&item.contact).is_some_and(|item| item.0.listed);
        if !listed && self.count(true) >= limit {
            return Err(StoreError::roster_full(limit));
        }
        item.listed = true;
        self.version.counter += 1;
        self.removed.retain(|_, contact| *contact != item.contact);
        self.items.insert(item.contact.clone(), (item.clone(), self.version.counter));
        Ok(Written::Item(item, self.version))
    }

    fn count(&self, listed: bool) -> u32 {
        self.items.values().filter(|item| item.0.listed == listed).count() as u32
    }

    fn side(&self, contact: &BareJid) -> Side {
        let item = self.items.get(contact).map(|item| item.0.clone());
        Side::new(self.version, item, self.count(true), self.count(false))
    }

    fn write_back(&mut self, contact: &BareJid, side: Side) {
        if !side.changed {
            return;
        }
        self.version = side.version;
        let before = self.items.remove(contact);
        if let Some(item) = side.item {
            let unpushed = before.map_or(0, |item| item.1);
            let counter = if side.pushed { side.version.counter } else { unpushed };
            // A mere request does not bring back what was removed.
            if side.pushed {
                self.removed.retain(|_, removed| removed != contact);
            }
            self.items.insert(contact.clone(), (item, counter));
        } else if side.pushed {
            self.removed.insert(side.version.counter, contact.clone());
            if self.removed.len() > REMEMBERED_REMOVALS
                && let Some((counter, _)) = self.removed.pop_first()
            {
                self.forgotten = counter;
            }
        }
    }
}

impl State {
    /// Two parties with what is here of them; `true` beside an address says that its domain is ours.
    pub fn pair(&self, from: (BareJid, bool), to: (BareJid, bool), limits: RosterLimits) -> Pair {
        let party = |jid: BareJid, local: bool, contact: &BareJid| {
            let home = match self.accounts.get(&jid) {
                _ if !local => Home::Remote,
                None => Home::Missing,
                Some(record) => Home::Here(record.roster.side(contact)),
            };
            Party { jid, home }
        };
        let from_party = party(from.0.clone(), from.1, &to.0);
        Pair { from: from_party, to: party(to.0, to.1, &from.0), limits }
    }

    pub fn write_back(&mut self, pair: Pair) {
        let contacts = [pair.to.jid.clone(), pair.from.jid.clone()];
        for (party, contact) in [pair.from, pair.to].into_iter().zip(contacts) {
            if let (Home::Here(side), Some(record)) = (party.home, self.accounts.get_mut(&party.jid)) {
                record.roster.write_back(&contact, side);
            }
        }
    }

    pub fn remove_roster_item(
        &mut self,
        owner: BareJid,
        contact: BareJid,
        contact_is_local: bool,
    ) -> Result<Written, StoreError> {
        let mut pair = self.pair((owner, true), (contact, contact_is_local), RosterLimits::NONE);
        let effects = pair.remove()?;
        self.write_back(pair);
        Ok(Written::Effects(effects))
    }

    /// The subscriptions of an account that goes.
    pub fn leave_rosters(&mut self, jid: &BareJid) -> Vec<Effect> {
        let contacts = self.accounts.get(jid).map(|record| record.roster.items.keys().cloned().collect());
        let contacts: Vec<BareJid> = contacts.unwrap_or_default();
        let mut effects = Vec::new();
        for contact in contacts {
            let local = self.accounts.contains_key(&contact);
            let mut pair = self.pair((jid.clone(), true), (contact, local), RosterLimits::NONE);
            effects.extend(pair.remove_account());
            self.write_back(pair);
        }
        effects
    }
}
