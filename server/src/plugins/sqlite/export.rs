//! Everything in the file, in pages, for another store. The file is this reader's alone meanwhile.
//!
//! Accounts come with all that they own, as JSON with binary values in hexadecimal; messages as drafts,
//! with the entries that they still have.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use sqlx::SqliteConnection;
use xmpp_core::date::parse_utc;

use super::failure::Named;
use super::load::{self, existing};
use super::open::{self, Lock, Options};
use super::packed::{Owners, unpack_owners};
use super::tail::Tail;
use crate::plugins::copy::{Accounts, ColdRows, Messages, Outgoing, Rows, Sum};
use crate::storage::{AccountNumber, Draft, MessageId, Owner, Peer, Role, StoreError};

/// Accounts and messages in one page.
const ACCOUNTS: i64 = 20;
const MESSAGES: i64 = 500;
/// Rows of the outbox in one page: each may have a megabyte.
const OUTBOX_ROWS: i64 = 8;

pub struct Export {
    connection: SqliteConnection,
    named: Named,
    tail: Tail,
    /// The newest id that was given.
    pub last_message: u64,
    _lock: Lock,
}

impl Export {
    pub async fn open(options: &Options) -> Result<Export, StoreError> {
        let named = Named::new(&options.path, options.watch.clone());
        if !options.path.exists() {
            return Err(StoreError::Unavailable(format!("{} is not there", options.path.display())));
        }
        let lock = open::lock(&options.path)?;
        let mut connection = open::open(options, &named).await?;
        let start = load::load(&mut connection, &named).await?;
        let last_message = start.next.0 - 1;
        Ok(Export { connection, named, tail: start.tail, last_message, _lock: lock })
    }

    /// The next accounts behind a number, with all that they own but messages.
    pub async fn accounts(&mut self, after: u64) -> Result<Option<Accounts>, StoreError> {
        let error = |error: sqlx::Error| self.named.error(&error);
        let last: Option<i64> = sqlx::query_scalar(
            "SELECT max(number) FROM (SELECT number FROM account WHERE number > ? ORDER BY number LIMIT ?)",
        )
        .bind(after as i64)
        .bind(ACCOUNTS)
        .fetch_one(&mut self.connection)
        .await
        .map_err(error)?;
        let Some(last) = last else { return Ok(None) };
        let mut rows = Vec::new();
        for (table, sql) in OWNED {
            let page = sqlx::query_scalar(sql).bind(after as i64).bind(last);
            let json: String = page.fetch_one(&mut self.connection).await.map_err(error)?;
            rows.push(Rows { table, json });
        }
        Ok(Some(Accounts { last: last as u64, rows }))
    }

    /// What belongs to no account.
    pub async fn shared(&mut self) -> Result<Vec<Rows>, StoreError> {
        let mut rows = Vec::new();
        for (table, sql) in SHARED {
            let json = sqlx::query_scalar(sql).fetch_one(&mut self.connection).await;
            rows.push(Rows { table, json: json.map_err(|error| self.named.error(&error))? });
        }
        Ok(rows)
    }

    /// The next messages behind an id; those that nobody needs any more are left out.
    pub async fn messages(&mut self, after: u64) -> Result<Option<Messages>, StoreError> {
        let rows: Vec<(i64, String, Vec<u8>, Vec<u8>)> = sqlx::query_as(
            "SELECT id, time, owners, stanza FROM message WHERE id > ? AND owners <> x'' ORDER BY id LIMIT ?",
        )
        .bind(after as i64)
        .bind(MESSAGES)
        .fetch_all(&mut self.connection)
        .await
        .map_err(|error| self.named.error(&error))?;
        let Some(last) = rows.last().map(|row| row.0 as u64) else { return Ok(None) };
        let mut named = Vec::new();
        for (id, _, owners, _) in &rows {
            let owners = unpack_owners(owners);
            let owners = owners.ok_or_else(|| self.named.damaged(format!("message {id} has no owners")))?;
            named.push((MessageId(*id as u64), owners));
        }
        let mut entries = self.entries(&named).await.map_err(|error| self.named.error(&error))?;
        let mut page = Messages { last, ids: Vec::new(), drafts: Vec::new() };
        for (id, time, _, stanza) in rows {
            let Some(owners) = entries.remove(&MessageId(id as u64)) else { continue };
            let time = parse_utc(&time);
            let time = time.ok_or_else(|| self.named.damaged(format!("message {id} has no time")))?;
            page.ids.push(id);
            page.drafts.push(Draft { time, owners, stanza: Bytes::from(stanza) });
        }
        Ok(Some(page))
    }

    /// The next rows of the outbox behind a place.
    pub async fn outbox(&mut self, after: u64) -> Result<Option<Outgoing>, StoreError> {
        let rows: Vec<(i64, i64, String, i64, Vec<u8>)> = sqlx::query_as(
            "SELECT place, first, written, events, content FROM outbox WHERE place > ? ORDER BY place LIMIT ?",
        )
        .bind(after as i64)
        .bind(OUTBOX_ROWS)
        .fetch_all(&mut self.connection)
        .await
        .map_err(|error| self.named.error(&error))?;
        Ok(rows.last().map(|row| row.0 as u64).map(|last| Outgoing { last, rows }))
    }

