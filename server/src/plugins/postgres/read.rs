//! Reading: each read is one prepared statement on one connection, hence of one moment.

use std::collections::BTreeSet;

use bytes::Bytes;
use xmpp_core::{BareJid, Jid};

use super::Postgres;
use super::rows::*;
use crate::storage::*;

/// How often an owner's messages are read while what was taken of them is being deleted.
const ATTEMPTS: usize = 10;

impl Users for Postgres {
    fn authentication(&self, _domain: &str) -> Authentication {
        Authentication::Secrets
    }

    fn account<'a>(&'a self, jid: &'a BareJid) -> StoreFut<'a, Option<Account>> {
        Box::pin(async move {
            let sql = "SELECT number, jid, (extract(epoch FROM created) * 1000)::bigint, banned
                       FROM account WHERE jid = $1";
            let row: Option<AccountRow> = self.pool.one(|| sqlx::query_as(sql).bind(jid.as_str())).await?;
            row.map(|row| account(row, self.pool.named())).transpose()
        })
    }

    fn secrets<'a>(&'a self, jid: &'a BareJid) -> StoreFut<'a, Option<Secrets>> {
        Box::pin(async move {
            // Who asks for an account that is not there waits for some other account's secrets to be read.
            let sql = "WITH asked (number, known, banned) AS (
                           SELECT number, true, banned IS NOT NULL FROM account WHERE jid = $1
                           UNION ALL SELECT (SELECT min(owner) FROM secret), false, false
                           WHERE NOT EXISTS (SELECT FROM account WHERE jid = $1)
                       )
                       SELECT known, banned, hash, salt, iterations, stored_key, server_key
                       FROM asked LEFT JOIN secret ON secret.owner = number";
            let rows: Vec<SecretRow> = self.pool.all(|| sqlx::query_as(sql).bind(jid.as_str())).await?;
            let (known, banned) = rows.first().map_or((false, false), |row| (row.0, row.1));
            let secrets = rows.into_iter().filter(|row| row.2.is_some());
            let by_hash: Result<_, _> = secrets.map(|row| secret(row, self.pool.named())).collect();
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
            let sql = "SELECT number, jid, (extract(epoch FROM created) * 1000)::bigint, banned
                       FROM account WHERE domain = $1 AND jid > $2 ORDER BY jid LIMIT $3";
            let after = after.map_or("", |after| after.as_str());
            let limit = bounded(limit);
            let query = || sqlx::query_as(sql).bind(domain).bind(after).bind(limit);
            let rows: Vec<AccountRow> = self.pool.all(query).await?;
            rows.into_iter().map(|row| account(row, self.pool.named())).collect()
        })
    }

    fn count_accounts<'a>(&'a self, domain: &'a str) -> StoreFut<'a, u64> {
        Box::pin(async move {
            let sql = "SELECT count(*) FROM account WHERE domain = $1";
            let row: Option<(i64,)> = self.pool.one(|| sqlx::query_as(sql).bind(domain)).await?;
            Ok(row.map_or(0, |row| row.0 as u64))
        })
    }

    fn last_logout<'a>(&'a self, owner: AccountNumber) -> StoreFut<'a, Option<(Millis, String)>> {
        Box::pin(async move {
            let sql = "SELECT (extract(epoch FROM last_logout) * 1000)::bigint, last_status
                       FROM account WHERE number = $1 AND last_logout IS NOT NULL";
            let row: Option<(i64, String)> =
                self.pool.one(|| sqlx::query_as(sql).bind(owner.0 as i64)).await?;
            Ok(row.map(|(time, status)| (time as u64, status)))
        })
    }

    fn shared_secret<'a>(&'a self, name: &'a str, proposed: Vec<u8>) -> StoreFut<'a, Vec<u8>> {
        Box::pin(async move {
            // The one that was committed first stands, whichever node proposed it.
            let share = "INSERT INTO shared_secret (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING
                         RETURNING value";
            let read = "SELECT value FROM shared_secret WHERE name = $1";
            for _ in 0..2 {
                let row: Option<(Vec<u8>,)> = self.pool.one(|| sqlx::query_as(read).bind(name)).await?;
                if let Some((value,)) = row {
                    return Ok(value);
                }
                let query = || sqlx::query_as::<_, (Vec<u8>,)>(share).bind(name).bind(&proposed);
                self.pool.one(query).await?;
            }
            let row: Option<(Vec<u8>,)> = self.pool.one(|| sqlx::query_as(read).bind(name)).await?;
            let lost = || self.pool.named().damaged(format!("the shared secret {name} was lost"));
            row.map(|row| row.0).ok_or_else(lost)
        })
    }
}

