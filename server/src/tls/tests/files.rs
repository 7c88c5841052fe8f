use std::io::Write;
use std::sync::Mutex;

use rustls::version::TLS13;

use super::super::watch::Patience;
use super::*;

/// Runs a check and returns the lines that it logged.
fn logged<T>(check: impl FnOnce() -> T) -> (T, Vec<String>) {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let sink = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || sink.clone())
        .with_ansi(false)
        .without_time()
        .with_max_level(tracing::Level::INFO)
        .finish();
    let result = tracing::subscriber::with_default(subscriber, check);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    (result, text.lines().map(str::to_owned).collect())
}

fn is_shown(tls: &Tls, file: &Path) -> bool {
    let choice = tls.choice.load();
    choice.choose(Some("montague.example"), None, |_| true).certificate.certified.cert[0] == der_of(file)
}

#[tokio::test]
async fn a_new_pair_is_taken_up_and_a_connection_keeps_the_old_one() {
    let bench = Bench::new();
    let pair = bench.pair("a", &["montague.example", "capulet.example"]);
    let old = der_of(&pair.certificate);
    let tls = bench.start(vec![pair.clone()]);
    let client = bench.client(&[&TLS13]);
    let (before, held) = shake_hands(&tls, &client, "montague.example", None).await;

    bench.pair("a", &["montague.example", "capulet.example"]);
    let (seen, lines) = logged(|| tls.look(Patience::LookAgain));
    assert!(seen);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("a new certificate is in use"), "{lines:?}");

    let mut client = client;
    client.resumption = rustls::client::Resumption::disabled();
    let (after, _) = shake_hands(&tls, &client, "montague.example", None).await;
    assert_eq!(shown(&before.unwrap()), old);
    assert_eq!(shown(&after.unwrap()), der_of(&pair.certificate));
    drop(held);
}

#[test]
fn an_unchanged_file_is_not_read_again() {
    let bench = Bench::new();
    let tls = bench.start(vec![bench.pair("a", &["montague.example"])]);
    let before = tls.choice.load_full();
    let (seen, lines) = logged(|| tls.look(Patience::Refuse));
    assert!(seen && lines.is_empty());
    assert!(Arc::ptr_eq(&before, &tls.choice.load_full()));
}

#[test]
fn a_wrong_pair_is_refused_with_one_line_and_the_old_one_stays() {
    let bench = Bench::new();
    let pair = bench.pair("a", &["montague.example"]);
    let tls = bench.start(vec![pair.clone()]);
    fs::copy(&pair.certificate, bench.path("old.crt")).unwrap();
    let (other, _) = bench.sign(&["montague.example"], &rcgen::PKCS_ECDSA_P256_SHA256);
    for (wrong, reason) in [
        (other.as_str(), "holds a key that does not belong to the certificate in"),
        ("rubbish", "holds no certificate in PEM"),
    ] {
        fs::write(&pair.certificate, wrong).unwrap();
        // The first look waits for the other half of a change.
        let (seen, lines) = logged(|| tls.look(Patience::LookAgain));
        assert!(!seen && lines.is_empty(), "{lines:?}");
        let (_, lines) = logged(|| tls.look(Patience::Refuse));
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains(&*pair.certificate.to_string_lossy()), "{lines:?}");
        assert!(lines[0].contains(reason), "{lines:?}");
        assert!(is_shown(&tls, &bench.path("old.crt")));
        // It is not said again until the file changes again.
        let (seen, lines) = logged(|| tls.look(Patience::Refuse));
        assert!(seen && lines.is_empty(), "{lines:?}");
    }

    fs::remove_file(&pair.certificate).unwrap();
    let (_, lines) = logged(|| tls.look(Patience::Refuse));
    assert!(lines.len() == 1 && lines[0].contains("cannot be read"), "{lines:?}");
    assert!(is_shown(&tls, &bench.path("old.crt")));

    bench.pair("a", &["montague.example"]);
    assert!(tls.look(Patience::LookAgain));
    assert!(is_shown(&tls, &pair.certificate));
}

/// The folder that a Kubernetes secret is mounted as: links to a folder that is replaced as a whole.
#[test]
fn a_replaced_link_is_seen() {
    let bench = Bench::new();
    for (folder, size) in [("one", 0), ("two", 1)] {
        fs::create_dir(bench.path(folder)).unwrap();
        let (crt, key) = bench.sign(&["montague.example"], &rcgen::PKCS_ECDSA_P256_SHA256);
        fs::write(bench.path(folder).join("tls.crt"), crt + &"\n".repeat(size)).unwrap();
        fs::write(bench.path(folder).join("tls.key"), key).unwrap();
    }
    let link = bench.path("data");
    std::os::unix::fs::symlink("one", &link).unwrap();
    let pair =
        config::Certificate { certificate: link.join("tls.crt"), key: link.join("tls.key"), hosts: None };
    let tls = bench.start(vec![pair.clone()]);
    std::os::unix::fs::symlink("two", bench.path("next")).unwrap();
    fs::rename(bench.path("next"), &link).unwrap();
    assert!(tls.look(Patience::LookAgain));
    assert!(is_shown(&tls, &bench.path("two/tls.crt")));
}

