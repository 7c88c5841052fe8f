//! A node without connections, for the modules' tests: the router over the memory store, every module
//! that the configuration has, and sessions whose mailboxes the test reads.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use cluster::{Boot, Presence, SingleNode};
use tokio::sync::mpsc;
use xmpp_core::{BareJid, Jid, Stanza};

use crate::clock::Clock;
use crate::config::Config;
use crate::directory::Directory;
use crate::modules::{self, Parts};
use crate::passwords::Passwords;
use crate::plugins::memory::Memory;
use crate::router::{Domain, Domains, Router, Save, StanzaIds};
use crate::session::{Delivery, MailboxBounds, OwnPresence, Peer, Session};
use crate::storage::{AccountNumber, RosterItem, Store, Subscription, Users, Write, Written};
use crate::telemetry::metrics::Metrics;

pub struct World {
    pub router: Arc<Router>,
    pub store: Arc<Memory>,
    pub directory: Arc<Directory>,
    pub live: Arc<ArcSwap<Config>>,
}

/// A session, and what comes to it.
pub struct Client {
    pub session: Arc<Session>,
    mail: mpsc::Receiver<Arc<Delivery>>,
    router: Arc<Router>,
}

impl World {
    /// Serves `localhost`.
    pub fn new() -> World {
        World::with(|_| {})
    }

    pub fn with(configure: impl FnOnce(&mut Config)) -> World {
        let mut config = Config::default();
        // The count matters to nobody here, and costs milliseconds.
        config.auth.scram_iterations = 1;
        configure(&mut config);
        let config = Arc::new(config);
        let live = Arc::new(ArcSwap::new(config.clone()));
        let store = Arc::new(Memory::new());
        let router = Router::new(
            store.clone(),
            Arc::new(SingleNode::new(Boot(1))),
            Clock::runtime(),
            Arc::new(Metrics::default()),
            domains(&config),
            StanzaIds::new(&[7; 16]),
            1_000,
        );
        let passwords = Arc::new(Passwords::new(1, 64));
        let directory = Arc::new(Directory::new(&router, passwords, live.clone()));
        let parts = Parts { config, live: live.clone(), store: store.clone(), directory: directory.clone() };
        router.set_host(modules::install(&parts).expect("the modules agree"));
        World { router, store, directory, live }
    }

    /// Makes an account without a password.
    pub async fn account(&self, jid: &str) -> AccountNumber {
        let jid = BareJid::parse(jid).expect("an address");
        let write =
            Write::CreateAccount { jid, secrets: Vec::new(), time: self.router.now(), roster_epoch: 1 };
        match self.store.write(write).await {
            Ok(Written::Account(number)) => number,
            other => panic!("no account: {other:?}"),
        }
    }

    /// `owner` has `contact` in its roster.
    pub async fn contact(&self, owner: &str, contact: &str, subscription: Subscription) {
        let owner = BareJid::parse(owner).expect("an address");
        let account = self.store.account(&owner).await.expect("reads").expect("an account");
        let contact = BareJid::parse(contact).expect("an address");
        let item = RosterItem { subscription, ..RosterItem::new(contact) };
        let write = Write::PutRosterItem { owner: account.number, item, limit: 100 };
        self.store.write(write).await.expect("writes");
        self.router.accounts.forget(&owner);
    }

    /// Binds a session of an account that exists. It sends no presence yet.
    pub async fn connect(&self, jid: &str) -> Client {
        let jid = Jid::parse(jid).expect("an address");
        let account = self.store.account(&jid.bare()).await.expect("reads").expect("an account");
        let id = self.router.cluster.next_session();
        let peer = Peer {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            encrypted: true,
            mechanism: "SCRAM-SHA-1",
        };
        let bounds = MailboxBounds::new(256, 1 << 20);
        let (session, mail) = Session::new(jid.clone(), id, account.number, self.router.now(), peer, bounds);
        self.router.sessions.insert(session.clone());
        self.router.cluster.open(&jid, id).await.expect("opens");
        for (_, hook) in &self.router.host().session {
            hook.on_bound(&session, &self.router).get().await;
        }
        Client { session, mail, router: self.router.clone() }
    }
}

impl Client {
    pub async fn send(&self, xml: &str) {
        let stanza = Stanza::read(xml.as_bytes()).expect("a stanza").with_from(self.session.jid.clone());
        self.router.submit(&self.session, stanza).await;
    }

    /// What lies in the mailbox next.
    pub fn read(&mut self) -> Option<String> {
        let delivery = self.mail.try_recv().ok()?;
        self.session.unqueued(&delivery);
        let mut xml = Vec::new();
        delivery.stanza.write(&mut xml);
        String::from_utf8(xml).ok()
    }

    /// What comes next, within a minute.
    pub async fn receive(&mut self) -> Option<String> {
        let minute = std::time::Duration::from_secs(60);
        let delivery = tokio::time::timeout(minute, self.mail.recv()).await.ok()??;
        self.session.unqueued(&delivery);
        let mut xml = Vec::new();
        delivery.stanza.write(&mut xml);
        String::from_utf8(xml).ok()
    }

    /// Sends an IQ with this child and the id `1`; the answer without its envelope, which is checked.
    pub async fn ask(&mut self, type_: &str, to: Option<&str>, child: &str) -> String {
        let to_attribute = to.map(|to| format!(" to='{to}'")).unwrap_or_default();
        self.send(&format!("<iq id='1' type='{type_}'{to_attribute}>{child}</iq>")).await;
        let answer = self.read().expect("never silence");
        let stanza = Stanza::read(answer.as_bytes()).expect("a stanza");
        assert_eq!(stanza.id.as_deref(), Some("1"), "{answer}");
        assert_eq!(stanza.to.as_ref(), Some(&self.session.jid), "{answer}");
        assert_eq!(stanza.from.as_ref().map(Jid::as_str), to, "{answer}");
        match stanza.error() {
            Some(error) => format!("{} {}", error.type_.as_str(), error.condition.as_str()),
            None => String::from_utf8_lossy(stanza.payload.bytes()).into_owned(),
        }
    }

    /// As if it had broadcast presence, without the modules.
    pub async fn be_present(&self) {
        let stanza = Arc::new(Stanza::presence(xmpp_core::Type::None).with_from(self.session.jid.clone()));
        self.session.set_presence(Some(OwnPresence { stanza, priority: 0 }));
        let cluster = &self.router.cluster;
        cluster.presence(&self.session.jid, self.session.id, Presence::Willing).await.expect("is there");
    }

    pub async fn end(self) {
        self.session.end(crate::session::End::Closed);
        self.router.close_session(&self.session, crate::session::End::Closed, Vec::new()).await;
    }
}

fn domains(config: &Config) -> Domains {
    let domain = Domain { save: Save::Always, strict_iq: false };
    let hosts = config.general.hosts.iter().map(|host| host.as_str().to_owned());
    Domains { default: "localhost".to_owned(), by_name: hosts.map(|host| (host, domain.clone())).collect() }
}
