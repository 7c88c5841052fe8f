//! Ports: of a server that runs each is spoken to; where none runs, can they be taken?

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use tokio::time::Instant;

use super::talk;
use crate::config::{Config, HttpTls, TlsMode};
use crate::node::Listening;
use crate::storage::Finding;

pub async fn examine(config: &Config, listening: Option<&Listening>) -> Vec<Finding> {
    match listening {
        Some(listening) => of_server(config, listening).await,
        None => of_configuration(config),
    }
}

async fn of_server(config: &Config, listening: &Listening) -> Vec<Finding> {
    let host = config.general.hosts.first().map(|host| host.as_str()).unwrap_or("localhost");
    let mut findings = Vec::new();
    for (index, (address, tls)) in listening.c2s.iter().enumerate() {
        let what = format!("c2s {address}");
        let asks_proxy = config.listen.c2s.get(index).is_some_and(|settings| {
            settings.proxy_protocol_from.iter().any(|from| from.contains(own(*address).ip()))
        });
        if asks_proxy {
            findings.push(Finding::ok(what, "it listens; it believes proxies only, so it was not spoken to"));
            continue;
        }
        findings.push(found(what, &format!("listen.c2s[{index}]"), clients(own(*address), *tls, host)).await);
    }
    for (index, (address, tls)) in listening.http.iter().enumerate() {
        let key = format!("listen.http[{index}]");
        findings.push(found(format!("http {address}"), &key, http(own(*address), *tls, host)).await);
    }
    for (index, address) in listening.metrics.iter().enumerate() {
        let key = format!("listen.metrics[{index}]");
        findings.push(found(format!("metrics {address}"), &key, metrics(own(*address))).await);
    }
    findings
}

async fn found(check: String, key: &str, talking: impl Future<Output = io::Result<String>>) -> Finding {
    let begun = Instant::now();
    match talking.await {
        Ok(seen) => Finding::ok(check, format!("{seen}, in {} ms", begun.elapsed().as_millis())),
        Err(error) => Finding::failed(
            check,
            error.to_string(),
            format!("look at the server's log and at {key}; is a firewall between this machine and itself?"),
        ),
    }
}

/// A stream's header and features, under TLS where the port has it (RFC 6120 sections 4 and 5).
async fn clients(address: SocketAddr, mode: TlsMode, host: &str) -> io::Result<String> {
    let mut stream = talk::connect(address).await?;
    let header = format!(
        "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='{host}' version='1.0'>"
    );
    const FEATURES: &str = "</stream:features>";
    match mode {
        TlsMode::None => {
            talk::ask(&mut stream, &header, FEATURES).await?;
            Ok("stream without TLS".to_owned())
        }
        TlsMode::Direct => {
            let mut stream = talk::tls(stream, host).await?;
            talk::ask(&mut stream, &header, FEATURES).await?;
            Ok(format!("{}, stream", version(&stream)))
        }
        TlsMode::Starttls | TlsMode::StarttlsOptional => {
            let offered = talk::ask(&mut stream, &header, FEATURES).await?;
            if !offered.contains("<starttls") {
                return Err(io::Error::other("it offers no STARTTLS"));
            }
            talk::ask(&mut stream, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "<proceed").await?;
            let mut stream = talk::tls(stream, host).await?;
            talk::ask(&mut stream, &header, FEATURES).await?;
            Ok(format!("stream, STARTTLS, {}, stream", version(&stream)))
        }
    }
}

fn version(stream: &tokio_rustls::client::TlsStream<tokio::net::TcpStream>) -> String {
    stream
        .get_ref()
        .1
        .protocol_version()
        .and_then(|version| version.as_str())
        .unwrap_or("TLS")
        .replace('v', " ")
        .replace('_', ".")
}

/// Host-meta (XEP-0156).
async fn http(address: SocketAddr, tls: HttpTls, host: &str) -> io::Result<String> {
    const META: &str = "http://docs.oasis-open.org/ns/xri/xrd-1.0";
    let stream = talk::connect(address).await?;
    let request = format!("GET /.well-known/host-meta HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    match tls {
        HttpTls::None => {
            let mut stream = stream;
            talk::ask(&mut stream, &request, META).await?;
            Ok("HTTP, host-meta".to_owned())
        }
        HttpTls::Direct => {
            let mut stream = talk::tls(stream, host).await?;
            let version = version(&stream);
            talk::ask(&mut stream, &request, META).await?;
            Ok(format!("{version}, HTTP, host-meta"))
        }
    }
}

async fn metrics(address: SocketAddr) -> io::Result<String> {
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    talk::ask(&mut talk::connect(address).await?, &request("/metrics"), "meerkat_connections").await?;
    let ready = talk::ask(&mut talk::connect(address).await?, &request("/readyz"), "\r\n\r\n").await?;
    match ready.starts_with("HTTP/1.1 200") {
        true => Ok("metrics, ready".to_owned()),
        false => Err(io::Error::other("the server is not ready: `meerkatctl status` says why")),
    }
}

/// Where this machine reaches itself.
fn own(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        // It takes IPv4 too, which a machine has that has no IPv6.
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// No server runs: would it be given its ports?
fn of_configuration(config: &Config) -> Vec<Finding> {
    let listen = &config.listen;
    let c2s = listen.c2s.iter().map(|listener| ("c2s", listener.ip, listener.port));
    let http = listen.http.iter().map(|listener| ("http", listener.ip, listener.port));
    let metrics = listen.metrics.iter().map(|listener| ("metrics", listener.ip, listener.port));
    c2s.chain(http).chain(metrics).map(|(kind, ip, port)| free(kind, ip, port)).collect()
}

fn free(kind: &str, ip: IpAddr, port: u16) -> Finding {
    let address = SocketAddr::new(ip, port);
    let check = format!("{kind} {address}");
    let bound = match TcpListener::bind(address) {
        // A machine without IPv6: the server listens on IPv4 alone.
        Err(_) if ip == Ipv6Addr::UNSPECIFIED && !has_ipv6() => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))
        }
        bound => bound,
    };
    let advice = match &bound {
        Ok(_) => return Finding::ok(check, "free for the server, which does not run"),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            "another program has it (`ss -ltnp` says which): stop it, or take another port"
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            "ports below 1024 need a right: give it by AmbientCapabilities=CAP_NET_BIND_SERVICE, or take another port"
        }
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
            "no interface of this machine has that address: correct it"
        }
        Err(_) => "take another address or port",
    };
    let error = bound.err().map(|error| error.to_string()).unwrap_or_default();
    Finding::failed(check, error, format!("listen.{kind}: {advice}"))
}

fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}
