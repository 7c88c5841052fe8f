//! Real handshakes on loopback with a client that trusts a certificate authority of ours.

mod choice;
mod faults;
mod files;
mod handshake;
mod resumption;
mod self_signed;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SignatureAlgorithm};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{AcceptError, Accepted, Tls};
use crate::config::{self, Domain, Tables};

const PATIENCE: Duration = Duration::from_secs(20);
const SECRET: [u8; 32] = [42; 32];

/// A folder with certificates, and the authority that signs them.
struct Bench {
    folder: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Bench {
    fn new() -> Bench {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
        Bench { folder: tempfile::tempdir().unwrap(), authority }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// Signs a certificate for the names and writes NAME.crt and NAME.key.
    fn pair(&self, name: &str, names: &[&str]) -> config::Certificate {
        let (certificate, key) = self.sign(names, &rcgen::PKCS_ECDSA_P256_SHA256);
        self.write(name, &certificate, &key)
    }

    fn write(&self, name: &str, certificate: &str, key: &str) -> config::Certificate {
        let (crt, key_file) = (self.path(&format!("{name}.crt")), self.path(&format!("{name}.key")));
        fs::write(&crt, certificate).unwrap();
        fs::write(&key_file, key).unwrap();
        config::Certificate { certificate: crt, key: key_file, hosts: None }
    }

    fn sign(&self, names: &[&str], key_kind: &'static SignatureAlgorithm) -> (String, String) {
        let key = KeyPair::generate_for(key_kind).unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.authority).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn start(&self, certificates: Vec<config::Certificate>) -> Tls {
        self.start_with(&settings(certificates))
    }

    fn start_with(&self, settings: &config::Tls) -> Tls {
        Tls::start(settings, &hosts(&["montague.example", "capulet.example"]), self.folder.path(), SECRET)
            .unwrap()
    }

    fn client(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        client(self.authority.der().clone(), versions)
    }
}

fn client(root: CertificateDer<'static>, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    client_with(rustls::crypto::aws_lc_rs::default_provider(), root, versions)
}

fn client_with(
    provider: CryptoProvider,
    root: CertificateDer<'static>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(root).unwrap();
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

fn settings(certificates: Vec<config::Certificate>) -> config::Tls {
    config::Tls { certificates: Tables(certificates), ..config::Tls::default() }
}

fn hosts(names: &[&str]) -> Vec<Domain> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

/// Both ends of a handshake.
type Ends = (std::io::Result<TlsStream<TcpStream>>, Result<Accepted, AcceptError>);

/// STARTTLS: the client knows the server as `name`.
async fn shake_hands(tls: &Tls, client: &ClientConfig, name: &str, to: Option<&str>) -> Ends {
    connect(tls, client, name, to, false).await
}

async fn connect(tls: &Tls, client: &ClientConfig, name: &str, to: Option<&str>, direct: bool) -> Ends {
    let (near, far) = sockets().await;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connector = TlsConnector::from(Arc::new(client.clone()));
    tokio::join!(connector.connect(name, near), tls.accept(far, to, direct, PATIENCE))
}

/// The client's end and the server's.
async fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

/// The certificate that the client was shown.
fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

fn der_of(file: &Path) -> CertificateDer<'static> {
    use rustls::pki_types::pem::PemObject;
    CertificateDer::from_pem_file(file).unwrap()
}
