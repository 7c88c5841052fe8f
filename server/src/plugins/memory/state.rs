//! What the memory store holds, and the one function that applies a write to it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use xmpp_core::sasl::ScramSecret;
use xmpp_core::{BareJid, Jid};

use super::outbox::Rows;
use super::roster::OwnRoster;
use crate::storage::archive::{Filter, words};
use crate::storage::leases::OwnLeases;
use crate::storage::*;

#[derive(Default)]
pub struct State {
    pub accounts: BTreeMap<BareJid, Record>,
    numbers: HashMap<AccountNumber, BareJid>,
    last_number: u64,
    pub messages: BTreeMap<MessageId, Kept>,
    last_message: u64,
    pub shared_secrets: HashMap<String, Vec<u8>>,
    /// Each collection's keys and values, the oldest first.
    pub shared_items: HashMap<String, Vec<(String, Bytes)>>,
    pub files: BTreeMap<String, File>,
    pub outbox: Rows,
}

/// An account and everything it owns.
pub struct Record {
    pub account: Account,
    pub secrets: Vec<ScramSecret>,
    pub last_logout: Option<(Millis, String)>,
    pub roster: OwnRoster,
    pub blocked: BTreeSet<Jid>,
    pub items: BTreeMap<String, BTreeMap<String, Bytes>>,
    pub waiting: BTreeSet<MessageId>,
}

/// A message row: it stays while an owner has an entry that waits or is archived.
pub struct Kept {
    time: Millis,
    owners: Vec<Owner>,
    stanza: Bytes,
}

impl Kept {
    /// Has a body all of these words?
    fn says(&self, text: &str) -> bool {
        let Ok(stanza) = xmpp_core::Stanza::read(&self.stanza) else { return false };
        let bodies = stanza.payload.children().filter(|child| child.name == "body");
        let said: Vec<String> =
            bodies.flat_map(|body| words(&body.element().content()).collect::<Vec<_>>()).collect();
        words(text).next().is_some() && words(text).all(|word| said.contains(&word))
    }

    pub fn saved(&self, id: MessageId, owner: AccountNumber) -> Saved {
        let archived = self.owners.iter().any(|of| of.account == owner && of.role.archived);
        Saved { id, time: self.time, archived, stanza: self.stanza.clone() }
    }
}

impl State {
    pub fn owned(&self, owner: AccountNumber) -> Option<&Record> {
        self.accounts.get(self.numbers.get(&owner)?)
    }

    pub fn apply(&mut self, leases: &OwnLeases, write: Write) -> Result<Written, StoreError> {
        match write {
            Write::CreateAccount { jid, secrets, time, roster_epoch } => {
                self.create_account(jid, secrets, time, roster_epoch)
            }
            Write::SetSecrets { jid, secrets } => {
                self.existing(&jid)?.secrets = secrets;
                Ok(Written::Done)
            }
            Write::SetBan { jid, reason } => {
                self.existing(&jid)?.account.banned = reason;
                Ok(Written::Done)
            }
            Write::RemoveAccount { jid } => self.remove_account(&jid),
            Write::SetLastLogout { owner, time, status } => {
                self.owner(owner)?.last_logout = Some((time, status));
                Ok(Written::Done)
            }
            Write::SetRosterItem { owner, contact, name, groups, limit } => {
                self.owner(owner)?.roster.set(contact, name, groups, limit)
            }
            Write::PutRosterItem { owner, item, limit } => self.owner(owner)?.roster.put(item, limit),
            Write::RemoveRosterItem { owner, contact, contact_is_local } => {
                self.remove_roster_item(owner, contact, contact_is_local)
            }
            Write::Subscribe { from, to, verb, from_is_local, to_is_local, stanza, limits } => {
                let mut pair = self.pair((from, from_is_local), (to, to_is_local), limits);
                let effects = pair.send(verb, &stanza)?;
                self.write_back(pair);
                Ok(Written::Effects(effects))
            }
            Write::Block { owner, jids, limit } => block(self.owner(owner)?, jids, limit),
            Write::Unblock { owner, jids } => Ok(Written::Jids(unblock(self.owner(owner)?, &jids))),
            Write::SetItem { owner, collection, key, value, limit_bytes } => {
                set_item(self.owner(owner)?, collection, key, value, limit_bytes)
            }
            Write::RemoveItem { owner, collection, key } => {
                let items = &mut self.owner(owner)?.items;
                items.get_mut(&collection).and_then(|items| items.remove(&key));
                Ok(Written::Done)
            }
            Write::SetSharedItem { collection, key, value, limit } => {
                let items = self.shared_items.entry(collection).or_default();
                items.retain(|item| item.0 != key);
                items.push((key, value));
                items.drain(..items.len().saturating_sub(limit as usize));
                Ok(Written::Done)
            }
            Write::SwapSharedItem { collection, key, expected, value } => {
                let items = self.shared_items.entry(collection.clone()).or_default();
                match (items.iter_mut().find(|item| item.0 == key), expected) {
                    (None, None) => items.push((key, value)),
                    (Some(item), Some(expected)) if item.1 == expected => item.1 = value,
                    _ => return Err(StoreError::another_value(&collection, &key)),
                }
                Ok(Written::Done)
            }
            Write::PurgeArchive { owner, before, limit } => Ok(self.purge(owner, before, limit)),
            Write::GrantFile { file, quota } => self.grant_file(file, quota),
            Write::StoreFile { name, blob, media_type } => self.store_file(&name, blob, media_type),
            Write::RemoveFile { name } => {
                self.files.remove(&name);
                Ok(Written::Done)
            }
            Write::ConfirmEvents { places } => Ok(Written::Deleted(self.outbox.confirm(&places))),
            Write::DiscardEvents { bytes, before, limit } => {
                Ok(Written::Deleted(self.outbox.discard(bytes, before, limit)))
            }
            Write::Cold(_) => Err(StoreError::no_catalogue()),
            Write::Under { lease, write } => {
                leases.check(&lease)?;
                self.apply(leases, *write)
            }
        }
    }

