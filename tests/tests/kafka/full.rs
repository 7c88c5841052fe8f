//! A broker that is away for longer than the outbox holds.

use std::time::Duration;

use meerkat_tests::kafka::KafkaServer;

use crate::client::Client;
use crate::server::Server;
use crate::stage::*;

const MESSAGES: usize = 400;
const MAX_BYTES: &str = "65536";

/// A server whose broker is not there yet, and two who speak.
fn alone(when_full: &str) -> (KafkaServer, Server, Client, Client) {
    let kafka = KafkaServer::stopped("");
    let bounds = [("MEERKAT__OUTBOX__MAX_BYTES", MAX_BYTES), ("MEERKAT__OUTBOX__WHEN_FULL", when_full)];
    let server = server(&kafka.broker(), &bounds);
    server.account("romeo");
    server.account("juliet");
    let romeo = Client::login(server.client_port(), "romeo", "orchard");
    let mut juliet = Client::login(server.client_port(), "juliet", "balcony");
    juliet.appear();
    (kafka, server, romeo, juliet)
}

fn message(n: usize) -> String {
    let filler = "x".repeat(400);
    format!("<message to='juliet@localhost' type='chat' id='n{n}'><body>{n} {filler}</body></message>")
}

fn number(body: &str) -> usize {
    body.split(' ').next().and_then(|number| number.parse().ok()).expect("a number")
}

/// The trouble names the place and the key.
fn says_where(server: &Server, kafka: &KafkaServer) {
    let status = until(server, "in trouble", |status| !status["trouble"].is_null());
    let trouble = status["trouble"].as_str().expect("a sentence");
    for part in [kafka.broker().as_str(), "storage.kafka.brokers"] {
        assert!(trouble.contains(part), "{part} is not in {trouble}");
    }
    until(server, "said so", |_| server.log().contains("The event stream takes nothing"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_events_are_lost_and_chat_goes_on() {
    let _turn = turn().await;
    let (kafka, server, mut romeo, mut juliet) = alone("drop");
    for n in 0..MESSAGES {
        romeo.send(&message(n));
        juliet.hear(&format!("<body>{n} "));
        // About as fast as the outbox is looked at.
        if n % 50 == 49 {
            until(&server, "within its bound", |status| status["bytes"].as_u64() <= Some(65_536));
        }
    }
    says_where(&server, &kafka);
    let status = until(&server, "within its bound", |status| status["bytes"].as_u64() <= Some(65_536));
    let dropped = status["dropped"].as_u64().expect("a number") as usize;
    assert!(dropped > 100, "{status}");
    assert_eq!(metric(&server, "meerkat_outbox_dropped_total") as usize, dropped);
    assert_eq!(metric(&server, "meerkat_events_stream_up"), 0.0);
    assert!(metric(&server, "meerkat_outbox_bytes") > 10_000.0);
    assert!(server.log().contains("outbox.max_bytes"), "{}", server.log());

    kafka.tell("start");
    kafka.create_topics(&TOPICS).await;
    drained(&server);
    // The newest, without a gap, in their order.
    let found: Vec<usize> = first_seen(events(&kafka, ACCEPTED).into_iter())
        .iter()
        .map(|(_, event)| number(&body(event)))
        .collect();
    let expected: Vec<usize> = (MESSAGES - found.len()..MESSAGES).collect();
    assert_eq!(found, expected);
    assert!(found.len() > 50 && found.len() < MESSAGES - 100, "{}", found.len());
    until(&server, "well again", |status| status["trouble"].is_null());
    assert_eq!(metric(&server, "meerkat_events_stream_up"), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn senders_wait_and_nothing_is_lost() {
    let _turn = turn().await;
    let (kafka, server, mut romeo, mut juliet) = alone("wait");
    let mut saved = Vec::new();
    let mut refused = 0;
    for n in 0..MESSAGES {
        romeo.send(&message(n));
        romeo.send(&format!("<iq type='get' id='p{n}'><ping xmlns='urn:xmpp:ping'/></iq>"));
        let heard = romeo.hear(&format!("id='p{n}'"));
        if heard.contains(&format!("id='n{n}'")) {
            assert!(heard.contains("type='wait'") && heard.contains("resource-constraint"), "{heard}");
            refused += 1;
        } else {
            juliet.hear(&format!("<body>{n} "));
            saved.push(n);
        }
    }
    assert!(refused > 100 && saved.len() > 50, "{refused} refused, {} saved", saved.len());
    says_where(&server, &kafka);
    let status = until(&server, "full", |status| status["bytes"].as_u64() >= Some(60_000));
    assert!(status["bytes"].as_u64() < Some(65_536 + 2_000) && status["dropped"] == 0, "{status}");

    kafka.tell("start");
    kafka.create_topics(&TOPICS).await;
    drained(&server);
    // The store counts what others deleted when it looks again.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    romeo.send(&message(MESSAGES));
    juliet.hear(&format!("<body>{MESSAGES} "));
    saved.push(MESSAGES);
    drained(&server);
    let found: Vec<usize> = first_seen(events(&kafka, ACCEPTED).into_iter())
        .iter()
        .map(|(_, event)| number(&body(event)))
        .collect();
    assert_eq!(found, saved, "what was saved was told, and what was refused was not");
}

/// What an account said before it was removed goes its way, and then nothing of it is left.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_removed_account_said_drains() {
    let _turn = turn().await;
    let (kafka, server, mut romeo, mut juliet) = alone("drop");
    romeo.send(&message(0));
    juliet.hear("<body>0 ");
    server.ctl(&["account", "removeUser", "--user", "romeo@localhost"]).done();
    let waiting = until(&server, "kept", |status| status["rows"].as_u64() >= Some(4));
    assert_eq!(waiting["dropped"], 0);
    kafka.tell("start");
    kafka.create_topics(&TOPICS).await;
    drained(&server);
    assert_eq!(events(&kafka, ACCEPTED).len(), 1);
    let own = events(&kafka, ACCOUNT).into_iter().filter(|(key, _)| key == "romeo@localhost");
    let actions: Vec<String> =
        own.filter_map(|(_, event)| Some(event["action"].as_str()?.to_owned())).collect();
    assert_eq!(actions, ["created", "removed"]);
}
