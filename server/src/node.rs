//! A node, built in one place and in reading order: store, router, modules, TLS, connections.

mod parts;
mod work;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use cluster::{Boot, SingleNode};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::accounts::Accounts;
use crate::c2s::C2s;
use crate::c2s::admission::Admission;
use crate::c2s::listener::{Listener, listen};
use crate::clock::Clock;
use crate::cold::Cold;
use crate::config::{self, Config};
use crate::directory::Directory;
use crate::events::Events;
use crate::http::{self, Http};
use crate::jobs;
use crate::modules::{self, Parts};
use crate::passwords::Passwords;
use crate::plugins;
use crate::router::{Router, StanzaIds};
use crate::session::End;
use crate::storage::{Job, Store, StoreError};
use crate::telemetry::health::{Condition, Health};
use crate::telemetry::http::Shown;
use crate::telemetry::labels::Queue;
use crate::telemetry::metrics::Metrics;
use crate::tls::{CertificateError, Tls};
use crate::uploads::{Place, Uploads};
use parts::{Shared, cold, domains, events, shared_key, uploads};

/// What clients may take to close their connections when the server stops.
const LAST_READS: Duration = Duration::from_secs(1);

pub struct Node {
    pub router: Arc<Router>,
    pub c2s: Arc<C2s>,
    pub directory: Arc<Directory>,
    pub uploads: Arc<Uploads>,
    /// Over the store, where there are cold files or may be.
    pub cold: Option<Arc<Cold>>,
    /// What moves events, where there is an event stream.
    pub events: Option<Arc<Events>>,
    http: Arc<Http>,
    pub tls: Arc<Tls>,
    pub metrics: Arc<Metrics>,
    pub health: Health,
    pub data_dir: PathBuf,
    pub started: Instant,
    /// By which the store knows this node where it holds a lease.
    holder: Arc<str>,
    /// As it is now; shared with the modules.
    config: Arc<ArcSwap<Config>>,
    stopping: watch::Sender<bool>,
    store_is_well: Condition,
    listens: Condition,
}

/// Where a node listens.
pub struct Listening {
    pub c2s: Vec<(SocketAddr, config::TlsMode)>,
    pub http: Vec<(SocketAddr, config::HttpTls)>,
    pub metrics: Vec<SocketAddr>,
}

/// Why a node does not start. Each is a sentence that says what to do.
#[derive(Debug)]
pub enum StartError {
    /// The data folder cannot be made or written.
    DataDir {
        folder: PathBuf,
        error: std::io::Error,
    },
    Store(StoreError),
    Modules(Vec<String>),
    Events(String),
    Certificates(Vec<CertificateError>),
    /// A port cannot be listened on.
    Listen {
        address: SocketAddr,
        key: String,
        error: std::io::Error,
    },
}

impl Node {
    /// Opens the configured store and builds the node on it.
    pub async fn open(mut config: Config, data_dir: &Path) -> Result<Arc<Node>, StartError> {
        config.settle(data_dir.to_owned());
        make_data_dir(data_dir)?;
        let metrics = Arc::new(Metrics::default());
        let store = plugins::open(&config, data_dir, metrics.clone()).await.map_err(StartError::Store)?;
        Node::build(config, data_dir, store, Clock::System, metrics).await
    }

