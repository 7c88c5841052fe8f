use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::client::ask_over;
use crate::stage::Stage;

/// With the certificate of the clients' ports, and ALPN of HTTP alone.
#[tokio::test]
async fn uploads_go_over_tls_with_the_domains_certificate() {
    let stage = Stage::new().await;
    let certificate = stage.node.tls.certificates().remove(0).file;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).expect("PEM")).expect("a certificate");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = config.expect("versions").with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let connect = |config: ClientConfig| async {
        let stream = TcpStream::connect(stage.tls).await.expect("it listens");
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    };
    let slot = stage.slot("a.txt", 2, None).await;
    let stream = connect(config.clone()).await.expect("TLS");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert_eq!(ask_over(stream, "PUT", &slot.put, &["Content-Length: 2"], b"hi").await.status, 201);
    let stream = connect(config.clone()).await.expect("TLS");
    assert_eq!(ask_over(stream, "GET", &slot.get, &[], b"").await.text(), "hi");
    // Who means XMPP is at the wrong port.
    config.alpn_protocols = vec![b"xmpp-client".to_vec()];
    assert!(connect(config).await.is_err());
}
