//! Writes other than messages: each is a transaction of its own, and many go on at the same time, on this
//! server and on others.
//!
//! Whoever changes what an account owns holds the account's row, so that the functions below it read
//! and then write as if they were alone. Accounts are locked in the order of their numbers.

mod accounts;
mod cold;
mod files;
mod items;
mod roster;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Postgres, Transaction};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::failure::{Failure, Meaning, Named, meaning};
use super::leases;
use super::link::{self, Options};
use super::outbox;
use super::pool::Pool;
use crate::storage::{AccountNumber, Crowded, Operation, StoreError, StoreFut, Write, Written};

/// A write is begun so often before it is given up: after a deadlock, or when its connection died.
const ATTEMPTS: u32 = 5;
/// How long one write may take: some are many statements.
const STATEMENTS: u32 = 6;

pub struct Changes(Arc<Inner>);

struct Inner {
    pool: Arc<Pool>,
    options: Arc<Options>,
    boot: i64,
    /// One for each write that may be under way.
    slots: Mutex<Vec<Slot>>,
    waiting: Arc<Semaphore>,
}

/// Where a write notes that it is committed (the table `committed`).
struct Slot {
    slot: i32,
    number: i64,
}

impl Changes {
    pub fn new(pool: Arc<Pool>, boot: i64, options: Arc<Options>) -> Changes {
        // Slot 0 is that of messages.
        let slots = (1..=options.connections.max(1) as i32).map(|slot| Slot { slot, number: 0 });
        let waiting = Arc::new(Semaphore::new(options.waiting_writes.clamp(1, Semaphore::MAX_PERMITS)));
        Changes(Arc::new(Inner { pool, boot, slots: Mutex::new(slots.collect()), waiting, options }))
    }

    /// Goes on to its end even when nobody waits for it any more.
    pub async fn write(&self, write: Write) -> Result<Written, StoreError> {
        let place = self.0.place()?;
        let inner = self.0.clone();
        let written = tokio::spawn(async move {
            let _place = place;
            inner.write(Some(write)).await
        });
        written.await.map_err(|_| StoreError::closed())?
    }

    /// Those under way, and those that wait for a connection.
    pub fn waiting(&self) -> usize {
        self.0.options.waiting_writes.saturating_sub(self.0.waiting.available_permits())
    }

    /// Can anything be written?
    pub fn probe<'a>(&'a self) -> StoreFut<'a, ()> {
        Box::pin(async {
            let inner = self.0.clone();
            let probed = tokio::spawn(async move { inner.write(None).await });
            probed.await.map_err(|_| StoreError::closed())?.map(|_| ())
        })
    }
}

impl Inner {
    fn place(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        self.waiting.clone().try_acquire_owned().map_err(|_| self.options.named.crowded(Crowded::Writes))
    }

    /// Nothing is written where only the question is whether it could be.
    async fn write(&self, write: Option<Write>) -> Result<Written, StoreError> {
        let (begun, is_probe) = (Instant::now(), write.is_none());
        let told = write.as_ref().and_then(outbox::event);
        let outcome = self.try_write(write).await;
        if !is_probe {
            let (watch, took) = (&self.options.named.watch, begun.elapsed());
            // What is refused because it contradicts what is there went well.
            let well = !matches!(outcome, Err(StoreError::Unavailable(_) | StoreError::Damaged(_)));
            watch.operated(Operation::PostgresWrite, took, well);
            if outcome.is_ok() {
                watch.committed(1, took);
            }
        }
        outbox::committed(&self.options, told, &outcome);
        outcome
    }

    async fn try_write(&self, write: Option<Write>) -> Result<Written, StoreError> {
        let named = &self.options.named;
        let mut taken = self.pool.take().await.map_err(|error| named.counted(error))?;
        // There are as many as connections, and whoever has a slot has a connection.
        let slot = self.slots.lock().pop();
        let Some(mut slot) = slot else { return Err(StoreError::closed()) };
        let mut attempt = 1;
        let outcome = loop {
            slot.number += 1;
            let error = match self.attempt(&mut taken.connection, &slot, write.clone()).await {
                Ok(outcome) => break outcome,
                Err(error) => error,
            };
            if error.lost {
                self.pool.forget_idle();
                match link::connect(&self.options).await {
                    Ok(connection) => taken.connection = connection,
                    Err(opening) => {
                        // The connection is of no use: it goes with its place.
                        drop(taken);
                        self.slots.lock().push(slot);
                        return Err(named.counted(opening.error()));
                    }
                }
            }
            if attempt == ATTEMPTS || !error.again {
                break Err(named.counted(error.said));
            }
            tokio::time::sleep(Duration::from_millis(10) * attempt).await;
            attempt += 1;
        };
        self.slots.lock().push(slot);
        self.pool.give_back(taken);
        outcome
    }