    /// The next file of the cold archive behind a number.
    pub async fn cold(&mut self, after: u64) -> Result<Option<ColdRows>, StoreError> {
        let next =
            sqlx::query_scalar("SELECT min(number) FROM cold_file WHERE number > ?").bind(after as i64);
        let next: Result<Option<i64>, _> = next.fetch_one(&mut self.connection).await;
        let Some(number) = next.map_err(|error| self.named.error(&error))? else { return Ok(None) };
        let mut rows = Vec::new();
        for (table, sql) in COLD {
            let json = sqlx::query_scalar(sql).bind(number).fetch_one(&mut self.connection).await;
            rows.push(Rows { table, json: json.map_err(|error| self.named.error(&error))? });
        }
        let rows = rows.try_into().map_err(|_| self.named.damaged("there is no cold file of that number"))?;
        Ok(Some(ColdRows { number: number as u64, rows }))
    }

    /// The entries that are left of these messages.
    async fn entries(
        &mut self,
        rows: &[(MessageId, Owners)],
    ) -> Result<HashMap<MessageId, Owners>, sqlx::Error> {
        let accounts = existing(&mut self.connection, rows).await?;
        let indexed = self.tail.indexed();
        let (old, new): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.0 <= indexed);
        let pairs = old.iter().flat_map(|(id, owners)| owners.iter().map(move |of| (of.account.0, id.0)));
        let pairs: Vec<String> = pairs.map(|(owner, id)| format!("[{owner},{id}]")).collect();
        let mut found = self.indexed_entries(&format!("[{}]", pairs.join(",")), &accounts).await?;
        for (id, owners) in new {
            let mut owners = owners.clone();
            owners.retain(|of| accounts.contains(&of.account));
            for of in &mut owners {
                of.role.waits &= self.tail.waits(of.account, *id);
            }
            owners.retain(|of| of.role.waits || of.role.archived);
            if !owners.is_empty() {
                found.insert(*id, owners);
            }
        }
        Ok(found)
    }

    async fn indexed_entries(
        &mut self,
        pairs: &str,
        accounts: &HashSet<AccountNumber>,
    ) -> Result<HashMap<MessageId, Owners>, sqlx::Error> {
        let rows: Vec<(i64, i64, bool, bool, bool, i64)> = sqlx::query_as(
            "SELECT owner, id, max(waits), max(archived), max(sent), max(peer) FROM (
                 SELECT owner, id, 1 AS waits, 0 AS archived, 0 AS sent, NULL AS peer FROM waiting
                 WHERE (owner, id) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?1))
                 UNION ALL SELECT owner, id, 0, 1, sent, peer FROM archive
                 WHERE (owner, id) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?1))
             ) GROUP BY owner, id",
        )
        .bind(pairs)
        .fetch_all(&mut self.connection)
        .await?;
        let mut entries: HashMap<MessageId, Owners> = HashMap::new();
        for (owner, id, waits, archived, sent, peer) in rows {
            let account = AccountNumber(owner as u64);
            if accounts.contains(&account) {
                let (role, peer) = (Role { waits, archived, sent }, Peer(peer as u64));
                entries.entry(MessageId(id as u64)).or_default().push(Owner { account, role, peer });
            }
        }
        Ok(entries)
    }

    /// How many rows, and a sum over what is in them, for what does not change on the way.
    pub async fn sums(&mut self) -> Result<Vec<Sum>, StoreError> {
        let mut sums = Vec::new();
        for (table, sql) in SUMS {
            let sum = sqlx::query_as(sql).fetch_one(&mut self.connection).await;
            let (rows, sum): (i64, i64) = sum.map_err(|error| self.named.error(&error))?;
            sums.push(Sum { table, rows, sum });
        }
        Ok(sums)
    }

    /// The newest number of an account that was given, also of those that are gone.
    pub async fn last_account(&mut self) -> Result<u64, StoreError> {
        let sql = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'account'";
        let last: Result<i64, _> = sqlx::query_scalar(sql).fetch_one(&mut self.connection).await;
        last.map(|last| last as u64).map_err(|error| self.named.error(&error))
    }
}

