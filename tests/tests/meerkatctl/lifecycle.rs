use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::client::Client;
use crate::server::Server;

#[test]
fn started_waits_for_a_server_that_comes_later() {
    let mut server = Server::absent();
    let socket = server.socket().to_str().expect("UTF-8").to_owned();
    let waiting = thread::spawn(move || {
        crate::server::tool(&["--socket", &socket, "started", "--timeout", "60"], "").done()
    });
    thread::sleep(Duration::from_millis(300));
    assert!(!waiting.is_finished());
    server.run(&[]);
    let said = waiting.join().expect("it ends");
    assert!(said.starts_with("The server meerkat@") && said.ends_with(" is ready\n"), "{said}");
    assert_eq!(server.json(&["started"])["server"]["started"]["ready"], true);
}

#[test]
fn status_says_what_is_served_and_where() {
    let server = Server::start_with(&[("MEERKAT__GENERAL__HOSTS", "localhost,capulet.example")]);
    let status = server.json(&["status"]);
    assert_eq!(
        server.json(&["server", "status"])["server"]["status"]["pid"],
        status["server"]["status"]["pid"]
    );
    let status = &status["server"]["status"];
    assert_eq!(status["statusCode"], "RUNNING");
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["hosts"], json!(["localhost", "capulet.example"]));
    assert_eq!(status["dataDir"], server.data().to_str().expect("UTF-8"));
    assert_eq!((&status["sessions"], &status["ready"]), (&json!(0), &json!(true)));
    assert_eq!(status["clients"][0]["tls"], "none");
    assert_eq!(status["conditions"], json!(["store: good", "listeners: good"]));

    let text = server.ctl(&["status"]).done();
    let first = text.lines().next().expect("a line");
    let expected =
        format!(" is running, version {}, process {}, up ", env!("CARGO_PKG_VERSION"), status["pid"]);
    assert!(first.starts_with("The server meerkat@") && first.contains(&expected), "{text}");
    assert!(text.contains("\n  serves    localhost, capulet.example\n"), "{text}");
    assert!(text.contains(" (no TLS)\n") && text.contains("\n  sessions  0\n"), "{text}");
    assert!(text.ends_with("\n  ready     yes\n"), "{text}");

    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(server.ctl(&["version"]).done(), format!("meerkatctl {version}\nmeerkat {version}\n"));
    assert_eq!(server.json(&["version"]), json!({ "server": { "version": { "version": version } } }));
}

#[test]
fn stop_ends_the_streams_and_waits() {
    let mut server = Server::start();
    server.account("juliet");
    let port = server.client_port();
    let one = Client::login(port, "juliet", "balcony");
    let other = Client::login(port, "juliet", "chamber");
    assert_eq!(server.ctl(&["stop"]).done(), "The server has stopped\n");
    assert!(!server.socket().exists(), "the socket's file is left");
    assert_eq!(server.wait(), Some(0));
    for client in [one, other] {
        let last_words = client.rest();
        assert!(last_words.contains("<system-shutdown "), "{last_words}");
        assert!(last_words.ends_with("</stream:stream>"), "{last_words}");
    }
    assert_eq!(server.ctl(&["stop"]).code, 3);

    // What it had is there when it starts again, and what it says as JSON.
    server.run(&[]);
    server.started();
    server.ctl(&["account", "checkUser", "--user", "juliet@localhost"]).done();
    assert_eq!(server.json(&["stop"]), json!({ "server": { "stop": "The server has stopped" } }));
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn stop_without_waiting() {
    let mut server = Server::start();
    assert_eq!(server.ctl(&["stop", "--no-wait"]).done(), "The server stops\n");
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn a_signal_stops_it_as_well() {
    let mut server = Server::start();
    server.signal("-TERM");
    assert_eq!(server.wait(), Some(0));
    assert!(!server.socket().exists());
}

#[test]
fn only_its_owner_may_command_it() {
    let server = Server::start();
    let mode = |path: &std::path::Path| path.metadata().expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&server.socket()), 0o600);
    assert_eq!(mode(&server.data()), 0o700);
}

#[test]
fn what_a_killed_server_left_is_replaced_and_a_live_one_is_not() {
    let mut server = Server::start();
    server.signal("-KILL");
    assert_eq!(server.wait(), None);
    assert!(server.socket().exists());
    assert_eq!(server.ctl(&["status"]).code, 3);
    server.run(&[]);
    server.started();

    // Another one beside it, which does not even share the database.
    let output = server.command(&[("MEERKAT__STORAGE__MAIN", "memory")]).output().expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(error.contains("a server answers on ") && error.contains("ctl.sock already"), "{error}");
    server.ctl(&["status"]).done();
}
