//! A store with nothing in it, and the few words that most plays need.

use std::sync::Arc;

use bytes::Bytes;
use meerkat_tests::postgres::PostgresServer;
use server::plugins::memory::Memory;
use server::plugins::postgres::{self, Postgres};
use server::plugins::sqlite::{self, Sqlite};
use server::storage::outbox::{Bounds, Gate};
use server::storage::{
    AccountNumber, Draft, MessageId, Owner, Peer, Role, Saved, Store, StoreError, Write, Written,
};
use tempfile::TempDir;
use xmpp_core::BareJid;
use xmpp_core::sasl::{ScramHash, ScramSecret};

pub struct Stage {
    pub store: Arc<dyn Store>,
    home: Home,
    outbox: Option<Bounds>,
}

/// Where the store is, if it outlives its process.
enum Home {
    Memory,
    Sqlite(TempDir),
    Postgres { url: String },
}

impl Stage {
    pub fn memory() -> Stage {
        Stage { store: Arc::new(Memory::new()), home: Home::Memory, outbox: None }
    }

    pub async fn sqlite() -> Stage {
        Stage::at(Home::Sqlite(TempDir::new().expect("a temporary folder")), (false, None)).await
    }

    pub async fn postgres() -> Stage {
        Stage::at(Home::Postgres { url: PostgresServer::shared().database().await }, (false, None)).await
    }

    /// With a certificate that is looked at.
    pub async fn postgres_over_tls() -> Stage {
        Stage::at(Home::Postgres { url: PostgresServer::shared().database_over_tls().await }, (false, None))
            .await
    }

    async fn at(home: Home, (full_text, outbox): (bool, Option<Bounds>)) -> Stage {
        let gate = outbox.map(|bounds| Arc::new(Gate::new(bounds)));
        let store: Arc<dyn Store> = match &home {
            Home::Memory => Arc::new(Memory::with_outbox(gate)),
            Home::Sqlite(folder) => {
                // Small bulks, so that messages of a test are in the tail and beyond it.
                let options = sqlite::Options::new(folder.path().join("meerkat.db"));
                let options = sqlite::Options { full_text, outbox: gate, bulk_rows: 2048, ..options };
                Arc::new(Sqlite::open(options).await.expect("the store opens"))
            }
            Home::Postgres { url } => {
                let mut options = postgres::Options::new(url).expect("a URL");
                options.full_text = full_text;
                options.outbox = gate;
                Arc::new(Postgres::open(options).await.expect("the store opens"))
            }
        };
        Stage { store, home, outbox }
    }

    /// The store after a restart with an event stream. What lives in memory alone begins anew.
    pub async fn with_outbox(self, bounds: Bounds) -> Stage {
        self.store.close().await;
        Stage::at(self.home, (false, Some(bounds))).await
    }

    /// The store after a restart; what lives in memory alone is not restarted.
    pub async fn restarted(self) -> Stage {
        self.searchable(false).await
    }

    /// After a restart with full-text search switched on, or off. (In memory it is always on.)
    pub async fn searchable(self, full_text: bool) -> Stage {
        if matches!(self.home, Home::Memory) {
            return self;
        }
        self.store.close().await;
        Stage::at(self.home, (full_text, self.outbox)).await
    }

    pub async fn write(&self, write: Write) -> Result<Written, StoreError> {
        self.store.write(write).await
    }

    pub async fn done(&self, write: Write) -> Written {
        self.write(write).await.expect("the store writes")
    }

    pub async fn create(&self, jid: &str) -> AccountNumber {
        let write = Write::CreateAccount { jid: bare(jid), secrets: vec![], time: 1, roster_epoch: 7 };
        match self.done(write).await {
            Written::Account(number) => number,
            other => panic!("{other:?} is no account"),
        }
    }

    pub async fn remove(&self, jid: &str) {
        self.done(Write::RemoveAccount { jid: bare(jid) }).await;
    }

    pub async fn save(&self, drafts: Vec<Draft>) -> Vec<MessageId> {
        self.store.save(drafts).await.expect("the store saves")
    }

    pub async fn queue(&self, owner: AccountNumber, body: &str) -> MessageId {
        let ids = self.save(vec![draft([(owner, Role::QUEUED)], body)]).await;
        assert_eq!(ids.len(), 1);
        ids[0]
    }

    pub async fn waiting(&self, owner: AccountNumber) -> Vec<Saved> {
        self.store.waiting(owner, MessageId(0), 100_000).await.expect("the store reads")
    }

    /// The bodies that wait for the owner, and that their number is what is counted.
    pub async fn bodies(&self, owner: AccountNumber) -> Vec<String> {
        let waiting = self.waiting(owner).await;
        let count = self.store.count_waiting(owner).await.expect("the store counts");
        assert_eq!(count, waiting.len() as u64);
        assert!(waiting.is_sorted_by_key(|message| message.id));
        waiting.iter().map(|message| String::from_utf8_lossy(&message.stanza).into_owned()).collect()
    }
}

pub fn bare(text: &str) -> BareJid {
    BareJid::parse(text).expect("an address")
}

pub fn draft<const N: usize>(owners: [(AccountNumber, Role); N], body: &str) -> Draft {
    let owners = owners.into_iter().map(|(account, role)| Owner { account, role, peer: Peer(7) }).collect();
    Draft { time: 1_795_261_800_123, owners, stanza: Bytes::from(body.to_owned()) }
}

pub fn secret(hash: ScramHash) -> ScramSecret {
    ScramSecret::derive(hash, "pencil", b"0123456789abcdef", 1).expect("a fair password")
}
