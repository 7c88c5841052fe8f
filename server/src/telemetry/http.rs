//! The port for machines that watch: `/metrics`, `/healthz` and `/readyz`.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

use super::health::Health;
use super::metrics::Metrics;

/// Connections at the same time; others wait to be accepted.
const CONNECTIONS: usize = 64;
/// A connection on which nothing moved for so long is closed. Prometheus comes back every minute or sooner.
const IDLE: Duration = Duration::from_secs(90);

/// What `/metrics` shows.
#[derive(Clone)]
pub struct Shown {
    pub metrics: Arc<Metrics>,
    /// Called before they are shown, for what is looked at and not counted.
    pub look: Arc<dyn Fn() + Send + Sync>,
}

/// Answers on this port until it is dropped.
pub async fn serve(listener: TcpListener, shown: Shown, health: Health) -> io::Result<()> {
    let listener = Bounded { listener, permits: Arc::new(Semaphore::new(CONNECTIONS)) };
    axum::serve(listener, router(shown, health)).await
}

fn router(shown: Shown, health: Health) -> Router {
    Router::new()
        .route("/metrics", get(exposition).with_state(shown))
        // Who can answer is alive; whether it can serve is another question.
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(readiness).with_state(health))
}

/// OpenMetrics for who asks for it, as Prometheus does; the older text form for others.
async fn exposition(State(shown): State<Shown>, headers: HeaderMap) -> impl IntoResponse {
    (shown.look)();
    let metrics = shown.metrics;
    let wanted = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let (content_type, text) = if wanted.contains("application/openmetrics-text") {
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", metrics.exposition())
    } else {
        ("text/plain; version=0.0.4; charset=utf-8", metrics.text())
    };
    ([(header::CONTENT_TYPE, content_type)], text)
}

async fn readiness(State(health): State<Health>) -> impl IntoResponse {
    let status = if health.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, health.report())
}

/// A listener whose connections are bounded in number and in idle time.
struct Bounded {
    listener: TcpListener,
    permits: Arc<Semaphore>,
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // The semaphore is never closed; if it were, nothing could be accepted any more.
        let Ok(permit) = self.permits.clone().acquire_owned().await else { std::future::pending().await };
        let (stream, address) = Listener::accept(&mut self.listener).await;
        (Connection { stream, idle: Box::pin(sleep(IDLE)), _permit: permit }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

struct Connection {
    stream: TcpStream,
    idle: Pin<Box<Sleep>>,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    /// What the socket said, or that it said nothing for too long.
    fn or_idle<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.idle.as_mut().reset(Instant::now() + IDLE);
            return outcome;
        }
        ready!(self.idle.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.or_idle(cx, outcome)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.or_idle(cx, outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn start(health: &Health) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let metrics = Arc::new(Metrics::default());
        let look = {
            let metrics = metrics.clone();
            Arc::new(move || metrics.connections.set(7))
        };
        tokio::spawn(serve(listener, Shown { metrics, look }, health.clone()));
        address
    }

    async fn get(address: SocketAddr, path: &str) -> (String, String) {
        get_as(address, path, "*/*").await
    }

    async fn get_as(address: SocketAddr, path: &str, accept: &str) -> (String, String) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_ascii_lowercase(), body.to_owned())
    }

    #[tokio::test]
    async fn readiness_follows_the_conditions_and_life_does_not() {
        let health = Health::default();
        let store = health.condition("store");
        let address = start(&health).await;

        let (head, body) = get(address, "/readyz").await;
        assert!(head.starts_with("http/1.1 503 "), "{head}");
        assert_eq!(body, "store: awaited\n");
        assert!(get(address, "/healthz").await.0.starts_with("http/1.1 200 "));

        store.good();
        let (head, body) = get(address, "/readyz").await;
        assert!(head.starts_with("http/1.1 200 "), "{head}");
        assert_eq!(body, "store: good\n");
        assert!(get(address, "/nothing").await.0.starts_with("http/1.1 404 "));
    }

    #[tokio::test]
    async fn metrics_come_in_the_form_that_is_asked_for() {
        let address = start(&Health::default()).await;
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4";
        let (head, body) = get_as(address, "/metrics", prometheus).await;
        assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
        assert!(body.contains("meerkat_build_info{version=") && body.ends_with("# EOF\n"));
        let (head, body) = get(address, "/metrics").await;
        assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
        assert!(body.contains("meerkat_build_info{version=") && !body.contains("# EOF"));
        assert!(body.contains("\nmeerkat_connections 7\n"), "it is looked at before it is shown");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_is_closed() {
        let address = start(&Health::default()).await;
        let begun = Instant::now();
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /healthz HT").await.unwrap();
        // Without an answer: there was no whole request.
        let read = stream.read(&mut [0; 64]).await;
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
        assert!(begun.elapsed() >= IDLE && begun.elapsed() < 2 * IDLE);
    }

    #[tokio::test(start_paused = true)]
    async fn connections_are_bounded_in_number() {
        let address = start(&Health::default()).await;
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let begun = Instant::now();
        let (head, _) = get(address, "/healthz").await;
        assert!(head.starts_with("http/1.1 200 "));
        assert!(begun.elapsed() >= IDLE, "it was served before another connection was closed");
    }
}
