//! Brokers that want to know who it is, over TLS.

use meerkat_tests::kafka::USER;

use crate::server::Server;
use crate::stage::*;

fn variables<'v>(
    broker: &'v str,
    authority: &'v str,
    sasl: &'v str,
    password: &'v str,
) -> [(&'static str, &'v str); 6] {
    [
        (BROKERS, broker),
        ("MEERKAT__STORAGE__KAFKA__TLS", "true"),
        ("MEERKAT__STORAGE__KAFKA__CA", authority),
        ("MEERKAT__STORAGE__KAFKA__SASL", sasl),
        ("MEERKAT__STORAGE__KAFKA__USERNAME", USER.0),
        ("MEERKAT__STORAGE__KAFKA__PASSWORD", password),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mechanism_over_tls() {
    let _turn = turn().await;
    let kafka = kafka().await;
    let (broker, authority) = (kafka.secure_broker(), kafka.authority());
    let authority = authority.to_str().expect("UTF-8");
    let mechanisms = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];
    for mechanism in mechanisms {
        let server = Server::start_with(&variables(&broker, authority, mechanism, USER.1));
        server.account("romeo");
        drained(&server);
        assert!(!server.log().contains(USER.1), "the password is in the log");
    }
    assert_eq!(events(&kafka, ACCOUNT).len(), mechanisms.len());

    let trouble = |variables: &[(&str, &str)]| {
        let server = Server::start_with(variables);
        server.account("romeo");
        let status = until(&server, "in trouble", |status| !status["trouble"].is_null());
        status["trouble"].as_str().expect("a sentence").to_owned()
    };
    let wrong = trouble(&variables(&broker, authority, "SCRAM-SHA-512", "wrong"));
    assert!(wrong.contains(&broker) && wrong.contains("storage.kafka.password"), "{wrong}");
    // An authority that never signed the broker's certificate.
    let other = meerkat_tests::kafka::KafkaServer::stopped("");
    let other_authority = other.authority();
    let stranger = other_authority.to_str().expect("UTF-8");
    let wrong = trouble(&variables(&broker, stranger, "SCRAM-SHA-512", USER.1));
    assert!(wrong.contains(&broker) && wrong.contains("storage.kafka.ca"), "{wrong}");
    assert_eq!(events(&kafka, ACCOUNT).len(), mechanisms.len());
}
