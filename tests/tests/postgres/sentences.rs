//! What an operator reads when the database cannot be used: which one, where, which key says so, and what to do.

use std::time::Duration;

use meerkat_tests::postgres::PostgresServer;
use server::plugins::postgres::Options;
use server::plugins::postgres::examine::examine;
use server::storage::Level;

/// What is said of a database that cannot be used.
async fn said(url: &str) -> String {
    let mut options = Options::new(url).expect("a URL");
    options.connect_limit = Duration::from_secs(5);
    let findings = examine(&options).await;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].level, Level::Failed);
    assert!(findings[0].advice.is_some());
    findings[0].seen.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_names_the_host_the_port_and_the_key() {
    let server = PostgresServer::shared();
    let port = server.port();
    let place = |database: &str, port: u16| {
        format!("the database {database} at 127.0.0.1:{port} (storage.postgres.url)")
    };

    let wrong = said(&format!("postgres://meerkat:wrong@127.0.0.1:{port}/postgres?sslmode=disable")).await;
    assert_eq!(
        wrong,
        format!(
            "{} cannot be used: password authentication failed for user \"meerkat\" (28P01): look at the URL's user and \
             password",
            place("postgres", port)
        )
    );
    let unknown = said(&server.url("nothing")).await;
    assert_eq!(
        unknown,
        format!(
            "{} cannot be used: database \"nothing\" does not exist (3D000): make it with CREATE DATABASE, or correct the \
             URL",
            place("nothing", port)
        )
    );
    let refused = said("postgres://meerkat:secret@127.0.0.1:1/postgres").await;
    assert_eq!(
        refused,
        format!(
            "{} cannot be reached: Connection refused (os error 111): is PostgreSQL running, and is that its port?",
            place("postgres", 1)
        )
    );
    let nameless = said("postgres://meerkat:secret@db.invalid:5432/postgres").await;
    assert!(
        nameless.starts_with(
            "the database postgres at db.invalid:5432 (storage.postgres.url) cannot be reached: "
        ),
        "{nameless}"
    );
    assert!(nameless.ends_with("does the resolver of this machine know it?"), "{nameless}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_that_one_side_wants_and_the_other_does_not() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let rules = folder.path().join("hba.conf");
    std::fs::write(&rules, "hostssl all all 127.0.0.1/32 scram-sha-256\n").expect("a file");
    // For the user who runs the database.
    for (path, mode) in [(folder.path(), 0o755), (rules.as_path(), 0o644)] {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).expect("its own");
    }
    let insists = PostgresServer::start(&format!("hba_file = '{}'", rules.display()));
    let plain = said(&insists.url("postgres")).await;
    assert!(
        plain.contains("no encryption")
            && plain.ends_with("put ?sslmode=require, or better verify-full, behind the URL"),
        "{plain}"
    );
    assert_eq!(
        examine(&Options::new(&insists.url_over_tls("postgres")).expect("a URL")).await[0].level,
        Level::Ok
    );

    let without = PostgresServer::start("ssl = off");
    let wanted = said(&without.url_over_tls("postgres")).await;
    assert!(wanted.contains(&format!("127.0.0.1:{}", without.port())), "{wanted}");
    assert!(wanted.contains("TLS") && wanted.contains("see sslmode"), "{wanted}");
}
