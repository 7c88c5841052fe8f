//! Rosters: one side's items, and what a subscription does to two of them.

use sqlx::postgres::PgConnection;
use xmpp_core::BareJid;

use super::{accounts, lock};
use crate::plugins::postgres::failure::{Failure, Named};
use crate::plugins::postgres::rows::{ItemRow, item};
use crate::storage::roster::REMEMBERED_REMOVALS;
use crate::storage::subscription::{Home, Pair, Party, Side};
use crate::storage::{AccountNumber, RosterItem, RosterLimits, RosterVersion, StoreError, Written};

/// A client's roster set.
pub async fn set(
    connection: &mut PgConnection,
    named: &Named,
    owner: AccountNumber,
    contact: BareJid,
    (name, groups): (String, Vec<String>),
    limit: u32,
) -> Result<Written, Failure> {
    lock(connection, owner).await?;
    let before = read_item(connection, named, owner, &contact).await?;
    let listed = before.as_ref().is_some_and(|item| item.listed);
    let item = before.unwrap_or_else(|| RosterItem::unlisted(contact));
    list(connection, owner, RosterItem { name, groups, ..item }, listed, limit).await
}

/// The operator's hand.
pub async fn put(
    connection: &mut PgConnection,
    named: &Named,
    owner: AccountNumber,
    item: RosterItem,
    limit: u32,
) -> Result<Written, Failure> {
    lock(connection, owner).await?;
    let before = read_item(connection, named, owner, &item.contact).await?;
    let listed = before.as_ref().is_some_and(|item| item.listed);
    list(connection, owner, item.put_by_hand(before.and_then(|item| item.request)), listed, limit).await
}

async fn list(
    connection: &mut PgConnection,
    owner: AccountNumber,
    item: RosterItem,
    listed: bool,
    limit: u32,
) -> Result<Written, Failure> {
    if !listed && counts(connection, owner).await?.0 >= limit {
        return Err(StoreError::roster_full(limit).into());
    }
    let item = RosterItem { listed: true, ..item };
    let (epoch, counter): (i64, i64) = sqlx::query_as(
        "UPDATE account SET roster_counter = roster_counter + 1 WHERE number = $1
         RETURNING roster_epoch, roster_counter",
    )
    .bind(owner.0 as i64)
    .fetch_one(&mut *connection)
    .await?;
    let version = RosterVersion { epoch: epoch as u64, counter: counter as u64 };
    write_item(connection, owner, &item, Some(version)).await?;
    Ok(Written::Item(item, version))
}

pub async fn remove(
    connection: &mut PgConnection,
    named: &Named,
    owner: BareJid,
    contact: (BareJid, bool),
) -> Result<Written, Failure> {
    let mut parties = Parties { connection, named };
    let mut pair = parties.pair((owner, true), contact, RosterLimits::NONE).await?;
    let effects = pair.remove()?;
    parties.write_back(pair).await?;
    Ok(Written::Effects(effects))
}

/// The local sides of a subscription, from the database and back to it.
pub struct Parties<'a> {
    pub connection: &'a mut PgConnection,
    pub named: &'a Named,
}

impl Parties<'_> {
    /// `true` beside an address says that its domain is ours.
    pub async fn pair(
        &mut self,
        from: (BareJid, bool),
        to: (BareJid, bool),
        limits: RosterLimits,
    ) -> Result<Pair, Failure> {
        let local = [&from, &to].into_iter().filter(|party| party.1);
        let local: Vec<&str> = local.map(|party| party.0.as_str()).collect();
        let hold = "SELECT number FROM account WHERE jid = ANY ($1) ORDER BY number FOR NO KEY UPDATE";
        sqlx::query(hold).bind(local).execute(&mut *self.connection).await?;
        let (from_home, to_home) = (self.home(&from, &to.0).await?, self.home(&to, &from.0).await?);
        let from = Party { jid: from.0, home: from_home };
        Ok(Pair { from, to: Party { jid: to.0, home: to_home }, limits })
    }

    async fn home(&mut self, (jid, local): &(BareJid, bool), contact: &BareJid) -> Result<Home, Failure> {
        if !local {
            return Ok(Home::Remote);
        }
        let account: Option<(i64, i64, i64)> =
            sqlx::query_as("SELECT number, roster_epoch, roster_counter FROM account WHERE jid = $1")
                .bind(jid.as_str())
                .fetch_optional(&mut *self.connection)
                .await?;
        let Some((number, epoch, counter)) = account else { return Ok(Home::Missing) };
        let owner = AccountNumber(number as u64);
        let version = RosterVersion { epoch: epoch as u64, counter: counter as u64 };
        let item = read_item(self.connection, self.named, owner, contact).await?;
        let (listed, requests) = counts(self.connection, owner).await?;
        Ok(Home::Here(Side::new(version, item, listed, requests)))
    }

    pub async fn write_back(&mut self, pair: Pair) -> Result<(), Failure> {
        let contacts = [pair.to.jid.clone(), pair.from.jid.clone()];
        for (party, contact) in [pair.from, pair.to].into_iter().zip(contacts) {
            if let Home::Here(side) = party.home
                && side.changed
            {
                let owner = accounts::lock_jid(self.connection, &party.jid).await?;
                write_side(self.connection, owner, &contact, side).await?;
            }
        }
        Ok(())
    }
}

