//! Accounts: made, banned, removed with all they own.

use sqlx::SqliteConnection;
use xmpp_core::BareJid;
use xmpp_core::date::format_utc;
use xmpp_core::sasl::ScramSecret;

use super::roster::Parties;
use crate::plugins::sqlite::failure::{Failure, Named};
use crate::plugins::sqlite::read::contact;
use crate::storage::subscription::Effect;
use crate::storage::{AccountNumber, Millis, RosterLimits, StoreError, Written};

pub async fn number(connection: &mut SqliteConnection, jid: &BareJid) -> Result<AccountNumber, Failure> {
    find(connection, jid).await?.ok_or(Failure::Refused(StoreError::no_account(jid)))
}

async fn find(
    connection: &mut SqliteConnection,
    jid: &BareJid,
) -> Result<Option<AccountNumber>, sqlx::Error> {
    let number: Option<i64> = sqlx::query_scalar("SELECT number FROM account WHERE jid = ?")
        .bind(jid.as_str())
        .fetch_optional(connection)
        .await?;
    Ok(number.map(|number| AccountNumber(number as u64)))
}

pub async fn create(
    connection: &mut SqliteConnection,
    jid: BareJid,
    secrets: Vec<ScramSecret>,
    time: Millis,
    roster_epoch: u64,
) -> Result<Written, Failure> {
    if find(connection, &jid).await?.is_some() {
        return Err(StoreError::account_exists(&jid).into());
    }
    let number: i64 = sqlx::query_scalar(
        "INSERT INTO account (jid, domain, created, roster_epoch) VALUES (?, ?, ?, ?) RETURNING number",
    )
    .bind(jid.as_str())
    .bind(jid.domain())
    .bind(format_utc(time))
    .bind(roster_epoch as i64)
    .fetch_one(&mut *connection)
    .await?;
    let owner = AccountNumber(number as u64);
    set_secrets(connection, owner, secrets).await?;
    Ok(Written::Account(owner))
}

pub async fn set_secrets(
    connection: &mut SqliteConnection,
    owner: AccountNumber,
    secrets: Vec<ScramSecret>,
) -> Result<Written, Failure> {
    let forget = sqlx::query("DELETE FROM secret WHERE owner = ?").bind(owner.0 as i64);
    forget.execute(&mut *connection).await?;
    for secret in secrets {
        sqlx::query(
            "INSERT OR REPLACE INTO secret (owner, hash, salt, iterations, stored_key, server_key)
             VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(owner.0 as i64)
        .bind(secret.hash.name())
        .bind(secret.salt)
        .bind(i64::from(secret.iterations))
        .bind(secret.stored_key)
        .bind(secret.server_key)
        .execute(&mut *connection)
        .await?;
    }
    Ok(Written::Done)
}

pub async fn set_ban(
    connection: &mut SqliteConnection,
    jid: &BareJid,
    reason: Option<String>,
) -> Result<Written, Failure> {
    let ban = sqlx::query("UPDATE account SET banned = ? WHERE jid = ?").bind(reason).bind(jid.as_str());
    match ban.execute(connection).await?.rows_affected() {
        0 => Err(StoreError::no_account(jid).into()),
        _ => Ok(Written::Done),
    }
}

pub async fn set_last_logout(
    connection: &mut SqliteConnection,
    owner: AccountNumber,
    time: Millis,
    status: String,
) -> Result<Written, Failure> {
    let set = sqlx::query("UPDATE account SET last_logout = ?, last_status = ? WHERE number = ?")
        .bind(format_utc(time))
        .bind(status)
        .bind(owner.0 as i64);
    match set.execute(connection).await?.rows_affected() {
        0 => Err(StoreError::no_owner(owner).into()),
        _ => Ok(Written::Done),
    }
}

/// What the account owns goes with it, by its foreign keys; its messages go a little later, in slices,
/// and nobody can reach them meanwhile.
pub async fn remove(
    connection: &mut SqliteConnection,
    named: &Named,
    jid: BareJid,
) -> Result<(AccountNumber, Vec<Effect>), Failure> {
    let owner = number(connection, &jid).await?;
    let contacts: Vec<String> =
        sqlx::query_scalar("SELECT contact FROM roster WHERE owner = ? ORDER BY contact")
            .bind(owner.0 as i64)
            .fetch_all(&mut *connection)
            .await?;
    let mut effects = Vec::new();
    for text in contacts {
        let contact = contact(&text, named)?;
        let is_local: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM account WHERE jid = ?)")
            .bind(&text)
            .fetch_one(&mut *connection)
            .await?;
        let mut parties = Parties { connection: &mut *connection, named };
        let mut pair = parties.pair((jid.clone(), true), (contact, is_local), RosterLimits::NONE).await?;
        effects.extend(pair.remove_account());
        parties.write_back(pair).await?;
    }
    super::cold::forget(connection, owner).await?;
    let remove = sqlx::query("DELETE FROM account WHERE number = ?").bind(owner.0 as i64);
    remove.execute(&mut *connection).await?;
    let remember = sqlx::query("INSERT INTO account_removed (number) VALUES (?)").bind(owner.0 as i64);
    remember.execute(connection).await?;
    Ok((owner, effects))
}
