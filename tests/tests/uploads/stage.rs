//! A node with HTTP ports of its own, and an account that asks it for slots.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use server::clock::Clock;
use server::config::{C2sListener, Config, HttpListener, HttpTls, Tables};
use server::node::Node;
use server::plugins::memory::Memory;
use server::storage::{AccountNumber, Store, Users, Write, Written};
use server::telemetry::metrics::Metrics;
use server::uploads::{Slot, SlotRequest};
use tempfile::TempDir;
use xmpp_core::BareJid;

use crate::client::{Answer, ask};

pub struct Stage {
    pub node: Arc<Node>,
    pub store: Arc<Memory>,
    pub owner: AccountNumber,
    pub plain: SocketAddr,
    pub tls: SocketAddr,
    pub folder: Arc<TempDir>,
}

/// The paths of a slot's URLs.
#[derive(Debug, Clone)]
pub struct Paths {
    pub put: String,
    pub get: String,
}

impl Stage {
    pub async fn new() -> Stage {
        Stage::configured(|_| {}).await
    }

    pub async fn configured(configure: impl FnOnce(&mut Config)) -> Stage {
        let folder = Arc::new(TempDir::new().expect("a folder"));
        Stage::build(Arc::new(Memory::new()), folder, configure).await
    }

    /// Another node on the same store, with the same folder.
    pub async fn beside(&self, configure: impl FnOnce(&mut Config)) -> Stage {
        Stage::build(self.store.clone(), self.folder.clone(), configure).await
    }

    async fn build(store: Arc<Memory>, folder: Arc<TempDir>, configure: impl FnOnce(&mut Config)) -> Stage {
        let here = |port| ([127, 0, 0, 1].into(), port);
        let (ip, port) = here(0);
        let mut config = Config::default();
        config.listen.c2s = Tables(vec![C2sListener { ip, port, ..C2sListener::default() }]);
        config.listen.metrics = Tables(vec![]);
        let [plain, direct] = [HttpTls::None, HttpTls::Direct].map(|tls| HttpListener {
            ip,
            port,
            tls,
            ..HttpListener::default()
        });
        config.listen.http = Tables(vec![plain, direct]);
        configure(&mut config);
        let (shared, metrics): (Arc<dyn Store>, _) = (store.clone(), Arc::new(Metrics::default()));
        let node = Node::build(config, folder.path(), shared, Clock::System, metrics).await.expect("a node");
        let listening = node.listen().expect("it listens");
        let [(plain, _), (tls, _)] = listening.http[..] else { panic!("two ports") };
        let jid = BareJid::parse("juliet@localhost").expect("an address");
        let owner = match store.account(&jid).await.expect("a store") {
            Some(account) => account.number,
            None => {
                let write = Write::CreateAccount { jid, secrets: vec![], time: 1, roster_epoch: 1 };
                let Ok(Written::Account(owner)) = store.write(write).await else { panic!("no account") };
                owner
            }
        };
        Stage { node, store, owner, plain, tls, folder }
    }

    pub async fn grant(&self, title: &str, size: u64, media_type: Option<&str>) -> Slot {
        let media_type = media_type.map(str::to_owned);
        let request = SlotRequest { title: title.to_owned(), size, media_type, until: None };
        self.node.uploads.grant(self.owner, "localhost", request).await.expect("a slot")
    }

    /// On the port without TLS.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.plain)
    }

    pub async fn slot(&self, title: &str, size: u64, media_type: Option<&str>) -> Paths {
        let slot = self.grant(title, size, media_type).await;
        let base = format!("https://localhost:{}", self.tls.port());
        let path = |url: &str| url.strip_prefix(&base).expect("https where there is TLS").to_owned();
        Paths { put: path(&slot.put), get: path(&slot.get) }
    }

    pub async fn put(&self, path: &str, headers: &[&str], body: &[u8]) -> Answer {
        let length = format!("Content-Length: {}", body.len());
        ask(self.plain, "PUT", path, &[&[length.as_str()], headers].concat(), body).await
    }

    pub async fn get(&self, path: &str, headers: &[&str]) -> Answer {
        ask(self.plain, "GET", path, headers, b"").await
    }

    /// A file that is there; the path to it.
    pub async fn uploaded(&self, title: &str, media_type: Option<&str>, body: &[u8]) -> String {
        let slot = self.slot(title, body.len() as u64, media_type).await;
        let header = media_type.map(|text| format!("Content-Type: {text}")).unwrap_or("X-None: 1".to_owned());
        let answer = self.put(&slot.put, &[&header], body).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        slot.get
    }

    /// Everything in the folder of uploads.
    pub fn files(&self) -> Vec<PathBuf> {
        fn below(folder: PathBuf) -> Vec<PathBuf> {
            let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
            let paths = entries.flatten().map(|entry| entry.path());
            paths.flat_map(|path| if path.is_dir() { below(path) } else { vec![path] }).collect()
        }
        below(self.folder.path().join("uploads"))
    }
}
