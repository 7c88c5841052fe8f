//! The bounds of the control socket, against a peer that is not our tool.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::Value;

use crate::server::Server;

struct Peer(BufReader<UnixStream>);

impl Peer {
    fn new(server: &Server) -> Peer {
        let stream = UnixStream::connect(server.socket()).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time-out");
        Peer(BufReader::new(stream))
    }

    fn send(&mut self, bytes: &[u8]) {
        // It need not listen to the end.
        let _ = self.0.get_mut().write_all(bytes);
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    fn ends(mut self) -> bool {
        matches!(self.0.read(&mut [0]), Ok(0) | Err(_))
    }
}

fn refused(line: &Value) -> &str {
    line["refused"]["code"].as_str().unwrap_or_else(|| panic!("not refused: {line}"))
}

#[test]
fn requests_of_a_connection_are_answered_in_turn() {
    let server = Server::start();
    server.account("juliet");
    let mut peer = Peer::new(&server);
    let count = br#"{"version":1,"command":{"account":{"countUsers":{"domain":"localhost"}}}}"#;
    let list = br#"{"version":1,"command":{"account":{"listUsers":{"domain":"localhost"}}}}"#;
    peer.send(&[&count[..], b"\n", list, b"\n", count, b"\n"].concat());
    let answers: Vec<String> = (0..4).map(|_| peer.line().to_string()).collect();
    assert_eq!(answers, [r#"{"done":1}"#, r#"{"item":"juliet@localhost"}"#, r#"{"end":1}"#, r#"{"done":1}"#]);
}

#[test]
fn what_is_no_request_is_refused_and_ends_the_connection() {
    let server = Server::start();
    let requests: &[(&[u8], &str)] = &[
        (b"hello\n", "badRequest"),
        (b"\n", "badRequest"),
        (b"\xff\n", "badRequest"),
        (b"{\"version\":1}\n", "badRequest"),
        (b"{\"version\":1,\"command\":{\"account\":{\"sing\":{}}}}\n", "badRequest"),
        (b"{\"version\":1,\"command\":{\"server\":{\"status\":{}}},\"more\":1}\n", "badRequest"),
        (b"{\"version\":2,\"command\":{\"anything\":{}}}\n", "badVersion"),
        (
            b"{\"version\":1,\"command\":{\"account\":{\"registerUser\":{\"domain\":\"localhost\"}}}}\n{}\n",
            "badRequest",
        ),
    ];
    for (request, code) in requests {
        let mut peer = Peer::new(&server);
        peer.send(request);
        assert_eq!(refused(&peer.line()), *code);
        if !request.ends_with(b"{}\n") {
            assert!(peer.ends(), "{}", String::from_utf8_lossy(request));
        }
    }
    // A secret in a bad request is not repeated.
    let mut peer = Peer::new(&server);
    let request =
        br#"{"version":1,"command":{"account":{"checkPassword":{"user":"a@b","password":7,"hunter2":1}}}}"#;
    peer.send(&[&request[..], b"\n"].concat());
    let line = peer.line();
    assert_eq!(refused(&line), "badRequest");
    assert!(!line.to_string().contains("hunter2"), "{line}");
}

#[test]
fn a_request_has_a_bound() {
    let server = Server::start();
    let mut peer = Peer::new(&server);
    peer.send(&vec![b'x'; (1 << 20) + 1]);
    assert_eq!(refused(&peer.line()), "badRequest");
    assert!(peer.ends());
}

#[test]
fn connections_have_a_bound() {
    let server = Server::start();
    let peers: Vec<Peer> = (0..32).map(|_| Peer::new(&server)).collect();
    let mut one_more = Peer::new(&server);
    assert_eq!(refused(&one_more.line()), "busy");
    assert!(one_more.ends());
    assert_eq!(server.ctl(&["status"]).refused(), "too many commands are under way; try again");
    drop(peers);
    // Their places are free once the server has seen them go.
    let free = (0..300).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        server.ctl(&["status"]).code == 0
    });
    assert!(free);
}
