//! `meerkatctl doctor`, on real set-ups: one with which all is well, and others with which it is not
//! (docs/doctor.md).

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use meerkat_tests::names::NameServer;
use meerkat_tests::postgres::PostgresServer;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::Value;

use crate::server::{Said, Server, binaries, run};

/// The tool in the environment of a server that would be started in this folder.
fn doctor(server: &Server, variables: &[(&str, &str)], arguments: &[&str]) -> Said {
    let mut command = std::process::Command::new(&binaries().tool);
    command.arg("doctor").args(arguments).arg("--data").arg(server.data());
    for name in ["MEERKAT_CTL", "MEERKAT_CONFIG", "MEERKAT_DATA"] {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied());
    run(command, "")
}

/// What was said of a check, each as `level seen`.
fn of<'a>(report: &'a Value, check: &str) -> Vec<String> {
    let findings = report["data"]["server"]["doctor"]["findings"].as_array().expect("a list");
    let text = |value: &'a Value| value.as_str().unwrap_or_default();
    let of_check = findings.iter().filter(|finding| text(&finding["check"]) == check);
    of_check.map(|finding| format!("{} {}", text(&finding["level"]), text(&finding["seen"]))).collect()
}

#[track_caller]
fn expect(report: &Value, check: &str, expected: &str) {
    let found = of(report, check);
    assert!(found.iter().any(|said| said.contains(expected)), "{check}: {expected}\nis not in\n{report:#}");
}

fn json(said: &Said) -> Value {
    serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{:?} {}", said.out, said.error))
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

/// A certificate of an authority of its own; the authority's lies beside it.
fn certificate(folder: &Path, name: &str, host: &str, years: (i32, i32)) -> (PathBuf, PathBuf) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(authority, key).expect("signs");
    let mut params = CertificateParams::new(vec![host.to_owned()]).expect("a name");
    params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
    let key = KeyPair::generate().expect("a key");
    let signed = params.signed_by(&key, &authority).expect("signs");
    let file = |suffix: &str, text: String| {
        let file = folder.join(format!("{name}.{suffix}"));
        std::fs::write(&file, text).expect("a file");
        file
    };
    file("authority", authority.pem());
    (file("crt", signed.pem()), file("key", key.serialize_pem()))
}

