//! An account as it is kept in the cache that nodes share.
//!
//! What only its owner reads (names and groups of contacts, passwords) is not in it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use xmpp_core::{BareJid, Jid};

use super::preferences::Preferences;
use super::{AccountInfo, Contact};
use crate::config::Archiving;
use crate::storage::{AccountNumber, Subscription};

#[derive(Serialize, Deserialize)]
struct Record {
    /// `None`: there is no such account (any more), and not even its address is told.
    account: Option<Account>,
}

#[derive(Serialize, Deserialize)]
struct Account {
    /// Keys are hashes of addresses.
    jid: BareJid,
    number: AccountNumber,
    banned: bool,
    blocked: Vec<Jid>,
    is_asked: bool,
    contacts: Vec<(BareJid, Subscription, bool)>,
    archiving: Option<String>,
    always: Vec<Jid>,
    never: Vec<Jid>,
}

pub fn write(jid: &BareJid, info: Option<&AccountInfo>) -> Bytes {
    let account = info.map(|info| {
        let (archiving, always, never) = info.archive.parts();
        let contact = |contact: &Contact| (contact.jid.clone(), contact.subscription, contact.ask);
        Account {
            jid: jid.clone(),
            number: info.number,
            banned: info.banned,
            blocked: info.blocked.clone(),
            is_asked: info.is_asked,
            contacts: info.contacts.iter().map(contact).collect(),
            archiving: archiving.map(|archiving| archiving.as_str().to_owned()),
            always: always.to_vec(),
            never: never.to_vec(),
        }
    });
    let record = Record { account };
    // Strings, numbers and lists: nothing of them can fail.
    Bytes::from(serde_json::to_vec(&record).unwrap_or_default())
}

/// `None`: it is not understood, or of somebody else.
pub fn read(jid: &BareJid, record: &[u8]) -> Option<Option<AccountInfo>> {
    let record: Record = serde_json::from_slice(record).ok()?;
    let Some(account) = record.account else { return Some(None) };
    if account.jid != *jid {
        return None;
    }
    let archiving = match account.archiving {
        None => None,
        Some(word) => Some(*Archiving::ALL.iter().find(|known| known.as_str() == word)?),
    };
    let contacts = account.contacts.into_iter();
    Some(Some(AccountInfo {
        number: account.number,
        jid: account.jid,
        banned: account.banned,
        blocked: account.blocked,
        archive: Preferences::of_parts(archiving, account.always, account.never),
        is_asked: account.is_asked,
        contacts: contacts.map(|(jid, subscription, ask)| Contact { jid, subscription, ask }).collect(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_read_as_it_was_written() {
        let jid = BareJid::parse("romeo@example.com").expect("an address");
        let address = |text: &str| Jid::parse(text).expect("an address");
        let contact = |text: &str, subscription, ask| {
            let jid = BareJid::parse(text).expect("an address");
            Contact { jid, subscription, ask }
        };
        let info = AccountInfo {
            banned: true,
            blocked: vec![address("a@b/c"), address("d")],
            archive: Preferences::of_parts(Some(Archiving::Roster), vec![address("e@f")], vec![address("g")]),
            is_asked: true,
            contacts: vec![
                contact("juliet@example.com", Subscription::Both, false),
                contact("nurse@example.net", Subscription::None, true),
            ],
            ..AccountInfo::without_contacts(AccountNumber(7), jid.clone())
        };
        let record = write(&jid, Some(&info));
        let read_back = read(&jid, &record).expect("understood").expect("an account");
        assert_eq!(format!("{read_back:?}"), format!("{info:?}"));
        let none = write(&jid, None);
        assert!(matches!(read(&jid, &none), Some(None)));
        assert!(!String::from_utf8_lossy(&none).contains("romeo"));

        let other = BareJid::parse("juliet@example.com").expect("an address");
        assert!(read(&other, &record).is_none());
        assert!(read(&jid, &record[..record.len() - 1]).is_none());
        assert!(read(&jid, b"").is_none());
    }
}
