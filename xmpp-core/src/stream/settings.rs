//! What a listener tells its streams.

use std::collections::HashMap;
use std::sync::Arc;

use crate::sasl::{Credentials, Mechanism};
use crate::xml::element::Element;

/// Shared by all streams of a listener; a reload makes another one.
#[derive(Debug)]
pub struct Settings {
    pub hosts: Hosts,
    pub start_tls: StartTls,
    /// Let PLAIN pass without TLS.
    pub plain_without_tls: bool,
    /// Logins that fail on one connection before it is closed (RFC 6120 section 6.4.5).
    pub login_attempts: u32,
    pub fakes: Fakes,
    /// What XEP-0478 announces until the client is authenticated, and then.
    pub limits_before_login: Announced,
    pub limits: Announced,
    /// Can a session be resumed (XEP-0198 section 5)?
    pub resumption: bool,
    /// Bytes that cannot begin a stream are answered with RFC 3920's `xml-not-well-formed`, which health
    /// checks compare, in place of RFC 6120's `not-well-formed`.
    pub rfc3920_error_name: bool,
}

/// Limits that are told; `None` is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Announced {
    /// The largest first-level element.
    pub max_bytes: Option<u64>,
    /// After how long without traffic a client is asked whether it lives, or thrown out.
    pub idle_seconds: Option<u64>,
}

/// TLS on a connection that did not begin with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartTls {
    /// Nothing but `<starttls/>` before it (RFC 6120 section 5.3.1).
    Required,
    Optional,
    /// Not offered: the listener speaks TLS from the first byte, or not at all.
    Off,
}

/// What accounts that do not exist answer with (RFC 5802 section 9).
#[derive(Clone)]
pub struct Fakes {
    /// From the store, shared by all nodes, so that a fake salt is the same everywhere.
    pub key: [u8; 32],
    /// What the secrets of accounts have.
    pub iterations: u32,
}

/// A served domain, as its streams see it.
#[derive(Debug)]
pub struct Host {
    /// Prepared.
    pub name: String,
    /// What is offered of these, in order of preference.
    pub mechanisms: Vec<Mechanism>,
    pub credentials: Credentials,
    /// In-band registration is on: announced, and passed on (XEP-0077).
    pub registration: bool,
    /// The features of modules, announced when the client is authenticated.
    pub features: Vec<Element>,
}

/// The served domains: at least one.
#[derive(Debug)]
pub struct Hosts {
    default: Arc<Host>,
    by_name: HashMap<String, Arc<Host>>,
}

impl Hosts {
    pub fn new(default: Host, others: impl IntoIterator<Item = Host>) -> Hosts {
        let default = Arc::new(default);
        let mut by_name: HashMap<_, _> =
            others.into_iter().map(|host| (host.name.clone(), Arc::new(host))).collect();
        by_name.insert(default.name.clone(), default.clone());
        Hosts { default, by_name }
    }

    /// Of streams that name no domain, or none that is served.
    pub fn default(&self) -> &Arc<Host> {
        &self.default
    }

    /// By its prepared name.
    pub fn find(&self, name: &str) -> Option<&Arc<Host>> {
        self.by_name.get(name)
    }
}

/// Without the key.
impl std::fmt::Debug for Fakes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fakes({} iterations)", self.iterations)
    }
}
