//! One write, applied inside the transaction of its commit.
//!
//! Each function reads and refuses before it changes anything: a refused write leaves the others of its
//! commit alone, without a savepoint.

mod accounts;
mod cold;
mod files;
mod items;
mod roster;

use sqlx::SqliteConnection;

use super::delete::{clear_cold, purge};
use super::failure::{Failure, Named};
use super::outbox;
use crate::storage::outbox::AccountEvent;
use crate::storage::{AccountNumber, MessageId, Millis, StoreError, Write, Written};

/// A write of the server, or one of the store's own.
pub enum Change {
    Write(Box<Write>),
    /// The secret that is there stands.
    ShareSecret {
        name: String,
        proposed: Vec<u8>,
    },
    /// Can anything be written?
    Probe,
    /// Somebody searches by words. It is done before the commit.
    FindText,
    /// Gives entries to what came before then, where it lies in the tail. It is done before the commit.
    IndexOld(Millis),
    /// Deletes entries of archives that are in files, of so many messages.
    ClearCold {
        after: MessageId,
        up_to: MessageId,
        limit: u32,
    },
}

impl Change {
    /// Asks for what is done before the commit, and for nothing in it.
    pub fn only_asks(&self) -> bool {
        matches!(self, Change::Probe | Change::FindText | Change::IndexOld(_))
    }

    /// Up to which time what the tail has is to get entries.
    pub fn looks_before(&self) -> Option<Millis> {
        match self {
            Change::IndexOld(before) => Some(*before),
            _ => self.purges_before(),
        }
    }

    /// The time before which it deletes from an archive, if it does.
    pub fn purges_before(&self) -> Option<Millis> {
        match self {
            Change::Write(write) => match **write {
                Write::PurgeArchive { before, .. } => Some(before),
                _ => None,
            },
            _ => None,
        }
    }

    /// What the event stream learns of it, once it is done.
    pub fn event(&self, now: Millis) -> Option<AccountEvent> {
        match self {
            Change::Write(write) => AccountEvent::of(write, now),
            _ => None,
        }
    }

    pub fn removes_account(&self) -> bool {
        matches!(self, Change::Write(write) if matches!(**write, Write::RemoveAccount { .. }))
    }
}

/// `removed` gets the accounts that go with the commit.
pub async fn apply(
    connection: &mut SqliteConnection,
    named: &Named,
    change: Change,
    removed: &mut Vec<AccountNumber>,
) -> Result<Written, Failure> {
    match change {
        Change::Write(write) => apply_write(connection, named, *write, removed).await,
        Change::ShareSecret { name, proposed } => {
            let share = sqlx::query("INSERT OR IGNORE INTO shared_secret (name, value) VALUES (?, ?)");
            share.bind(name).bind(proposed).execute(connection).await?;
            Ok(Written::Done)
        }
        Change::FindText | Change::IndexOld(_) => Ok(Written::Done),
        Change::ClearCold { after, up_to, limit } => Ok(clear_cold(connection, after, up_to, limit).await?),
        Change::Probe => {
            let probe = "UPDATE progress SET probed = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')";
            sqlx::query(probe).execute(connection).await?;
            Ok(Written::Done)
        }
    }
}

/// What is done under a lease comes without it, once that is checked.
async fn apply_write(
    connection: &mut SqliteConnection,
    named: &Named,
    write: Write,
    removed: &mut Vec<AccountNumber>,
) -> Result<Written, Failure> {
    match write {
        Write::CreateAccount { jid, secrets, time, roster_epoch } => {
            accounts::create(connection, jid, secrets, time, roster_epoch).await
        }
        Write::SetSecrets { jid, secrets } => {
            let owner = accounts::number(connection, &jid).await?;
            accounts::set_secrets(connection, owner, secrets).await
        }
        Write::SetBan { jid, reason } => accounts::set_ban(connection, &jid, reason).await,
        Write::RemoveAccount { jid } => {
            let (owner, effects) = accounts::remove(connection, named, jid).await?;
            removed.push(owner);
            Ok(Written::Effects(effects))
        }
        Write::SetLastLogout { owner, time, status } => {
            accounts::set_last_logout(connection, owner, time, status).await
        }
        Write::SetRosterItem { owner, contact, name, groups, limit } => {
            roster::set(connection, named, owner, contact, (name, groups), limit).await
        }
        Write::PutRosterItem { owner, item, limit } => {
            roster::put(connection, named, owner, item, limit).await
        }
        Write::RemoveRosterItem { owner, contact, contact_is_local } => {
            roster::remove(connection, named, owner, (contact, contact_is_local)).await
        }
        Write::Subscribe { from, to, verb, from_is_local, to_is_local, stanza, limits } => {
            let mut parties = roster::Parties { connection, named };
            let mut pair = parties.pair((from, from_is_local), (to, to_is_local), limits).await?;
            let effects = pair.send(verb, &stanza)?;
            parties.write_back(pair).await?;
            Ok(Written::Effects(effects))
        }
        Write::Block { owner, jids, limit } => items::block(connection, named, owner, jids, limit).await,
        Write::Unblock { owner, jids } => items::unblock(connection, named, owner, jids).await,
        Write::SetItem { owner, collection, key, value, limit_bytes } => {
            items::set(connection, owner, (&collection, &key), &value, limit_bytes).await
        }
        Write::RemoveItem { owner, collection, key } => {
            exists(connection, owner).await?;
            let remove = sqlx::query("DELETE FROM item WHERE owner = ? AND collection = ? AND key = ?");
            remove.bind(owner.0 as i64).bind(collection).bind(key).execute(connection).await?;
            Ok(Written::Done)
        }
        Write::SetSharedItem { collection, key, value, limit } => {
            items::set_shared(connection, &collection, &key, &value, limit).await
        }
        Write::SwapSharedItem { collection, key, expected, value } => {
            items::swap_shared(connection, &collection, &key, expected.as_deref(), &value).await
        }
        Write::PurgeArchive { owner, before, limit } => {
            Ok(Written::Dropped(purge(connection, owner, before, limit).await?))
        }
        Write::GrantFile { file, quota } => files::grant(connection, file, quota).await,
        Write::StoreFile { name, blob, media_type } => {
            files::store(connection, &name, &blob, media_type).await
        }
        Write::RemoveFile { name } => files::remove(connection, &name).await,
        Write::ConfirmEvents { places } => outbox::confirm(connection, &places).await,
        Write::DiscardEvents { bytes, before, limit } => {
            outbox::discard(connection, bytes, before, limit).await
        }
        Write::Cold(change) => cold::apply(connection, change).await,
        Write::Under { lease, .. } => Err(StoreError::lease_lost(lease.job.name()).into()),
    }
}

/// Refuses for an owner whose account is gone.
async fn exists(connection: &mut SqliteConnection, owner: AccountNumber) -> Result<(), Failure> {
    let found: Option<i64> = sqlx::query_scalar("SELECT number FROM account WHERE number = ?")
        .bind(owner.0 as i64)
        .fetch_optional(connection)
        .await?;
    found.map(|_| ()).ok_or(Failure::Refused(StoreError::no_owner(owner)))
}
