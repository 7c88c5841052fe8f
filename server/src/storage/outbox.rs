//! The outbox: what the event stream must not miss, kept in the store from the very commit that made it until
//! the stream has confirmed it.
//!
//! A commit with events leaves one row (several, where it is large), so that they cost a fraction of a write for
//! each message. **Who reads deletes exactly what was confirmed**, row by row, and never "all up to here": other
//! transactions may commit rows with a smaller place afterwards. Of one key the places rise in the order of
//! commits: a message's place is drawn under the one lock over ids, an account's under that of its account.

mod gate;
mod packed;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use xmpp_core::BareJid;

use super::{AccountNumber, Fut, MessageId, Millis, Owner, StoreFut, Write};

pub use gate::{Bounds, Gate, WhenFull};
pub use packed::{PackedRow, Packer};

/// Where a row stands. Never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place(pub u64);

/// Events of one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    pub place: Place,
    /// The id of the commit's first message.
    pub first: MessageId,
    /// As a [`Packer`] made it.
    pub content: Bytes,
}

/// One event as it was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    Message(SavedMessage),
    Account(AccountEvent),
}

/// A message that was saved for these owners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedMessage {
    pub id: MessageId,
    pub time: Millis,
    pub owners: SmallVec<[Owner; 2]>,
    pub stanza: Bytes,
}

impl SavedMessage {
    pub fn is_of(&self, account: AccountNumber) -> bool {
        self.owners.iter().any(|owner| owner.account == account)
    }
}

/// What became of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountEvent {
    pub change: AccountChange,
    pub account: BareJid,
    pub time: Millis,
    /// Of a ban.
    pub reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountChange {
    Created,
    PasswordChanged,
    Banned,
    Unbanned,
    Removed,
}

impl AccountChange {
    /// As events call it.
    pub fn word(self) -> &'static str {
        match self {
            AccountChange::Created => "created",
            AccountChange::PasswordChanged => "password-changed",
            AccountChange::Banned => "banned",
            AccountChange::Unbanned => "unbanned",
            AccountChange::Removed => "removed",
        }
    }
}

impl AccountEvent {
    /// What the stream learns of a write, once it is done.
    pub fn of(write: &Write, now: Millis) -> Option<AccountEvent> {
        let (change, account, reason) = match write {
            Write::CreateAccount { jid, .. } => (AccountChange::Created, jid, None),
            Write::SetSecrets { jid, .. } => (AccountChange::PasswordChanged, jid, None),
            Write::SetBan { jid, reason: Some(reason) } => (AccountChange::Banned, jid, Some(reason.clone())),
            Write::SetBan { jid, reason: None } => (AccountChange::Unbanned, jid, None),
            Write::RemoveAccount { jid } => (AccountChange::Removed, jid, None),
            _ => return None,
        };
        Some(AccountEvent { change, account: account.clone(), time: now, reason })
    }
}

/// How much waits for the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutboxSize {
    pub rows: u64,
    pub bytes: u64,
    /// When the oldest row was written.
    pub oldest: Option<Millis>,
}

/// What of the outbox was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Deleted {
    pub rows: u64,
    pub events: u64,
    pub bytes: u64,
}

/// Reading. What is deleted, is by [`Write::ConfirmEvents`] and [`Write::DiscardEvents`], under a lease.
pub trait Outbox: Send + Sync {
    /// The oldest rows behind a place: as many as come to at most `bytes`, at most `rows`, and one at least, however large.
    fn outbox<'a>(&'a self, after: Place, bytes: u64, rows: u32) -> StoreFut<'a, Vec<OutboxRow>>;
    /// Also tells the store itself, which counts only what this server writes.
    fn outbox_size<'a>(&'a self) -> StoreFut<'a, OutboxSize>;
    /// Resolves when this server has written a row since it was last asked; never, where none are written.
    fn outbox_filled<'a>(&'a self) -> Fut<'a, ()>;
}
