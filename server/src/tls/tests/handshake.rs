use aws_lc_rs::digest;
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, Error};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::config::TlsVersion;

#[tokio::test]
async fn tls_1_3_gives_sasl_what_the_client_has_too() {
    let bench = Bench::new();
    let tls = bench.start(vec![bench.pair("a", &["montague.example"])]);
    let (near, far) = shake_hands(&tls, &bench.client(&[&TLS13]), "montague.example", None).await;
    let (near, far) = (near.unwrap(), far.unwrap());

    assert!(far.info.version_1_3);
    assert_eq!(far.sni.as_deref(), Some("montague.example"));
    let (_, connection) = near.get_ref();
    let theirs = connection.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b"")).unwrap();
    assert_eq!(far.info.exporter, Some(theirs));
    let hash = digest::digest(&digest::SHA256, &shown(&near)).as_ref().to_vec();
    assert_eq!(far.info.server_end_point, Some(hash));
}

#[tokio::test]
async fn tls_1_2_has_no_exporter() {
    let bench = Bench::new();
    let tls = bench.start(vec![bench.pair("a", &["montague.example"])]);
    let (near, far) = shake_hands(&tls, &bench.client(&[&TLS12]), "montague.example", None).await;
    let (near, far) = (near.unwrap(), far.unwrap());
    assert_eq!(near.get_ref().1.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_2));
    assert!(!far.info.version_1_3);
    assert_eq!(far.info.exporter, None);
    assert!(far.info.bindings().is_empty());
}

#[tokio::test]
async fn tls_1_2_is_refused_where_1_3_is_the_least() {
    let bench = Bench::new();
    let mut settings = settings(vec![bench.pair("a", &["montague.example"])]);
    settings.min_version = TlsVersion::Tls13;
    let tls = bench.start_with(&settings);
    let (near, far) = shake_hands(&tls, &bench.client(&[&TLS12]), "montague.example", None).await;
    assert_eq!(alert(near), AlertDescription::ProtocolVersion);
    assert!(matches!(far, Err(AcceptError::Refused(_))));
    let (near, _) = shake_hands(&tls, &bench.client(&[&TLS13]), "montague.example", None).await;
    assert!(near.is_ok());
}

/// XEP-0368 section 3, RFC 7301 section 3.2.
#[tokio::test]
async fn direct_tls_takes_alpn_for_clients_or_none_and_no_other() {
    let bench = Bench::new();
    let tls = bench.start(vec![bench.pair("a", &["montague.example"])]);
    let mut client = bench.client(&[&TLS13]);
    for (offered, agreed) in [(&["h2", "xmpp-client"][..], Some(&b"xmpp-client"[..])), (&[], None)] {
        client.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
        let (near, far) = connect(&tls, &client, "montague.example", None, true).await;
        assert_eq!(near.unwrap().get_ref().1.alpn_protocol(), agreed);
        assert!(far.is_ok());
    }

    client.alpn_protocols = vec![b"xmpp-server".to_vec(), b"h2".to_vec()];
    let (near, far) = connect(&tls, &client, "montague.example", None, true).await;
    assert_eq!(alert(near), AlertDescription::NoApplicationProtocol);
    assert!(matches!(far, Err(AcceptError::Refused(Error::NoApplicationProtocol))));
    // Behind STARTTLS the protocol is settled, whatever a client offers.
    let (near, far) = shake_hands(&tls, &client, "montague.example", None).await;
    assert!(near.is_ok() && far.is_ok());
}

/// A client that sends its first bytes in one segment with its Finished.
#[tokio::test]
async fn bytes_in_the_segment_of_the_handshake_are_in_the_connection() {
    let bench = Bench::new();
    let tls = bench.start(vec![bench.pair("a", &["montague.example"])]);
    let (mut near, far) = sockets().await;
    let config = Arc::new(bench.client(&[&TLS13]));
    let name = ServerName::try_from("montague.example").unwrap();
    let client = async {
        let mut connection = rustls::ClientConnection::new(config, name).unwrap();
        let mut flight = Vec::new();
        connection.write_tls(&mut flight).unwrap();
        near.write_all(&flight).await.unwrap();
        while connection.is_handshaking() {
            let mut segment = [0; 4096];
            let length = near.read(&mut segment).await.unwrap();
            connection.read_tls(&mut &segment[..length]).unwrap();
            connection.process_new_packets().unwrap();
        }
        std::io::Write::write_all(&mut connection.writer(), b"<stream:stream>").unwrap();
        flight.clear();
        while connection.wants_write() {
            connection.write_tls(&mut flight).unwrap();
        }
        near.write_all(&flight).await.unwrap();
        near
    };
    let (_near, accepted) = tokio::join!(client, tls.accept(far, None, false, PATIENCE));
    let mut accepted = accepted.unwrap();
    let mut read = [0; 15];
    std::io::Read::read_exact(&mut accepted.connection.reader(), &mut read).unwrap();
    assert_eq!(&read, b"<stream:stream>");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_not_waited_for_longer_than_said() {
    let bench = Bench::new();
    let tls = bench.start(vec![bench.pair("a", &["montague.example"])]);
    let (_near, far) = sockets().await;
    let started = tokio::time::Instant::now();
    let accepted = tls.accept(far, None, true, Duration::from_secs(30)).await;
    assert!(matches!(accepted, Err(AcceptError::TimedOut)));
    assert_eq!(started.elapsed().as_secs(), 30);
}

#[tokio::test]
async fn what_is_no_tls_is_refused_and_one_who_leaves_has_closed() {
    let bench = Bench::new();
    let tls = bench.start(vec![bench.pair("a", &["montague.example"])]);
    let (mut near, far) = sockets().await;
    near.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let accepted = tls.accept(far, None, true, PATIENCE).await;
    assert!(matches!(accepted, Err(AcceptError::Refused(_))));

    let (near, far) = sockets().await;
    drop(near);
    assert!(matches!(tls.accept(far, None, true, PATIENCE).await, Err(AcceptError::Closed)));
}

fn alert<T>(near: std::io::Result<T>) -> AlertDescription {
    let Err(error) = near else { panic!("there was no alert") };
    match error.downcast::<Error>() {
        Ok(Error::AlertReceived(alert)) => alert,
        other => panic!("not an alert: {other:?}"),
    }
}
