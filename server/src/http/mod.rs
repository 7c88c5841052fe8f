//! HTTP for clients: uploads (XEP-0363) and host-meta (XEP-0156), on ports of its own.
//!
//! ```text
//! listener -> admission -> PROXY header -> TLS where it comes first -> requests, one after the other
//! ```
//!
//! What `/metrics` and health checks ask is another port's (`telemetry/http.rs`).

mod answer;
mod connection;
mod download;
mod host_meta;
mod range;
mod upload;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::c2s::admission::{Admission, Port};
use crate::c2s::listener::listen;
use crate::c2s::proxy_protocol;
use crate::config::{Config, HttpListener, HttpTls};
use crate::telemetry::metrics::Metrics;
use crate::tls::Tls;
use crate::uploads::Uploads;
use connection::Bounded;

/// A request's line and headers, in bytes and in number; and how long they may take, from the end of the last one on.
const HEADER_BYTES: usize = 16 << 10;
const HEADERS: usize = 64;
const HEADER_TIME: Duration = Duration::from_secs(30);
/// A handshake may take so long.
const HANDSHAKE_TIME: Duration = Duration::from_secs(15);
/// After an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What every HTTP connection needs.
pub struct Http {
    tls: Arc<Tls>,
    /// Apart from that of client streams: a crowd here takes no place there.
    admission: Admission,
    metrics: Arc<Metrics>,
    router: Router,
    /// The server ends: what is still going on then is cut off.
    cut: watch::Sender<bool>,
}

impl Http {
    pub fn new(uploads: Arc<Uploads>, tls: Arc<Tls>, config: &Config, metrics: Arc<Metrics>) -> Arc<Http> {
        let router = host_meta::router();
        let router = match config.modules.upload.enabled {
            true => router.merge(upload::router(uploads)),
            false => router,
        };
        let (cut, _) = watch::channel(false);
        Arc::new(Http { tls, admission: Admission::new(config), metrics, router, cut })
    }

    pub fn reload(&self, config: &Config) {
        self.admission.reload(config);
    }

    pub fn connections(&self) -> u64 {
        self.admission.connections()
    }

    /// Ends every connection, also in the middle of an answer or of an upload, of which nothing is left then.
    pub fn cut_off(&self) {
        self.cut.send_replace(true);
    }

    /// Serves an accepted connection until it ends.
    async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        listener: Arc<Accepting>,
        stopping: watch::Receiver<bool>,
    ) {
        let place = match self.admission.enter().and_then(|permit| permit.at(&listener.port)) {
            Ok(place) => place,
            Err(bound) => return self.metrics.refused(bound),
        };
        let proxies = &listener.settings.proxy_protocol_from;
        let (stream, peer) = match proxy_protocol::receive(stream, peer, proxies).await {
            Ok(received) => received,
            Err(error) => return tracing::debug!(%peer, %error, "no PROXY header where one was due"),
        };
        let _permit = match self.admission.count_address(place, peer.ip()) {
            Ok(permit) => permit,
            Err(bound) => return self.metrics.refused(bound),
        };
        let served = match listener.settings.tls {
            HttpTls::None => self.converse(stream, stopping).await,
            HttpTls::Direct => match self.tls.accept_https(stream, HANDSHAKE_TIME).await {
                Ok(stream) => self.converse(stream, stopping).await,
                Err(error) => return tracing::debug!(%peer, %error, "no TLS"),
            },
        };
        if let Err(error) = served {
            tracing::debug!(%peer, %error, "an HTTP connection broke");
        }
    }

    /// Requests and answers, until either side has enough.
    async fn converse(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        mut stopping: watch::Receiver<bool>,
    ) -> hyper::Result<()> {
        let service = TowerToHyperService::new(self.router.clone());
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIME)
            .max_buf_size(HEADER_BYTES)
            .max_headers(HEADERS)
            .serve_connection(TokioIo::new(Bounded::new(stream)), service);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            ended = &mut connection => return ended,
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
        // The request that is being answered is the last one.
        connection.as_mut().graceful_shutdown();
        let mut cut = self.cut.subscribe();
        tokio::select! {
            ended = connection => ended,
            _ = cut.wait_for(|cut| *cut) => Ok(()),
        }
    }
}

/// A port as its connections see it.
struct Accepting {
    settings: HttpListener,
    port: Port,
}

pub struct Listener {
    settings: HttpListener,
    socket: TcpListener,
}

impl Listener {
    pub fn bind(settings: &HttpListener) -> io::Result<Listener> {
        let socket = listen(settings.ip, settings.port, settings.backlog)?;
        Ok(Listener { settings: settings.clone(), socket })
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts until the server stops.
    pub async fn run(self, http: Arc<Http>, mut stopping: watch::Receiver<bool>) {
        let port = Port::new(self.settings.max_connections);
        let accepting = Arc::new(Accepting { settings: self.settings, port });
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                _ = stopping.changed() => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    // On a socket for both, IPv4 peers come as `::ffff:a.b.c.d`.
                    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                    // The end of an answer is not to wait for more.
                    let _ = stream.set_nodelay(true);
                    let serve = http.clone().serve(stream, peer, accepting.clone(), stopping.clone());
                    tokio::spawn(serve);
                }
                Err(error) => {
                    tracing::warn!(%error, port = accepting.settings.port, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}
