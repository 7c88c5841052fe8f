//! The server's side of a handshake.

use std::sync::Arc;
use std::time::Duration;

use rustls::server::{Acceptor, ClientHello};
use rustls::{ProtocolVersion, ServerConnection};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use xmpp_core::sasl::TlsInfo;

use super::certificate::Certificate;
use super::choice::Identity;
use super::{AcceptError, Tls};

/// RFC 9266 section 2.
const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// A connection whose handshake is done. What the client sent right behind it is in `connection` already, perhaps
/// all of it: read from there before waiting for the socket.
pub struct Accepted {
    pub socket: TcpStream,
    pub connection: ServerConnection,
    /// What SASL may bind to.
    pub info: TlsInfo,
    /// The host that the client named in its handshake.
    pub sni: Option<String>,
}

impl Tls {
    /// Shakes hands within a time. `to` is where the client's stream went before STARTTLS; `direct` says that there
    /// was none.
    pub async fn accept(
        &self,
        socket: TcpStream,
        to: Option<&str>,
        direct: bool,
        within: Duration,
    ) -> Result<Accepted, AcceptError> {
        // Boxed: what a handshake needs is not carried by the connection's task for the rest of its life.
        match timeout(within, Box::pin(self.shake_hands(socket, to, direct))).await {
            Ok(accepted) => accepted,
            Err(_) => Err(AcceptError::TimedOut),
        }
    }

    /// Shakes hands with a client that speaks HTTP behind it, with the same certificates.
    pub async fn accept_https(
        &self,
        socket: TcpStream,
        within: Duration,
    ) -> Result<TlsStream<TcpStream>, AcceptError> {
        let shake_hands = async {
            let start = LazyConfigAcceptor::new(Acceptor::default(), socket).await?;
            let (_, identity) = self.identity(&start.client_hello(), None);
            Ok(start.into_stream(identity.https.clone()).await?)
        };
        timeout(within, Box::pin(shake_hands)).await.unwrap_or(Err(AcceptError::TimedOut))
    }

    /// The host that the client named, and what it is shown.
    fn identity(&self, hello: &ClientHello<'_>, to: Option<&str>) -> (Option<String>, Arc<Identity>) {
        let can_use = |certificate: &Certificate| self.maker.can_use(hello, certificate);
        let choice = self.choice.load();
        let identity = choice.choose(hello.server_name(), to, can_use).clone();
        (hello.server_name().map(str::to_owned), identity)
    }

    async fn shake_hands(
        &self,
        socket: TcpStream,
        to: Option<&str>,
        direct: bool,
    ) -> Result<Accepted, AcceptError> {
        let start = LazyConfigAcceptor::new(Acceptor::default(), socket).await?;
        let (sni, identity) = self.identity(&start.client_hello(), to);
        let config = if direct { &identity.direct } else { &identity.starttls };
        let (socket, connection) = start.into_stream(config.clone()).await?.into_inner();

        let version_1_3 = connection.protocol_version() == Some(ProtocolVersion::TLSv1_3);
        // On TLS 1.2 it is defined with the extended master secret only, and no mechanism uses it there.
        let exporter = if version_1_3 { exporter(&connection)? } else { None };
        let server_end_point = identity.certificate.end_point.clone();
        let info = TlsInfo { version_1_3, exporter, server_end_point };
        Ok(Accepted { socket, connection, info, sni })
    }
}

fn exporter(connection: &ServerConnection) -> Result<Option<[u8; 32]>, AcceptError> {
    connection.export_keying_material([0; 32], EXPORTER_LABEL, None).map(Some).map_err(AcceptError::Refused)
}
