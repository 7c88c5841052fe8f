use std::thread::sleep;
use std::time::Duration;

use serde_json::json;

use crate::server::Server;

const RELOAD: [&str; 2] = ["server", "reload"];

fn start(text: &str) -> Server {
    let mut server = Server::absent();
    let file = server.file("meerkat.toml", text);
    server.run(&[("MEERKAT_CONFIG", file.to_str().expect("UTF-8"))]);
    server.started();
    server
}

#[test]
fn it_says_what_it_applied_and_what_needs_a_restart() {
    let server = start("general.log_level = \"info\"\n");
    let nothing = "The configuration was read again; nothing in it has changed\n";
    assert_eq!(server.ctl(&RELOAD).done(), nothing);

    server.file(
        "meerkat.toml",
        "[general]\nlog_level = \"debug\"\nhosts = [\"localhost\", \"capulet.example\"]\n\
         [limits]\nroster_items = 7\nstanza_depth = 8\n",
    );
    let said = server.ctl(&RELOAD).done();
    let expected = "Applied:\n  general.log_level: \"info\" -> \"debug\"\n  limits.roster_items: 5000 -> 7\n\
                    Applied to new connections:\n  limits.stanza_depth: 100 -> 8\nNeeds a restart:\n  general.hosts: [\"localhost\"] -> [\"localhost\", \"capulet.example\"]\n";
    assert_eq!(said, expected);
    assert_eq!(server.ctl(&["server", "getLoglevel"]).done(), "debug\n");
    // What needs a restart needs it still.
    let host = json!({
        "key": "general.hosts", "old": "[\"localhost\"]", "new": "[\"localhost\", \"capulet.example\"]"
    });
    let again = json!({ "applied": [], "newConnections": [], "needRestart": [host], "refused": [] });
    assert_eq!(server.json(&RELOAD), json!({ "server": { "reload": again } }));
}

#[test]
fn all_faults_are_named_and_nothing_is_applied() {
    let server = start("general.log_level = \"warn\"\n");
    server.file("meerkat.toml", "[general]\nlog_level = \"loud\"\nhots = []\n");
    let said = server.ctl(&RELOAD).refused();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(lines[0].contains("meerkat.toml:2: general.log_level: "), "{said}");
    assert!(lines[1].contains("meerkat.toml:3: general.hots: unknown key"), "{said}");
    assert_eq!(server.ctl(&["server", "getLoglevel"]).done(), "warn\n");
    let said = server.ctl(&[&RELOAD[..], &["--json"]].concat());
    assert_eq!(said.code, 1);
    assert!(said.out.contains("\"badConfiguration\""), "{}", said.out);
}

#[test]
fn certificates_that_cannot_be_used_are_refused() {
    let server = start("");
    server.file(
        "meerkat.toml",
        "[[tls.certificates]]\ncertificate = \"/nowhere/tls.crt\"\nkey = \"/nowhere/tls.key\"\n",
    );
    let said = server.ctl(&RELOAD);
    assert_eq!(said.code, 1);
    assert!(said.out.contains("tls.certificates[0]: (absent) -> "), "{}", said.out);
    assert!(said.error.contains("/nowhere/tls."), "{}", said.error);
}

/// `--data` goes before `general.data_dir`, so that a change of it changes nothing; what a restart would
/// take is said.
#[test]
fn the_database_needs_a_restart() {
    let server = start("");
    server.file("meerkat.toml", "general.data_dir = \"/elsewhere\"\nstorage.sqlite.readers = 2\n");
    assert_eq!(server.ctl(&RELOAD).done(), "Needs a restart:\n  storage.sqlite.readers: 4 -> 2\n");
}

#[test]
fn sighup_does_and_logs_the_same() {
    let server = start("");
    server.file("meerkat.toml", "limits.roster_items = 7\n");
    server.ctl(&RELOAD).done();
    server.file("meerkat.toml", "limits.roster_items = 8\n");
    server.signal("-HUP");
    let changes = || {
        let log = server.log();
        log.lines().filter(|line| line.contains("a change of the configuration: applied")).count()
    };
    for _ in 0..300 {
        if changes() == 2 {
            break;
        }
        sleep(Duration::from_millis(100));
    }
    let log = server.log();
    assert!(log.contains("key=\"limits.roster_items\" old=\"5000\" new=\"7\""), "{log}");
    assert!(log.contains("key=\"limits.roster_items\" old=\"7\" new=\"8\""), "{log}");

    // A fault is logged, and changes nothing.
    server.file("meerkat.toml", "nonsense\n");
    server.signal("-HUP");
    for _ in 0..300 {
        if server.log().contains("the configuration is not reloaded: ") {
            return;
        }
        sleep(Duration::from_millis(100));
    }
    panic!("the fault is not in the log: {}", server.log());
}

#[test]
fn the_log_level() {
    let server = start("");
    let level = || server.ctl(&["server", "getLoglevel"]).done();
    assert_eq!(level(), "info\n");
    assert_eq!(server.json(&["server", "getLoglevel"]), json!({ "server": { "getLoglevel": "INFO" } }));
    let set = |level| server.ctl(&["server", "setLoglevel", "--level", level]).done();
    assert_eq!(set("DEBUG"), "The log level is debug\n");
    assert_eq!(level(), "debug\n");
    for (word, meant) in [("warning", "warn\n"), ("ALL", "trace\n"), ("none", "none\n"), ("error", "error\n")]
    {
        set(word);
        assert_eq!(level(), meant);
    }
    assert_eq!(
        server.json(&["server", "setLoglevel", "--level", "warn"])["server"]["setLoglevel"],
        "The log level is warn"
    );
    // A reload brings back what the configuration says.
    assert_eq!(server.ctl(&RELOAD).done(), "Applied:\n  general.log_level: \"warn\" -> \"info\"\n");
    assert_eq!(level(), "info\n");
}
