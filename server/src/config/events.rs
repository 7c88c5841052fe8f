//! `[storage.kafka]` and `[outbox]`: the event stream, and what waits for it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::values::Secret;
use super::words::words;
use crate::storage::events::Topic;

settings! {
    /// The event stream: topics of an Apache Kafka, of which others learn what happens here.
    pub struct Kafka {
        /// Brokers to begin with, as "HOST:PORT". Empty: there is no event stream.
        restart brokers: Vec<Broker> = vec![];
        /// Whether the brokers are spoken to over TLS.
        restart tls: bool = false;
        /// The authorities whose certificates brokers may have, PEM. Absent: the system's.
        restart ca: Option<PathBuf> = None, like "\"/etc/meerkat/kafka-ca.pem\"";
        /// How the server proves who it is: "PLAIN", "SCRAM-SHA-256" or "SCRAM-SHA-512". Absent: it does not.
        restart sasl: Option<KafkaSasl> = None, like "\"SCRAM-SHA-512\"";
        /// Its name.
        restart username: String = String::new();
        /// Its password.
        restart password: Option<Secret> = None, like "\"***\"";
        /// How events are compressed on their way: "none", "lz4" or "zstd". What it spares in traffic it costs in CPU.
        restart compression: Compression = Compression::None;
        /// The largest event that the brokers take (their `message.max.bytes`). A larger one is sent without its
        /// stanza, and says so.
        restart max_event_bytes: u32 = 1_000_000, in 10_000..=1_000_000_000;
        /// Events of the kinds that may be lost (deliveries, pushes, presence, sessions) that wait to be sent; those
        /// beyond are lost, and counted.
        restart buffer_events: u32 = 20_000, in 100..=10_000_000;
        /// What the topics are called. An empty name: that kind is not sent.
        section topics: KafkaTopics = KafkaTopics::default();
    }
}

settings! {
    /// What the topics are called. An empty name: that kind is not sent.
    pub struct KafkaTopics {
        /// Messages that were saved, by conversation.
        restart message_accepted: TopicName = TopicName::of("meerkat.message.accepted");
        /// The same as entries of archives, by owner.
        restart message_archived: TopicName = TopicName::of("meerkat.message.archived");
        /// Messages that were given to sessions.
        restart message_delivered: TopicName = TopicName::of("meerkat.message.delivered");
        /// Messages for accounts that nobody is there for.
        restart push: TopicName = TopicName::of("meerkat.push");
        /// What sessions say of their presence.
        restart presence: TopicName = TopicName::of("meerkat.presence");
        /// Sessions that begin and end.
        restart session: TopicName = TopicName::of("meerkat.session");
        /// What happens in rooms.
        restart room: TopicName = TopicName::of("meerkat.room");
        /// Accounts that are made, removed, banned, or given another password.
        restart account: TopicName = TopicName::of("meerkat.account");
    }
}

impl KafkaTopics {
    pub fn all(&self) -> [(Topic, &TopicName); 8] {
        [
            (Topic::MessageAccepted, &self.message_accepted),
            (Topic::MessageArchived, &self.message_archived),
            (Topic::MessageDelivered, &self.message_delivered),
            (Topic::Push, &self.push),
            (Topic::Presence, &self.presence),
            (Topic::Session, &self.session),
            (Topic::Room, &self.room),
            (Topic::Account, &self.account),
        ]
    }
}

settings! {
    /// What waits in the store until the event stream has it.
    pub struct OutboxSettings {
        /// How much may wait.
        restart max_bytes: u64 = 1 << 30, in 65_536..=1 << 42;
        /// What happens then: "drop" (the oldest events are lost, and counted) or "wait" (messages are refused, and
        /// their senders told to try again).
        restart when_full: OutboxFull = OutboxFull::Drop;
        /// What waits longer is thrown away, so that nothing stays of accounts that are long gone.
        restart max_days: u32 = 7, in 1..=3_650;
    }
}

words! {
    /// How the server proves to a broker who it is.
    pub enum KafkaSasl {
        Plain = "PLAIN",
        ScramSha256 = "SCRAM-SHA-256",
        ScramSha512 = "SCRAM-SHA-512",
    }
}

words! {
    /// How events are compressed.
    pub enum Compression {
        None = "none",
        Lz4 = "lz4",
        Zstd = "zstd",
    }
}

words! {
    /// What happens when the outbox is full.
    pub enum OutboxFull {
        Drop = "drop",
        Wait = "wait",
    }
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker(String);

impl FromStr for Broker {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (host, port) = text.rsplit_once(':').ok_or(())?;
        let port: u16 = port.parse().map_err(|_| ())?;
        // A list is joined by commas, and nothing else of a name has a meaning to the driver.
        let host_char = |char: char| char.is_ascii_alphanumeric() || matches!(char, '.' | '-' | '_');
        let is_name = !host.is_empty() && host.chars().all(host_char);
        let is_ipv6 = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok());
        if port > 0 && (is_name || is_ipv6) { Ok(Broker(text.to_owned())) } else { Err(()) }
    }
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A topic's name as Kafka allows it, or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicName(String);

impl TopicName {
    fn of(name: &str) -> TopicName {
        TopicName(name.to_owned())
    }

    /// `None`: the topic is switched off.
    pub fn name(&self) -> Option<&str> {
        Some(self.0.as_str()).filter(|name| !name.is_empty())
    }
}

impl FromStr for TopicName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let topic_char = |char: char| char.is_ascii_alphanumeric() || matches!(char, '.' | '-' | '_');
        let fits = text.len() <= 249 && text.chars().all(topic_char) && text != "." && text != "..";
        if fits { Ok(TopicName(text.to_owned())) } else { Err(()) }
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_a_host_and_a_port() {
        for text in ["127.0.0.1:9092", "kafka-0.kafka.svc:19094", "[::1]:9092"] {
            assert_eq!(text.parse::<Broker>().map(|broker| broker.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "kafka", ":9092", "kafka:", "kafka:0", "kafka:65536", "a,b:1", "[::1:1", "ssl://a:1"]
        {
            assert!(text.parse::<Broker>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_topic_has_a_name_or_none() {
        assert_eq!("".parse::<TopicName>().map(|topic| topic.name().map(str::to_owned)), Ok(None));
        assert_eq!("a.b-c_D9".parse::<TopicName>().unwrap().name(), Some("a.b-c_D9"));
        for text in [".", "..", "a b", "a/b", "\u{e9}", &"x".repeat(250)] {
            assert!(text.parse::<TopicName>().is_err(), "{text}");
        }
    }
}
