use std::os::unix::fs::PermissionsExt;

use rustls::version::TLS13;

use super::super::self_signed::{ensure, files, serves};
use super::super::watch::Patience;
use super::*;

const DAY: u64 = 86_400;
/// 2027.
const NOW: u64 = 1_800_000_000;

fn provider() -> rustls::crypto::CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn mode(file: &Path) -> u32 {
    fs::metadata(file).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn without_a_certificate_one_is_made_for_all_domains_and_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let served = hosts(&["montague.example", "münchen.example", "127.0.0.1"]);
    let start = || Tls::start(&settings(vec![]), &served, &folder.path().join("data"), SECRET).unwrap();
    let tls = start();
    let files = files(&folder.path().join("data"));
    assert_eq!(mode(&files.key), 0o600);
    assert_eq!(mode(files.key.parent().unwrap()), 0o700);
    assert_eq!(fs::read_dir(files.key.parent().unwrap()).unwrap().count(), 2);
    let status = &tls.certificates()[0];
    assert!(status.self_signed);
    assert_eq!(status.names, ["montague.example", "xn--mnchen-3ya.example", "127.0.0.1"]);

    // A client that was told to trust it does so for each of them.
    let made = der_of(&files.certificate);
    let client = client(made.clone(), &[&TLS13]);
    for name in ["montague.example", "xn--mnchen-3ya.example", "127.0.0.1"] {
        let (near, _) = shake_hands(&tls, &client, name, None).await;
        assert_eq!(shown(&near.unwrap()), made);
    }
    start();
    assert_eq!(der_of(&files.certificate), made);
}

#[test]
fn it_is_made_anew_when_the_hosts_change_or_it_ends_soon_or_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let two = names(&["montague.example", "capulet.example"]);
    let make = |hosts: &[String], now| ensure(folder.path(), hosts, &provider(), now).unwrap();
    assert!(make(&two, NOW));
    assert!(!make(&two, NOW));
    let other_order = names(&["capulet.example", "montague.example"]);
    assert!(!make(&other_order, NOW));

    assert!(!make(&two, NOW + 334 * DAY));
    assert!(make(&two, NOW + 336 * DAY));
    assert!(!make(&two, NOW + 336 * DAY));

    assert!(make(&names(&["montague.example"]), NOW + 336 * DAY));
    assert!(make(&two, NOW + 336 * DAY));

    fs::write(files(folder.path()).key, "").unwrap();
    assert!(make(&two, NOW + 336 * DAY));
    let certificate = files(folder.path()).load(&provider()).unwrap();
    assert!(serves(&certificate, &two, NOW + 336 * DAY));
    assert_eq!(mode(&files(folder.path()).key), 0o600);
}

#[test]
fn one_that_ends_soon_is_renewed_while_the_server_runs() {
    let folder = tempfile::tempdir().unwrap();
    let served = hosts(&["montague.example"]);
    let tls = Tls::start(&settings(vec![]), &served, folder.path(), SECRET).unwrap();
    // As if it had been made nearly a year ago; the time of day is the machine's.
    let files = files(folder.path());
    fs::remove_file(&files.key).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(ensure(folder.path(), &names(&["montague.example"]), &provider(), now - 340 * DAY).unwrap());
    assert!(tls.look(Patience::Refuse));
    let old = tls.certificates()[0].expires;
    assert!(old < (now + 30 * DAY) as i64);

    assert!(tls.look(Patience::Refuse));
    assert!(tls.certificates()[0].expires > (now + 360 * DAY) as i64);
}

#[test]
fn a_reload_with_other_hosts_makes_another() {
    let folder = tempfile::tempdir().unwrap();
    let tls = Tls::start(&settings(vec![]), &hosts(&["montague.example"]), folder.path(), SECRET).unwrap();
    let both = hosts(&["montague.example", "capulet.example"]);
    assert!(tls.reload(&settings(vec![]), &both).is_empty());
    assert_eq!(tls.certificates()[0].names, ["montague.example", "capulet.example"]);
}
