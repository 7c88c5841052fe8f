//! Kafka examined for the operator: do the brokers answer, and are the topics there. What it may write is seen when it
//! writes: an event of ours that says nothing has no place in anybody's topic.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::producer::Producer;

use super::{Kafka, Options, words};
use crate::storage::Finding;
use crate::storage::events::EventStream;

const CHECK: &str = "kafka";
const LIMIT: Duration = Duration::from_secs(5);
/// One of several brokers that is away is trouble, and another one answers within this.
const ENOUGH: Duration = Duration::from_secs(1);
const STEP: Duration = Duration::from_millis(250);

pub async fn examine(options: Options) -> Vec<Finding> {
    let brokers = options.brokers.clone();
    let wanted: Vec<_> =
        options.topics.iter().filter_map(|(topic, name)| Some((*topic, name.clone()?))).collect();
    let kafka = match Kafka::new(options) {
        Ok(kafka) => Arc::new(kafka),
        Err(why) => return vec![Finding::failed(CHECK, why, "correct [storage.kafka]")],
    };
    let (asked, begun) = (kafka.clone(), Instant::now());
    // The driver's question holds its thread until it is answered.
    let answer = tokio::task::spawn_blocking(move || {
        loop {
            let answer = asked.loose.client().fetch_metadata(None, STEP);
            let waited = begun.elapsed();
            // What is known to be wrong does not become right by waiting.
            if answer.is_ok() || waited >= LIMIT || (waited >= ENOUGH && asked.status().trouble.is_some()) {
                return answer;
            }
        }
    });
    let answer = answer.await;
    let answer = match answer {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            let why = kafka.status().trouble.or_else(|| words::trouble(&brokers, &error, &error.to_string()));
            let why = why.unwrap_or_else(|| format!("{brokers} (storage.kafka.brokers): {error}"));
            return vec![Finding::failed(
                CHECK,
                why,
                "start Kafka, or correct [storage.kafka]; events wait in the outbox",
            )];
        }
        Err(_) => return vec![Finding::failed(CHECK, "the examination did not end", "try again")],
    };
    let seen = format!(
        "{brokers}: {} brokers, {} topics; answers in {:.1} ms",
        answer.brokers().len(),
        answer.topics().len(),
        begun.elapsed().as_secs_f64() * 1e3
    );
    let missing = wanted.iter().filter(|(_, name)| !answer.topics().iter().any(|topic| topic.name() == name));
    let missing = missing.map(|(topic, name)| {
        Finding::warning(
            CHECK,
            format!("the topic {name} is not there on {brokers}"),
            format!(
                "make it, unless the brokers make topics by themselves; or name another \
                 (storage.kafka.topics.{})",
                topic.word().replace('.', "_")
            ),
        )
    });
    std::iter::once(Finding::ok(CHECK, seen)).chain(missing).collect()
}
