//! Reading: each read is one statement on one of a few connections, and sees what was committed before.

use bytes::Bytes;
use sqlx::FromRow;
use sqlx::sqlite::SqliteRow;
use xmpp_core::date::parse_utc;
use xmpp_core::sasl::{ScramHash, ScramSecret};
use xmpp_core::{BareJid, Jid};

use super::Sqlite;
use super::apply::Change;
use super::failure::Named;
use super::packed::unpack_owners;
use crate::storage::*;

/// How often an owner's messages are counted while entries are made and deleted, for a count that can
/// be remembered.
const COUNT_ATTEMPTS: usize = 10;

impl Users for Sqlite {
    fn authentication(&self, _domain: &str) -> Authentication {
        Authentication::Secrets
    }

    fn account<'a>(&'a self, jid: &'a BareJid) -> StoreFut<'a, Option<Account>> {
        Box::pin(async move {
            let sql = "SELECT number, jid, created, banned FROM account WHERE jid = ?";
            let row: Option<AccountRow> = self.one(sqlx::query_as(sql).bind(jid.as_str())).await?;
            row.map(|row| account(row, &self.named)).transpose()
        })
    }

    /// For an account that does not exist somebody else's secrets are read, and thrown away.
    fn secrets<'a>(&'a self, jid: &'a BareJid) -> StoreFut<'a, Option<Secrets>> {
        Box::pin(async move {
            let sql = "WITH asked (number, known, banned) AS (
                           SELECT number, TRUE, banned IS NOT NULL FROM account WHERE jid = ?1
                           UNION ALL SELECT (SELECT min(owner) FROM secret), FALSE, FALSE
                           WHERE NOT EXISTS (SELECT 1 FROM account WHERE jid = ?1)
                       )
                       SELECT known, banned, hash, salt, iterations, stored_key, server_key
                       FROM asked LEFT JOIN secret ON secret.owner = number";
            let rows: Vec<SecretRow> = self.all(sqlx::query_as(sql).bind(jid.as_str())).await?;
            let (known, banned) = rows.first().map_or((false, false), |row| (row.0, row.1));
            let secrets = rows.into_iter().filter(|row| row.2.is_some());
            let by_hash: Result<_, _> = secrets.map(|row| secret(row, &self.named)).collect();
            if known { Ok(Some(Secrets { by_hash: by_hash?, banned })) } else { Ok(None) }
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
        Box::pin(async move {
            let sql = "SELECT number, jid, created, banned FROM account
                       WHERE domain = ? AND jid > ? ORDER BY jid LIMIT ?";
            let after = after.map_or("", |after| after.as_str());
            let query =
                sqlx::query_as(sql).bind(domain).bind(after).bind(i64::try_from(limit).unwrap_or(i64::MAX));
            let rows: Vec<AccountRow> = self.all(query).await?;
            rows.into_iter().map(|row| account(row, &self.named)).collect()
        })
    }

    fn count_accounts<'a>(&'a self, domain: &'a str) -> StoreFut<'a, u64> {
        Box::pin(async move {
            let sql = "SELECT count(*) FROM account WHERE domain = ?";
            let row: Option<(i64,)> = self.one(sqlx::query_as(sql).bind(domain)).await?;
            Ok(row.map_or(0, |row| row.0 as u64))
        })
    }

    fn last_logout<'a>(&'a self, owner: AccountNumber) -> StoreFut<'a, Option<(Millis, String)>> {
        Box::pin(async move {
            let sql =
                "SELECT last_logout, last_status FROM account WHERE number = ? AND last_logout NOT NULL";
            let row: Option<(String, String)> = self.one(sqlx::query_as(sql).bind(owner.0 as i64)).await?;
            row.map(|(time, status)| Ok((millis(&time, &self.named)?, status))).transpose()
        })
    }

    fn shared_secret<'a>(&'a self, name: &'a str, proposed: Vec<u8>) -> StoreFut<'a, Vec<u8>> {
        Box::pin(async move {
            if let Some(value) = self.shared(name).await? {
                return Ok(value);
            }
            self.change(Change::ShareSecret { name: name.to_owned(), proposed }).await?;
            let value = self.shared(name).await?;
            value.ok_or_else(|| self.named.damaged(format!("the shared secret {name} was lost")))
        })
    }
}

