use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};
use tokio::io::AsyncReadExt;

use super::*;

/// Connects, and reads what the server sends behind its handshake: a ticket, in TLS 1.3.
async fn kind(tls: &Tls, client: &ClientConfig) -> HandshakeKind {
    let (near, far) = shake_hands(tls, client, "montague.example", Some("montague.example")).await;
    let (mut near, far) = (near.unwrap(), far.unwrap());
    let kind = near.get_ref().1.handshake_kind().unwrap();
    assert_eq!(far.connection.handshake_kind(), Some(kind));
    drop(far);
    let _ = near.read(&mut [0; 1]).await;
    kind
}

#[tokio::test]
async fn a_client_resumes_by_a_ticket_and_again() {
    let bench = Bench::new();
    let tls = bench.start(vec![bench.pair("a", &["montague.example"])]);
    for version in [&TLS12, &TLS13] {
        let client = bench.client(&[version]);
        assert_eq!(kind(&tls, &client).await, HandshakeKind::Full);
        for _ in 0..3 {
            assert_eq!(kind(&tls, &client).await, HandshakeKind::Resumed, "{version:?}");
        }
    }
}

#[tokio::test]
async fn a_resumed_connection_binds_to_the_same_certificate_and_to_keys_of_its_own() {
    let bench = Bench::new();
    let tls = bench.start(vec![bench.pair("a", &["montague.example"])]);
    let client = bench.client(&[&TLS13]);
    let (first, accepted) = shake_hands(&tls, &client, "montague.example", None).await;
    let accepted = accepted.unwrap();
    let (info, mut first) = (accepted.info, first.unwrap());
    drop((accepted.socket, accepted.connection));
    let _ = first.read(&mut [0; 1]).await;

    let (near, far) = shake_hands(&tls, &client, "montague.example", None).await;
    let (near, far) = (near.unwrap(), far.unwrap());
    let (_, connection) = near.get_ref();
    assert_eq!(connection.handshake_kind(), Some(HandshakeKind::Resumed));
    let theirs = connection.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", None).unwrap();
    assert_eq!(far.info.exporter, Some(theirs));
    assert_ne!(far.info.exporter, info.exporter);
    assert_eq!(far.info.server_end_point, info.server_end_point);
}

#[tokio::test]
async fn another_node_with_the_same_secret_resumes_and_one_with_another_does_not() {
    let bench = Bench::new();
    let settings = settings(vec![bench.pair("a", &["montague.example"])]);
    let node =
        |secret| Tls::start(&settings, &hosts(&["montague.example"]), bench.folder.path(), secret).unwrap();
    for version in [&TLS12, &TLS13] {
        let client = bench.client(&[version]);
        assert_eq!(kind(&node([1; 32]), &client).await, HandshakeKind::Full);
        assert_eq!(kind(&node([1; 32]), &client).await, HandshakeKind::Resumed);
        assert_eq!(kind(&node([2; 32]), &client).await, HandshakeKind::Full);
    }
}

#[tokio::test]
async fn with_another_certificate_the_handshake_is_a_full_one() {
    let bench = Bench::new();
    let tls = bench.start(vec![bench.pair("a", &["montague.example"])]);
    let client = bench.client(&[&TLS13]);
    assert_eq!(kind(&tls, &client).await, HandshakeKind::Full);
    bench.pair("a", &["montague.example"]);
    assert!(tls.look(super::super::watch::Patience::Refuse));
    assert_eq!(kind(&tls, &client).await, HandshakeKind::Full);
    assert_eq!(kind(&tls, &client).await, HandshakeKind::Resumed);
}

#[tokio::test]
async fn without_tickets_every_handshake_is_a_full_one() {
    let bench = Bench::new();
    let mut settings = settings(vec![bench.pair("a", &["montague.example"])]);
    settings.session_tickets = false;
    let tls = bench.start_with(&settings);
    for version in [&TLS12, &TLS13] {
        let client = bench.client(&[version]);
        for _ in 0..3 {
            assert_eq!(kind(&tls, &client).await, HandshakeKind::Full);
        }
    }
}

#[tokio::test]
async fn a_handshake_gives_one_ticket() {
    let bench = Bench::new();
    let tls = bench.start(vec![bench.pair("a", &["montague.example"])]);
    let (near, far) = shake_hands(&tls, &bench.client(&[&TLS13]), "montague.example", None).await;
    let mut near = near.unwrap();
    drop(far);
    let _ = near.read(&mut [0; 1]).await;
    assert_eq!(near.get_ref().1.tls13_tickets_received(), 1);
}
