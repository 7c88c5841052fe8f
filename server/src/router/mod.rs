//! A stanza's way: SENT, where it goes, ARRIVED, the save, DELIVERED or else ABSENT.
//!
//! Read on in `message.rs`, `iq.rs` and `presence.rs` for what each kind does behind ARRIVED, in
//! `commit.rs` for the save, in `deliver.rs` for what comes after it. The router calls hooks and
//! knows no module.

pub mod hooks;

pub mod backlog;
mod before_login;
mod commit;
mod deliver;
pub mod effects;
mod ending;
mod iq;
mod message;
mod presence;
mod requests;
pub mod showing;
mod stanza_id;
pub mod storable;
mod turns;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use ahash::HashMap;
use arc_swap::ArcSwap;
use cluster::Cluster;
use smallvec::SmallVec;
use tokio::sync::mpsc;
use tokio::time::Instant;
use xmpp_core::{BareJid, Condition, ErrorType, Jid, Kind, Stanza, StanzaError, Type};

use crate::accounts::Accounts;
use crate::clock::Clock;
use crate::host::Host;
use crate::session::{Delivery, Session, Sessions};
use crate::storage::{Millis, Store, StoreError};
use crate::telemetry::metrics::Metrics;
use commit::Pending;
use hooks::{Letter, Sender, Verdict};
use requests::Requests;
use turns::Turns;

pub use stanza_id::StanzaIds;

/// Everything a stanza's way needs. Built once, in `node.rs`.
pub struct Router {
    pub store: Arc<dyn Store>,
    pub cluster: Arc<dyn Cluster>,
    /// The sessions of this node.
    pub sessions: Sessions,
    pub accounts: Accounts,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    /// The served domains and how each of them is served. Replaced by a reload.
    pub domains: ArcSwap<Domains>,
    /// Opaque ids for saved messages.
    pub stanza_ids: StanzaIds,
    /// IQs of the server's own that wait for an answer.
    requests: Requests,
    turns: Turns,
    /// Counts pushes, for their ids.
    pushes: AtomicU64,
    host: OnceLock<Host>,
    /// To the committing task.
    commits: mpsc::Sender<Pending>,
}

/// The served domains, by name.
#[derive(Debug, Default)]
pub struct Domains {
    pub default: String,
    pub by_name: HashMap<String, Domain>,
}

#[derive(Debug, Clone)]
pub struct Domain {
    pub save: Save,
    /// IQs to a full address only from those who may see its presence (RFC 6121 section 8.5.3.1
    /// allows it; off by default, since it breaks file transfer and commands between strangers).
    pub strict_iq: bool,
}

/// When a message that rule 9 of messages.md queues is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Save {
    /// Before it is delivered.
    Always,
    /// When nobody took it.
    UnlessDelivered,
}

/// What became of a submitted stanza.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Decided: `h` may count it.
    Decided,
    /// On its way through a commit, which will count it.
    Pending,
}

