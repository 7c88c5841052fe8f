use aws_lc_rs::digest;
use x509_parser::der_parser::oid::Oid;
use x509_parser::prelude::FromDer;
use x509_parser::x509::AlgorithmIdentifier;

use super::super::certificate::{FILE_MAX_BYTES, binding_hash};
use super::*;

/// What a start with this pair says, the folder's name cut out.
fn refusal(bench: &Bench, pair: config::Certificate) -> String {
    let started =
        Tls::start(&settings(vec![pair]), &hosts(&["montague.example"]), bench.folder.path(), SECRET);
    let errors = started.map(|_| ()).unwrap_err();
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    texts.join("\n").replace(&format!("{}/", bench.folder.path().display()), "")
}

#[test]
fn a_pair_that_cannot_be_used_is_named_with_its_key_file_and_reason() {
    let bench = Bench::new();
    let (crt, key) = bench.sign(&["montague.example"], &rcgen::PKCS_ECDSA_P256_SHA256);
    let (_, other_key) = bench.sign(&["montague.example"], &rcgen::PKCS_ECDSA_P256_SHA256);
    let cut = |pem: &str| pem[..pem.len() / 2].to_owned();
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGb\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let encrypted_sec1 =
        key.replace("KEY-----\nM", "KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nM");
    let no_certificate = "-----BEGIN CERTIFICATE-----\nMIGb\n-----END CERTIFICATE-----\n";
    let no_key = "-----BEGIN PRIVATE KEY-----\nMIGb\n-----END PRIVATE KEY-----\n";
    for (crt, key, expected) in [
        ("", key.as_str(), "certificate: p.crt holds no certificate in PEM"),
        (&key, &key, "certificate: p.crt holds no certificate in PEM"),
        (&crt, "", "key: p.key holds no private key in PEM"),
        (&crt, &crt, "key: p.key holds no private key in PEM"),
        (&crt, &other_key, "key: p.key holds a key that does not belong to the certificate in p.crt"),
        (&crt, encrypted, "key: p.key holds a key with a passphrase; give it without one"),
        (&crt, &encrypted_sec1, "key: p.key holds a key with a passphrase; give it without one"),
        (no_certificate, &key, "certificate: p.crt holds a certificate that cannot be used: "),
        (&crt, no_key, "key: p.key holds a private key that cannot be used: "),
        (&cut(&crt), &key, "certificate: p.crt is not PEM: "),
        (&crt, &cut(&key), "key: p.key is not PEM: "),
        (&"-".repeat(FILE_MAX_BYTES as usize + 1), &key, "certificate: p.crt is larger than 1048576 bytes"),
    ] {
        let said = refusal(&bench, bench.write("p", crt, key));
        assert!(said.starts_with(&format!("tls.certificates[0].{expected}")), "{said}");
        assert!(!said.contains('\n'), "{said}");
        assert!(said.len() < 300, "{said}");
    }
}

#[test]
fn a_file_that_is_not_there_or_may_not_be_read_is_named() {
    let bench = Bench::new();
    let mut pair = bench.pair("p", &["montague.example"]);
    fs::remove_file(&pair.key).unwrap();
    assert_eq!(
        refusal(&bench, pair.clone()),
        "tls.certificates[0].key: p.key cannot be read: No such file or directory (os error 2)"
    );
    pair.certificate = bench.folder.path().to_owned();
    assert!(refusal(&bench, pair).contains("cannot be read: Is a directory"));
}

#[test]
fn all_wrong_pairs_are_named_at_once() {
    let bench = Bench::new();
    let pairs =
        vec![bench.write("a", "", ""), bench.pair("b", &["montague.example"]), bench.write("c", "", "")];
    let started = Tls::start(&settings(pairs), &hosts(&["montague.example"]), bench.folder.path(), SECRET);
    let keys: Vec<String> = started.map(|_| ()).unwrap_err().into_iter().map(|error| error.key).collect();
    assert_eq!(keys, ["tls.certificates[0].certificate", "tls.certificates[2].certificate"]);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let bench = Bench::new();
    // A file in the way stops root too.
    fs::write(bench.path("tls"), "").unwrap();
    let started = Tls::start(&settings(vec![]), &hosts(&["montague.example"]), bench.folder.path(), SECRET);
    let errors = started.map(|_| ()).unwrap_err();
    assert_eq!(errors.len(), 1);
    let expected = format!("general.data_dir: {} cannot be written: ", bench.path("tls").display());
    assert!(errors[0].to_string().starts_with(&expected), "{}", errors[0]);
}

