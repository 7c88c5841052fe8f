//! A server with an event stream, and what a consumer reads of it. What it reads is looked at by the schema that
//! consumers are given.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use meerkat_tests::kafka::KafkaServer;
use serde_json::Value;

use crate::server::Server;

pub const ACCEPTED: &str = "meerkat.message.accepted";
pub const ARCHIVED: &str = "meerkat.message.archived";
pub const ACCOUNT: &str = "meerkat.account";

pub const TOPICS: [&str; 8] = [
    ACCEPTED,
    ARCHIVED,
    "meerkat.message.delivered",
    "meerkat.push",
    "meerkat.presence",
    "meerkat.session",
    "meerkat.room",
    ACCOUNT,
];

static SCHEMA: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
    let schema = include_str!("../../../priv/events.schema.json");
    let schema: Value = serde_json::from_str(schema).expect("JSON");
    jsonschema::validator_for(&schema).expect("a JSON Schema")
});

/// Two tests at a time: each has a broker and a server, and the machine may be small; but most of the time they wait.
pub async fn turn() -> tokio::sync::SemaphorePermit<'static> {
    static TURNS: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(2);
    TURNS.acquire().await.expect("nobody closes it")
}

/// A broker with every topic.
pub async fn kafka() -> KafkaServer {
    let kafka = KafkaServer::start();
    kafka.create_topics(&TOPICS).await;
    kafka
}

pub const BROKERS: &str = "MEERKAT__STORAGE__KAFKA__BROKERS";

/// A server whose stream is there, and more variables.
pub fn server(brokers: &str, more: &[(&str, &str)]) -> Server {
    Server::start_with(&[&[(BROKERS, brokers)], more].concat())
}

pub fn status(server: &Server) -> Value {
    server.json(&["events", "status"])["events"]["status"].take()
}

/// Until the status is as it should be.
#[track_caller]
pub fn until(server: &Server, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + Duration::from_secs(90);
    loop {
        let status = status(server);
        if is(&status) {
            return status;
        }
        assert!(Instant::now() < end, "never {what}: {status}\n{}", server.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Until the stream has everything.
#[track_caller]
pub fn drained(server: &Server) {
    until(server, "drained", |status| status["rows"] == 0);
}

/// Everything in a topic, with its keys. Each event is as the schema says.
pub fn events(kafka: &KafkaServer, topic: &str) -> Vec<(String, Value)> {
    let consumed = kafka.consume(topic).into_iter().map(|consumed| {
        let event: Value = serde_json::from_slice(&consumed.payload).expect("JSON");
        let faults: Vec<String> = SCHEMA.iter_errors(&event).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{event:#} is not as the schema says: {faults:?}");
        assert_eq!(format!("meerkat.{}", event["event"].as_str().unwrap_or_default()), topic);
        (consumed.key, event)
    });
    consumed.collect()
}

/// What stands between `<body>` and `</body>`.
pub fn body(event: &Value) -> String {
    let stanza = event["stanza"].as_str().expect("a stanza");
    let (_, body) = stanza.split_once("<body>").expect("a body");
    body.split_once("</body>").expect("its end").0.to_owned()
}

/// Each once, as it came first.
pub fn first_seen(events: impl Iterator<Item = (String, Value)>) -> Vec<(String, Value)> {
    let mut seen = std::collections::HashSet::new();
    events.filter(|(_, event)| seen.insert(event["id"].to_string())).collect()
}

pub fn metric(server: &Server, name: &str) -> f64 {
    let status = server.json(&["status"]);
    let address = status["server"]["status"]["metrics"][0].as_str().expect("an address").to_owned();
    let mut stream = std::net::TcpStream::connect(address).expect("the metrics");
    use std::io::{Read, Write};
    stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: x\r\n\r\n").expect("asked");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("the page");
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {page}")).parse().expect("a number")
}
