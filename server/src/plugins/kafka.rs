//! The event stream in topics of an Apache Kafka.
//!
//! Two producers, so that neither is in the other's way: one for what must not be lost, which waits for its broker
//! as long as it takes, and one for the rest, whose queue is the bounded buffer of what may be lost.
//!
//! The order of a key's events holds through every fault: the producer is idempotent, so that a batch that is sent
//! again neither doubles nor overtakes, and a batch that is refused for good stops it (`enable.gapless.guarantee`)
//! before a later one arrives. It is then made anew, and goes on with what did not arrive.

mod context;
pub mod examine;
mod words;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};

use crate::storage::events::{Event, EventStream, Parcel, StreamStatus, Topic};
use crate::storage::{Fut, Operation, Plugin, Watch, watched};
use context::{Connections, Kept, Loose, State, Window};

/// How long a full queue is waited for before it is tried again.
const QUEUE_WAIT: Duration = Duration::from_millis(5);
/// What a key, headers and the batch around them take of a message's bound.
const AROUND_AN_EVENT: usize = 512;
/// The fate of what was offered, when the server stops.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Where the brokers are, and how they are spoken to.
#[derive(Debug, Clone)]
pub struct Options {
    /// "HOST:PORT", joined by commas.
    pub brokers: String,
    /// By [`Topic`]; `None`: not sent.
    pub topics: Vec<(Topic, Option<String>)>,
    pub tls: bool,
    pub ca: Option<PathBuf>,
    /// Mechanism, name and password.
    pub sasl: Option<(&'static str, String, String)>,
    pub compression: &'static str,
    pub max_event_bytes: usize,
    pub buffer_events: usize,
    pub watch: Arc<dyn Watch>,
}

pub struct Kafka {
    options: Options,
    state: Arc<State>,
    /// `None` after a fault that only a new one gets over. A plain lock: no section of it waits for anything.
    kept: Mutex<Option<Arc<ThreadedProducer<Kept>>>>,
    window: Arc<Window>,
    loose: ThreadedProducer<Loose>,
}

impl Kafka {
    /// Connects to nobody yet. The error is a sentence for the operator.
    pub fn new(options: Options) -> Result<Kafka, String> {
        let state = Arc::new(State::new(&options));
        let context = Loose { state: state.clone(), connections: Connections::new(&options.watch) };
        let loose = loose_settings(&options).create_with_context(context);
        let loose = loose.map_err(|error| words::unusable(&options.brokers, &error))?;
        let kafka = Kafka { options, state, kept: Mutex::new(None), window: Arc::default(), loose };
        kafka.producer()?;
        Ok(kafka)
    }

    fn name(&self, topic: Topic) -> Option<&str> {
        let found = self.options.topics.iter().find(|(known, _)| *known == topic);
        found.and_then(|(_, name)| name.as_deref())
    }

    /// The one for what must not be lost.
    fn producer(&self) -> Result<Arc<ThreadedProducer<Kept>>, String> {
        let mut kept = self.kept.lock();
        if let Some(producer) = kept.as_ref().filter(|producer| producer.client().fatal_error().is_none()) {
            return Ok(producer.clone());
        }
        self.drop_apart(kept.take());
        let connections = Connections::new(&self.options.watch);
        let context = Kept { state: self.state.clone(), window: self.window.clone(), connections };
        let producer = kept_settings(&self.options).create_with_context(context);
        let producer = producer.map_err(|error| words::unusable(&self.options.brokers, &error))?;
        Ok(kept.insert(Arc::new(producer)).clone())
    }

    /// Its end takes a moment: not here.
    fn drop_apart(&self, producer: Option<Arc<ThreadedProducer<Kept>>>) {
        if let Some(producer) = producer {
            std::thread::spawn(move || drop(producer));
        }
    }