async fn write_side(
    connection: &mut PgConnection,
    owner: AccountNumber,
    contact: &BareJid,
    side: Side,
) -> Result<(), sqlx::Error> {
    if side.pushed {
        let set = sqlx::query("UPDATE account SET roster_counter = $1 WHERE number = $2");
        set.bind(side.version.counter as i64).bind(owner.0 as i64).execute(&mut *connection).await?;
    }
    if let Some(item) = &side.item {
        return write_item(connection, owner, item, side.pushed.then_some(side.version)).await;
    }
    let remove = sqlx::query("DELETE FROM roster WHERE owner = $1 AND contact = $2");
    remove.bind(owner.0 as i64).bind(contact.as_str()).execute(&mut *connection).await?;
    if side.pushed {
        remember_removal(connection, owner, contact, side.version.counter).await?;
    }
    Ok(())
}

/// With a version, the change is one that was pushed.
async fn write_item(
    connection: &mut PgConnection,
    owner: AccountNumber,
    item: &RosterItem,
    version: Option<RosterVersion>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO roster AS r
             (owner, contact, name, groups, subscription, ask, approved, request, listed, changed)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, coalesce($10, 0))
         ON CONFLICT (owner, contact) DO UPDATE SET name = $3, groups = $4, subscription = $5, ask = $6,
             approved = $7, request = $8, listed = $9, changed = coalesce($10, r.changed)",
    )
    .bind(owner.0 as i64)
    .bind(item.contact.as_str())
    .bind(&item.name)
    .bind(&item.groups)
    .bind(item.subscription.as_str())
    .bind(item.ask)
    .bind(item.approved)
    .bind(item.request.as_deref())
    .bind(item.listed)
    .bind(version.map(|version| version.counter as i64))
    .execute(&mut *connection)
    .await?;
    if version.is_some() {
        let forget = sqlx::query("DELETE FROM roster_removed WHERE owner = $1 AND contact = $2");
        forget.bind(owner.0 as i64).bind(item.contact.as_str()).execute(connection).await?;
    }
    Ok(())
}

/// The newest removals are remembered; of the one before them, only that it is not.
async fn remember_removal(
    connection: &mut PgConnection,
    owner: AccountNumber,
    contact: &BareJid,
    counter: u64,
) -> Result<(), sqlx::Error> {
    let remember = sqlx::query("INSERT INTO roster_removed (owner, changed, contact) VALUES ($1, $2, $3)");
    remember
        .bind(owner.0 as i64)
        .bind(counter as i64)
        .bind(contact.as_str())
        .execute(&mut *connection)
        .await?;
    let forgotten: Option<i64> = sqlx::query_scalar(
        "SELECT changed FROM roster_removed WHERE owner = $1 ORDER BY changed DESC LIMIT 1 OFFSET $2",
    )
    .bind(owner.0 as i64)
    .bind(REMEMBERED_REMOVALS as i64)
    .fetch_optional(&mut *connection)
    .await?;
    let Some(forgotten) = forgotten else { return Ok(()) };
    let forget = sqlx::query("DELETE FROM roster_removed WHERE owner = $1 AND changed <= $2");
    forget.bind(owner.0 as i64).bind(forgotten).execute(&mut *connection).await?;
    let note = sqlx::query("UPDATE account SET roster_forgotten = $1 WHERE number = $2");
    note.bind(forgotten).bind(owner.0 as i64).execute(connection).await?;
    Ok(())
}

async fn read_item(
    connection: &mut PgConnection,
    named: &Named,
    owner: AccountNumber,
    contact: &BareJid,
) -> Result<Option<RosterItem>, Failure> {
    let row: Option<ItemRow> = sqlx::query_as(
        "SELECT contact, name, groups, subscription, ask, approved, request, listed
         FROM roster WHERE owner = $1 AND contact = $2",
    )
    .bind(owner.0 as i64)
    .bind(contact.as_str())
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| item(row, named)).transpose()?)
}

/// How many items the owner's roster lists, and how many requests it keeps beside them.
async fn counts(connection: &mut PgConnection, owner: AccountNumber) -> Result<(u32, u32), sqlx::Error> {
    let (listed, requests): (i64, i64) = sqlx::query_as(
        "SELECT count(*) FILTER (WHERE listed), count(*) FILTER (WHERE NOT listed) FROM roster WHERE owner = $1",
    )
    .bind(owner.0 as i64)
    .fetch_one(connection)
    .await?;
    Ok((u32::try_from(listed).unwrap_or(u32::MAX), u32::try_from(requests).unwrap_or(u32::MAX)))
}
