//! Faults that a real broker is not easily brought to, on the driver's mock.

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{Offset, TopicPartitionList};

use super::*;

const TOPIC: &str = "test.message.accepted";

fn options(brokers: String) -> Options {
    Options {
        brokers,
        topics: vec![
            (Topic::MessageAccepted, Some(TOPIC.to_owned())),
            (Topic::Presence, Some("test.presence".to_owned())),
            (Topic::Push, None),
        ],
        tls: false,
        ca: None,
        sasl: None,
        compression: "none",
        max_event_bytes: 100_000,
        buffer_events: 100,
        watch: Arc::new(crate::storage::Unwatched),
    }
}

fn event(topic: Topic, key: &str, payload: &str) -> Event {
    Event { topic, key: key.to_owned(), payload: payload.as_bytes().to_vec() }
}

/// So many events of two keys, in turn.
fn parcel(from: usize, to: usize) -> Parcel {
    let mut parcel = Parcel::default();
    for n in from..to {
        parcel.push(event(Topic::MessageAccepted, ["a", "b"][n % 2], &n.to_string()));
    }
    parcel
}

/// Until it has arrived, however often that takes.
async fn insist(kafka: &Kafka, mut parcel: Parcel) -> Vec<String> {
    let mut troubles = Vec::new();
    for _ in 0..50 {
        match kafka.publish(&mut parcel).await {
            Ok(()) => return troubles,
            Err(trouble) => troubles.push(trouble),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it never arrived: {troubles:?}")
}

/// What is in the topic's one partition, until nothing more comes for a second.
fn consumed(brokers: &str) -> Vec<usize> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "test")
        .set("enable.auto.commit", "false")
        .create()
        .expect("a consumer");
    let mut places = TopicPartitionList::new();
    places.add_partition_offset(TOPIC, 0, Offset::Beginning).expect("a place");
    consumer.assign(&places).expect("assigned");
    let mut found = Vec::new();
    let mut quiet = 0;
    while quiet < 10 {
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => {
                let payload = message.payload().expect("a payload");
                found.push(std::str::from_utf8(payload).expect("text").parse().expect("a number"));
                quiet = 0;
            }
            _ => quiet += 1,
        }
    }
    found
}

/// Each at least once, and none for the first time behind a later one of its key.
fn assert_in_order(found: &[usize], count: usize) {
    for key in 0..2 {
        let mut first: Vec<usize> = Vec::new();
        for n in found.iter().filter(|n| *n % 2 == key) {
            if !first.contains(n) {
                first.push(*n);
            }
        }
        let expected: Vec<usize> = (0..count).filter(|n| n % 2 == key).collect();
        assert_eq!(first, expected, "of {found:?}");
    }
}

fn cluster() -> (MockCluster<'static, rdkafka::producer::DefaultProducerContext>, Kafka, String) {
    let cluster = MockCluster::new(1).expect("a cluster");
    cluster.create_topic(TOPIC, 1, 1).expect("a topic");
    let brokers = cluster.bootstrap_servers();
    let kafka = Kafka::new(options(brokers.clone())).expect("settings");
    (cluster, kafka, brokers)
}

#[tokio::test]
async fn what_is_published_arrives_in_its_order() {
    let (_cluster, kafka, brokers) = cluster();
    for n in 0..5 {
        assert_eq!(insist(&kafka, parcel(n * 100, (n + 1) * 100)).await, Vec::<String>::new());
    }
    let found = consumed(&brokers);
    assert_eq!(found.len(), 500, "none twice, where nothing went wrong");
    assert_in_order(&found, 500);
    assert_eq!(kafka.status().trouble, None);
    assert!(kafka.takes(Topic::MessageAccepted) && !kafka.takes(Topic::Push) && !kafka.takes(Topic::Room));
}

/// What passes by itself is tried again by the driver, and nobody hears of it.
#[tokio::test]
async fn faults_that_pass_neither_double_nor_disorder() {
    let (cluster, kafka, brokers) = cluster();
    use RDKafkaRespErr::*;
    for (part, error) in [
        RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        RD_KAFKA_RESP_ERR__TRANSPORT,
    ]
    .into_iter()
    .enumerate()
    {
        cluster.request_errors(RDKafkaApiKey::Produce, &[error; 3]);
        insist(&kafka, parcel(part * 50, (part + 1) * 50)).await;
    }
    assert_in_order(&consumed(&brokers), 200);
}

/// A batch that is refused for good must not be overtaken by the next.
#[tokio::test]
async fn a_refused_batch_is_not_overtaken() {
    let (cluster, kafka, brokers) = cluster();
    insist(&kafka, parcel(0, 10)).await;
    use RDKafkaRespErr::*;
    for (part, error) in
        [RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, RD_KAFKA_RESP_ERR_INVALID_RECORD].into_iter().enumerate()
    {
        cluster.request_errors(RDKafkaApiKey::Produce, &[error]);
        let from = 10 + part * 1_000;
        let troubles = insist(&kafka, parcel(from, from + 1_000)).await;
        assert!(troubles[0].contains(TOPIC) && troubles[0].contains(&brokers), "{troubles:?}");
    }
    assert_in_order(&consumed(&brokers), 2_010);
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_named() {
    let (cluster, kafka, brokers) = cluster();
    use RDKafkaRespErr::*;
    cluster.topic_error(TOPIC, RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART).expect("set");
    let mut parcel = parcel(0, 10);
    let trouble = kafka.publish(&mut parcel).await.expect_err("it is not there");
    for part in [TOPIC, &brokers, "storage.kafka.topics.message_accepted"] {
        assert!(trouble.contains(part), "{part} is not in {trouble}");
    }
    assert_eq!(parcel.pending().count(), 10);
    assert_eq!(kafka.status().trouble, Some(trouble));
    // Somebody makes it.
    cluster.topic_error(TOPIC, RD_KAFKA_RESP_ERR_NO_ERROR).expect("set");
    insist(&kafka, parcel).await;
    assert_eq!(kafka.status().trouble, None);
    assert_in_order(&consumed(&brokers), 10);
}

#[tokio::test]
async fn a_broker_that_is_away_is_waited_for() {
    let (cluster, kafka, brokers) = cluster();
    insist(&kafka, parcel(0, 10)).await;
    cluster.broker_down(1).expect("down");
    let mut waiting = parcel(10, 20);
    let waited = tokio::time::timeout(Duration::from_secs(3), kafka.publish(&mut waiting)).await;
    assert!(waited.is_err(), "it waits, and says neither yes nor no");
    let trouble = kafka.status().trouble.expect("it is away");
    assert!(trouble.contains(&brokers) && trouble.contains("storage.kafka.brokers"), "{trouble}");
    // What was given up is not sent by stealth.
    cluster.broker_up(1).expect("up");
    insist(&kafka, parcel(10, 30)).await;
    assert_in_order(&consumed(&brokers), 30);
}

/// The buffer of what may be lost is bounded, whatever becomes of the broker.
#[tokio::test]
async fn what_may_be_lost_is_lost_and_counted() {
    let (cluster, kafka, _) = cluster();
    cluster.broker_down(1).expect("down");
    for n in 0..250 {
        kafka.offer(event(Topic::Presence, "a", &n.to_string()));
        kafka.offer(event(Topic::Push, "a", "its topic is switched off"));
    }
    assert_eq!(kafka.status().lost, 150);
    cluster.broker_up(1).expect("up");
    for _ in 0..100 {
        if kafka.status().delivered == 100 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{:?}", kafka.status());
}
