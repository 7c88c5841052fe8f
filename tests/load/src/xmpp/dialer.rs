//! Opens connections to the server under test, from as many loopback addresses as their number needs.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::scram::{Algorithm, Keys};
use super::tls::{self, Trust};
use super::wire::{Transport, Wire};
use crate::error::{LoadError, Result};
use crate::options::{Mechanism, Target, TlsMode};

/// Linux gives some 28 000 ports per pair of addresses; a connection that was closed keeps its port for a
/// minute.
const CONNECTIONS_PER_SOURCE: u32 = 20_000;

/// Everything needed to log in any of the accounts, as often as wanted.
pub struct Dialer {
    pub domain: String,
    pub mode: TlsMode,
    pub mechanism: Mechanism,
    pub step_timeout: Duration,
    address: SocketAddr,
    connector: Option<TlsConnector>,
    prefix: String,
    password: String,
    sources: u32,
    next_source: AtomicU32,
    keys: Mutex<HashMap<(usize, Algorithm), Keys>>,
    resumed: AtomicU64,
}

impl Dialer {
    /// `connections` is how many are expected at the same time or shortly after each other.
    pub async fn new(target: &Target, connections: usize) -> Result<Dialer> {
        let address = lookup_host((target.host.as_str(), target.port))
            .await?
            .next()
            .ok_or_else(|| LoadError::Options(format!("{} has no address", target.host)))?;
        let loopback = matches!(address.ip(), IpAddr::V4(ip) if ip.is_loopback());
        let wanted = u32::try_from(connections).unwrap_or(u32::MAX).div_ceil(CONNECTIONS_PER_SOURCE);
        let sources = target.sources.unwrap_or(if wanted > 1 { wanted } else { 0 });
        if sources > 0 && !loopback {
            return Err(LoadError::Options("several source addresses need a target in 127.0.0.0/8".into()));
        }
        Ok(Dialer {
            domain: target.domain.clone(),
            mode: target.tls,
            mechanism: target.mechanism,
            step_timeout: Duration::from_secs(target.step_timeout),
            address,
            connector: connector(target)?,
            prefix: target.prefix.clone(),
            password: target.password.clone(),
            sources: sources.min(60_000),
            next_source: AtomicU32::new(0),
            keys: Mutex::new(HashMap::new()),
            resumed: AtomicU64::new(0),
        })
    }

    pub fn username(&self, account: usize) -> String {
        format!("{}{account}", self.prefix)
    }

    pub fn password(&self) -> &str {
        &self.password
    }

    pub fn bare_jid(&self, account: usize) -> String {
        format!("{}@{}", self.username(account), self.domain)
    }

    /// A connection that is encrypted already if the server is to be spoken to by direct TLS.
    pub async fn connect(&self) -> Result<Wire> {
        let connected = timeout(self.step_timeout, self.connect_tcp()).await;
        let socket = connected.map_err(|_| LoadError::Timeout("connect"))??;
        socket.set_nodelay(true)?;
        let wire = Wire::new(Transport::Plain(socket));
        if self.mode == TlsMode::Direct { self.encrypt(wire).await } else { Ok(wire) }
    }

    pub async fn encrypt(&self, wire: Wire) -> Result<Wire> {
        let Some(connector) = &self.connector else {
            return Err(LoadError::Options("no TLS configured".into()));
        };
        let encrypted = timeout(self.step_timeout, wire.into_tls(connector, &self.domain)).await;
        let wire = encrypted.map_err(|_| LoadError::Timeout("TLS handshake"))??;
        if wire.resumed() {
            self.resumed.fetch_add(1, Ordering::Relaxed);
        }
        Ok(wire)
    }

    /// How many TLS handshakes resumed an earlier session.
    pub fn resumed(&self) -> u64 {
        self.resumed.load(Ordering::Relaxed)
    }

    pub fn keys(&self, account: usize, algorithm: Algorithm) -> Option<Keys> {
        self.keys.lock().ok()?.get(&(account, algorithm)).cloned()
    }

    pub fn keep_keys(&self, account: usize, algorithm: Algorithm, keys: Option<Keys>) {
        if let (Ok(mut kept), Some(keys)) = (self.keys.lock(), keys) {
            kept.insert((account, algorithm), keys);
        }
    }

    async fn connect_tcp(&self) -> Result<TcpStream> {
        if self.sources == 0 {
            return Ok(TcpStream::connect(self.address).await?);
        }
        // 127.0.0.1 is left to everybody else.
        let number = 2 + self.next_source.fetch_add(1, Ordering::Relaxed) % self.sources;
        let source = Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) - 1 + number);
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((source, 0)))?;
        Ok(socket.connect(self.address).await?)
    }
}

fn connector(target: &Target) -> Result<Option<TlsConnector>> {
    if target.tls == TlsMode::None {
        return Ok(None);
    }
    let trust = match (&target.ca, target.insecure) {
        (Some(path), false) => Trust::Authority(path),
        (None, true) => Trust::Anyone,
        _ => return Err(LoadError::Options("TLS needs either --ca FILE or --insecure".into())),
    };
    tls::connector(&trust, target.tls_resume, target.tls == TlsMode::Direct).map(Some)
}