    pub fn save(&mut self, draft: Draft) -> MessageId {
        self.last_message += 1;
        let id = MessageId(self.last_message);
        let mut owners = Vec::with_capacity(draft.owners.len());
        for owner in draft.owners {
            // An account that was removed meanwhile owns nothing.
            let Ok(record) = self.owner(owner.account) else { continue };
            if owner.role.waits {
                record.waiting.insert(id);
            }
            if owner.role.waits || owner.role.archived {
                owners.push(owner);
            }
        }
        if !owners.is_empty() {
            self.messages.insert(id, Kept { time: draft.time, owners, stanza: draft.stanza });
        }
        id
    }

    pub fn waiting(&self, owner: AccountNumber, after: MessageId, limit: usize) -> Vec<Saved> {
        let Some(record) = self.owned(owner) else { return Vec::new() };
        let behind = record.waiting.range(MessageId(after.0.saturating_add(1))..).take(limit);
        behind.filter_map(|id| Some(self.messages.get(id)?.saved(*id, owner))).collect()
    }

    /// What matches of the owner's archive, in order.
    pub fn archived(
        &self,
        owner: AccountNumber,
        filter: &Filter,
    ) -> impl DoubleEndedIterator<Item = (MessageId, &Kept)> {
        let behind = filter.after.map_or(0, |after| after.0.saturating_add(1));
        let rows = self.messages.range(MessageId(behind)..).map(|(id, kept)| (*id, kept));
        rows.filter(move |(id, kept)| {
            filter.before.is_none_or(|before| *id < before)
                && filter.ids.as_ref().is_none_or(|ids| ids.contains(id))
                && filter.start.is_none_or(|start| kept.time >= start)
                && filter.end.is_none_or(|end| kept.time <= end)
                && filter.text.as_ref().is_none_or(|text| kept.says(text))
                && kept.owners.iter().any(|of| {
                    of.account == owner
                        && of.role.archived
                        && (of.role.sent || !filter.sent)
                        && filter.with.is_none_or(|with| of.peer == with)
                })
        })
    }

    fn purge(&mut self, owner: AccountNumber, before: Millis, limit: u32) -> Written {
        let all = Filter::default();
        let oldest = self.archived(owner, &all).take_while(|(_, kept)| kept.time < before);
        let oldest: Vec<MessageId> = oldest.map(|(id, _)| id).take(limit as usize).collect();
        for id in &oldest {
            let waits = self.owned(owner).is_some_and(|record| record.waiting.contains(id));
            self.let_go(*id, |of| of.account == owner && !waits);
            let owners = self.messages.get_mut(id).into_iter().flat_map(|kept| &mut kept.owners);
            for own in owners.filter(|of| of.account == owner) {
                own.role.archived = false;
            }
        }
        Written::Dropped(oldest.len() as u64)
    }

