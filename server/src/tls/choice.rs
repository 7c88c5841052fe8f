//! Which certificate a client is shown: by SNI, else by the stream's `to`, else the default one.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use rustls::{ServerConfig, SupportedProtocolVersion};

use super::certificate::Certificate;
use super::tickets::Tickets;
use crate::config::{self, TlsVersion};

/// ALPN of client streams with direct TLS (XEP-0368 section 3).
pub const ALPN_CLIENT: &[u8] = b"xmpp-client";

static ONLY_1_3: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];

/// A certificate, and how TLS is spoken with it.
#[derive(Debug)]
pub struct Identity {
    pub certificate: Certificate,
    pub starttls: Arc<ServerConfig>,
    pub direct: Arc<ServerConfig>,
}

/// What all identities have in common; it does not change while the server runs.
pub struct Maker {
    pub provider: Arc<CryptoProvider>,
    versions: &'static [&'static SupportedProtocolVersion],
    /// What ticket keys follow from. `None`: no tickets.
    ticket_secret: Option<[u8; 32]>,
}

impl Maker {
    pub fn new(settings: &config::Tls, ticket_secret: [u8; 32]) -> Maker {
        Maker {
            provider: Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
            versions: match settings.min_version {
                TlsVersion::Tls12 => rustls::DEFAULT_VERSIONS,
                TlsVersion::Tls13 => &ONLY_1_3,
            },
            ticket_secret: settings.session_tickets.then_some(ticket_secret),
        }
    }

    pub fn identity(&self, certificate: Certificate) -> Identity {
        let starttls = self.server_config(&certificate);
        let mut direct = starttls.clone();
        // A client that offers ALPN without it means another protocol, and is refused (RFC 7301 section 3.2).
        direct.alpn_protocols = vec![ALPN_CLIENT.to_vec()];
        Identity { certificate, starttls: Arc::new(starttls), direct: Arc::new(direct) }
    }

    fn server_config(&self, certificate: &Certificate) -> ServerConfig {
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(self.versions)
            .expect("aws-lc-rs has cipher suites for both versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certificate.certified.clone())));
        // Sessions are in the clients' tickets, and nothing is kept here.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        if let Some(secret) = &self.ticket_secret {
            config.ticketer = Arc::new(Tickets::new(secret, certificate.fingerprint));
            // A client opens one connection at a time; each ticket costs it and us a record.
            config.send_tls13_tickets = 1;
        }
        config
    }
}

/// The identities in force.
pub struct Choice {
    pub identities: Vec<Arc<Identity>>,
    /// By full name, in lower-case ASCII.
    by_name: HashMap<String, usize>,
    /// By what follows the `*.`.
    by_wildcard: HashMap<String, usize>,
    default: Arc<Identity>,
}

impl Choice {
    /// `identities` each with the hosts that the configuration gives it. `None` when there are none.
    pub fn new(identities: Vec<(Arc<Identity>, Vec<String>)>, served: &[String]) -> Option<Choice> {
        let default = identities.first()?.0.clone();
        let (mut by_name, mut by_wildcard) = (HashMap::new(), HashMap::new());
        for (index, (_, hosts)) in identities.iter().enumerate() {
            for host in hosts {
                by_name.entry(ascii(host).into_owned()).or_insert(index);
            }
        }
        // A certificate's own names come behind what is configured; and one that is configured for some hosts
        // stands back for the others.
        for configured in [false, true] {
            for (index, (identity, hosts)) in identities.iter().enumerate() {
                if hosts.is_empty() == configured {
                    continue;
                }
                for name in &identity.certificate.names {
                    match name.strip_prefix("*.") {
                        Some(parent) => by_wildcard.entry(parent.to_owned()).or_insert(index),
                        None => by_name.entry(name.clone()).or_insert(index),
                    };
                }
            }
        }
        let identities = identities.into_iter().map(|(identity, _)| identity).collect();
        let mut choice = Choice { identities, by_name, by_wildcard, default };
        // The first served domain is the default one.
        if let Some(default) = served.first().and_then(|host| choice.of_host(host)) {
            choice.default = default.clone();
        }
        Some(choice)
    }

    /// The identity for a client that named `sni` in its TLS handshake and `to` in its stream before that.
    pub fn choose(&self, sni: Option<&str>, to: Option<&str>) -> &Arc<Identity> {
        let by_sni = sni.and_then(|name| self.of_host(name));
        by_sni.or_else(|| self.of_host(to?)).unwrap_or(&self.default)
    }

    /// The identity that was made for a host, if any.
    pub fn of_host(&self, host: &str) -> Option<&Arc<Identity>> {
        let name = ascii(host);
        let exact = self.by_name.get(name.as_ref());
        // RFC 6125 section 6.4.3: a wildcard stands for one label.
        let index = exact.or_else(|| self.by_wildcard.get(name.split_once('.')?.1))?;
        self.identities.get(*index)
    }
}

/// A domain as certificates and SNI write it; what has no such form is left as it is. An IPv6 address loses its
/// brackets.
pub fn ascii(host: &str) -> Cow<'_, str> {
    let host = host.strip_suffix('.').unwrap_or(host);
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return Cow::Borrowed(address);
    }
    if host.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        return Cow::Borrowed(host);
    }
    idna::domain_to_ascii(host).map_or(Cow::Borrowed(host), Cow::Owned)
}
