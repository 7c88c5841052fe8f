//! What somebody sees who starts it for the first time.

use std::process::Command;

use crate::server::{Server, run};

#[test]
fn what_it_prints_is_short_and_the_command_works_as_printed() {
    let server = Server::start();
    let log = server.log();
    let said: Vec<&str> = log.lines().filter(|line| !line.contains("Z  INFO ")).collect();
    assert!(said.len() <= 10, "{log}");
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(said[0], format!("Meerkat {version} serves localhost"));
    let port = server.client_port().port();
    assert!(said.contains(&format!("  clients   127.0.0.1:{port} (no TLS)").as_str()), "{log}");
    assert!(said.contains(&format!("  data      {}", server.data().display()).as_str()), "{log}");

    let command = said.iter().find(|line| line.contains("registerUser")).expect("the command");
    let mut shell = Command::new("sh");
    // Another terminal, without this one's variables.
    shell.args(["-c", command]).current_dir("/").env_clear().env("PATH", "/usr/bin:/bin");
    assert_eq!(run(shell, "secret\n").done(), "The account juliet@localhost was made\n");
}

#[test]
fn what_keeps_it_from_starting_is_said() {
    let server = Server::start();
    let port = server.client_port().port().to_string();
    let other = Server::absent();
    let output = other.command(&[("MEERKAT__LISTEN__C2S__0__PORT", &port)]).output().expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).expect("UTF-8");
    let expected = format!("meerkat: cannot listen on 127.0.0.1:{port} (listen.c2s[0].port): ");
    assert!(error.starts_with(&expected), "{error}");
    assert!(!other.socket().exists(), "it leaves no socket behind");
}