impl Rosters for Sqlite {
    fn roster<'a>(&'a self, owner: AccountNumber) -> StoreFut<'a, Roster> {
        Box::pin(async move {
            let mut reading = self.readers.begin().await.map_err(|error| self.named.error(&error))?;
            let Some((version, _)) = self.version(&mut reading, owner).await? else {
                return Ok(Roster::default());
            };
            let items = sqlx::query_as(ITEMS).bind(owner.0 as i64).fetch_all(&mut *reading).await;
            let items: Vec<ItemRow> = items.map_err(|error| self.named.error(&error))?;
            let items = items.into_iter().map(|row| item(row, &self.named)).collect::<Result<_, _>>()?;
            Ok(Roster { version, items })
        })
    }

    fn roster_since<'a>(
        &'a self,
        owner: AccountNumber,
        version: RosterVersion,
    ) -> StoreFut<'a, Option<Vec<RosterChange>>> {
        Box::pin(async move {
            let mut reading = self.readers.begin().await.map_err(|error| self.named.error(&error))?;
            let Some((now, forgotten)) = self.version(&mut reading, owner).await? else { return Ok(None) };
            let known = version.epoch == now.epoch && (forgotten..=now.counter).contains(&version.counter);
            if !known {
                return Ok(None);
            }
            self.changes(&mut reading, owner, version).await.map(Some)
        })
    }

    fn subscription_requests<'a>(&'a self, owner: AccountNumber) -> StoreFut<'a, Vec<(BareJid, Bytes)>> {
        Box::pin(async move {
            let sql =
                "SELECT contact, request FROM roster WHERE owner = ? AND request NOT NULL ORDER BY contact";
            let rows: Vec<(String, Vec<u8>)> = self.all(sqlx::query_as(sql).bind(owner.0 as i64)).await?;
            let requests =
                rows.into_iter().map(|(jid, stanza)| Ok((contact(&jid, &self.named)?, stanza.into())));
            requests.collect()
        })
    }

    fn blocked<'a>(&'a self, owner: AccountNumber) -> StoreFut<'a, Vec<Jid>> {
        Box::pin(async move {
            let sql = "SELECT jid FROM blocked WHERE owner = ? ORDER BY jid";
            let rows: Vec<(String,)> = self.all(sqlx::query_as(sql).bind(owner.0 as i64)).await?;
            rows.iter().map(|row| full_jid(&row.0, &self.named)).collect()
        })
    }
}

impl OfflineQueue for Sqlite {
    fn waiting<'a>(
        &'a self,
        owner: AccountNumber,
        after: MessageId,
        limit: usize,
    ) -> StoreFut<'a, Vec<Saved>> {
        Box::pin(async move {
            let sources = self.books.lock().waiting(owner, after, limit);
            // What was taken and is not deleted yet is read for nothing. The entries of an account that
            // went are still there for a while.
            let entries_limit = limit.saturating_add(sources.taken.len());
            let sql =
                "SELECT waiting.id, time, stanza, owners,
                           EXISTS (SELECT 1 FROM archive WHERE archive.owner = waiting.owner AND archive.id = waiting.id)
                       FROM waiting JOIN message ON message.id = waiting.id
                       WHERE owner = ? AND waiting.id > ? AND waiting.id <= ?
                       AND EXISTS (SELECT 1 FROM account WHERE number = owner)
                       ORDER BY waiting.id LIMIT ?";
            let query = sqlx::query_as(sql).bind(owner.0 as i64).bind(after.0 as i64);
            let query =
                query.bind(sources.indexed.0 as i64).bind(i64::try_from(entries_limit).unwrap_or(i64::MAX));
            let entries: Vec<WaitingRow> = self.all(query).await?;
            let saved_entry = |(id, time, stanza, owners, archived): WaitingRow| {
                let message = saved((id, time, stanza, owners), owner, &self.named)?;
                // It was, when it was saved; it may have been purged since.
                Ok(Saved { archived, ..message })
            };
            let mut rows: Vec<Saved> = entries.into_iter().map(saved_entry).collect::<Result<_, _>>()?;
            if rows.len() < entries_limit && !sources.tail.is_empty() {
                let sql = "SELECT id, time, stanza, owners FROM message
                           WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id";
                let ids: Vec<String> = sources.tail.iter().map(|id| id.0.to_string()).collect();
                let tail: Vec<SavedRow> =
                    self.all(sqlx::query_as(sql).bind(format!("[{}]", ids.join(",")))).await?;
                for row in tail {
                    rows.push(saved(row, owner, &self.named)?);
                }
            }
            {
                let books = self.books.lock();
                let waits = |id| !sources.taken.contains(&id) && books.waits(owner, id);
                rows.retain(|message| waits(message.id));
            }
            rows.truncate(limit);
            Ok(rows)
        })
    }

    fn count_waiting<'a>(&'a self, owner: AccountNumber) -> StoreFut<'a, u64> {
        Box::pin(async move {
            let mut count = 0;
            for _ in 0..COUNT_ATTEMPTS {
                let (state, indexed) = match self.books.lock().count_waiting(owner) {
                    Ok(count) => return Ok(count),
                    Err(uncounted) => uncounted,
                };
                let sql = "SELECT count(*) FROM waiting WHERE owner = ? AND id <= ?
                           AND EXISTS (SELECT 1 FROM account WHERE number = owner)";
                let query = sqlx::query_as(sql).bind(owner.0 as i64).bind(indexed.0 as i64);
                let entries: Option<(i64,)> = self.one(query).await?;
                count = self.books.lock().learn_count(owner, entries.map_or(0, |row| row.0 as u64), state);
            }
            Ok(count)
        })
    }

    fn taken(&self, owner: AccountNumber, id: MessageId) {
        if self.books.lock().take(owner, id) {
            self.due.notify_one();
        }
    }
}