    /// One attempt: what was written, or why it was refused; an error when the attempt failed.
    async fn attempt(
        &self,
        connection: &mut PgConnection,
        slot: &Slot,
        write: Option<Write>,
    ) -> Result<Result<Written, StoreError>, Failed> {
        let failed = |error: &sqlx::Error| Failed {
            lost: meaning(error) == Meaning::Lost,
            again: meaning(error) != Meaning::No,
            said: self.options.named.error(error),
        };
        let limit = self.options.statement_limit * STATEMENTS;
        let (written, transaction) = match link::within(limit, self.prepare(connection, slot, write)).await {
            Ok(Ok(prepared)) => prepared,
            Ok(Err(refused)) => return Ok(Err(refused)),
            // Nothing was committed: the server rolls back.
            Err(error) => return Err(failed(&error)),
        };
        match link::within(limit, transaction.commit()).await {
            Ok(()) => Ok(Ok(written)),
            Err(error) if meaning(&error) == Meaning::Lost => match self.was_committed(slot).await {
                Ok(true) => Ok(Ok(written)),
                Ok(false) => Err(failed(&error)),
                Err(said) => Err(Failed { lost: true, again: false, said }),
            },
            Err(error) => Err(failed(&error)),
        }
    }

    async fn prepare<'c>(
        &self,
        connection: &'c mut PgConnection,
        slot: &Slot,
        write: Option<Write>,
    ) -> Result<Result<(Written, Transaction<'c, Postgres>), StoreError>, sqlx::Error> {
        let mut transaction = connection.begin().await?;
        let failure = match self.fill(&mut transaction, slot, write).await {
            Ok(written) => return Ok(Ok((written, transaction))),
            Err(failure) => failure,
        };
        // Now, and not with the connection's next statement: others wait for what it holds. Where the
        // connection is dead the server does it.
        let ended = transaction.rollback().await;
        match failure {
            Failure::Refused(error) => ended.map(|()| Err(error)),
            Failure::Broken(error) => Err(error),
        }
    }

    async fn fill(
        &self,
        connection: &mut PgConnection,
        slot: &Slot,
        write: Option<Write>,
    ) -> Result<Written, Failure> {
        sqlx::query("SELECT meerkat_note($1, $2, $3, $4, NULL)")
            .bind(self.boot)
            .bind(slot.slot)
            .bind(&self.options.node)
            .bind(slot.number)
            .execute(&mut *connection)
            .await?;
        let Some(mut write) = write else { return Ok(Written::Done) };
        while let Write::Under { lease, write: inner } = write {
            leases::check(connection, &lease).await?;
            write = *inner;
        }
        let event = self.options.outbox.as_ref().and_then(|_| outbox::event(&write));
        let written = apply(connection, &self.options.named, write).await?;
        if let Some(event) = event {
            outbox::put(connection, &event).await?;
        }
        Ok(written)
    }

    /// The fate of a commit whose answer was lost (messages.md, rule 5).
    async fn was_committed(&self, slot: &Slot) -> Result<bool, StoreError> {
        let until = Instant::now() + link::DOUBT;
        loop {
            let error = match link::settle(&self.options, self.boot, slot.slot, slot.number).await {
                Ok((settled, _)) => return Ok(settled.is_some()),
                Err(error) => error,
            };
            if Instant::now() >= until {
                return Err(error);
            }
            tokio::time::sleep(link::LOOK_AGAIN).await;
        }
    }
}

/// An attempt that came to nothing.
struct Failed {
    /// Its connection is of no use any more.
    lost: bool,
    /// Another attempt may succeed.
    again: bool,
    said: StoreError,
}

/// What is done under a lease comes without it, once that is checked.
async fn apply(connection: &mut PgConnection, named: &Named, write: Write) -> Result<Written, Failure> {
    match write {
        Write::CreateAccount { jid, secrets, time, roster_epoch } => {
            accounts::create(connection, jid, secrets, time, roster_epoch).await
        }
        Write::SetSecrets { jid, secrets } => {
            let owner = accounts::lock_jid(connection, &jid).await?;
            accounts::set_secrets(connection, owner, secrets).await
        }
        Write::SetBan { jid, reason } => accounts::set_ban(connection, &jid, reason).await,
        Write::RemoveAccount { jid } => accounts::remove(connection, named, jid).await,
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
            lock(connection, owner).await?;
            let remove = sqlx::query("DELETE FROM item WHERE owner = $1 AND collection = $2 AND key = $3");
            remove.bind(owner.0 as i64).bind(collection).bind(key).execute(connection).await?;
            Ok(Written::Done)
        }
        Write::SetSharedItem { collection, key, value, limit } => {
            items::set_shared(connection, &collection, &key, &value, limit).await
        }
        Write::SwapSharedItem { collection, key, expected, value } => {
            items::swap_shared(connection, &collection, &key, expected.as_deref(), &value).await
        }
        Write::PurgeArchive { owner, before, limit } => items::purge(connection, owner, before, limit).await,
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

/// Holds the account until the transaction's end. Refuses where it is gone.
async fn lock(connection: &mut PgConnection, owner: AccountNumber) -> Result<(), Failure> {
    let found: Option<i64> =
        sqlx::query_scalar("SELECT number FROM account WHERE number = $1 FOR NO KEY UPDATE")
            .bind(owner.0 as i64)
            .fetch_optional(connection)
            .await?;
    found.map(|_| ()).ok_or(Failure::Refused(StoreError::no_owner(owner)))
}