    /// Builds a node that does not listen yet.
    pub async fn build(
        config: Config,
        data_dir: &Path,
        store: Arc<dyn Store>,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Node>, StartError> {
        let config = Arc::new(config);
        let health = Health::default();
        let (store_is_well, listens) = (health.condition("store"), health.condition("listeners"));

        let cold = cold(&config, data_dir, &store, &metrics).await?;
        let store = cold.clone().map_or(store, |cold| cold);
        // What all nodes share, and what outlives a restart.
        let ticket_key = shared_key::<32>(&store, "tls.tickets").await?;
        let fake_key = shared_key::<32>(&store, "auth.fake_salts").await?;
        let stanza_id_key = shared_key::<16>(&store, "router.stanza_ids").await?;

        let cache = Shared::open(&config, &store, &metrics).await?;
        let accounts = cache.as_ref().and_then(|cache| cache.accounts(&config, &store));
        let cluster = Arc::new(SingleNode::new(Boot(micros_since_epoch())));
        let router = Router::new(
            store.clone(),
            cluster,
            clock,
            metrics.clone(),
            domains(&config),
            StanzaIds::new(&stanza_id_key),
            Accounts::new(store.clone(), config.storage.cached_accounts as usize, accounts),
        );
        let passwords = Arc::new(Passwords::new(
            config.auth.hashing_threads as usize,
            config.auth.hashing_queue as usize,
        ));
        let live = Arc::new(ArcSwap::new(config.clone()));
        let directory = Arc::new(Directory::new(&router, passwords.clone(), live.clone()));
        let events = events(&config, &store, StanzaIds::new(&stanza_id_key), &metrics)?;
        let uploads = uploads(&live, data_dir, &store, clock, &directory, &metrics).await?;
        let parts = Parts {
            config: config.clone(),
            live: live.clone(),
            store: store.clone(),
            directory: directory.clone(),
            uploads: uploads.clone(),
            events: events.as_ref().map(|events| events.offers.clone()),
        };
        router.set_host(modules::install(&parts).map_err(StartError::Modules)?);

        let tls = Tls::start(&config.tls, &config.general.hosts, data_dir, ticket_key)
            .map(Arc::new)
            .map_err(StartError::Certificates)?;
        let admission = match &cache {
            Some(cache) => Admission::new(&config).shared(cache.cache.clone(), &cache.secret),
            None => Admission::new(&config),
        };
        let admission = Arc::new(admission);
        let (stopping, stops) = watch::channel(false);
        let c2s =
            C2s::new(router.clone(), tls.clone(), admission, passwords, config.clone(), fake_key, stops);
        let http = Http::new(uploads.clone(), tls.clone(), &config, metrics.clone());
        store_is_well.good();
        let node = Node {
            router,
            c2s,
            directory,
            uploads,
            cold,
            events,
            http,
            tls,
            metrics,
            health,
            data_dir: data_dir.to_owned(),
            started: Instant::now(),
            holder: jobs::holder(),
            config: live,
            stopping,
            store_is_well,
            listens,
        };
        Ok(Arc::new(node))
    }

    /// Listens on every configured port.
    pub fn listen(self: &Arc<Self>) -> Result<Listening, StartError> {
        let config = self.config.load_full();
        let mut listening = Listening { c2s: Vec::new(), http: Vec::new(), metrics: Vec::new() };
        for (index, settings) in config.listen.c2s.iter().enumerate() {
            let address = SocketAddr::new(settings.ip, settings.port);
            let refused =
                |error| StartError::Listen { address, key: format!("listen.c2s[{index}].port"), error };
            let listener = Listener::bind(settings).map_err(refused)?;
            listening.c2s.push((listener.address().map_err(refused)?, settings.tls));
            tokio::spawn(listener.run(self.c2s.clone(), self.stopping.subscribe()));
        }
        for (index, settings) in config.listen.http.iter().enumerate() {
            let address = SocketAddr::new(settings.ip, settings.port);
            let refused =
                |error| StartError::Listen { address, key: format!("listen.http[{index}].port"), error };
            let listener = http::Listener::bind(settings).map_err(refused)?;
            listening.http.push((listener.address().map_err(refused)?, settings.tls));
            tokio::spawn(listener.run(self.http.clone(), self.stopping.subscribe()));
        }
        self.uploads.reached_at(Place::listening(&listening.http));
        for (index, settings) in config.listen.metrics.iter().enumerate() {
            let address = SocketAddr::new(settings.ip, settings.port);
            let refused =
                |error| StartError::Listen { address, key: format!("listen.metrics[{index}].port"), error };
            let listener = listen(settings.ip, settings.port, 128).map_err(refused)?;
            listening.metrics.push(listener.local_addr().map_err(refused)?);
            let node = Arc::downgrade(self);
            let look = move || _ = node.upgrade().map(|node| node.look());
            let shown = Shown { metrics: self.metrics.clone(), look: Arc::new(look) };
            tokio::spawn(crate::telemetry::http::serve(listener, shown, self.health.clone()));
        }
        tokio::spawn(self.uploads.clone().clean(self.turn(Job::Expiry)));
        self.cold.iter().for_each(|cold| self.tend(cold));
        self.events.iter().for_each(Events::start);
        tokio::spawn(self.tls.clone().watch());
        tokio::spawn(self.clone().look_around());
        tokio::spawn(self.clone().daily(Job::Partitions));
        tokio::spawn(self.clone().daily(Job::Retention));
        self.listens.good();
        Ok(listening)
    }

    pub fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    /// Takes up what a new configuration changes without a restart. Gives every change, with whether
    /// it applies now, and the certificates that cannot be used. Reads files: not for the reactor.
    pub fn reload(&self, mut new: Config) -> (Vec<config::Change>, Vec<CertificateError>) {
        let old = self.config.load_full();
        if new.general.data_dir.is_none() {
            new.settle(self.data_dir.clone());
        }
        let changes = config::diff(&old, &new);
        let new = Arc::new(config::reloaded(&old, &new));
        self.router.domains.store(Arc::new(domains(&new)));
        let refused = self.tls.reload(&new.tls, &new.general.hosts);
        // Before the streams ask the modules for their features.
        self.config.store(new.clone());
        self.http.reload(&new);
        self.c2s.reload(new);
        (changes, refused)
    }

    pub fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Asks the node to stop; whoever runs it then calls `stop`.
    pub fn ask_to_stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Resolves when somebody has asked it to stop.
    pub async fn until_asked_to_stop(&self) {
        let _ = self.stopping.subscribe().wait_for(|stopping| *stopping).await;
    }

    /// Stops accepting, ends every stream with `system-shutdown`, writes out what is due.
    pub async fn stop(&self) {
        self.ask_to_stop();
        self.listens.bad("the server stops");
        let drain = Duration::from_secs(self.config.load().general.drain_seconds.into());
        let sessions = self.router.sessions.all();
        tracing::info!(sessions = sessions.len(), "the server stops");
        sessions.iter().for_each(|session| _ = session.end(End::Shutdown));
        let ended = async {
            for session in &sessions {
                session.link.until_finished().await;
            }
            self.uploads.until_empty().await;
        };
        if tokio::time::timeout(drain, ended).await.is_err() {
            let (left, uploads) = (self.router.sessions.len(), self.uploads.coming());
            tracing::warn!(left, uploads, "some sessions or uploads did not end in time");
        }
        if tokio::time::timeout(LAST_READS, self.without_connections()).await.is_err() {
            self.http.cut_off();
            let _ = tokio::time::timeout(LAST_READS, self.without_connections()).await;
        }
        if let Some(events) = &self.events {
            events.stop().await;
        }
        self.router.store.close().await;
    }

    /// Until every client, those that were about to log in too, has read its last word and closed.
    async fn without_connections(&self) {
        while self.c2s.admission.connections() > 0 || self.http.connections() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Looks at what nobody counts.
    fn look(&self) {
        let expiry = self.tls.certificates().into_iter();
        let expiry = expiry.map(|status| (status.file.display().to_string(), status.expires));
        self.metrics.set_certificates(expiry);
        self.metrics.connections.set(self.c2s.admission.connections() as i64);
        let length = |queue, items: usize| self.metrics.queue_length.of(queue).set(items as i64);
        length(Queue::Commits, self.router.waiting_commits());
        length(Queue::StoreWrites, self.router.store.queued_writes());
        length(Queue::Hashing, self.c2s.passwords.waiting());
    }
}

fn make_data_dir(folder: &Path) -> Result<(), StartError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| StartError::DataDir { folder: folder.to_owned(), error })
}

fn micros_since_epoch() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_micros() as u64)
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StartError::DataDir { folder, error } => write!(
                f,
                "the data folder {} cannot be used: {error}; name another by --data or general.data_dir",
                folder.display()
            ),
            StartError::Store(error) => error.fmt(f),
            StartError::Modules(errors) => f.write_str(&errors.join("\n")),
            StartError::Events(error) => f.write_str(error),
            StartError::Certificates(errors) => {
                let lines: Vec<String> = errors.iter().map(|error| error.to_string()).collect();
                f.write_str(&lines.join("\n"))
            }
            StartError::Listen { address, key, error } => {
                write!(f, "cannot listen on {address} ({key}): {error}")
            }
        }
    }
}

impl std::error::Error for StartError {}
