//! Rows as the database gives them, and what they are to the server.

use bytes::Bytes;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
use xmpp_core::sasl::{ScramHash, ScramSecret};
use xmpp_core::{BareJid, Jid};

use super::failure::Named;
use crate::storage::*;

/// contact, name, groups, subscription, ask, approved, request, listed.
pub type ItemRow = (String, String, Vec<String>, String, bool, bool, Option<Vec<u8>>, bool);
/// number, jid, created, banned.
pub type AccountRow = (i64, String, i64, Option<String>);
/// known, banned, hash, salt, iterations, stored_key, server_key: an account may have none.
pub type SecretRow =
    (bool, bool, Option<String>, Option<Vec<u8>>, Option<i32>, Option<Vec<u8>>, Option<Vec<u8>>);
/// id, time, archived, stanza.
pub type SavedRow = (i64, i64, bool, Vec<u8>);

pub fn item(row: ItemRow, named: &Named) -> Result<RosterItem, StoreError> {
    let (jid, name, groups, subscription, ask, approved, request, listed) = row;
    let subscription = match subscription.as_str() {
        "to" => Subscription::To,
        "from" => Subscription::From,
        "both" => Subscription::Both,
        _ => Subscription::None,
    };
    let (contact, request) = (contact(&jid, named)?, request.map(Bytes::from));
    Ok(RosterItem { contact, name, groups, subscription, ask, approved, request, listed })
}

pub fn contact(text: &str, named: &Named) -> Result<BareJid, StoreError> {
    BareJid::parse(text).map_err(|error| named.damaged(format!("the address {text:?} is none: {error}")))
}

pub fn full_jid(text: &str, named: &Named) -> Result<Jid, StoreError> {
    Jid::parse(text).map_err(|error| named.damaged(format!("the address {text:?} is none: {error}")))
}

pub fn account((number, jid, created, banned): AccountRow, named: &Named) -> Result<Account, StoreError> {
    let jid = contact(&jid, named)?;
    Ok(Account { number: AccountNumber(number as u64), jid, created: created as u64, banned })
}

pub fn secret(row: SecretRow, named: &Named) -> Result<ScramSecret, StoreError> {
    let garbled = || named.damaged("a password's secret is garbled");
    let (_, _, Some(hash), Some(salt), Some(iterations), Some(stored_key), Some(server_key)) = row else {
        return Err(garbled());
    };
    let hash = ScramHash::from_name(&hash).ok_or_else(garbled)?;
    let iterations = u32::try_from(iterations).map_err(|_| garbled())?;
    Ok(ScramSecret { hash, salt, iterations, stored_key, server_key })
}

pub fn saved((id, time, archived, stanza): SavedRow) -> Saved {
    Saved { id: MessageId(id as u64), time: time as u64, archived, stanza: stanza.into() }
}

/// An account's roster version beside one of its contacts, or beside none.
pub struct RosterRow {
    version: RosterVersion,
    pub forgotten: i64,
    contact: Option<ItemRow>,
    pub listed: Option<bool>,
    pub changed: Option<i64>,
}

impl RosterRow {
    pub fn version(&self) -> RosterVersion {
        self.version
    }

    pub fn item(self, named: &Named) -> Result<Option<RosterItem>, StoreError> {
        self.contact.map(|row| item(row, named)).transpose()
    }
}

impl<'r> FromRow<'r, PgRow> for RosterRow {
    fn from_row(row: &'r PgRow) -> Result<RosterRow, sqlx::Error> {
        let (epoch, counter): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        let contact: Option<String> = row.try_get(3)?;
        let contact = match contact {
            None => None,
            Some(contact) => Some((
                contact,
                row.try_get(4)?,
                row.try_get(5)?,
                row.try_get(6)?,
                row.try_get(7)?,
                row.try_get(8)?,
                row.try_get(9)?,
                row.try_get(10)?,
            )),
        };
        Ok(RosterRow {
            version: RosterVersion { epoch: epoch as u64, counter: counter as u64 },
            forgotten: row.try_get(2)?,
            contact,
            listed: row.try_get(10)?,
            changed: row.try_get(11)?,
        })
    }
}
