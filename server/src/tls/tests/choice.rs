use rustls::version::{TLS12, TLS13};

use super::super::choice::ascii;
use super::*;

#[tokio::test]
async fn sni_goes_before_to_and_to_before_the_default() {
    let bench = Bench::new();
    let montague = bench.pair("montague", &["montague.example", "unknown.example"]);
    let capulet = bench.pair("capulet", &["capulet.example", "unknown.example"]);
    let (montague_der, capulet_der) = (der_of(&montague.certificate), der_of(&capulet.certificate));
    let tls = bench.start(vec![montague, capulet]);
    for version in [&TLS12, &TLS13] {
        let client = bench.client(&[version]);
        for (name, to, expected) in [
            ("capulet.example", Some("montague.example"), &capulet_der),
            ("montague.example", Some("capulet.example"), &montague_der),
            ("capulet.example", None, &capulet_der),
        ] {
            let (near, _) = shake_hands(&tls, &client, name, to).await;
            assert_eq!(&shown(&near.unwrap()), expected, "{name} {to:?}");
        }
    }

    let mut client = bench.client(&[&TLS13]);
    client.enable_sni = false;
    for (to, expected) in [
        (Some("capulet.example"), &capulet_der),
        (Some("montague.example"), &montague_der),
        (Some("verona.example"), &montague_der),
        (None, &montague_der),
    ] {
        let (near, far) = shake_hands(&tls, &client, "unknown.example", to).await;
        assert_eq!(&shown(&near.unwrap()), expected, "{to:?}");
        assert_eq!(far.unwrap().sni, None);
    }
}

/// RFC 8446 section 4.4.2.2: the certificate fits the client's signature schemes, and in TLS 1.2 its cipher suites.
#[tokio::test]
async fn of_two_certificates_for_a_host_the_client_gets_the_first_that_it_can_use() {
    let bench = Bench::new();
    let modern = bench.pair("modern", &["capulet.example"]);
    let (certificate, key) = bench.sign(&["capulet.example"], &rcgen::PKCS_RSA_SHA256);
    let classic = bench.write("classic", &certificate, &key);
    let (modern_der, classic_der) = (der_of(&modern.certificate), der_of(&classic.certificate));
    let ecdsa_first = bench.start(vec![modern.clone(), classic.clone()]);
    let rsa_first = bench.start(vec![classic, modern]);

    let root = bench.authority.der();
    for version in [&TLS12, &TLS13] {
        for (key, only) in [("RSA", &classic_der), ("ECDSA", &modern_der)] {
            let client = client_of_one_kind(root.clone(), version, key);
            for tls in [&ecdsa_first, &rsa_first] {
                let (near, _) = shake_hands(tls, &client, "capulet.example", None).await;
                assert_eq!(&shown(&near.unwrap()), only, "{key} {version:?}");
            }
        }
        let both = bench.client(&[version]);
        for (tls, first) in [(&ecdsa_first, &modern_der), (&rsa_first, &classic_der)] {
            let (near, _) = shake_hands(tls, &both, "capulet.example", None).await;
            assert_eq!(&shown(&near.unwrap()), first, "{version:?}");
        }
    }
}

/// A client that can verify no other keys; before TLS 1.3 its cipher suites say so too.
fn client_of_one_kind(
    root: CertificateDer<'static>,
    version: &'static SupportedProtocolVersion,
    key: &str,
) -> ClientConfig {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|suite| {
        let name = format!("{:?}", suite.suite());
        name.starts_with("TLS13") || name.contains(&format!("_{key}_"))
    });
    let schemes = provider.signature_verification_algorithms.mapping.iter();
    let schemes: Vec<_> =
        schemes.filter(|(scheme, _)| format!("{scheme:?}").starts_with(key)).copied().collect();
    provider.signature_verification_algorithms.mapping = schemes.leak();
    client_with(provider, root, &[version])
}

#[test]
fn the_default_is_the_certificate_of_the_first_served_domain() {
    let bench = Bench::new();
    let tls =
        bench.start(vec![bench.pair("b", &["capulet.example"]), bench.pair("a", &["montague.example"])]);
    assert_eq!(file(&tls, None), "a.crt");
}

#[test]
fn a_configured_host_goes_before_the_names_of_certificates() {
    let bench = Bench::new();
    let mut wide = bench.pair("wide", &["capulet.example", "montague.example", "chat.example"]);
    wide.hosts = Some(hosts(&["montague.example"]));
    let narrow = bench.pair("narrow", &["capulet.example", "montague.example"]);
    let tls = bench.start(vec![wide, narrow]);
    assert_eq!(file(&tls, Some("montague.example")), "wide.crt");
    assert_eq!(file(&tls, Some("capulet.example")), "narrow.crt");
    // A name that nobody else has, an SRV target for instance.
    assert_eq!(file(&tls, Some("chat.example")), "wide.crt");
}

/// RFC 6125 section 6.4.3.
#[test]
fn a_wildcard_stands_for_one_label() {
    let bench = Bench::new();
    let tls = bench.start(vec![
        bench.pair("first", &["montague.example"]),
        bench.pair("wild", &["*.capulet.example"]),
        bench.pair("exact", &["juliet.capulet.example"]),
    ]);
    assert_eq!(file(&tls, Some("nurse.capulet.example")), "wild.crt");
    assert_eq!(file(&tls, Some("juliet.capulet.example")), "exact.crt");
    assert_eq!(file(&tls, Some("a.nurse.capulet.example")), "first.crt");
    assert_eq!(file(&tls, Some("capulet.example")), "first.crt");
}

#[test]
fn names_are_compared_in_lower_case_ascii() {
    let bench = Bench::new();
    let tls = bench.start(vec![
        bench.pair("first", &["montague.example"]),
        bench.pair("second", &["XN--Mnchen-3ya.example"]),
    ]);
    for name in ["münchen.example", "MÜNCHEN.example", "xn--mnchen-3ya.example", "xn--mnchen-3ya.example."]
    {
        assert_eq!(file(&tls, Some(name)), "second.crt", "{name}");
    }
}

#[test]
fn what_has_no_ascii_form_is_no_error() {
    for odd in ["", ".", "a..b", "xn--", "\u{0}\u{fffd}", &"ä".repeat(4000), "[::1]", "127.0.0.1"] {
        let _ = ascii(odd);
    }
    assert_eq!(ascii("[::1]"), "::1");
}

fn file(tls: &Tls, name: Option<&str>) -> String {
    let choice = tls.choice.load();
    let by_sni = choice.choose(name, None, |_| true).certificate.file.clone();
    let by_to = choice.choose(None, name, |_| true).certificate.file.clone();
    assert_eq!(by_sni, by_to);
    by_sni.file_name().unwrap().to_string_lossy().into_owned()
}