    /// Entries are a part of their message here, so that only the queues can go wrong.
    pub fn verify(&self) -> Verified {
        let owners = || self.messages.values().flat_map(|kept| &kept.owners);
        let waiting = || self.accounts.values().flat_map(|record| &record.waiting);
        let readable = |kept: &&Kept| xmpp_core::Stanza::read(&kept.stanza).is_ok();
        Verified {
            messages: self.messages.len() as u64,
            archived: owners().filter(|owner| owner.role.archived).count() as u64,
            waiting: waiting().count() as u64,
            without_message: waiting().filter(|id| !self.messages.contains_key(id)).count() as u64,
            without_entry: self.messages.values().filter(|kept| kept.owners.is_empty()).count() as u64,
            unreadable: (self.messages.len() - self.messages.values().filter(readable).count()) as u64,
            ..Verified::default()
        }
    }

    pub fn taken(&mut self, owner: AccountNumber, id: MessageId) {
        if self.owner(owner).is_ok_and(|record| record.waiting.remove(&id)) {
            self.let_go(id, |of| of.account == owner && !of.role.archived);
        }
    }

    /// Drops these entries of a message, and the message with its last one.
    fn let_go(&mut self, id: MessageId, drop: impl Fn(&Owner) -> bool) {
        if let Some(kept) = self.messages.get_mut(&id) {
            kept.owners.retain(|owner| !drop(owner));
            if kept.owners.is_empty() {
                self.messages.remove(&id);
            }
        }
    }

    fn existing(&mut self, jid: &BareJid) -> Result<&mut Record, StoreError> {
        self.accounts.get_mut(jid).ok_or_else(|| StoreError::no_account(jid))
    }

    pub(super) fn owner(&mut self, owner: AccountNumber) -> Result<&mut Record, StoreError> {
        let jid = self.numbers.get(&owner);
        jid.and_then(|jid| self.accounts.get_mut(jid)).ok_or_else(|| StoreError::no_owner(owner))
    }

    fn create_account(
        &mut self,
        jid: BareJid,
        secrets: Vec<ScramSecret>,
        created: Millis,
        roster_epoch: u64,
    ) -> Result<Written, StoreError> {
        if self.accounts.contains_key(&jid) {
            return Err(StoreError::account_exists(&jid));
        }
        self.last_number += 1;
        let number = AccountNumber(self.last_number);
        let record = Record {
            account: Account { number, jid: jid.clone(), created, banned: None },
            secrets,
            last_logout: None,
            roster: OwnRoster::new(roster_epoch),
            blocked: BTreeSet::new(),
            items: BTreeMap::new(),
            waiting: BTreeSet::new(),
        };
        self.numbers.insert(number, jid.clone());
        self.accounts.insert(jid, record);
        Ok(Written::Account(number))
    }

    fn remove_account(&mut self, jid: &BareJid) -> Result<Written, StoreError> {
        let number = self.existing(jid)?.account.number;
        let effects = self.leave_rosters(jid);
        self.accounts.remove(jid);
        self.numbers.remove(&number);
        self.disown_files(number);
        let mine: Vec<MessageId> = self.messages.keys().copied().collect();
        for id in mine {
            self.let_go(id, |owner| owner.account == number);
        }
        Ok(Written::Effects(effects))
    }
}

fn block(record: &mut Record, jids: Vec<Jid>, limit: u32) -> Result<Written, StoreError> {
    let mut blocked = record.blocked.clone();
    let added: Vec<Jid> = jids.into_iter().filter(|jid| blocked.insert(jid.clone())).collect();
    if blocked.len() > limit as usize {
        return Err(StoreError::block_list_full(limit));
    }
    record.blocked = blocked;
    Ok(Written::Jids(added))
}

fn unblock(record: &mut Record, jids: &[Jid]) -> Vec<Jid> {
    if jids.is_empty() {
        return std::mem::take(&mut record.blocked).into_iter().collect();
    }
    jids.iter().filter_map(|jid| record.blocked.take(jid)).collect()
}

fn set_item(
    record: &mut Record,
    collection: String,
    key: String,
    value: Bytes,
    limit_bytes: u64,
) -> Result<Written, StoreError> {
    let items = record.items.entry(collection).or_default();
    let others = items.iter().filter(|item| *item.0 != key).map(|item| item.0.len() + item.1.len());
    let bytes = others.sum::<usize>() + key.len() + value.len();
    if bytes as u64 > limit_bytes {
        return Err(StoreError::collection_full(limit_bytes));
    }
    items.insert(key, value);
    Ok(Written::Done)
}
