//! What the driver says when something is wrong, in sentences that name host, port and configuration key.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::storage::events::Topic;

/// The settings are such that nothing can be made of them.
pub fn unusable(brokers: &str, error: &KafkaError) -> String {
    format!("Kafka at {brokers} (storage.kafka) cannot be spoken to with these settings: {error}")
}

/// Why an event was refused.
pub fn refusal(brokers: &str, topic: Topic, name: &str, bytes: usize, error: &KafkaError) -> String {
    let key = format!("storage.kafka.topics.{}", topic.word().replace('.', "_"));
    match code(error) {
        Some(Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition) => format!(
            "the topic {name} does not exist on the brokers at {brokers}: make it, or let the brokers make topics by \
             themselves, or name another ({key})"
        ),
        Some(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed) => format!(
            "the brokers at {brokers} let this user not write to the topic {name} (storage.kafka.username, {key})"
        ),
        Some(Code::MessageSizeTooLarge) => format!(
            "the brokers at {brokers} take no event of {bytes} bytes or no batch with it in the topic {name}: raise its \
             max.message.bytes, or lower storage.kafka.max_event_bytes"
        ),
        Some(code) => format!("the brokers at {brokers} refuse events for the topic {name} ({key}): {code}"),
        None => format!("events for the topic {name} at {brokers} ({key}) cannot be sent: {error}"),
    }
}

/// What a fault of the connection means; `None`, where it means nothing to anybody.
pub fn trouble(brokers: &str, error: &KafkaError, reason: &str) -> Option<String> {
    let keys = match code(error)? {
        Code::Authentication | Code::SaslAuthenticationFailed | Code::UnsupportedSASLMechanism => {
            "storage.kafka.sasl, storage.kafka.username, storage.kafka.password"
        }
        Code::SSL => "storage.kafka.tls, storage.kafka.ca",
        // The driver says no more than that where a broker that wants TLS is spoken to without, or the like.
        Code::AllBrokersDown => {
            return Some(format!(
                "Kafka at {brokers} (storage.kafka.brokers) cannot be reached, or closes each connection: does it want TLS \
                 or a login (storage.kafka.tls, storage.kafka.sasl)?"
            ));
        }
        Code::Resolve | Code::OperationTimedOut | Code::MessageTimedOut => "storage.kafka.brokers",
        Code::BrokerTransportFailure if reason.contains("SSL handshake failed") => {
            "storage.kafka.tls, storage.kafka.brokers"
        }
        // A connection that nobody used is closed by the broker.
        Code::BrokerTransportFailure if reason.contains("isconnected") => return None,
        Code::BrokerTransportFailure => "storage.kafka.brokers",
        _ => return None,
    };
    // How long it took and how often it was said before would make a new sentence of each.
    let reason = reason.split(" (after ").next().unwrap_or(reason);
    Some(format!("Kafka at {brokers} ({keys}) cannot be reached: {reason}"))
}

fn code(error: &KafkaError) -> Option<Code> {
    match error {
        KafkaError::Global(code) | KafkaError::MessageProduction(code) => Some(*code),
        _ => None,
    }
}
