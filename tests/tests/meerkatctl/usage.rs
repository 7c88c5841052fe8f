use std::process::Command;

use serde_json::{Value, json};

use crate::server::{Server, binaries, run, tool};

#[test]
fn wrong_usage_is_told_apart() {
    let server = Server::start();
    let wrong: &[&[&str]] = &[
        &[],
        &["account"],
        &["account", "nothing"],
        &["account", "registerUser"],
        &["account", "registerUser", "--domain", "localhost", "--color", "red"],
        &["account", "registerUser", "--domain", "l", "--password", "x", "--password-stdin"],
        &["account", "checkUser", "juliet@localhost"],
        &["session", "kickUser"],
        &["roster", "addContact", "--user", "a@localhost"],
        &["roster", "addContact", "--user", "a@b", "--contact", "c@d", "--subscription", "friend"],
        &["server", "setLoglevel", "--level", "loud"],
        &["stanza", "sendMessage", "--from", "a@b"],
        &["completions", "cobol"],
        &["started", "--timeout", "soon"],
    ];
    for arguments in wrong {
        let said = server.ctl(arguments).wrong_usage();
        assert!(said.contains("Usage:") || said.contains("--help"), "{arguments:?}: {said}");
    }
}

#[test]
fn wrong_usage_is_json_too() {
    for arguments in [&["--json", "account", "checkUser"][..], &["nothing", "--json"]] {
        let said = tool(arguments, "");
        assert_eq!(said.code, 2, "{arguments:?}");
        let value: Value = serde_json::from_str(&said.out).expect("JSON");
        assert_eq!(value["errors"][0]["extensions"], json!({ "code": "usage" }));
        assert!(!said.error.is_empty());
    }
}

#[test]
fn no_server_there() {
    let server = Server::absent();
    let commands: &[&[&str]] = &[
        &["status"],
        &["stop"],
        &["started", "--timeout", "0"],
        &["account", "countUsers", "--domain", "localhost"],
        &["account", "registerUser", "--domain", "localhost", "--password", "x"],
        &["account", "importUsers"],
        &["session", "listSessions"],
        &["server", "reload"],
        &["version"],
    ];
    for arguments in commands {
        let said = server.ctl(arguments);
        assert_eq!(said.code, 3, "{arguments:?}: {}", said.error);
        let expected = format!("no server answers on {}: start one", server.socket().display());
        assert!(said.error.starts_with(&expected), "{arguments:?}: {}", said.error);
    }
    let said = server.ctl(&["status", "--json"]);
    assert_eq!(said.code, 3);
    let value: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(value["errors"][0]["extensions"], json!({ "code": "noServer" }));
    assert_eq!(value["errors"][0]["path"], json!(["server", "status"]));
}

#[test]
fn help_at_every_level() {
    let help = |arguments: &[&str]| tool(arguments, "").done();
    let top = help(&["--help"]);
    for word in ["account", "session", "roster", "server", "stanza", "started", "stop", "Exit codes: 0 done"]
    {
        assert!(top.contains(word), "{word} is not in {top}");
    }
    assert!(help(&["account", "--help"]).contains("registerUser"));
    assert!(help(&["help", "roster"]).contains("addContact"));
    assert!(help(&["account", "registerUser", "--help"]).contains("--password-stdin"));
    assert_eq!(help(&["--version"]), format!("meerkatctl {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn completions_for_three_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let script = tool(&["completions", shell], "").done();
        assert!(script.contains("registerUser") && script.contains("newPassword"), "{shell}: {script}");
    }
    // bash takes it, where there is a bash.
    let script = tool(&["completions", "bash"], "").done();
    let mut bash = Command::new("bash");
    bash.args(["-c", "source /dev/stdin && complete -p meerkatctl"]);
    let said = run(bash, &script);
    assert!(said.done().contains("meerkatctl"));
}

/// The socket is found as a server started here would make it.
#[test]
fn the_server_is_found_without_being_named() {
    let server = Server::start();
    let ask = |name: &str, value: &str| {
        let mut command = Command::new(&binaries().tool);
        command.arg("status").current_dir(server.folder());
        command.env_remove("MEERKAT_CTL").env_remove("MEERKAT_DATA").env(name, value);
        run(command, "").code
    };
    let (data, socket) = (server.data(), server.socket());
    assert_eq!(ask("MEERKAT_CTL", socket.to_str().expect("UTF-8")), 0);
    assert_eq!(ask("MEERKAT_DATA", data.to_str().expect("UTF-8")), 0);
    assert_eq!(ask("MEERKAT__GENERAL__DATA_DIR", data.to_str().expect("UTF-8")), 0);
    assert_eq!(ask("MEERKAT_CTL", "/nowhere/ctl.sock"), 3);
}
