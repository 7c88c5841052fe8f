//! Which certificate a client is shown: by SNI, else by the stream's `to`, else the default one; of several for
//! one host, the first that the client can use.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, NoServerSessionStorage};
use rustls::sign::SingleCertAndKey;
use rustls::{ServerConfig, SupportedCipherSuite, SupportedProtocolVersion};

use super::certificate::Certificate;
use super::tickets::Tickets;
use crate::config::{self, TlsVersion};

/// ALPN of client streams with direct TLS (XEP-0368 section 3).
pub const ALPN_CLIENT: &[u8] = b"xmpp-client";
/// ALPN of HTTP/1.1 (RFC 7301 section 6).
pub const ALPN_HTTP: &[u8] = b"http/1.1";

static ONLY_1_3: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];

/// A certificate, and how TLS is spoken with it.
#[derive(Debug)]
pub struct Identity {
    pub certificate: Certificate,
    pub starttls: Arc<ServerConfig>,
    pub direct: Arc<ServerConfig>,
    pub https: Arc<ServerConfig>,
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
        let mut https = starttls.clone();
        https.alpn_protocols = vec![ALPN_HTTP.to_vec()];
        let [starttls, direct, https] = [starttls, direct, https].map(Arc::new);
        Identity { certificate, starttls, direct, https }
    }

    /// Has the client a signature scheme for the certificate's key, and before TLS 1.3 a cipher suite?
    pub fn can_use(&self, hello: &ClientHello<'_>, certificate: &Certificate) -> bool {
        let key = &certificate.certified.key;
        let offered = |suite: &&SupportedCipherSuite| hello.cipher_suites().contains(&suite.suite());
        let mut suites = self.provider.cipher_suites.iter().filter(offered);
        key.choose_scheme(hello.signature_schemes()).is_some()
            && suites.any(|suite| suite.usable_for_signature_algorithm(key.algorithm()))
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
    by_name: HashMap<String, Candidates>,
    /// By what follows the `*.`.
    by_wildcard: HashMap<String, Candidates>,
    /// The first served domain's.
    default: Candidates,
    first: Arc<Identity>,
}

/// The identities of one name, in the configuration's order: with an RSA key and with an ECDSA key, say.
#[derive(Debug, Clone)]
struct Candidates {
    claim: Claim,
    indexes: Vec<usize>,
}

/// Why a name is an identity's, the strongest reason first. A weaker one does not count where there is a stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// The configuration gives the host to it.
    Configured,
    /// Its certificate has the name, and the configuration gives it no hosts.
    Own,
    /// Its certificate has the name, and the configuration gives it other hosts.
    Other,
}

impl Choice {
    /// `identities` each with the hosts that the configuration gives it. `None` when there are none.
    pub fn new(identities: Vec<(Arc<Identity>, Vec<String>)>, served: &[String]) -> Option<Choice> {
        let first = identities.first()?.0.clone();
        let default = Candidates { claim: Claim::Other, indexes: vec![0] };
        let (mut by_name, mut by_wildcard) = (HashMap::new(), HashMap::new());
        for (index, (_, hosts)) in identities.iter().enumerate() {
            for host in hosts {
                claim(&mut by_name, &ascii(host), Claim::Configured, index);
            }
        }
        for of_this_kind in [Claim::Own, Claim::Other] {
            for (index, (identity, hosts)) in identities.iter().enumerate() {
                if hosts.is_empty() != (of_this_kind == Claim::Own) {
                    continue;
                }
                for name in &identity.certificate.names {
                    match name.strip_prefix("*.") {
                        Some(parent) => claim(&mut by_wildcard, parent, of_this_kind, index),
                        None => claim(&mut by_name, name, of_this_kind, index),
                    }
                }
            }
        }
        let identities = identities.into_iter().map(|(identity, _)| identity).collect();
        let mut choice = Choice { identities, by_name, by_wildcard, default, first };
        if let Some(default) = served.first().and_then(|host| choice.candidates(host)) {
            choice.default = default.clone();
        }
        Some(choice)
    }

    /// The identity for a client that named `sni` in its TLS handshake and `to` in its stream before that: the first
    /// of the host's that it can use, or the first of all, over which the handshake then fails.
    pub fn choose(
        &self,
        sni: Option<&str>,
        to: Option<&str>,
        can_use: impl Fn(&Certificate) -> bool,
    ) -> &Arc<Identity> {
        let by_sni = sni.and_then(|name| self.candidates(name));
        let candidates = by_sni.or_else(|| self.candidates(to?)).unwrap_or(&self.default);
        let mut all = candidates.indexes.iter().filter_map(|index| self.identities.get(*index));
        let first = all.clone().next();
        all.find(|identity| can_use(&identity.certificate)).or(first).unwrap_or(&self.first)
    }

    /// Was an identity made for the host?
    pub fn serves(&self, host: &str) -> bool {
        self.candidates(host).is_some()
    }

    fn candidates(&self, host: &str) -> Option<&Candidates> {
        let name = ascii(host);
        let exact = self.by_name.get(name.as_ref());
        // RFC 6125 section 6.4.3: a wildcard stands for one label.
        exact.or_else(|| self.by_wildcard.get(name.split_once('.')?.1))
    }
}

fn claim(names: &mut HashMap<String, Candidates>, name: &str, claim: Claim, index: usize) {
    let candidates = names.entry(name.to_owned()).or_insert(Candidates { claim, indexes: Vec::new() });
    if candidates.claim == claim && !candidates.indexes.contains(&index) {
        candidates.indexes.push(index);
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
