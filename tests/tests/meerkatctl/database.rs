//! The database, with and without a server.

use meerkat_tests::postgres::PostgresServer;
use serde_json::Value;

use crate::server::{Said, Server, binaries, run};

/// `meerkatctl db`, in the environment of a server that would be started in this folder.
fn db(server: &Server, variables: &[(&str, &str)], arguments: &[&str]) -> Said {
    let mut command = std::process::Command::new(&binaries().tool);
    command.args(["db"]).args(arguments).arg("--data").arg(server.data());
    command.env_remove("MEERKAT_CONFIG").env_remove("MEERKAT_DATA").envs(variables.iter().copied());
    run(command, "")
}

#[test]
fn an_sqlite_file_is_made_looked_at_and_checked() {
    let mut server = Server::absent();
    let missing = db(&server, &[], &["status"]);
    assert_eq!(missing.code, 1);
    assert!(missing.error.contains("meerkat.db is not there"), "{}", missing.error);
    let made = db(&server, &[], &["migrate"]).done();
    assert!(made.contains("schema    8, the newest"), "{made}");
    server.run(&[]);
    server.started();
    server
        .ctl(&["account", "registerUser", "--domain", "localhost", "--username", "juliet", "--password", "x"])
        .done();
    // Beside the server.
    let status: Value = serde_json::from_str(&db(&server, &[], &["status", "--json"]).done()).expect("JSON");
    let status = &status["data"]["db"]["status"];
    assert_eq!((&status["store"], &status["accounts"]), (&"sqlite".into(), &1.into()), "{status}");
    assert_eq!(db(&server, &[], &["check"]).done(), "nothing contradicts itself\n");
    let refused = db(&server, &[], &["migrate"]);
    assert_eq!(refused.code, 1);
    assert!(refused.error.contains("serves") && refused.error.contains("already"), "{}", refused.error);
}

#[test]
fn a_postgres_database_is_made_served_and_checked() {
    let postgres = PostgresServer::start("");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let url = runtime.block_on(postgres.database());
    let variables = [
        ("MEERKAT__STORAGE__MAIN", "postgres"),
        ("MEERKAT__STORAGE__POSTGRES__URL", &*url),
        ("MEERKAT__MODULES__MAM__FULL_TEXT", "true"),
    ];
    let mut server = Server::absent();
    let empty = db(&server, &variables, &["status"]).done();
    assert!(empty.contains("schema    none yet"), "{empty}");
    assert_eq!(db(&server, &variables, &["check"]).code, 1);
    db(&server, &variables, &["migrate"]).done();
    server.run(&variables);
    server.started();
    server
        .ctl(&["account", "registerUser", "--domain", "localhost", "--username", "juliet", "--password", "x"])
        .done();
    let status = db(&server, &variables, &["status"]).done();
    assert!(status.contains("accounts  1\n") && status.contains("PostgreSQL 15"), "{status}");
    assert!(!status.contains("secret"), "the password is shown: {status}");
    assert!(status.contains("words     of all messages can be found\n"), "{status}");
    // Which server does what one at a time does.
    while !db(&server, &variables, &["status"]).done().contains("job       expiry: ") {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(db(&server, &variables, &["check"]).done(), "nothing contradicts itself\n");

    runtime.block_on(async {
        let database = url.rsplit('/').next().and_then(|name| name.split('?').next()).expect("a name");
        let sql = "INSERT INTO waiting VALUES (77, 1, 0); INSERT INTO account (number, jid, domain, created, roster_epoch)
                   VALUES (900, 'romeo@localhost', 'localhost', now(), 1)";
        postgres.execute(database, sql).await;
    });
    let found = db(&server, &variables, &["check"]);
    assert_eq!(found.code, 1);
    for finding in ["1 entries whose message is gone", "1 entries of accounts", "1 accounts with a number"] {
        assert!(found.out.contains(finding), "{}", found.out);
    }
}

/// A server is stopped in the middle of a job (SIGSTOP); its lease runs out and goes to another; it wakes up, is given
/// something to do at once, and believes that it still is its turn.
#[test]
fn a_server_that_slept_does_nothing_of_a_job_that_is_anothers() {
    let postgres = PostgresServer::start("fsync = off");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let url = runtime.block_on(postgres.database());
    let database = url.rsplit('/').next().and_then(|name| name.split('?').next()).expect("a name");
    let execute = |sql: &str| runtime.block_on(postgres.execute(database, sql));
    let variables = [("MEERKAT__STORAGE__MAIN", "postgres"), ("MEERKAT__STORAGE__POSTGRES__URL", &*url)];
    let mut server = Server::absent();
    server.run(&variables);
    server.started();
    server.account("juliet");
    while !db(&server, &variables, &["status"]).done().contains("job       expiry: ") {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    server.signal("-STOP");
    execute(
        "UPDATE lease SET until = clock_timestamp();
         SELECT meerkat_lease('expiry', 'another', 3600000);
         INSERT INTO file (name, owner, title, size, created, awaited_until, stored)
         SELECT '0123456789abcdef0123456789abcdef', number, 'a.txt', 1, now(), now() + interval '1 hour', true
         FROM account",
    );
    server.signal("-CONT");
    // The file is due now, and the server looks at once.
    server.ctl(&["account", "removeUser", "--user", "juliet@localhost"]).done();
    for _ in 0..100 {
        if server.log().contains("the lease of expiry is not held any more") {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    // It raises an error where it is gone.
    execute("DO $$ BEGIN ASSERT (SELECT count(*) FROM file WHERE owner IS NULL) = 1; END $$");
    let status = db(&server, &variables, &["status"]).done();
    assert!(status.contains("job       expiry: another since"), "{status}");
}

#[test]
fn a_server_waits_for_its_database_and_says_so() {
    let postgres = PostgresServer::stopped("");
    let url = postgres.url("postgres");
    let mut server = Server::absent();
    server.run(&[("MEERKAT__STORAGE__MAIN", "postgres"), ("MEERKAT__STORAGE__POSTGRES__URL", &url)]);
    let place = format!("127.0.0.1:{} (storage.postgres.url) cannot be reached", postgres.port());
    while !server.log().contains(&place) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(server.log().contains("The database is not there yet: waiting for it"), "{}", server.log());
    postgres.tell("start");
    server.started();
}