#[test]
fn all_is_well() {
    let mut server = Server::absent();
    let (starttls, direct) = (free_port(), free_port());
    let names = NameServer::start(&[
        format!("_xmpp-client._tcp.example.test. 60 IN SRV 0 5 {starttls} xmpp.example.test."),
        format!("_xmpps-client._tcp.example.test. 60 IN SRV 0 5 {direct} xmpp.example.test."),
        "xmpp.example.test. 60 IN A 127.0.0.1".to_owned(),
        "xmpp.example.test. 60 IN AAAA ::1".to_owned(),
    ]);
    let postgres = PostgresServer::start("");
    let url = postgres.url("postgres");
    let (certificate, key) = certificate(server.folder(), "good", "example.test", (2020, 4000));
    let authority = server.folder().join("good.authority");
    let text = |value: &dyn std::fmt::Display| value.to_string();
    let variables = [
        ("MEERKAT__GENERAL__HOSTS", "example.test".to_owned()),
        ("MEERKAT__GENERAL__NAME_SERVERS", text(&names.address())),
        ("MEERKAT__LISTEN__C2S__0__PORT", text(&starttls)),
        ("MEERKAT__LISTEN__C2S__0__TLS", "starttls".to_owned()),
        ("MEERKAT__LISTEN__C2S__1__PORT", text(&direct)),
        ("MEERKAT__LIMITS__CONNECTIONS", "100".to_owned()),
        ("MEERKAT__LIMITS__CONNECTIONS_PER_ADDRESS", "50".to_owned()),
        ("MEERKAT__TLS__CERTIFICATES__0__CERTIFICATE", text(&certificate.display())),
        ("MEERKAT__TLS__CERTIFICATES__0__KEY", text(&key.display())),
        ("MEERKAT__STORAGE__MAIN", "postgres".to_owned()),
        ("MEERKAT__STORAGE__POSTGRES__URL", url),
        // What this machine trusts.
        ("SSL_CERT_FILE", text(&authority.display())),
    ];
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, &**value)).collect();

    // Before there is a server.
    let before = doctor(&server, &variables, &["--json"]);
    let report = json(&before);
    assert_eq!(before.code, 0, "{report:#}");
    expect(&report, "configuration", "no server answers here");
    expect(
        &report,
        "dns example.test",
        &format!("ok clients are sent to xmpp.example.test:{starttls} (127.0.0.1, ::1)"),
    );
    expect(&report, "certificate example.test", "good.crt is for it");
    expect(&report, &format!("c2s [::]:{starttls}"), "ok free for the server");
    expect(&report, "postgres", "its schema is 0");

    server.run(&variables);
    server.started();
    let after = doctor(&server, &variables, &["--json"]);
    let report = json(&after);
    assert_eq!(after.code, 0, "{report:#}");
    assert_eq!(report["data"]["server"]["doctor"]["failed"], 0);
    expect(&report, "configuration", "ok no file, so the defaults: no fault, and the server runs with it");
    expect(&report, "credentials", "ok no password that everybody knows");
    expect(&report, &format!("c2s 127.0.0.1:{starttls}"), "ok stream, STARTTLS, TLS 1.3, stream, in");
    expect(&report, &format!("c2s [::]:{direct}"), "ok TLS 1.3, stream, in");
    expect(
        &report,
        "postgres",
        &format!(
            "ok the database postgres at 127.0.0.1:{} (storage.postgres.url): PostgreSQL 15.",
            postgres.port()
        ),
    );
    expect(&report, "postgres", "a row was written, read and deleted");
    expect(&report, "clock", "ok the clock of the database");
    let findings = report["data"]["server"]["doctor"]["findings"].as_array().expect("a list");
    let kinds = |word: &str| {
        findings.iter().filter(|f| f["check"].as_str().is_some_and(|check| check.starts_with(word))).count()
    };
    assert_eq!(
        (kinds("http"), kinds("metrics"), kinds("disk"), kinds("memory"), kinds("limits")),
        (2, 1, 1, 1, 1)
    );
    // What depends on the machine may be worth a warning, and nothing else may.
    let machine = ["disk", "memory", "postgres"];
    let warned = findings
        .iter()
        .filter(|f| f["level"] == "warning" && !machine.contains(&f["check"].as_str().unwrap_or_default()));
    assert_eq!(warned.collect::<Vec<_>>(), Vec::<&Value>::new());
    let people = doctor(&server, &variables, &[]).done();
    assert!(
        people.lines().last().is_some_and(|line| line.ends_with(" with a warning, 0 failed")),
        "{people}"
    );

    // And then its database goes.
    postgres.tell("stop");
    let without = doctor(&server, &variables, &[]);
    assert_eq!(without.code, 1);
    let place = format!("127.0.0.1:{} (storage.postgres.url) cannot be reached", postgres.port());
    let line = without.out.lines().find(|line| line.starts_with("FAILED") && line.contains(&place));
    assert!(line.is_some_and(|line| line.contains("is PostgreSQL running")), "{}", without.out);
}

