//! Accounts: made, banned, removed with all they own.

use sqlx::postgres::PgConnection;
use xmpp_core::BareJid;
use xmpp_core::sasl::ScramSecret;

use super::roster::Parties;
use crate::plugins::postgres::failure::{Failure, Named};
use crate::plugins::postgres::rows::contact;
use crate::storage::{AccountNumber, Millis, RosterLimits, StoreError, Written};

/// Holds the account until the transaction's end. Refuses where there is none.
pub async fn lock_jid(connection: &mut PgConnection, jid: &BareJid) -> Result<AccountNumber, Failure> {
    let number: Option<i64> =
        sqlx::query_scalar("SELECT number FROM account WHERE jid = $1 FOR NO KEY UPDATE")
            .bind(jid.as_str())
            .fetch_optional(connection)
            .await?;
    let number = number.map(|number| AccountNumber(number as u64));
    number.ok_or(Failure::Refused(StoreError::no_account(jid)))
}

pub async fn create(
    connection: &mut PgConnection,
    jid: BareJid,
    secrets: Vec<ScramSecret>,
    time: Millis,
    roster_epoch: u64,
) -> Result<Written, Failure> {
    // Two who ask at the same time: the second waits for the first, and then finds its account.
    let number: Option<i64> = sqlx::query_scalar(
        "INSERT INTO account (jid, domain, created, roster_epoch)
         SELECT $1, $2, 'epoch'::timestamptz + $3 * interval '1 millisecond', $4
         WHERE NOT EXISTS (SELECT FROM account WHERE jid = $1)
         ON CONFLICT DO NOTHING RETURNING number",
    )
    .bind(jid.as_str())
    .bind(jid.domain())
    .bind(time as i64)
    .bind(roster_epoch as i64)
    .fetch_optional(&mut *connection)
    .await?;
    let Some(number) = number else { return Err(StoreError::account_exists(&jid).into()) };
    let owner = AccountNumber(number as u64);
    set_secrets(connection, owner, secrets).await?;
    Ok(Written::Account(owner))
}

pub async fn set_secrets(
    connection: &mut PgConnection,
    owner: AccountNumber,
    secrets: Vec<ScramSecret>,
) -> Result<Written, Failure> {
    let forget = sqlx::query("DELETE FROM secret WHERE owner = $1").bind(owner.0 as i64);
    forget.execute(&mut *connection).await?;
    for secret in secrets {
        sqlx::query(
            "INSERT INTO secret (owner, hash, salt, iterations, stored_key, server_key)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (owner, hash) DO UPDATE SET salt = $3, iterations = $4, stored_key = $5, server_key = $6",
        )
        .bind(owner.0 as i64)
        .bind(secret.hash.name())
        .bind(secret.salt)
        .bind(i32::try_from(secret.iterations).unwrap_or(i32::MAX))
        .bind(secret.stored_key)
        .bind(secret.server_key)
        .execute(&mut *connection)
        .await?;
    }
    Ok(Written::Done)
}

pub async fn set_ban(
    connection: &mut PgConnection,
    jid: &BareJid,
    reason: Option<String>,
) -> Result<Written, Failure> {
    let ban = sqlx::query("UPDATE account SET banned = $1 WHERE jid = $2").bind(reason).bind(jid.as_str());
    match ban.execute(connection).await?.rows_affected() {
        0 => Err(StoreError::no_account(jid).into()),
        _ => Ok(Written::Done),
    }
}

pub async fn set_last_logout(
    connection: &mut PgConnection,
    owner: AccountNumber,
    time: Millis,
    status: String,
) -> Result<Written, Failure> {
    let set = sqlx::query(
        "UPDATE account SET last_logout = 'epoch'::timestamptz + $1 * interval '1 millisecond', last_status = $2
         WHERE number = $3",
    );
    match set.bind(time as i64).bind(status).bind(owner.0 as i64).execute(connection).await?.rows_affected() {
        0 => Err(StoreError::no_owner(owner).into()),
        _ => Ok(Written::Done),
    }
}

/// What the account owns goes with it, by its foreign keys; its messages go a little later, in slices,
/// and nobody can reach them meanwhile.
pub async fn remove(connection: &mut PgConnection, named: &Named, jid: BareJid) -> Result<Written, Failure> {
    // It and its contacts, in order. Who becomes a contact meanwhile waits, for the account is among them.
    sqlx::query(
        "SELECT number FROM account
         WHERE jid = $1 OR jid IN (SELECT contact FROM roster WHERE owner = (SELECT number FROM account WHERE jid = $1))
         ORDER BY number FOR UPDATE",
    )
    .bind(jid.as_str())
    .execute(&mut *connection)
    .await?;
    let owner = lock_jid(connection, &jid).await?;
    let contacts: Vec<(String, bool)> = sqlx::query_as(
        "SELECT contact, EXISTS (SELECT FROM account WHERE jid = contact) FROM roster
         WHERE owner = $1 ORDER BY contact",
    )
    .bind(owner.0 as i64)
    .fetch_all(&mut *connection)
    .await?;
    let mut effects = Vec::new();
    for (text, is_local) in contacts {
        let contact = contact(&text, named)?;
        let mut parties = Parties { connection: &mut *connection, named };
        let mut pair = parties.pair((jid.clone(), true), (contact, is_local), RosterLimits::NONE).await?;
        effects.extend(pair.remove_account());
        parties.write_back(pair).await?;
    }
    super::cold::forget(connection, owner).await?;
    let remove = sqlx::query("DELETE FROM account WHERE number = $1").bind(owner.0 as i64);
    remove.execute(&mut *connection).await?;
    let remember = sqlx::query("INSERT INTO account_removed (number) VALUES ($1)").bind(owner.0 as i64);
    remember.execute(connection).await?;
    Ok(Written::Effects(effects))
}
