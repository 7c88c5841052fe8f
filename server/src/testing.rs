//! A stage for the modules' tests: the router over the memory store, all modules, and clients that are
//! sessions whose mailboxes the test reads. No sockets, and time stands still (`start_paused`).

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use cluster::{Boot, Cluster, SingleNode};
use xmpp_core::{BareJid, Jid, Stanza};

use crate::accounts::Accounts;
use crate::clock::Clock;
use crate::config::Config;
use crate::directory::Directory;
use crate::modules::{self, Parts};
use crate::passwords::Passwords;
use crate::plugins::disk::Disk;
use crate::plugins::memory::Memory;
use crate::router::{self, Domains, Fate, Router, StanzaIds};
use crate::session::{End, MailboxBounds, Peer, Session};
use crate::storage::{AccountNumber, RosterItem, Store, Subscription, Users, Write, Written};
use crate::telemetry::metrics::Metrics;
use crate::uploads::{Places, Uploads};

pub struct Stage {
    pub router: Arc<Router>,
    pub store: Arc<Memory>,
    pub directory: Arc<Directory>,
    /// The configuration as a reload would replace it.
    pub live: Arc<ArcSwap<Config>>,
}

impl Stage {
    /// Serves `example.com` and `example.net`.
    pub async fn new() -> Stage {
        Stage::with(Config::default(), router::Save::Always).await
    }

    /// With another configuration than the default one.
    pub async fn configured(configure: impl FnOnce(&mut Config)) -> Stage {
        let mut config = Config::default();
        configure(&mut config);
        Stage::with(config, router::Save::Always).await
    }

    pub async fn with(mut config: Config, save: router::Save) -> Stage {
        // What is taken is gone, for these tests to see; archives have plays of their own.
        config.modules.mam.enabled = false;
        // Nobody guesses these passwords, and each round costs time.
        config.auth.scram_iterations = 1;
        let store = Arc::new(Memory::new());
        let domain = router::Domain { save, strict_iq: false };
        let by_name = ["example.com", "example.net"].map(|name| (name.to_owned(), domain.clone()));
        let domains = Domains { default: "example.com".to_owned(), by_name: by_name.into_iter().collect() };
        let router = Router::new(
            store.clone(),
            Arc::new(SingleNode::new(Boot(1))),
            Clock::runtime(),
            Arc::new(Metrics::default()),
            domains,
            StanzaIds::new(&[7; 16]),
            Accounts::new(store.clone(), 1000, None),
        );
        let config = Arc::new(config);
        let live = Arc::new(ArcSwap::new(config.clone()));
        let directory = Arc::new(Directory::new(&router, Arc::new(Passwords::new(1, 64)), live.clone()));
        let uploads = Uploads::new(
            store.clone(),
            Places::new(Arc::new(Disk::new("/nonexistent")), vec![], &Arc::default()),
            live.clone(),
            Clock::runtime(),
            &[7; 32],
            directory.removals.clone(),
        );
        let parts = Parts {
            config,
            live: live.clone(),
            store: store.clone(),
            directory: directory.clone(),
            uploads: Arc::new(uploads),
            events: None,
        };
        router.set_host(modules::install(&parts).expect("modules that do not contradict each other"));
        Stage { router, store, directory, live }
    }

    /// The account's number; it is made if it is not there.
    pub async fn account(&self, jid: &str) -> AccountNumber {
        let jid = bare(jid);
        if let Some(account) = self.store.account(&jid).await.expect("a store") {
            return account.number;
        }
        let write =
            Write::CreateAccount { jid: jid.clone(), secrets: Vec::new(), time: 0, roster_epoch: 0xe };
        match self.store.write(write).await.expect("a store") {
            Written::Account(number) => {
                self.router.accounts.forget(&jid);
                number
            }
            other => panic!("{other:?}"),
        }
    }

    /// A bound session, which has said nothing yet. Its account is made if it is not there.
    pub async fn bind(&self, jid: &str) -> Client {
        let account = self.account(Jid::parse(jid).expect("an address").bare_str()).await;
        let session = session(jid, &*self.router.cluster, account);
        self.router.sessions.insert(session.clone());
        self.router.cluster.open(&session.jid, session.id).await.expect("a table");
        for (_, hook) in &self.router.host().session {
            hook.on_bound(&session, &self.router).get().await;
        }
        Client { session, router: self.router.clone() }
    }