impl Items for Sqlite {
    fn item<'a>(
        &'a self,
        owner: AccountNumber,
        collection: &'a str,
        key: &'a str,
    ) -> StoreFut<'a, Option<Bytes>> {
        Box::pin(async move {
            let sql = "SELECT value FROM item WHERE owner = ? AND collection = ? AND key = ?";
            let query = sqlx::query_as(sql).bind(owner.0 as i64).bind(collection).bind(key);
            let row: Option<(Vec<u8>,)> = self.one(query).await?;
            Ok(row.map(|row| row.0.into()))
        })
    }

    fn items<'a>(&'a self, owner: AccountNumber, collection: &'a str) -> StoreFut<'a, Vec<(String, Bytes)>> {
        Box::pin(async move {
            let sql = "SELECT key, value FROM item WHERE owner = ? AND collection = ? ORDER BY key";
            let query = sqlx::query_as(sql).bind(owner.0 as i64).bind(collection);
            let rows: Vec<(String, Vec<u8>)> = self.all(query).await?;
            Ok(rows.into_iter().map(|(key, value)| (key, value.into())).collect())
        })
    }

    fn collections<'a>(&'a self, owner: AccountNumber) -> StoreFut<'a, Vec<String>> {
        Box::pin(async move {
            let sql = "SELECT DISTINCT collection FROM item WHERE owner = ? ORDER BY collection";
            let rows: Vec<(String,)> = self.all(sqlx::query_as(sql).bind(owner.0 as i64)).await?;
            Ok(rows.into_iter().map(|row| row.0).collect())
        })
    }

    fn shared_item<'a>(&'a self, collection: &'a str, key: &'a str) -> StoreFut<'a, Option<Bytes>> {
        Box::pin(async move {
            let sql = "SELECT value FROM shared_item WHERE collection = ? AND key = ?";
            let row: Option<(Vec<u8>,)> = self.one(sqlx::query_as(sql).bind(collection).bind(key)).await?;
            Ok(row.map(|row| row.0.into()))
        })
    }
}

type Query<'q, T> = sqlx::query::QueryAs<'q, sqlx::Sqlite, T, sqlx::sqlite::SqliteArguments>;

impl Sqlite {
    pub(super) async fn one<T: Send + Unpin + for<'r> FromRow<'r, SqliteRow>>(
        &self,
        query: Query<'_, T>,
    ) -> Result<Option<T>, StoreError> {
        let read = self.named.reading(query.fetch_optional(&self.readers)).await;
        read.map_err(|error| self.named.error(&error))
    }

    pub(super) async fn all<T: Send + Unpin + for<'r> FromRow<'r, SqliteRow>>(
        &self,
        query: Query<'_, T>,
    ) -> Result<Vec<T>, StoreError> {
        let read = self.named.reading(query.fetch_all(&self.readers)).await;
        read.map_err(|error| self.named.error(&error))
    }

    async fn shared(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT value FROM shared_secret WHERE name = ?";
        let row: Option<(Vec<u8>,)> = self.one(sqlx::query_as(sql).bind(name)).await?;
        Ok(row.map(|row| row.0))
    }

    /// The roster's version, and the newest removal that is forgotten.
    async fn version(
        &self,
        reading: &mut sqlx::SqliteConnection,
        owner: AccountNumber,
    ) -> Result<Option<(RosterVersion, u64)>, StoreError> {
        let sql = "SELECT roster_epoch, roster_counter, roster_forgotten FROM account WHERE number = ?";
        let row = sqlx::query_as(sql).bind(owner.0 as i64).fetch_optional(reading).await;
        let row: Option<(i64, i64, i64)> = row.map_err(|error| self.named.error(&error))?;
        Ok(row.map(|(epoch, counter, forgotten)| {
            (RosterVersion { epoch: epoch as u64, counter: counter as u64 }, forgotten as u64)
        }))
    }