#[tokio::test(start_paused = true)]
async fn the_watch_sees_a_change_within_its_interval() {
    let bench = Bench::new();
    let pair = bench.pair("a", &["montague.example"]);
    let tls = Arc::new(bench.start(vec![pair.clone()]));
    let watch = tokio::spawn(tls.clone().watch());
    tokio::time::sleep(Duration::from_secs(15)).await;
    fs::write(&pair.certificate, bench.sign(&["montague.example"], &rcgen::PKCS_ECDSA_P256_SHA256).0)
        .unwrap();
    // The key comes a moment later; nothing is refused meanwhile.
    tokio::time::sleep(Duration::from_millis(5_500)).await;
    bench.pair("a", &["montague.example"]);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(is_shown(&tls, &pair.certificate));
    watch.abort();
}

/// A long interval does not keep a shorter one from being obeyed.
#[tokio::test(start_paused = true)]
async fn a_reload_changes_the_interval_at_once() {
    let bench = Bench::new();
    let pair = bench.pair("a", &["montague.example"]);
    let rare = config::Tls { watch_seconds: 86_400, ..settings(vec![pair.clone()]) };
    let tls = Arc::new(bench.start_with(&rare));
    let watch = tokio::spawn(tls.clone().watch());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(tls.reload(&settings(vec![pair.clone()]), &hosts(&["montague.example"])).len(), 0);
    bench.pair("a", &["montague.example"]);
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert!(is_shown(&tls, &pair.certificate));
    watch.abort();
}

#[test]
fn a_reload_takes_up_pairs_and_hosts_and_names_what_it_refuses() {
    let bench = Bench::new();
    let a = bench.pair("a", &["montague.example"]);
    let tls = bench.start(vec![a.clone()]);
    fs::copy(&a.certificate, bench.path("old.crt")).unwrap();

    // A pair more, and one that was good and is not now.
    let b = bench.pair("b", &["capulet.example"]);
    fs::write(&a.key, "rubbish").unwrap();
    let wanted = settings(vec![b.clone(), a.clone()]);
    let (errors, lines) = logged(|| tls.reload(&wanted, &hosts(&["montague.example", "capulet.example"])));
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].key, "tls.certificates[1].key");
    assert_eq!(lines.iter().filter(|line| line.contains("ERROR")).count(), 1, "{lines:?}");
    assert!(is_shown(&tls, &bench.path("old.crt")));
    let files = tls.certificates().into_iter().map(|status| status.file);
    assert_eq!(files.collect::<Vec<_>>(), [b.certificate.clone(), a.certificate]);

    // Nothing good at all: everything stays.
    let c = bench.write("c", "", "");
    assert_eq!(tls.reload(&settings(vec![c]), &hosts(&["montague.example"])).len(), 1);
    assert!(is_shown(&tls, &bench.path("old.crt")));

    // A pair that is configured no more goes.
    assert!(tls.reload(&settings(vec![b.clone()]), &hosts(&["capulet.example"])).is_empty());
    assert_eq!(tls.certificates().len(), 1);
    assert!(is_shown(&tls, &b.certificate));
}

#[test]
fn an_expired_certificate_is_taken_with_a_warning() {
    let bench = Bench::new();
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new(vec!["montague.example".to_owned()]).unwrap();
    parameters.not_before = rcgen::date_time_ymd(2001, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(2002, 1, 1);
    let certificate = parameters.signed_by(&key, &bench.authority).unwrap();
    let pair = bench.write("a", &certificate.pem(), &key.serialize_pem());
    let (tls, lines) = logged(|| bench.start(vec![pair.clone()]));
    assert!(lines[0].contains("WARN") && lines[0].contains("a.crt has expired"), "{lines:?}");
    // The other served domain has none.
    assert!(lines[1].contains("capulet.example"), "{lines:?}");
    assert_eq!(lines.len(), 2);
    assert_eq!(tls.certificates()[0].expires, 1_009_843_200);
    assert_eq!(tls.certificates()[0].names, ["montague.example"]);
    assert!(!tls.certificates()[0].self_signed);
}
