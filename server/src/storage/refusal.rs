//! What every store says in the same words.

use xmpp_core::BareJid;

use super::{AccountNumber, StoreError};

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

    pub fn roster_full(limit: u32) -> StoreError {
        StoreError::Full(format!("a roster has at most {limit} items"))
    }

    pub fn block_list_full(limit: u32) -> StoreError {
        StoreError::Full(format!("a block list has at most {limit} entries"))
    }

    pub fn collection_full(limit_bytes: u64) -> StoreError {
        StoreError::Full(format!("the collection has at most {limit_bytes} bytes"))
    }

    pub fn no_verification() -> StoreError {
        StoreError::Unavailable("this store keeps secrets and verifies no passwords".to_owned())
    }
}
