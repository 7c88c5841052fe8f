//! Listeners: accept, count, the PROXY header, TLS where it comes first, and on to the negotiation.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket as RawSocket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::C2s;
use super::admission::Port;
use crate::config::C2sListener;

/// After an accept that failed for want of descriptors or memory, so that others can free some.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A port as its connections see it.
pub(super) struct Accepting {
    pub(super) settings: C2sListener,
    pub(super) port: Port,
}

pub struct Listener {
    pub settings: C2sListener,
    socket: TcpListener,
}

/// Binds a port. On "::" it is for IPv4 too.
pub fn listen(ip: IpAddr, port: u16, backlog: u32) -> io::Result<TcpListener> {
    let address = SocketAddr::new(ip, port);
    let socket = match RawSocket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP)) {
        // A machine without IPv6 serves all its addresses as well.
        Err(_) if ip == IpAddr::V6(Ipv6Addr::UNSPECIFIED) => {
            return listen(IpAddr::from([0, 0, 0, 0]), port, backlog);
        }
        socket => socket?,
    };
    if address.is_ipv6() && ip.is_unspecified() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog.try_into().unwrap_or(i32::MAX))?;
    TcpListener::from_std(socket.into())
}

impl Listener {
    pub fn bind(settings: &C2sListener) -> io::Result<Listener> {
        let socket = listen(settings.ip, settings.port, settings.backlog)?;
        Ok(Listener { settings: settings.clone(), socket })
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Accepts until the server stops.
    pub async fn run(self, c2s: Arc<C2s>, mut stopping: watch::Receiver<bool>) {
        let port = Port::new(self.settings.max_connections);
        let accepting = Arc::new(Accepting { settings: self.settings, port });
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                _ = stopping.changed() => return,
            };
            match accepted {
                Ok((stream, peer)) => accept(&c2s, &accepting, stream, peer),
                Err(error) => {
                    tracing::warn!(%error, port = accepting.settings.port, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

fn accept(c2s: &Arc<C2s>, accepting: &Arc<Accepting>, stream: TcpStream, peer: SocketAddr) {
    // On a socket for both, IPv4 peers come as `::ffff:a.b.c.d`; limits and proxies name them a.b.c.d.
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    // Stanzas are small and answers are waited for.
    let _ = stream.set_nodelay(true);
    tokio::spawn(c2s.clone().serve(stream, peer, accepting.clone()));
}