    /// A session that is available and interested in its roster; what it was told so far is gone.
    pub async fn login(&self, jid: &str) -> Client {
        let mut client = self.bind(jid).await;
        client.send("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>").await;
        client.send("<presence/>").await;
        client.received().await;
        client
    }

    /// Each sees the other's presence.
    pub async fn befriend(&self, one: &str, other: &str) {
        self.put_item(one, other, Subscription::Both).await;
        self.put_item(other, one, Subscription::Both).await;
    }

    pub async fn put_item(&self, owner: &str, contact: &str, subscription: Subscription) {
        let number = self.account(owner).await;
        let item = RosterItem { subscription, ..RosterItem::new(bare(contact)) };
        let write = Write::PutRosterItem { owner: number, item, limit: 10_000 };
        self.router.change_rosters(&[bare(owner)], write).await.expect("a roster");
    }
}

pub struct Client {
    pub session: Arc<Session>,
    router: Arc<Router>,
}

impl Client {
    /// As its connection would: with its own address as `from`.
    pub async fn send(&self, xml: &str) -> Fate {
        let mut stanza = Stanza::read(xml.as_bytes()).expect(xml);
        stanza.from = Some(self.session.jid.clone());
        let fate = self.router.submit(&self.session, stanza).await;
        if fate == Fate::Decided {
            self.session.inbound.handled_now();
        }
        fate
    }

    /// Everything it was given since it was asked last, taken by this.
    pub async fn stanzas(&mut self) -> Vec<Stanza> {
        settle().await;
        let mut stanzas = Vec::new();
        while let Some(delivery) = self.session.take() {
            self.session.unqueued(&delivery);
            delivery.note_taken();
            if let Some(id) = delivery.saved
                && self.session.release(id)
            {
                self.router.store.taken(self.session.account, id);
            }
            stanzas.push(delivery.stanza.clone());
        }
        stanzas
    }

    /// The same as text, without the numbers of pushes.
    pub async fn received(&mut self) -> Vec<String> {
        self.stanzas().await.iter().map(text).collect()
    }

    /// Sends an IQ with this child, and gives what its answer has inside, or type and condition of the
    /// error. Its envelope is checked.
    pub async fn ask(&mut self, type_: &str, to: Option<&str>, child: &str) -> String {
        let to_attribute = to.map(|to| format!(" to='{to}'")).unwrap_or_default();
        self.send(&format!("<iq id='asked' type='{type_}'{to_attribute}>{child}</iq>")).await;
        let stanzas = self.stanzas().await;
        let [answer] = stanzas.as_slice() else { panic!("not one answer to {child}: {stanzas:?}") };
        assert_eq!(answer.id.as_deref(), Some("asked"));
        assert_eq!(answer.to.as_ref(), Some(&self.session.jid));
        assert_eq!(answer.from.as_ref().map(Jid::as_str), to);
        match answer.error() {
            Some(error) => format!("{} {}", error.type_.as_str(), error.condition.as_str()),
            None => String::from_utf8_lossy(answer.payload.bytes()).into_owned(),
        }
    }

    /// Its connection is gone, for good.
    pub async fn end(self) {
        self.session.end(End::Lost);
        let left = std::iter::from_fn(|| self.session.take()).collect();
        self.router.close_session(&self.session, End::Lost, left).await;
    }
}

/// Time does not pass as long as a task has something to do: here all have done it.
pub async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

pub fn text(stanza: &Stanza) -> String {
    let mut stanza = stanza.clone();
    if stanza.id.as_deref().is_some_and(|id| id.starts_with("push-")) {
        stanza.id = Some("push".into());
    }
    let mut xml = Vec::new();
    stanza.write(&mut xml);
    String::from_utf8(xml).expect("text")
}

/// A session of no stage.
pub fn bare_session(jid: &str) -> Arc<Session> {
    session(jid, &SingleNode::new(Boot(1)), AccountNumber(1))
}

fn session(jid: &str, cluster: &dyn Cluster, account: AccountNumber) -> Arc<Session> {
    let jid = Jid::parse(jid).expect("an address");
    let address = ([127, 0, 0, 1], 0).into();
    let peer = Peer { address, encrypted: true, mechanism: "PLAIN" };
    Session::new(jid, cluster.next_session(), account, 0, peer, MailboxBounds::new(4096, 1 << 20))
}

pub fn bare(jid: &str) -> BareJid {
    BareJid::parse(jid).expect("a bare address")
}
