//! The stage of a play: a node on the memory store, in paused time, with connections in memory.

use std::net::SocketAddr;
use std::sync::Arc;

use server::c2s::pipe::pipe;
use server::clock::Clock;
use server::config::{Config, TlsMode};
use server::node::Node;
use server::plugins::memory::Memory;
use server::storage::{RosterItem, Store, Subscription, Users, Write, Written};
use server::telemetry::metrics::Metrics;
use tempfile::TempDir;
use xmpp_core::BareJid;
use xmpp_core::sasl::{ScramHash, ScramSecret};

use crate::actor::Connection;

/// Everybody's password.
pub const PASSWORD: &str = "secret";

pub struct Stage {
    pub node: Arc<Node>,
    pub store: Arc<Memory>,
    config: Config,
    clock: Clock,
    folder: TempDir,
}

impl Stage {
    pub async fn new(mut config: Config) -> Result<Stage, String> {
        config.auth.plain_without_tls = true;
        let folder = TempDir::new().map_err(|e| format!("no folder for the server: {e}"))?;
        let store = Arc::new(Memory::new());
        let clock = Clock::runtime();
        let node = build(&config, &folder, &store, clock).await?;
        Ok(Stage { node, store, config, clock, folder })
    }

    /// As the process would that starts again: what is not in the store is forgotten.
    pub async fn restart(&mut self) -> Result<(), String> {
        self.store.heal();
        self.node = build(&self.config, &self.folder, &self.store, self.clock).await?;
        Ok(())
    }

    pub async fn create_account(&self, jid: &BareJid) -> Result<(), String> {
        let secret = |hash| ScramSecret::derive(hash, PASSWORD, b"a salt of 16 byt", 1);
        let secrets = [ScramHash::Sha1, ScramHash::Sha256, ScramHash::Sha512].map(secret);
        let secrets: Result<Vec<ScramSecret>, _> = secrets.into_iter().collect();
        let secrets = secrets.map_err(|e| format!("{e:?}"))?;
        let write = Write::CreateAccount { jid: jid.clone(), secrets, time: 1, roster_epoch: 7 };
        self.store.write(write).await.map(drop).map_err(|e| e.to_string())
    }

    /// Puts an item into a roster, before anybody is there to see it.
    pub async fn put_contact(
        &self,
        owner: &BareJid,
        contact: &BareJid,
        subscription: Subscription,
    ) -> Result<(), String> {
        let account = self.store.account(owner).await.map_err(|e| e.to_string())?;
        let account = account.ok_or_else(|| format!("{owner} has no account"))?;
        let item = RosterItem { subscription, ..RosterItem::new(contact.clone()) };
        let write = Write::PutRosterItem { owner: account.number, item, limit: u32::MAX };
        let written: Written = self.store.write(write).await.map_err(|e| e.to_string())?;
        self.node.router.accounts.forget(owner);
        drop(written);
        Ok(())
    }

    /// A connection without a word said.
    pub fn connect(&self, peer: SocketAddr, mode: TlsMode) -> Connection {
        let (server, client) = pipe(peer);
        tokio::spawn(self.node.c2s.clone().serve_pipe(server, mode));
        Connection::new(client)
    }
}

async fn build(
    config: &Config,
    folder: &TempDir,
    store: &Arc<Memory>,
    clock: Clock,
) -> Result<Arc<Node>, String> {
    let shared: Arc<dyn Store> = store.clone();
    let node = Node::build(config.clone(), folder.path(), shared, clock, Arc::new(Metrics::default())).await;
    node.map_err(|error| format!("the server does not start: {error}"))
}
