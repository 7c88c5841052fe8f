//! Servers in this process that share a database and a Redis.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use meerkat_tests::postgres::PostgresServer;
use meerkat_tests::redis::RedisServer;
use server::c2s::pipe::pipe;
use server::config::{Config, Limit, MainStore, Secret, TlsMode};
use server::node::Node;
use tempfile::TempDir;
use xmpp_core::BareJid;

use crate::client::Client;

pub const PASSWORD: &str = "secret";

pub struct Stage {
    pub nodes: Vec<Arc<Node>>,
    _folders: Vec<TempDir>,
}

impl Stage {
    pub async fn new(redis: &RedisServer, configure: impl Fn(&mut Config)) -> Stage {
        let database = PostgresServer::shared().database().await;
        let mut stage = Stage { nodes: Vec::new(), _folders: Vec::new() };
        for _ in 0..2 {
            let folder = TempDir::new().expect("a folder");
            let mut config = Config::default();
            config.storage.main = MainStore::Postgres;
            config.storage.postgres.url = Some(Secret::new(database.clone()));
            config.storage.redis.url = Some(Secret::new(redis.url()));
            // These tests are of what is answered, however busy the machine is; those of time limits set their own.
            config.storage.redis.timeout_ms = 1_000;
            config.storage.redis.authority = Some(redis.authority());
            config.auth.plain_without_tls = true;
            config.auth.scram_iterations = 1;
            config.limits.connections_per_address = Limit::None;
            configure(&mut config);
            stage.nodes.push(Node::open(config, folder.path()).await.expect("it starts"));
            stage._folders.push(folder);
        }
        stage
    }

    pub async fn create(&self, name: &str) -> BareJid {
        let jid = BareJid::parse(&format!("{name}@localhost")).expect("an address");
        self.nodes[0].directory.create(&jid, PASSWORD).await.expect("creates");
        jid
    }

    /// A connection to one of the nodes.
    pub fn connect(&self, node: usize, address: &str) -> Client {
        let (server, client) = pipe(SocketAddr::new(address.parse().expect("an address"), 50_000));
        tokio::spawn(self.nodes[node].c2s.clone().serve_pipe(server, TlsMode::None));
        Client::new(client)
    }

    /// An available session.
    pub async fn log_in(&self, node: usize, name: &str, resource: &str) -> Client {
        let mut client = self.connect(node, "192.0.2.1");
        client.log_in(name, PASSWORD).await.expect("the right password");
        client.bind(resource).await;
        client.say("<presence/>").await;
        client
    }

    /// Waits until both nodes use the cache.
    pub async fn is_shared(&self) {
        for node in &self.nodes {
            let shared = node.router.accounts.shared().expect("there is one");
            let used = async {
                while !shared.is_used() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            tokio::time::timeout(Duration::from_secs(60), used).await.expect("it is used");
        }
    }

    /// Lines of a node's metrics that begin so, added up.
    pub fn metric(&self, node: usize, begin: &str) -> f64 {
        let text = self.nodes[node].metrics.exposition();
        let lines = text.lines().filter(|line| line.starts_with(begin));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }
}