impl Rosters for Postgres {
    fn roster<'a>(&'a self, owner: AccountNumber) -> StoreFut<'a, Roster> {
        Box::pin(async move {
            let rows = self.roster_rows(ROSTER, owner, 0).await?;
            let version = rows.first().map_or(RosterVersion::default(), |row| row.version());
            let items = rows.into_iter().filter_map(|row| row.item(self.pool.named()).transpose());
            let items: Result<Vec<RosterItem>, StoreError> = items.collect();
            Ok(Roster { version, items: items? })
        })
    }

    fn roster_since<'a>(
        &'a self,
        owner: AccountNumber,
        version: RosterVersion,
    ) -> StoreFut<'a, Option<Vec<RosterChange>>> {
        Box::pin(async move {
            let rows = self.roster_rows(ROSTER_SINCE, owner, version.counter as i64).await?;
            let Some(first) = rows.first() else { return Ok(None) };
            let now = first.version();
            let range = first.forgotten as u64..=now.counter;
            if version.epoch != now.epoch || !range.contains(&version.counter) {
                return Ok(None);
            }
            let mut changes = Vec::new();
            for row in rows {
                let at = RosterVersion { counter: row.changed.unwrap_or(0) as u64, ..now };
                let removed = row.listed == Some(false);
                match row.item(self.pool.named())? {
                    Some(item) if removed => changes.push(RosterChange::Removed(item.contact, at)),
                    Some(item) => changes.push(RosterChange::Put(item, at)),
                    None => {}
                }
            }
            Ok(Some(changes))
        })
    }

    fn subscription_requests<'a>(&'a self, owner: AccountNumber) -> StoreFut<'a, Vec<(BareJid, Bytes)>> {
        Box::pin(async move {
            let sql = "SELECT contact, request FROM roster
                       WHERE owner = $1 AND request IS NOT NULL ORDER BY contact";
            let query = || sqlx::query_as(sql).bind(owner.0 as i64);
            let rows: Vec<(String, Vec<u8>)> = self.pool.all(query).await?;
            let requests =
                rows.into_iter().map(|(jid, stanza)| Ok((contact(&jid, self.pool.named())?, stanza.into())));
            requests.collect()
        })
    }

    fn blocked<'a>(&'a self, owner: AccountNumber) -> StoreFut<'a, Vec<Jid>> {
        Box::pin(async move {
            let sql = "SELECT jid FROM blocked WHERE owner = $1 ORDER BY jid";
            let rows: Vec<(String,)> = self.pool.all(|| sqlx::query_as(sql).bind(owner.0 as i64)).await?;
            rows.iter().map(|row| full_jid(&row.0, self.pool.named())).collect()
        })
    }
}

impl OfflineQueue for Postgres {
    fn waiting<'a>(
        &'a self,
        owner: AccountNumber,
        after: MessageId,
        limit: usize,
    ) -> StoreFut<'a, Vec<Saved>> {
        Box::pin(async move {
            let mut attempt = 1;
            loop {
                let reading = self.books.begin(owner);
                let taken = reading.taken().clone();
                let rows = self.waiting_rows(owner, after, limit, &taken).await?;
                let (later, deleted) = reading.end();
                // What was taken meanwhile and is deleted already is in neither of the two.
                if deleted && attempt < ATTEMPTS {
                    attempt += 1;
                    continue;
                }
                let left = rows.into_iter().filter(|row| !later.contains(&MessageId(row.0 as u64)));
                return Ok(left.map(saved).collect());
            }
        })
    }

    fn count_waiting<'a>(&'a self, owner: AccountNumber) -> StoreFut<'a, u64> {
        Box::pin(async move {
            let mut count = 0;
            for _ in 0..ATTEMPTS {
                if let Some(count) = self.books.count(owner) {
                    return Ok(count);
                }
                let reading = self.books.begin(owner);
                let taken: Vec<i64> = reading.taken().iter().map(|id| id.0 as i64).collect();
                let sql = "SELECT count(*) FROM waiting WHERE owner = $1 AND NOT id = ANY ($2)
                           AND EXISTS (SELECT FROM account WHERE number = $1)";
                let query = || sqlx::query_as(sql).bind(owner.0 as i64).bind(&taken);
                let row: Option<(i64,)> = self.pool.one(query).await?;
                count = row.map_or(0, |row| row.0 as u64);
                if reading.learn(count) {
                    break;
                }
            }
            Ok(count)
        })
    }

    fn taken(&self, owner: AccountNumber, id: MessageId) {
        if self.books.take(owner, id) {
            self.due.notify_one();
        }
    }
}