    async fn send(
        &self,
        producer: &ThreadedProducer<Kept>,
        ticket: usize,
        event: &Event,
        name: &str,
    ) -> Result<(), KafkaError> {
        loop {
            let record = BaseRecord::with_opaque_to(name, ticket).key(&event.key).payload(&event.payload);
            match producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    tokio::time::sleep(QUEUE_WAIT).await;
                }
                Err((error, _)) => return Err(error),
            }
        }
    }

    async fn publish_now(&self, parcel: &mut Parcel) -> Result<(), String> {
        let producer = self.producer()?;
        // Whoever gives up in the middle takes the producer with it: what it still has is not to arrive behind
        // what another server sends meanwhile.
        let mut giving_up = GivingUp { kafka: self, done: false };
        let window = self.window.begin(parcel.len());
        let mut trouble = None;
        for (place, event) in parcel.pending() {
            let Some(name) = self.name(event.topic) else {
                self.window.settle(window, place, None);
                continue;
            };
            if let Err(error) = self.send(&producer, Window::ticket(window, place), event, name).await {
                trouble = Some(self.state.refusal(event.topic, event.payload.len(), &error));
                break;
            }
            self.window.sent(window);
        }
        self.window.settled().await;
        for (place, refused) in self.window.take() {
            match refused {
                None => parcel.confirm(place),
                Some(error) => {
                    let event = parcel.pending().find(|(pending, _)| *pending == place);
                    let (topic, bytes) =
                        event.map_or((Topic::Account, 0), |(_, event)| (event.topic, event.payload.len()));
                    trouble.get_or_insert_with(|| self.state.refusal(topic, bytes, &error));
                }
            }
        }
        giving_up.done = true;
        match trouble {
            None => Ok(()),
            Some(trouble) => {
                self.state.is_in_trouble(trouble.clone());
                Err(trouble)
            }
        }
    }
}

struct GivingUp<'k> {
    kafka: &'k Kafka,
    done: bool,
}

impl Drop for GivingUp<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.kafka.window.abandon();
            let producer = self.kafka.kept.lock().take();
            self.kafka.drop_apart(producer);
        }
    }
}

impl EventStream for Kafka {
    fn takes(&self, topic: Topic) -> bool {
        self.name(topic).is_some()
    }

    fn max_event_bytes(&self) -> usize {
        self.options.max_event_bytes - AROUND_AN_EVENT
    }

    fn publish<'a>(&'a self, parcel: &'a mut Parcel) -> Fut<'a, Result<(), String>> {
        self.options.watch.batched(Plugin::Kafka, parcel.pending().count());
        Box::pin(watched(&self.options.watch, Operation::KafkaPublish, self.publish_now(parcel)))
    }

    fn offer(&self, event: Event) {
        let Some(name) = self.name(event.topic) else { return };
        let record = BaseRecord::with_opaque_to(name, Box::new(Instant::now()))
            .key(&event.key)
            .payload(&event.payload);
        if self.loose.send(record).is_err() {
            self.state.lost();
        }
    }

    fn status(&self) -> StreamStatus {
        self.state.status()
    }

    fn close<'a>(&'a self) -> Fut<'a, ()> {
        let loose = self.loose.clone();
        Box::pin(async move {
            // What it does not get rid of in time may be lost.
            let _ = tokio::task::spawn_blocking(move || loose.flush(LAST_WORDS)).await;
        })
    }
}

fn settings(options: &Options) -> ClientConfig {
    let mut settings = ClientConfig::new();
    let protocol = match (options.tls, options.sasl.is_some()) {
        (false, false) => "plaintext",
        (true, false) => "ssl",
        (false, true) => "sasl_plaintext",
        (true, true) => "sasl_ssl",
    };
    settings
        .set("bootstrap.servers", &options.brokers)
        .set("client.id", "meerkat")
        .set("security.protocol", protocol)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("compression.type", options.compression)
        .set("message.max.bytes", options.max_event_bytes.to_string())
        // Keys go where the producers of the Java library would send them.
        .set("partitioner", "murmur2_random")
        .set("linger.ms", "5")
        // The connections are counted so often.
        .set("statistics.interval.ms", "5000")
        // Back soon when the broker is.
        .set("reconnect.backoff.max.ms", "2000")
        .set("socket.connection.setup.timeout.ms", "5000")
        .set("socket.timeout.ms", "10000")
        .set("request.timeout.ms", "8000")
        // So long a topic is waited for that its maker has just made.
        .set("topic.metadata.propagation.max.ms", "3000");
    if let Some(ca) = &options.ca {
        settings.set("ssl.ca.location", ca.to_string_lossy());
    }
    if let Some((mechanism, username, password)) = &options.sasl {
        settings.set("sasl.mechanism", *mechanism).set("sasl.username", username);
        settings.set("sasl.password", password);
    }
    settings
}

/// It never gives up by itself: what it has is in the outbox too, and the queue is as long as one parcel.
fn kept_settings(options: &Options) -> ClientConfig {
    let mut settings = settings(options);
    settings.set("enable.gapless.guarantee", "true").set("message.timeout.ms", "0");
    settings
}

fn loose_settings(options: &Options) -> ClientConfig {
    let mut settings = settings(options);
    settings
        .set("message.timeout.ms", "30000")
        .set("queue.buffering.max.messages", options.buffer_events.to_string())
        .set("queue.buffering.max.kbytes", "65536");
    settings
}

#[cfg(test)]
mod tests;
