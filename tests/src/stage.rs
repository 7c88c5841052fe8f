//! The stage of a play: a node on the memory store, in paused time, with connections in memory.

use std::net::SocketAddr;
use std::sync::Arc;

use server::c2s::pipe::pipe;
use server::clock::Clock;
use server::config::{Config, TlsMode};
use server::node::Node;
use server::plugins::memory::Memory;
use server::storage::{Store, Write};
use server::telemetry::metrics::Metrics;
use tempfile::TempDir;
use xmpp_core::BareJid;
use xmpp_core::sasl::{ScramHash, ScramSecret};

use crate::actor::Actor;

/// Everybody's password.
pub const PASSWORD: &str = "secret";

pub struct Stage {
    pub node: Arc<Node>,
    pub store: Arc<Memory>,
    _folder: TempDir,
}

impl Stage {
    pub async fn new() -> Stage {
        Stage::with(Config::default()).await
    }

    pub async fn with(mut config: Config) -> Stage {
        config.auth.plain_without_tls = true;
        let folder = TempDir::new().expect("a folder");
        let store = Arc::new(Memory::new());
        let shared: Arc<dyn Store> = store.clone();
        let metrics = Arc::new(Metrics::default());
        let node = Node::build(config, folder.path(), shared, Clock::runtime(), metrics).await;
        let node = node.unwrap_or_else(|error| panic!("the node does not start: {error}"));
        Stage { node, store, _folder: folder }
    }

    /// Makes an account, `romeo` or `romeo@another.example`.
    pub async fn account(&self, name: &str) -> BareJid {
        let jid = self.jid(name);
        let secret = |hash| ScramSecret::derive(hash, PASSWORD, b"a salt of 16 byt", 1).expect("a password");
        let secrets = vec![secret(ScramHash::Sha1), secret(ScramHash::Sha256)];
        let write = Write::CreateAccount { jid: jid.clone(), secrets, time: 1, roster_epoch: 7 };
        self.store.write(write).await.expect("a new account");
        jid
    }

    pub fn jid(&self, name: &str) -> BareJid {
        let text = if name.contains('@') { name.to_owned() } else { format!("{name}@localhost") };
        BareJid::parse(&text).expect("an address")
    }

    /// A connection without a word said.
    pub fn connect(&self) -> Actor {
        let (server, client) = pipe(SocketAddr::from(([192, 0, 2, 1], 50000)));
        tokio::spawn(self.node.c2s.clone().serve_pipe(server, TlsMode::None));
        Actor::new(client)
    }

    /// An account's client, logged in and bound, without presence.
    pub async fn login(&self, name: &str, resource: &str) -> Actor {
        let mut actor = self.connect();
        actor.login(&self.jid(name), PASSWORD, resource).await;
        actor
    }
}
