//! Stores on a database, and messages whose bodies are all different, so that each can be accounted for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use server::plugins::postgres::{Options, Postgres};
use server::storage::{
    AccountNumber, Draft, MessageId, OfflineQueue, Owner, Store, StoreError, Write, Written,
};
use xmpp_core::BareJid;

pub async fn open(url: &str) -> Arc<Postgres> {
    Arc::new(Postgres::open(options(url)).await.expect("the store opens"))
}

/// With limits that a test can wait for.
pub fn options(url: &str) -> Options {
    let mut options = Options::new(url).expect("a URL");
    options.statement_limit = Duration::from_secs(2);
    options.connect_limit = Duration::from_secs(2);
    options
}

pub async fn create(store: &Postgres, jid: &str) -> Result<AccountNumber, StoreError> {
    let write = Write::CreateAccount { jid: bare(jid), secrets: vec![], time: 1, roster_epoch: 7 };
    match store.write(write).await? {
        Written::Account(number) => Ok(number),
        other => panic!("{other:?} is no account"),
    }
}

pub async fn save(store: &Postgres, owners: &[AccountNumber], body: &str) -> Result<MessageId, StoreError> {
    let owners = owners.iter().copied().map(Owner::queued).collect();
    let draft = Draft { time: 1, owners, stanza: Bytes::from(body.to_owned()) };
    store.save(vec![draft]).await.map(|ids| ids[0])
}

/// What waits for the owner, by body. A body that is there twice is a failure.
pub async fn waiting(store: &Postgres, owner: AccountNumber) -> BTreeMap<String, MessageId> {
    let waiting = store.waiting(owner, MessageId(0), 1_000_000).await.expect("reads");
    let mut bodies = BTreeMap::new();
    for message in waiting {
        let body = String::from_utf8_lossy(&message.stanza).into_owned();
        let twice = bodies.insert(body.clone(), message.id);
        assert_eq!(twice, None, "{body} is there twice");
    }
    bodies
}

pub fn bare(text: &str) -> BareJid {
    BareJid::parse(text).expect("an address")
}