impl Items for Postgres {
    fn item<'a>(
        &'a self,
        owner: AccountNumber,
        collection: &'a str,
        key: &'a str,
    ) -> StoreFut<'a, Option<Bytes>> {
        Box::pin(async move {
            let sql = "SELECT value FROM item WHERE owner = $1 AND collection = $2 AND key = $3";
            let query = || sqlx::query_as(sql).bind(owner.0 as i64).bind(collection).bind(key);
            let row: Option<(Vec<u8>,)> = self.pool.one(query).await?;
            Ok(row.map(|row| row.0.into()))
        })
    }

    fn items<'a>(&'a self, owner: AccountNumber, collection: &'a str) -> StoreFut<'a, Vec<(String, Bytes)>> {
        Box::pin(async move {
            let sql = "SELECT key, value FROM item WHERE owner = $1 AND collection = $2 ORDER BY key";
            let query = || sqlx::query_as(sql).bind(owner.0 as i64).bind(collection);
            let rows: Vec<(String, Vec<u8>)> = self.pool.all(query).await?;
            Ok(rows.into_iter().map(|(key, value)| (key, value.into())).collect())
        })
    }

    fn collections<'a>(&'a self, owner: AccountNumber) -> StoreFut<'a, Vec<String>> {
        Box::pin(async move {
            let sql = "SELECT DISTINCT collection FROM item WHERE owner = $1 ORDER BY collection";
            let rows: Vec<(String,)> = self.pool.all(|| sqlx::query_as(sql).bind(owner.0 as i64)).await?;
            Ok(rows.into_iter().map(|row| row.0).collect())
        })
    }

    fn shared_item<'a>(&'a self, collection: &'a str, key: &'a str) -> StoreFut<'a, Option<Bytes>> {
        Box::pin(async move {
            let sql = "SELECT value FROM shared_item WHERE collection = $1 AND key = $2";
            let query = || sqlx::query_as(sql).bind(collection).bind(key);
            let row: Option<(Vec<u8>,)> = self.pool.one(query).await?;
            Ok(row.map(|row| row.0.into()))
        })
    }
}

impl Postgres {
    async fn roster_rows(
        &self,
        sql: &'static str,
        owner: AccountNumber,
        after: i64,
    ) -> Result<Vec<RosterRow>, StoreError> {
        self.pool.all(|| sqlx::query_as(sql).bind(owner.0 as i64).bind(after)).await
    }

    async fn waiting_rows(
        &self,
        owner: AccountNumber,
        after: MessageId,
        limit: usize,
        taken: &BTreeSet<MessageId>,
    ) -> Result<Vec<SavedRow>, StoreError> {
        let taken: Vec<i64> = taken.range(after..).map(|id| id.0 as i64).collect();
        // The entries of an account that went are still there for a while.
        let sql = "SELECT waiting.id, (extract(epoch FROM time) * 1000)::bigint, bond = 2, stanza
                   FROM waiting CROSS JOIN LATERAL (
                       SELECT time, stanza FROM message WHERE id = waiting.id OFFSET 0) AS message
                   WHERE waiting.owner = $1 AND waiting.id > $2 AND NOT waiting.id = ANY ($4)
                   AND EXISTS (SELECT FROM account WHERE number = $1)
                   ORDER BY waiting.id LIMIT $3";
        let (owner, after, limit) = (owner.0 as i64, after.0 as i64, bounded(limit));
        self.pool.all(|| sqlx::query_as(sql).bind(owner).bind(after).bind(limit).bind(&taken)).await
    }
}

pub fn bounded(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// The account beside each of its items, or alone.
const ROSTER: &str =
    "SELECT roster_epoch, roster_counter, roster_forgotten, contact, name, groups, subscription,
        ask, approved, request, listed, changed
    FROM account LEFT JOIN roster ON owner = number AND changed >= $2
    WHERE number = $1 ORDER BY contact";

/// The account beside each change behind a version; a removal is a row that is not listed.
const ROSTER_SINCE: &str = "SELECT roster_epoch, roster_counter, roster_forgotten, c.*
    FROM account LEFT JOIN LATERAL (
        SELECT contact, name, groups, subscription, ask, approved, request, listed, changed
        FROM roster WHERE owner = number AND changed > $2 AND listed
        UNION ALL
        SELECT contact, '', '{}', 'none', false, false, NULL, false, changed
        FROM roster_removed WHERE owner = number AND changed > $2
    ) AS c ON true
    WHERE number = $1 ORDER BY c.changed";
