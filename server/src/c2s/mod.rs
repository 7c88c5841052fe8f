//! Client connections: listeners, TLS, negotiation, and the two tasks of a bound session.
//!
//! ```text
//! listener -> negotiation -> bind ---> reader -> router
//!                 |                      | said (session/link.rs)
//!                 `-> resume             v
//!                               mailbox -> task -> socket
//! ```

pub mod admission;
pub mod listener;
pub mod pipe;
pub mod proxy_protocol;
pub mod socket;

mod bind;
mod buffers;
mod finish;
mod hold;
mod negotiation;
mod reader;
mod resume;
mod settings;
mod sleep;
mod task;

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::{Config, TlsMode};
use crate::passwords::Passwords;
use crate::router::Router;
use crate::telemetry::bound::Bound;
use crate::tls::{AcceptError, Tls};
use admission::Admission;
use listener::Accepting;
use negotiation::Negotiator;
use settings::Settings;
use socket::Socket;

/// What every client connection needs.
pub struct C2s {
    pub router: Arc<Router>,
    pub tls: Arc<Tls>,
    pub admission: Arc<Admission>,
    pub passwords: Arc<Passwords>,
    /// What streams and sessions are told, made of the configuration.
    settings: ArcSwap<Settings>,
    timed_out: resume::TimedOut,
    /// The key of fake salts, shared by all nodes.
    fake_key: [u8; 32],
    /// True when the server stops.
    stopping: watch::Receiver<bool>,
}

impl C2s {
    pub fn new(
        router: Arc<Router>,
        tls: Arc<Tls>,
        admission: Arc<Admission>,
        passwords: Arc<Passwords>,
        config: Arc<Config>,
        fake_key: [u8; 32],
        stopping: watch::Receiver<bool>,
    ) -> Arc<C2s> {
        let settings = ArcSwap::from_pointee(Settings::new(config, &router, fake_key));
        let timed_out = resume::TimedOut::default();
        Arc::new(C2s { router, tls, admission, passwords, settings, timed_out, fake_key, stopping })
    }

    /// For connections and sessions from now on.
    pub fn reload(&self, config: Arc<Config>) {
        self.admission.reload(&config);
        self.settings.store(Arc::new(Settings::new(config, &self.router, self.fake_key)));
    }

    /// Serves an accepted connection until it is bound or gone.
    async fn serve(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, listener: Arc<Accepting>) {
        self.router.metrics.connections_accepted.add(1);
        let settings = self.settings.load_full();
        let until = settings.unauthenticated_until();
        // Counted before the PROXY header is waited for, and by its address once that is known.
        let place = match self.admission.enter().and_then(|permit| permit.at(&listener.port)) {
            Ok(place) => place,
            Err(bound) => return self.refuse(peer, bound),
        };
        let proxies = &listener.settings.proxy_protocol_from;
        let (stream, peer) = match proxy_protocol::receive(stream, peer, proxies).await {
            Ok(received) => received,
            Err(error) => return tracing::debug!(%peer, %error, "no PROXY header where one was due"),
        };
        let permit = match self.admission.count_address(place, peer.ip()) {
            Ok(permit) => permit,
            Err(bound) => return self.refuse(peer, bound),
        };
        let mode = listener.settings.tls;
        let (socket, tls) = match mode {
            TlsMode::Direct => match self.tls.accept(stream, None, true, until - Instant::now()).await {
                Ok(accepted) => (Socket::tls(accepted.socket, accepted.connection), Some(accepted.info)),
                Err(AcceptError::TimedOut) => return self.refuse(peer, Bound::UnauthenticatedSeconds),
                Err(error) => return tracing::debug!(%peer, %error, "no TLS"),
            },
            TlsMode::Starttls | TlsMode::StarttlsOptional | TlsMode::None => (Socket::Plain(stream), None),
        };
        Negotiator::new(self, settings, socket, tls, peer, mode, Some(permit)).run(until).await;
    }

    fn refuse(&self, peer: SocketAddr, bound: Bound) {
        self.router.metrics.refused(bound);
        tracing::debug!(%peer, ?bound, "a connection was refused");
    }

    /// Serves a connection in memory, as a listener without TLS would. For tests in paused time.
    pub async fn serve_pipe(self: Arc<Self>, pipe: pipe::PipeEnd, mode: TlsMode) {
        let settings = self.settings.load_full();
        let peer = pipe.peer();
        let until = settings.unauthenticated_until();
        Negotiator::new(self, settings, Socket::Pipe(pipe), None, peer, mode, None).run(until).await;
    }
}

/// The system's source of chance, as xmpp-core takes it.
pub fn chance(bytes: &mut [u8]) {
    rand::Rng::fill(&mut rand::rng(), bytes);
}

#[cfg(test)]
mod tests {
    use super::reader::Reader;
    use super::task::Task;
    use crate::session::Session;

    /// What every idle session carries beside its socket. A future that grew holds something that is needed
    /// only now and then: box that.
    #[test]
    fn an_idle_session_is_small() {
        fn future<A, F: Future>(_: fn(A) -> F) -> usize {
            size_of::<F>()
        }
        let sizes = [
            ("the reader", size_of::<Reader>(), 448),
            ("the reader's future", future(Reader::run), 192),
            ("the task", size_of::<Task>(), 224),
            ("the task's future", future(Task::run), 384),
            ("the session", size_of::<Session>(), 624),
        ];
        for (what, bytes, limit) in sizes {
            assert!(bytes <= limit, "{what}: {bytes} bytes, at most {limit}");
        }
    }
}