    async fn changes(
        &self,
        reading: &mut sqlx::SqliteConnection,
        owner: AccountNumber,
        since: RosterVersion,
    ) -> Result<Vec<RosterChange>, StoreError> {
        let bind = |sql| sqlx::query_as(sql).bind(owner.0 as i64).bind(since.counter as i64);
        let items = bind(CHANGED_ITEMS).fetch_all(&mut *reading).await;
        let items: Vec<ItemRow> = items.map_err(|error| self.named.error(&error))?;
        let sql = "SELECT changed, contact FROM roster_removed WHERE owner = ? AND changed > ?";
        let removed = sqlx::query_as(sql).bind(owner.0 as i64).bind(since.counter as i64);
        let removed = removed.fetch_all(reading).await;
        let removed: Vec<(i64, String)> = removed.map_err(|error| self.named.error(&error))?;

        let at = |counter: i64| RosterVersion { counter: counter as u64, ..since };
        let mut changes = std::collections::BTreeMap::new();
        for row in items {
            let changed = row.8;
            changes.insert(changed, RosterChange::Put(item(row, &self.named)?, at(changed)));
        }
        for (changed, jid) in removed {
            changes.insert(changed, RosterChange::Removed(contact(&jid, &self.named)?, at(changed)));
        }
        Ok(changes.into_values().collect())
    }
}

const ITEMS: &str = "SELECT contact, name, groups, subscription, ask, approved, request, listed, changed
    FROM roster WHERE owner = ? ORDER BY contact";
const CHANGED_ITEMS: &str =
    "SELECT contact, name, groups, subscription, ask, approved, request, listed, changed
    FROM roster WHERE owner = ? AND changed > ? AND listed";
pub const ITEM: &str = "SELECT contact, name, groups, subscription, ask, approved, request, listed, changed
    FROM roster WHERE owner = ? AND contact = ?";

pub type ItemRow = (String, String, String, String, bool, bool, Option<Vec<u8>>, bool, i64);
type AccountRow = (i64, String, String, Option<String>);
type SecretRow = (bool, bool, Option<String>, Option<Vec<u8>>, Option<i64>, Option<Vec<u8>>, Option<Vec<u8>>);
/// Id, time, stanza, owners.
pub type SavedRow = (i64, String, Vec<u8>, Vec<u8>);
/// And whether it is in the archive.
type WaitingRow = (i64, String, Vec<u8>, Vec<u8>, bool);

pub fn item(row: ItemRow, named: &Named) -> Result<RosterItem, StoreError> {
    let (jid, name, groups, subscription, ask, approved, request, listed, _) = row;
    let subscription = match subscription.as_str() {
        "to" => Subscription::To,
        "from" => Subscription::From,
        "both" => Subscription::Both,
        _ => Subscription::None,
    };
    let groups = serde_json::from_str(&groups);
    let groups = groups.map_err(|_| named.damaged(format!("the roster's groups of {jid} are garbled")))?;
    let request = request.map(Bytes::from);
    Ok(RosterItem {
        contact: contact(&jid, named)?,
        name,
        groups,
        subscription,
        ask,
        approved,
        request,
        listed,
    })
}

pub fn contact(text: &str, named: &Named) -> Result<BareJid, StoreError> {
    BareJid::parse(text).map_err(|error| named.damaged(format!("the address {text:?} is none: {error}")))
}

pub fn full_jid(text: &str, named: &Named) -> Result<Jid, StoreError> {
    Jid::parse(text).map_err(|error| named.damaged(format!("the address {text:?} is none: {error}")))
}

fn account((number, jid, created, banned): AccountRow, named: &Named) -> Result<Account, StoreError> {
    let (jid, created) = (contact(&jid, named)?, millis(&created, named)?);
    Ok(Account { number: AccountNumber(number as u64), jid, created, banned })
}

fn secret(row: SecretRow, named: &Named) -> Result<ScramSecret, StoreError> {
    let garbled = || named.damaged("a password's secret is garbled");
    let (_, _, Some(hash), Some(salt), Some(iterations), Some(stored_key), Some(server_key)) = row else {
        return Err(garbled());
    };
    let hash = ScramHash::from_name(&hash).ok_or_else(garbled)?;
    let iterations = u32::try_from(iterations).map_err(|_| garbled())?;
    Ok(ScramSecret { hash, salt, iterations, stored_key, server_key })
}

pub fn saved(row: SavedRow, owner: AccountNumber, named: &Named) -> Result<Saved, StoreError> {
    let (id, time, stanza, owners) = row;
    let owners = unpack_owners(&owners);
    let owners = owners.ok_or_else(|| named.damaged(format!("message {id} has no owners")))?;
    let archived = owners.iter().any(|of| of.account == owner && of.role.archived);
    Ok(Saved { id: MessageId(id as u64), time: millis(&time, named)?, archived, stanza: stanza.into() })
}

pub fn millis(text: &str, named: &Named) -> Result<Millis, StoreError> {
    parse_utc(text).ok_or_else(|| named.damaged(format!("the time {text:?} is none")))
}
