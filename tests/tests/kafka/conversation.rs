//! What a consumer reads of a conversation.

use serde_json::{Value, json};

use crate::client::Client;
use crate::stage::*;

/// Everything that could go wrong in JSON or in XML.
const HOSTILE: &str =
    "\"quoted\" \\back\\ &lt;tag&gt; &amp; \u{1f339}\u{200d}\u{1f9d1} \u{2028} \u{7f} \n\ttab";

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_read_by_a_consumer() {
    let _turn = turn().await;
    let kafka = kafka().await;
    let server = server(&kafka.broker(), &[]);
    server.account("romeo");
    server.account("juliet");
    let mut romeo = Client::login(server.client_port(), "romeo", "orchard");
    let mut juliet = Client::login(server.client_port(), "juliet", "balcony");
    juliet.appear();

    romeo.send(&format!(
        "<message to='juliet@localhost' type='chat' id='m1'><body>{HOSTILE}</body></message>"
    ));
    let heard = juliet.hear("</message>");
    juliet.send("<message to='romeo@localhost' type='chat' id='m2'><body>Who's there?</body></message><iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>");
    juliet.hear("id='p'");
    // The largest there is, all of it escaped.
    let large = "\"\\".repeat(130_000);
    romeo.send(&format!("<message to='juliet@localhost' type='chat' id='m3'><body>{large}</body></message>"));
    juliet.hear("</message>");
    // A chat state is nobody's to keep.
    romeo.send(
        "<message to='juliet@localhost' type='chat'><active xmlns='http://jabber.org/protocol/chatstates'/></message>",
    );
    juliet.hear("</message>");
    juliet.send("</stream:stream>");
    juliet.rest();
    romeo.send("<message to='juliet@localhost' type='chat' id='m4'><body>gone?</body></message><iq type='get' id='q'><ping xmlns='urn:xmpp:ping'/></iq>");
    romeo.hear("id='q'");
    server.ctl(&["account", "banUser", "--user", "juliet@localhost", "--reason", "tired \"of\" it"]).done();
    drained(&server);

    let accepted = events(&kafka, ACCEPTED);
    let bodies: Vec<String> = accepted.iter().map(|(_, event)| body(event)).collect();
    assert_eq!(bodies, [HOSTILE, "Who's there?", &large, "gone?"]);
    for (key, event) in &accepted {
        assert_eq!(key, "juliet@localhost romeo@localhost");
        assert_eq!(event["type"], "chat");
    }
    // The id is the one that the recipient saw.
    let id = accepted[0].1["id"].as_str().expect("an id");
    assert!(heard.contains(&format!("by='juliet@localhost' id='{id}'")), "{id} is not in {heard}");
    assert_eq!(accepted[0].1["from"], "romeo@localhost/orchard");

    let archived = events(&kafka, ARCHIVED);
    assert_eq!(archived.len(), 8);
    let own: Vec<(&str, &Value, &Value)> = archived
        .iter()
        .filter(|(key, _)| key == "romeo@localhost")
        .map(|(_, event)| (event["direction"].as_str().unwrap_or_default(), &event["with"], &event["id"]))
        .collect();
    assert_eq!(own.iter().map(|own| own.0).collect::<Vec<_>>(), ["sent", "received", "sent", "sent"]);
    assert!(own.iter().all(|own| own.1 == "juliet@localhost"));
    assert_eq!(own[0].2, &accepted[0].1["stanza_ids"]["romeo@localhost"]);

    let accounts: Vec<Value> = events(&kafka, ACCOUNT).into_iter().map(|(_, event)| event).collect();
    let of = |account: &str| -> Vec<&str> {
        let own = accounts.iter().filter(|event| event["account"] == account);
        own.filter_map(|event| event["action"].as_str()).collect()
    };
    assert_eq!(of("romeo@localhost"), ["created"]);
    assert_eq!(of("juliet@localhost"), ["created", "banned"]);
    let ban = accounts.iter().find(|event| event["action"] == "banned").expect("the ban");
    assert_eq!(ban["reason"], "tired \"of\" it");
    passing(&kafka, id).await;
}

/// What may be lost is not, where nothing goes wrong.
async fn passing(kafka: &meerkat_tests::kafka::KafkaServer, first: &str) {
    let mut found = Vec::new();
    for _ in 0..50 {
        found = events(kafka, "meerkat.push");
        if found.len() >= 2 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    // Romeo never showed that he is there, and Juliet had gone.
    let pushed: Vec<_> =
        found.iter().map(|(key, push)| (key.as_str(), push["message_id"].as_str())).collect();
    assert_eq!(pushed, [("romeo@localhost", Some("m2")), ("juliet@localhost", Some("m4"))]);
    let delivered = events(kafka, "meerkat.message.delivered");
    let to_juliet: Vec<&Value> =
        delivered.iter().filter(|(key, _)| key == "juliet@localhost").map(|(_, event)| event).collect();
    assert_eq!(to_juliet.len(), 3, "{to_juliet:?}");
    assert_eq!((&to_juliet[0]["id"], &to_juliet[0]["message_id"]), (&json!(first), &json!("m1")));
    assert_eq!(to_juliet[0]["sessions"], json!(["juliet@localhost/balcony"]));
    assert_eq!(to_juliet[2].get("id"), None, "a chat state is not saved");
    let told = |topic: &str, field: &str| -> Vec<Value> {
        let own = events(kafka, topic).into_iter().filter(|(key, _)| key == "juliet@localhost");
        own.map(|(_, mut event)| event[field].take()).collect()
    };
    assert_eq!(told("meerkat.session", "action"), [json!("opened"), json!("closed")]);
    assert_eq!(told("meerkat.presence", "available"), [json!(true), json!(false)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_missing_is_named_and_waited_for() {
    let _turn = turn().await;
    let kafka = meerkat_tests::kafka::KafkaServer::start();
    let broker = kafka.broker();
    let server = server(&broker, &[("MEERKAT__STORAGE__KAFKA__TOPICS__MESSAGE_ARCHIVED", "")]);
    server.account("romeo");
    let status = until(&server, "in trouble", |status| !status["trouble"].is_null() && status["rows"] != 0);
    let trouble = status["trouble"].as_str().expect("a sentence");
    for part in ["meerkat.account", broker.as_str(), "storage.kafka.topics.account"] {
        assert!(trouble.contains(part), "{part} is not in {trouble}");
    }
    until(&server, "said", |_| server.log().contains(trouble));
    let [archived, others @ ..] = [ARCHIVED, ACCEPTED, ACCOUNT];
    kafka.create_topics(&others).await;
    drained(&server);
    assert_eq!(events(&kafka, ACCOUNT).len(), 1);
    until(&server, "well again", |status| status["trouble"].is_null());
    // A topic without a name is not written to, and need not be there.
    let mut romeo = Client::login(server.client_port(), "romeo", "orchard");
    romeo.send("<message to='romeo@localhost' type='chat'><body>I</body></message><presence/>");
    romeo.hear("</message>");
    drained(&server);
    assert_eq!(events(&kafka, ACCEPTED).len(), 1);
    assert!(!server.log().contains(archived), "{}", server.log());
}