/// RFC 5929 section 4.1.
#[test]
fn the_end_point_is_hashed_as_the_certificate_is_signed() {
    let simple = |oid: &str| {
        let numbers: Vec<u64> = oid.split('.').map(|number| number.parse().unwrap()).collect();
        binding_hash(&AlgorithmIdentifier::new(Oid::from(&numbers).unwrap(), None))
    };
    let rsa = "1.2.840.113549.1.1";
    for (oid, expected) in [
        (format!("{rsa}.4"), Some(&digest::SHA256)),
        (format!("{rsa}.5"), Some(&digest::SHA256)),
        (format!("{rsa}.11"), Some(&digest::SHA256)),
        (format!("{rsa}.12"), Some(&digest::SHA384)),
        (format!("{rsa}.13"), Some(&digest::SHA512)),
        ("1.2.840.10045.4.1".into(), Some(&digest::SHA256)),
        ("1.2.840.10045.4.3.2".into(), Some(&digest::SHA256)),
        ("1.2.840.10045.4.3.3".into(), Some(&digest::SHA384)),
        ("1.2.840.10045.4.3.4".into(), Some(&digest::SHA512)),
        // Ed25519 uses no hash that could be named.
        ("1.3.101.112".into(), None),
    ] {
        assert_eq!(simple(&oid), expected, "{oid}");
    }
}

/// `signatureAlgorithm` of certificates that OpenSSL signed with RSASSA-PSS.
#[test]
fn the_end_point_of_an_rsa_pss_certificate_takes_the_hash_of_its_parameters() {
    const HEAD: &str = "06092a864886f70d01010a";
    let pss = |length: &str, hash: &str, mask: &str, salt: &str| {
        let digest = |last: &str| format!("300d060960864801650304020{last}0500");
        let mask = format!("a11c301a06092a864886f70d010108{}", digest(mask));
        format!("{length}a00f{}{mask}{salt}", digest(hash))
    };
    for (parameters, expected) in [
        // All by default: SHA-1.
        ("300d06092a864886f70d01010a3000".to_owned(), Some(&digest::SHA256)),
        (pss(&format!("3041{HEAD}3034"), "1", "1", "a203020120"), Some(&digest::SHA256)),
        (pss(&format!("3041{HEAD}3034"), "2", "2", "a203020130"), Some(&digest::SHA384)),
        (pss(&format!("3041{HEAD}3034"), "3", "3", "a203020140"), Some(&digest::SHA512)),
        // Two hashes.
        (pss(&format!("3042{HEAD}3035"), "1", "3", "a204020200de"), None),
    ] {
        let der = hex::decode(&parameters).unwrap();
        let (_, algorithm) = AlgorithmIdentifier::from_der(&der).unwrap();
        assert_eq!(binding_hash(&algorithm), expected, "{parameters}");
    }
}

#[tokio::test]
async fn each_kind_of_key_is_served_with_its_end_point() {
    let bench = Bench::new();
    for (kind, hash) in [
        (&rcgen::PKCS_ECDSA_P256_SHA256, &digest::SHA256),
        (&rcgen::PKCS_ECDSA_P384_SHA384, &digest::SHA256),
        (&rcgen::PKCS_RSA_SHA256, &digest::SHA256),
        (&rcgen::PKCS_ED25519, &digest::SHA256),
    ] {
        let (crt, key) = bench.sign(&["montague.example"], kind);
        let tls = bench.start(vec![bench.write("p", &crt, &key)]);
        let client = bench.client(rustls::DEFAULT_VERSIONS);
        let (near, far) = shake_hands(&tls, &client, "montague.example", None).await;
        let expected = digest::digest(hash, &shown(&near.unwrap())).as_ref().to_vec();
        // What counts is the authority's signature, which is ECDSA with SHA-256, and not the key.
        assert_eq!(far.unwrap().info.server_end_point, Some(expected));
    }
}
