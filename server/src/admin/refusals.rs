//! What the rest of the server refuses, in the operator's words; and addresses that are not what they
//! should be.

use xmpp_core::{BareJid, Jid};

use super::protocol::{Code, Refusal};
use crate::directory::DirectoryError;
use crate::storage::StoreError;

impl From<DirectoryError> for Refusal {
    fn from(error: DirectoryError) -> Refusal {
        let code = match &error {
            DirectoryError::NoAddress(_) => Code::BadAddress,
            DirectoryError::NotServed(_) => Code::NotServed,
            DirectoryError::BadPassword => Code::BadPassword,
            DirectoryError::Exists(_) => Code::Exists,
            DirectoryError::Missing(_) => Code::NotFound,
            DirectoryError::KeptElsewhere(_) => Code::Unavailable,
            DirectoryError::Busy => Code::Busy,
            DirectoryError::Store(error) => return error.clone().into(),
        };
        Refusal::new(code, error.to_string())
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Refusal {
        match error {
            // What it says of an account or a contact needs no word about the store.
            StoreError::Conflict(why) => Refusal::new(Code::NotFound, why),
            StoreError::Full(why) => Refusal::new(Code::Limit, why),
            StoreError::Unavailable(_) | StoreError::Damaged(_) => {
                Refusal::new(Code::Unavailable, error.to_string())
            }
        }
    }
}

/// The address of an account, which has no resource.
pub(super) fn account(text: &str) -> Result<BareJid, Refusal> {
    let jid = address(text)?;
    match (jid.local(), jid.resource()) {
        (Some(_), None) => Ok(jid.bare()),
        (None, _) => Err(bad(text, "is not the address of an account: it has no local part")),
        (_, Some(_)) => Err(bad(text, "is the address of a session; an account's has no resource")),
    }
}

/// The address of a contact: as of an account, or a server.
pub(super) fn contact(text: &str) -> Result<BareJid, Refusal> {
    let jid = address(text)?;
    match jid.resource() {
        None => Ok(jid.bare()),
        Some(_) => Err(bad(text, "has a resource, and a contact has none")),
    }
}

/// The address of a session, which has a resource.
pub(super) fn session(text: &str) -> Result<Jid, Refusal> {
    let jid = address(text)?;
    match (jid.local(), jid.resource()) {
        (Some(_), Some(_)) => Ok(jid),
        _ => Err(bad(text, "is not the address of a session, user@domain/resource")),
    }
}

pub(super) fn address(text: &str) -> Result<Jid, Refusal> {
    Jid::parse(text).map_err(|error| bad(text, &format!("is not an address: {error}")))
}

fn bad(text: &str, why: &str) -> Refusal {
    Refusal::new(Code::BadAddress, format!("{text} {why}"))
}
