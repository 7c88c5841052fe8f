//! Exchanges whose every byte is known from elsewhere.

use super::tests::{mechanism, plain_offer, secret};
use super::*;
use crate::sasl::{BindingType, ScramHash};

struct Vector {
    mechanism: &'static str,
    client_first: &'static str,
    server_nonce: &'static str,
    salt: &'static str,
    protection: Option<&'static str>,
    server_first: &'static str,
    client_final: &'static str,
    server_final: &'static str,
}

fn plays(vector: &Vector, offer: &Offer) {
    let mut exchange = Exchange::new(mechanism(vector.mechanism));
    let hash = exchange.mechanism().hash().expect("SCRAM");
    let step = exchange.respond(vector.client_first.as_bytes(), offer);
    assert!(matches!(&step, Step::Ask { username, authzid: None } if username == "user"), "{step:?}");
    let secret = secret(hash, "pencil", vector.salt, 4096);
    match exchange.answer_with(secret, vector.server_nonce, vector.protection) {
        Step::Challenge(data) => assert_eq!(String::from_utf8_lossy(&data), vector.server_first),
        other => panic!("{other:?}"),
    }
    match exchange.respond(vector.client_final.as_bytes(), offer) {
        Step::Done(data) => assert_eq!(String::from_utf8_lossy(&data), vector.server_final),
        other => panic!("{other:?}"),
    }
    // A repeated message finds the exchange over.
    let step = exchange.respond(vector.client_final.as_bytes(), offer);
    assert!(matches!(step, Step::Failed(AuthError::Malformed)), "{step:?}");
}

#[test]
fn rfc_5802_section_5() {
    let vector = Vector {
        mechanism: "SCRAM-SHA-1",
        client_first: "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
        server_nonce: "3rfcNHYJY1ZVvWVs7j",
        salt: "QSXCR+Q6sek8bf92",
        protection: None,
        server_first: "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
        client_final: "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        server_final: "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    };
    plays(&vector, &plain_offer());
}

#[test]
fn rfc_7677_section_3() {
    let vector = Vector {
        mechanism: "SCRAM-SHA-256",
        client_first: "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
        server_nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        salt: "W22ZaJ0SNY7soEsUEjb6gQ==",
        protection: None,
        server_first: "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                       s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        client_final: "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                       p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        server_final: "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    };
    plays(&vector, &plain_offer());
}

/// No RFC has one for SHA-512: the same exchange, computed with Python's `hashlib` and `hmac` by a
/// program that also gave the two above.
#[test]
fn sha_512() {
    let vector = Vector {
        mechanism: "SCRAM-SHA-512",
        client_first: "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
        server_nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
        salt: "W22ZaJ0SNY7soEsUEjb6gQ==",
        protection: None,
        server_first: "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                       s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        client_final: "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                       p=gMGXRcevScNtxZ6/8lQYpGtnsNAc3mGcmNomv+xnoOMw+3R2xNJdMNnzMlTN8PPC6wdp6dybEmDYXYTxwnYPJQ==",
        server_final: "v=ZQnYEgWQMFmmsM8aQMF0nDDCy/AgCzkwk8CmMZYcMg0vSVlKDanekLtifDSeVGT4\
                       +5ZxXnJq199RVG2rR7N7Zw==",
    };
    plays(&vector, &plain_offer());
}

/// The example of XEP-0474 section 5.3: a channel binding, an unknown attribute in the client's last
/// message, and the server's hash of its offer.
#[test]
fn xep_0474_section_5_3() {
    let mechanisms = [mechanism("SCRAM-SHA-1"), mechanism("SCRAM-SHA-1-PLUS")];
    let bindings: [(BindingType, &[u8]); 2] =
        [(BindingType::TlsServerEndPoint, b"another"), (BindingType::TlsExporter, b"THIS IS FAKE CB DATA")];
    let offer = Offer::of(&mechanisms, &bindings);
    let protection = offer.downgrade_protection(ScramHash::Sha1);
    assert_eq!(protection, "G6k/rBLDqgOhRRaCuuatSDFkJ08=");
    let vector = Vector {
        mechanism: "SCRAM-SHA-1-PLUS",
        client_first: "p=tls-exporter,,n=user,r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6",
        server_nonce: "a09117a6-ac50-4f2f-93f1-93799c2bddf6",
        salt: "QSXCR+Q6sek8bf92",
        protection: Some("G6k/rBLDqgOhRRaCuuatSDFkJ08="),
        server_first: "r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6a09117a6-ac50-4f2f-93f1-93799c2bddf6,\
                       s=QSXCR+Q6sek8bf92,i=4096,h=G6k/rBLDqgOhRRaCuuatSDFkJ08=",
        client_final: "c=cD10bHMtZXhwb3J0ZXIsLFRISVMgSVMgRkFLRSBDQiBEQVRB,\
                       r=12C4CD5C-E38E-4A98-8F6D-15C38F51CCC6a09117a6-ac50-4f2f-93f1-93799c2bddf6,\
                       x=19C6532F-1CF4-4A27-A18D-DC9CEA41BBB3,p=M/SIDjT+dfcxUh89jZEypRvFxB4=",
        server_final: "v=MQrMPvv7yv4x4Cq4W4Ih25EqS2c=",
    };
    plays(&vector, &offer);
}
