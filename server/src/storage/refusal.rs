//! What every store says in the same words.

use xmpp_core::BareJid;

use super::{AccountNumber, Draft, StoreError};

/// The longest stanza that a message may have, and the most owners.
pub const MESSAGE_BYTES: usize = (4 << 20) - 1;
pub const MESSAGE_OWNERS: usize = 50;

impl Draft {
    /// `Full` for a draft that no store takes.
    pub fn check(&self) -> Result<(), StoreError> {
        if self.stanza.len() > MESSAGE_BYTES {
            return Err(StoreError::Full(format!("a message has at most {MESSAGE_BYTES} bytes")));
        }
        if self.owners.len() > MESSAGE_OWNERS {
            return Err(StoreError::Full(format!("a message has at most {MESSAGE_OWNERS} owners")));
        }
        Ok(())
    }
}

impl StoreError {
    pub fn no_account(jid: &BareJid) -> StoreError {
        StoreError::Conflict(format!("there is no account {jid}"))
    }

    pub fn no_owner(owner: AccountNumber) -> StoreError {
        StoreError::Conflict(format!("there is no account with number {}", owner.0))
    }

    pub fn account_exists(jid: &BareJid) -> StoreError {
        StoreError::Conflict(format!("the account {jid} exists already"))
    }

    pub fn no_item(contact: &BareJid) -> StoreError {
        StoreError::Conflict(format!("there is no item {contact} in the roster"))
    }

    pub fn another_value(collection: &str, key: &str) -> StoreError {
        StoreError::Conflict(format!("{key} of {collection} has another value"))
    }

    pub fn roster_full(limit: u32) -> StoreError {
        StoreError::Full(format!("a roster has at most {limit} items"))
    }

    pub fn block_list_full(limit: u32) -> StoreError {
        StoreError::Full(format!("a block list has at most {limit} entries"))
    }

    pub fn collection_full(limit_bytes: u64) -> StoreError {
        StoreError::Full(format!("the collection has at most {limit_bytes} bytes"))
    }

    pub fn quota_reached() -> StoreError {
        StoreError::Full("the account has uploaded as much as it may for now".to_owned())
    }

    pub fn no_slot(name: &str) -> StoreError {
        StoreError::Conflict(format!("there is no slot for {name}"))
    }

    pub fn lease_lost(job: &str) -> StoreError {
        StoreError::Conflict(format!("the lease of {job} is not held any more: another does this now"))
    }

    /// What is in the catalogue of the cold archive is not what the change came from.
    pub fn cold_changed() -> StoreError {
        StoreError::Conflict("the archives changed while a file of them was written".to_owned())
    }

    pub fn no_catalogue() -> StoreError {
        StoreError::Unavailable("this store has no catalogue of a cold archive".to_owned())
    }

    pub fn closed() -> StoreError {
        StoreError::Unavailable("the store is closed".to_owned())
    }

    pub fn no_verification() -> StoreError {
        StoreError::Unavailable("this store keeps secrets and verifies no passwords".to_owned())
    }
}