const OWNED: [(&str, &str); 7] = [
    (
        "account",
        "SELECT json_group_array(json_object('number', number, 'jid', jid, 'domain', domain, 'created', created,
             'banned', banned, 'last_logout', last_logout, 'last_status', last_status,
             'roster_epoch', roster_epoch, 'roster_counter', roster_counter, 'roster_forgotten', roster_forgotten))
         FROM account WHERE number > ? AND number <= ?",
    ),
    (
        "secret",
        "SELECT json_group_array(json_object('owner', owner, 'hash', hash, 'salt', hex(salt),
             'iterations', iterations, 'stored_key', hex(stored_key), 'server_key', hex(server_key)))
         FROM secret WHERE owner > ? AND owner <= ?",
    ),
    (
        "roster",
        "SELECT json_group_array(json_object('owner', owner, 'contact', contact, 'name', name,
             'groups', json(groups), 'subscription', subscription, 'ask', ask, 'approved', approved,
             'request', iif(request IS NULL, NULL, hex(request)), 'listed', listed, 'changed', changed))
         FROM roster WHERE owner > ? AND owner <= ?",
    ),
    (
        "roster_removed",
        "SELECT json_group_array(json_object('owner', owner, 'changed', changed, 'contact', contact))
         FROM roster_removed WHERE owner > ? AND owner <= ?",
    ),
    (
        "blocked",
        "SELECT json_group_array(json_object('owner', owner, 'jid', jid)) FROM blocked
         WHERE owner > ? AND owner <= ?",
    ),
    (
        "item",
        "SELECT json_group_array(json_object('owner', owner, 'collection', collection, 'key', key,
             'value', hex(value))) FROM item WHERE owner > ? AND owner <= ?",
    ),
    (
        "file",
        "SELECT json_group_array(json_object('name', name, 'owner', owner, 'title', title,
             'media_type', media_type, 'size', size, 'created', created, 'awaited_until', awaited_until,
             'expires', expires, 'stored', stored, 'blob', blob)) FROM file WHERE owner > ? AND owner <= ?",
    ),
];

const COLD: [(&str, &str); 2] = [
    (
        "cold_file",
        "SELECT json_group_array(json_object('number', number, 'place', place, 'first', first, 'last', last,
             'oldest', oldest, 'newest', newest, 'messages', messages, 'entries', entries, 'bytes', bytes,
             'index_at', index_at, 'sum', sum, 'stale', stale)) FROM cold_file WHERE number = ?",
    ),
    (
        "cold_part",
        "SELECT json_group_array(json_object('owner', owner, 'file', file, 'first', first, 'last', last,
             'entries', entries)) FROM cold_part WHERE file = ?",
    ),
];

const SHARED: [(&str, &str); 4] = [
    ("cold_note", "SELECT json_group_array(json_object('place', place, 'due', due)) FROM cold_note"),
    // Those that are nobody's any more: who forgot them would leave their blobs behind.
    (
        "file",
        "SELECT json_group_array(json_object('name', name, 'owner', owner, 'title', title,
             'media_type', media_type, 'size', size, 'created', created, 'awaited_until', awaited_until,
             'expires', expires, 'stored', stored, 'blob', blob)) FROM file WHERE owner IS NULL",
    ),
    (
        "shared_item",
        "SELECT json_group_array(json_object('place', place, 'collection', collection, 'key', key,
             'value', hex(value))) FROM shared_item",
    ),
    (
        "shared_secret",
        "SELECT json_group_array(json_object('name', name, 'value', hex(value))) FROM shared_secret",
    ),
];

/// The same sums as on the other side (`postgres/import.rs`).
const SUMS: [(&str, &str); 13] = [
    (
        "cold_file",
        "SELECT count(*), coalesce(sum(number + octet_length(place) + first + last + oldest + newest + messages
             + entries + bytes + index_at + octet_length(sum) + stale), 0) FROM cold_file",
    ),
    ("cold_part", "SELECT count(*), coalesce(sum(owner + file + first + last + entries), 0) FROM cold_part"),
    ("cold_note", "SELECT count(*), coalesce(sum(octet_length(place) + due), 0) FROM cold_note"),
    (
        "outbox",
        "SELECT count(*), coalesce(sum(place + events + octet_length(content)), 0) FROM outbox",
    ),
    (
        "account",
        "SELECT count(*), coalesce(sum(number + octet_length(jid) + roster_counter + roster_forgotten
             + coalesce(octet_length(banned), 0) + octet_length(last_status)), 0) FROM account",
    ),
    (
        "secret",
        "SELECT count(*), coalesce(sum(owner + iterations + octet_length(salt) + octet_length(stored_key)
             + octet_length(server_key)), 0) FROM secret",
    ),
    (
        "roster",
        "SELECT count(*), coalesce(sum(owner + octet_length(contact) + octet_length(name) + ask * 2 + approved * 3
             + listed * 5 + changed + coalesce(octet_length(request), 0) + json_array_length(groups)), 0)
         FROM roster",
    ),
    (
        "roster_removed",
        "SELECT count(*), coalesce(sum(owner + changed + octet_length(contact)), 0) FROM roster_removed",
    ),
    ("blocked", "SELECT count(*), coalesce(sum(owner + octet_length(jid)), 0) FROM blocked"),
    (
        "item",
        "SELECT count(*), coalesce(sum(owner + octet_length(collection) + octet_length(key) + octet_length(value)), 0)
         FROM item",
    ),
    (
        "file",
        "SELECT count(*), coalesce(sum(coalesce(owner, 0) + size + stored + octet_length(title)
             + coalesce(octet_length(media_type), 0) + coalesce(octet_length(blob), 0)), 0) FROM file",
    ),
    (
        "shared_item",
        "SELECT count(*), coalesce(sum(place + octet_length(key) + octet_length(value)), 0) FROM shared_item",
    ),
    ("shared_secret", "SELECT count(*), coalesce(sum(octet_length(name) + octet_length(value)), 0) FROM shared_secret"),
];