#[test]
fn much_is_wrong() {
    let server = Server::absent();
    let names = NameServer::start(&[
        "_xmpp-client._tcp.denied.test. 60 IN SRV 0 0 0 .".to_owned(),
        "_xmpp-client._tcp.lost.test. 60 IN SRV 0 5 5222 nowhere.test.".to_owned(),
        "_xmpp-server._tcp.lost.test. 60 IN SRV 0 5 5269 xmpp.test.".to_owned(),
        "xmpp.test. 60 IN A 127.0.0.1".to_owned(),
    ]);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port();
    let folder = server.folder();
    let (expired, expired_key) = certificate(folder, "expired", "denied.test", (2000, 2001));
    let (other, _) = certificate(folder, "other", "lost.test", (2000, 4000));
    let postgres = PostgresServer::start("");
    let file = server.file(
        "meerkat.toml",
        &format!(
            "[general]\nhosts = [\"denied.test\", \"lost.test\", \"absent.test\"]\nname_servers = [\"{}\"]\n\
             [[listen.c2s]]\nip = \"127.0.0.1\"\nport = {port}\n\
             [[listen.http]]\nport = 0\n[[listen.metrics]]\nip = \"127.0.0.1\"\nport = 0\n\
             [[tls.certificates]]\ncertificate = {expired:?}\nkey = {expired_key:?}\n\
             [[tls.certificates]]\ncertificate = {other:?}\nkey = {expired_key:?}\n\
             [storage]\nmain = \"postgres\"\n\
             [storage.postgres]\nurl = \"postgres://meerkat:wrong@127.0.0.1:{}/postgres\"\n",
            names.address(),
            postgres.port()
        ),
    );
    let config = file.to_str().expect("UTF-8");
    let said = doctor(&server, &[], &["--config", config, "--json"]);
    let report = json(&said);
    assert_eq!(said.code, 1);
    expect(
        &report,
        "dns denied.test",
        "failed _xmpp-client._tcp.denied.test says that there is no such service",
    );
    expect(
        &report,
        "dns lost.test",
        "failed clients are sent to nowhere.test:5222, and nowhere.test has no address",
    );
    expect(&report, "dns lost.test", "warning other servers are sent to xmpp.test:5269");
    expect(&report, "dns absent.test", "failed no client finds it: no SRV record, and no address");
    expect(&report, "certificate", "expired.crt (denied.test) has expired");
    expect(&report, "certificate", "failed tls.certificates[1].key: ");
    expect(&report, "certificate absent.test", "failed no certificate has its name");
    expect(&report, &format!("c2s 127.0.0.1:{port}"), "failed Address already in use");
    let place = format!(
        "failed the database postgres at 127.0.0.1:{} (storage.postgres.url) cannot be used",
        postgres.port()
    );
    expect(&report, "postgres", &place);
    expect(&report, "postgres", "look at the URL's user and password");
    assert!(!said.out.contains("wrong@"), "a password is shown: {}", said.out);

    // No configuration at all, and each of its faults with its place.
    server.file(
        "meerkat.toml",
        "[general]\nhost = []\n[storage.postgres]\nurl = \"postgres://meerkat:meerkat@db.test/meerkat\"\n",
    );
    let said = doctor(&server, &[], &["--config", config]);
    assert_eq!(said.code, 1);
    assert!(said.out.contains("meerkat.toml:2: general.host: unknown key"), "{}", said.out);
    assert!(
        said.out.contains("meerkat.toml:4: storage.postgres.url: has a password that everybody knows"),
        "{}",
        said.out
    );
    let allowed = doctor(&server, &[("MEERKAT__GENERAL__ENVIRONMENT", "development")], &["--config", config]);
    assert!(!allowed.out.contains("a password that everybody knows"), "{}", allowed.out);
}

/// A server that may have such a password says so itself.
#[test]
fn a_password_that_everybody_knows() {
    let server = Server::absent();
    let url = [("MEERKAT__STORAGE__POSTGRES__URL", "postgres://meerkat:meerkat@db.invalid:5432/meerkat")];
    let mut refused = server.command(&url);
    refused.arg("--check");
    let said = run(refused, "");
    assert_eq!(said.code, 1);
    assert_eq!(
        said.error,
        "MEERKAT__STORAGE__POSTGRES__URL: storage.postgres.url: has a password that everybody knows, to a service that \
         not only this machine can reach: set another; general.environment = \"development\" allows it\n"
    );
    for allowed in [
        [url[0], ("MEERKAT__GENERAL__ENVIRONMENT", "development")],
        [
            ("MEERKAT__STORAGE__POSTGRES__URL", "postgres://meerkat:meerkat@127.0.0.1:15432/meerkat"),
            ("A", "b"),
        ],
    ] {
        let mut command = server.command(&allowed);
        command.arg("--check");
        let said = run(command, "");
        assert_eq!((said.code, said.error.as_str()), (0, ""));
    }
}
