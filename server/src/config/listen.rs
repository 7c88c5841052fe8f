//! `[listen]`.

use std::net::IpAddr;

use super::values::ALL_ADDRESSES;
use super::words::words;
use super::{Limit, Network, Tables};

settings! {
    /// Where the server listens. A list that is given replaces the default list.
    pub struct Listen {
        /// Ports for clients.
        restart c2s: Tables<C2sListener> = Tables(vec![C2sListener::default(), C2sListener::direct_tls()]);
        /// Ports for HTTP: uploads (XEP-0363) and host-meta (XEP-0156). An empty list switches them off.
        restart http: Tables<HttpListener> = Tables(vec![HttpListener::default(), HttpListener::direct_tls()]);
        /// Ports for /metrics, /healthz and /readyz; an empty list switches them off.
        restart metrics: Tables<MetricsListener> = Tables(vec![MetricsListener::default()]);
    }
}

settings! {
    /// A port for clients.
    pub struct C2sListener {
        /// The address to listen on; "::" is all addresses, IPv6 and IPv4.
        restart ip: IpAddr = ALL_ADDRESSES;
        /// The port; 0 takes any that is free.
        restart port: u16 = 5222;
        /// "starttls" (TLS is required), "starttls-optional", "direct" (TLS from the first byte) or "none".
        restart tls: TlsMode = TlsMode::Starttls;
        /// Addresses or networks of proxies that send the PROXY protocol, version 1 or 2, before anything
        /// else. Empty: nobody is believed, and nobody is asked.
        restart proxy_protocol_from: Vec<Network> = vec![];
        /// Connections of this port at the same time, besides `limits.connections`; or "none".
        restart max_connections: Limit = Limit::None;
        /// Connections that the operating system holds until they are accepted.
        restart backlog: u32 = 1024, in 1..=65_535;
    }
}

impl C2sListener {
    fn direct_tls() -> Self {
        C2sListener { port: 5223, tls: TlsMode::Direct, ..Self::default() }
    }
}

words! {
    /// When TLS begins on a port.
    pub enum TlsMode {
        /// By STARTTLS, and nothing before it.
        Starttls = "starttls",
        /// By STARTTLS, if the client wants.
        StarttlsOptional = "starttls-optional",
        /// With the first byte (XEP-0368).
        Direct = "direct",
        /// Never.
        None = "none",
    }
}

settings! {
    /// A port for HTTP.
    pub struct HttpListener {
        /// The address to listen on; "::" is all addresses, IPv6 and IPv4.
        restart ip: IpAddr = ALL_ADDRESSES;
        /// The port; 0 takes any that is free.
        restart port: u16 = 5280;
        /// "direct" (TLS from the first byte, with the certificates of the clients' ports) or "none". While one port
        /// has TLS, no URL leads to one without.
        restart tls: HttpTls = HttpTls::None;
        /// Addresses or networks of proxies that send the PROXY protocol, version 1 or 2, before anything
        /// else. Empty: nobody is believed, and nobody is asked.
        restart proxy_protocol_from: Vec<Network> = vec![];
        /// Connections of this port at the same time; or "none". `limits.connections_per_address` holds here too.
        restart max_connections: Limit = Limit::AtMost(1_024);
        /// Connections that the operating system holds until they are accepted.
        restart backlog: u32 = 1024, in 1..=65_535;
    }
}

impl HttpListener {
    fn direct_tls() -> Self {
        HttpListener { port: 5443, tls: HttpTls::Direct, ..Self::default() }
    }
}

words! {
    /// Whether HTTP is spoken under TLS.
    pub enum HttpTls {
        /// With the first byte.
        Direct = "direct",
        /// Never.
        None = "none",
    }
}

settings! {
    /// A port for metrics and health.
    pub struct MetricsListener {
        /// The address to listen on.
        restart ip: IpAddr = ALL_ADDRESSES;
        /// The port; 0 takes any that is free.
        restart port: u16 = 9100;
    }
}