impl Router {
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        store: Arc<dyn Store>,
        cluster: Arc<dyn Cluster>,
        clock: Clock,
        metrics: Arc<Metrics>,
        domains: Domains,
        stanza_ids: StanzaIds,
        accounts: Accounts,
    ) -> Arc<Router> {
        let (commits, pending) = mpsc::channel(commit::QUEUE);
        let router = Arc::new(Router {
            accounts,
            store,
            cluster,
            sessions: Sessions::default(),
            clock,
            metrics,
            domains: ArcSwap::from_pointee(domains),
            stanza_ids,
            requests: Requests::default(),
            turns: Turns::default(),
            pushes: AtomicU64::new(0),
            host: OnceLock::new(),
            commits,
        });
        tokio::spawn(commit::run(Arc::downgrade(&router), pending));
        router
    }

    /// Installs the modules' hooks. Called once, before the first connection.
    pub fn set_host(&self, host: Host) {
        if self.host.set(host).is_err() {
            unreachable!("the host is installed once, by node.rs");
        }
    }

    /// The services of a served domain: address and name.
    pub fn services(&self, domain: &str) -> Vec<(String, &'static str)> {
        let services = self.host().services.iter();
        let mut services: Vec<_> =
            services.map(|(label, service)| (format!("{label}.{domain}"), service.name)).collect();
        // Of one that is a domain of its own that domain tells.
        services.retain(|(address, _)| !self.is_served(address));
        services.sort_unstable();
        services
    }

    pub fn host(&self) -> &Host {
        self.host.get().expect("node.rs installs the host before it listens")
    }

    pub fn now(&self) -> Millis {
        self.clock.now()
    }

    pub fn is_served(&self, domain: &str) -> bool {
        self.domains.load().by_name.contains_key(domain)
    }

    /// A stanza of a client, its `from` already stamped with the session's full address.
    pub async fn submit(self: &Arc<Self>, session: &Arc<Session>, stanza: Stanza) -> Fate {
        let came = Instant::now();
        let fate = self.sent(session, stanza, came).await;
        if fate == Fate::Decided {
            self.metrics.routed(came.elapsed());
        }
        fate
    }

    async fn sent(self: &Arc<Self>, session: &Arc<Session>, stanza: Stanza, came: Instant) -> Fate {
        let account = match self.accounts.find(&session.jid.bare()).get().await {
            Ok(account) => account,
            Err(_) => return self.refuse(&Sender::Session(session.clone()), &stanza, &wait()),
        };
        let mut letter = Letter::new(stanza, Sender::Session(session.clone()), self.now());
        letter.sender_account = account;
        letter.came = came;
        for (_, hook) in &self.host().sent {
            match hook.on_sent(&mut letter, self).get().await {
                Verdict::Pass => {}
                Verdict::Done | Verdict::Drop => return Fate::Decided,
                // It never left its sender: nobody gets a copy.
                Verdict::Refuse(error) => return self.refuse(&letter.sender, &letter.stanza, &error),
            }
        }
        self.arrive(letter).await
    }

    /// Letters that wait for the committing task.
    pub fn waiting_commits(&self) -> usize {
        commit::QUEUE - self.commits.capacity()
    }

    /// A stanza of the server's own, or of the operator's, in the name of its `from`: as if it had
    /// been sent, without the hooks of SENT.
    pub async fn send(self: &Arc<Self>, stanza: Stanza) -> Fate {
        self.arrive(Letter::new(stanza, Sender::Server, self.now())).await
    }

    /// Where a stanza is for a domain of ours: ARRIVED, and then what its kind does.
    async fn arrive(self: &Arc<Self>, mut letter: Letter) -> Fate {
        // RFC 6120 section 10.3: without `to` it is for the sender's own account.
        let to = match (&letter.stanza.to, &letter.stanza.from) {
            (Some(to), _) => to.clone(),
            (None, Some(from)) => from.to_bare(),
            (None, None) => return Fate::Decided,
        };
        if !self.is_served(to.domain()) {
            if self.service(&to).is_some() {
                return self.to_service(letter, to).await;
            }
            let error = StanzaError::new(Condition::RemoteServerNotFound);
            return self.give_up(letter, Verdict::Refuse(error)).await;
        }
        if to.local().is_some() {
            match self.accounts.find(&to.bare()).get().await {
                Ok(recipient) => letter.recipient = recipient,
                Err(_) => return self.conclude(&letter, Verdict::Refuse(wait())),
            }
        }
        for (_, hook) in &self.host().arrived {
            match hook.on_arrived(&mut letter, self).get().await {
                Verdict::Pass => {}
                verdict => return self.give_up(letter, verdict).await,
            }
        }
        match letter.stanza.kind {
            Kind::Message => self.message(letter, to).await,
            Kind::Presence => self.presence(letter, to),
            Kind::Iq => self.iq(letter, to).await,
        }
    }

    fn conclude(self: &Arc<Self>, letter: &Letter, verdict: Verdict) -> Fate {
        match verdict {
            Verdict::Refuse(error) => {
                // What may be tried again was not sent yet.
                if error.type_ != ErrorType::Wait {
                    self.undelivered(letter);
                }
                self.refuse(&letter.sender, &letter.stanza, &error)
            }
            Verdict::Pass | Verdict::Done | Verdict::Drop => Fate::Decided,
        }
    }

    /// Tells the sender. No error answers an error, an IQ result, groupchat or presence that is not
    /// a subscription's (RFC 6120 section 8.3.1; messages.md, rule 22).
    fn refuse(self: &Arc<Self>, sender: &Sender, stanza: &Stanza, error: &StanzaError) -> Fate {
        if let (Sender::Session(session), Some(reply)) = (sender, stanza.error_reply(error)) {
            self.metrics.stanza_error(error.condition);
            let delivery = Arc::new(Delivery::new(reply, self.now()));
            session.put(delivery.clone());
            self.refused(session, &delivery);
        }
        Fate::Decided
    }

    /// The account's sessions on this node.
    pub fn sessions_of(&self, account: &BareJid) -> SmallVec<[Arc<Session>; 4]> {
        let entries = self.cluster.find(account);
        entries.iter().filter_map(|e| self.sessions.find(e.session)).collect()
    }

    /// The session of a full address, if it is here.
    pub fn session_at(&self, jid: &Jid) -> Option<Arc<Session>> {
        let entries = self.cluster.find(&jid.bare());
        let entry = entries.iter().find(|e| e.jid == *jid)?;
        self.sessions.find(entry.session)
    }
}

/// What a store's failure means to the sender: try again later (messages.md, rule 1).
pub fn wait() -> StanzaError {
    StanzaError::new(Condition::ResourceConstraint).with_type(ErrorType::Wait)
}

/// What a store's failure means to a client that asked for a read or a write of its own. What else
/// `Conflict` and `Full` mean only the module knows.
pub fn stanza_error(error: &StoreError) -> StanzaError {
    match error {
        StoreError::Unavailable(_) | StoreError::Damaged(_) | StoreError::Full(_) => wait(),
        StoreError::Conflict(_) => StanzaError::new(Condition::Conflict),
    }
}

/// Is it a message's `type` that RFC 6121 section 5.2.2 treats as normal?
pub fn is_normal(type_: Type) -> bool {
    matches!(type_, Type::None | Type::Normal)
}
