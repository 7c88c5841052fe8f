//! A server in this process, on a real database, that listens on a real port.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use meerkat_tests::client::PASSWORD;
use server::config;
use server::node::Node;
use server::storage::{AccountNumber, Store, Write, Written};
use tempfile::TempDir;
use xmpp_core::BareJid;
use xmpp_core::sasl::{ScramHash, ScramSecret};

pub struct Live {
    pub node: Arc<Node>,
    pub address: SocketAddr,
    _folder: TempDir,
}

/// How long a database stays away: as long as a restart may take, and a minute where somebody has the time.
pub fn outage() -> Duration {
    let seconds = std::env::var("MEERKAT_OUTAGE_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(10))
}

impl Live {
    pub async fn start(url: &str) -> Live {
        // Whoever comes second finds it there.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = TempDir::new().expect("a folder");
        // A long outage is one for the limits that servers have; a short one has shorter ones.
        let limits = match outage() {
            long if long > Duration::from_secs(30) => "",
            _ => "connect_seconds = 3\nstatement_seconds = 2\nacquire_seconds = 2\n",
        };
        let text = format!(
            "[auth]\nplain_without_tls = true\n[limits]\noffline_messages = 1000000\n\
             [listen]\nhttp = []\nmetrics = []\n[[listen.c2s]]\nip = \"127.0.0.1\"\nport = 0\ntls = \"none\"\n\
             [storage]\nmain = \"postgres\"\n[storage.postgres]\nurl = {url:?}\n{limits}"
        );
        let config = config::parse(&text, Path::new("meerkat.toml"), &[]).expect("a configuration");
        let node = Node::open(config, folder.path()).await.expect("the server starts");
        let listening = node.listen().expect("it listens");
        let (address, _) = listening.c2s[0];
        Live { node, address, _folder: folder }
    }

    pub fn store(&self) -> &Arc<dyn Store> {
        &self.node.router.store
    }

    pub async fn account(&self, name: &str) -> AccountNumber {
        let secret = ScramSecret::derive(ScramHash::Sha256, PASSWORD, b"a salt of 16 byt", 1).expect("one");
        let jid = BareJid::new(Some(name), "localhost").expect("an address");
        let write = Write::CreateAccount { jid, secrets: vec![secret], time: 1, roster_epoch: 1 };
        match self.store().write(write).await.expect("an account") {
            Written::Account(number) => number,
            other => panic!("{other:?} is no account"),
        }
    }

    /// Until the server has found out that its store is as said, or a test's patience ends.
    pub async fn until_health(&self, what: &str) {
        let begun = tokio::time::Instant::now();
        loop {
            let said = self.store().health().await.err().map(|error| error.to_string()).unwrap_or_default();
            if said.contains(what) {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "its store's health: {said}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
