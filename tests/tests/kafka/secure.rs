//! Brokers that speak TLS and want to know who it is.

use std::process::Command;

use meerkat_tests::kafka::{KafkaServer, USER};

use crate::client::Client;
use crate::server::{Said, Server, binaries, run};
use crate::stage::*;

const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

/// How the brokers are spoken to.
#[derive(Clone)]
struct Settings {
    broker: String,
    tls: &'static str,
    authority: String,
    mechanism: &'static str,
    password: &'static str,
}

impl Settings {
    fn right(kafka: &KafkaServer) -> Settings {
        Settings {
            broker: kafka.secure_broker(),
            tls: "true",
            authority: text(kafka),
            mechanism: "SCRAM-SHA-512",
            password: USER.1,
        }
    }

    fn variables(&self) -> [(&str, &str); 6] {
        [
            (BROKERS, &self.broker),
            ("MEERKAT__STORAGE__KAFKA__TLS", self.tls),
            ("MEERKAT__STORAGE__KAFKA__CA", &self.authority),
            ("MEERKAT__STORAGE__KAFKA__SASL", self.mechanism),
            ("MEERKAT__STORAGE__KAFKA__USERNAME", USER.0),
            ("MEERKAT__STORAGE__KAFKA__PASSWORD", self.password),
        ]
    }

    fn doctor(&self, server: &Server) -> Said {
        let mut command = Command::new(&binaries().tool);
        command.arg("doctor").arg("--data").arg(server.data()).envs(self.variables());
        run(command, "")
    }
}

fn text(kafka: &KafkaServer) -> String {
    kafka.authority().to_str().expect("UTF-8").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mechanism_over_tls() {
    let _turn = turn().await;
    let kafka = kafka().await;
    for mechanism in MECHANISMS {
        let settings = Settings { mechanism, ..Settings::right(&kafka) };
        let server = Server::start_with(&settings.variables());
        server.account("romeo");
        drained(&server);
        let said = settings.doctor(&server).out;
        let found = said.lines().find(|line| line.contains(" kafka ")).unwrap_or_default();
        assert!(found.starts_with("ok ") && found.contains(&settings.broker), "{said}");
        assert!(!server.log().contains(USER.1) && !said.contains(USER.1), "the password is told");
    }
    assert_eq!(events(&kafka, ACCOUNT).len(), MECHANISMS.len());
    wrong_settings(&kafka);
}

/// One server, started with one fault after another: each is named, with its place and key, chat goes on, and when all is
/// right nothing is missing.
fn wrong_settings(kafka: &KafkaServer) {
    let right = Settings::right(kafka);
    // An authority that never signed the broker's certificate.
    let other = KafkaServer::authority_alone();
    let stranger = other.path().join("authority.pem").to_str().expect("UTF-8").to_owned();
    let password = |mechanism| Settings { mechanism, password: "wrong", ..right.clone() };
    let faults = [
        (password("PLAIN"), "storage.kafka.password"),
        (password("SCRAM-SHA-256"), "storage.kafka.password"),
        (password("SCRAM-SHA-512"), "storage.kafka.password"),
        (Settings { authority: stranger, ..right.clone() }, "storage.kafka.ca"),
        (Settings { tls: "false", ..right.clone() }, "storage.kafka.tls"),
        (Settings { broker: kafka.broker(), ..right.clone() }, "storage.kafka.tls"),
    ];
    let mut server = Server::absent();
    for (number, (settings, key)) in faults.iter().enumerate() {
        server.run(&settings.variables());
        server.started();
        if number == 0 {
            server.account("mercutio");
        }
        let mut mercutio = Client::login(server.client_port(), "mercutio", "street");
        mercutio.appear();
        mercutio
            .send(&format!("<message to='mercutio@localhost' type='chat'><body>{number}</body></message>"));
        mercutio.hear("</message>");
        let names = |told: &str| [&*settings.broker, key].iter().all(|part| told.contains(part));
        let status = until(&server, "in trouble for that reason", |status| {
            status["trouble"].as_str().is_some_and(names)
        });
        let trouble = status["trouble"].as_str().expect("a sentence").to_owned();
        until(&server, "said", |_| server.log().contains(&trouble));
        let said = settings.doctor(&server);
        let failed = said
            .out
            .lines()
            .any(|line| line.starts_with("FAILED ") && line.contains(" kafka ") && names(line));
        assert!(failed, "{key}: {}", said.out);
        assert!(!server.log().contains(USER.1) && !said.out.contains(USER.1), "the password is told");
        server.signal("-TERM");
        assert_eq!(server.wait(), Some(0));
    }
    server.run(&right.variables());
    server.started();
    drained(&server);
    let told: Vec<String> = events(kafka, ACCEPTED).iter().map(|(_, event)| body(event)).collect();
    assert_eq!(told, ["0", "1", "2", "3", "4", "5"]);
}
