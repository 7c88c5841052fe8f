//! A client that only wants to know whether a port speaks what it should.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What connecting, or one answer, may take.
const PATIENCE: Duration = Duration::from_secs(5);
const ANSWER_MAX_BYTES: usize = 64 << 10;

pub async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    within(TcpStream::connect(address)).await
}

/// Whether the certificate is a good one is examined elsewhere, from its file.
pub async fn tls(stream: TcpStream, host: &str) -> io::Result<TlsStream<TcpStream>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    let ascii = idna::domain_to_ascii(host).unwrap_or_else(|_| host.to_owned());
    let name = ServerName::try_from(ascii).map_err(io::Error::other)?;
    within(TlsConnector::from(Arc::new(config)).connect(name, stream)).await
}

/// Says something, and reads until the answer has what is wanted of it.
pub async fn ask(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    words: &str,
    wanted: &str,
) -> io::Result<String> {
    within(stream.write_all(words.as_bytes())).await?;
    let mut answer = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let read = within(stream.read(&mut buffer)).await?;
        answer.extend_from_slice(buffer.get(..read).unwrap_or_default());
        let text = String::from_utf8_lossy(&answer);
        if text.contains(wanted) {
            return Ok(text.into_owned());
        }
        if read == 0 || answer.len() > ANSWER_MAX_BYTES {
            let said: String = text.chars().take(120).collect();
            return Err(io::Error::other(format!("it answers {said:?}, without {wanted:?}")));
        }
    }
}

async fn within<T>(doing: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let nothing =
        || io::Error::new(io::ErrorKind::TimedOut, format!("nothing comes for {} s", PATIENCE.as_secs()));
    tokio::time::timeout(PATIENCE, doing).await.unwrap_or_else(|_| Err(nothing()))
}

/// Believes every certificate: nothing is said to it that is secret.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
