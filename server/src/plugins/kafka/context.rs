//! What the driver's threads tell: the fate of each event, and how the brokers fare.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use parking_lot::Mutex;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use rdkafka::{ClientContext, Statistics};
use tokio::sync::Notify;

use super::{Options, words};
use crate::storage::events::{StreamStatus, Topic};
use crate::storage::{InState, Operation, Plugin, Pooled, Watch};

/// What both producers know.
pub struct State {
    brokers: String,
    topics: Vec<(Topic, Option<String>)>,
    trouble: Mutex<Option<String>>,
    lost: AtomicU64,
    delivered: AtomicU64,
}

impl State {
    pub fn new(options: &Options) -> State {
        State {
            brokers: options.brokers.clone(),
            topics: options.topics.clone(),
            trouble: Mutex::new(None),
            lost: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
        }
    }

    pub fn status(&self) -> StreamStatus {
        StreamStatus {
            place: format!("Kafka at {} (storage.kafka.brokers)", self.brokers),
            trouble: self.trouble.lock().clone(),
            lost: self.lost.load(Relaxed),
            delivered: self.delivered.load(Relaxed),
        }
    }

    pub fn lost(&self) {
        self.lost.fetch_add(1, Relaxed);
    }

    /// Why an event was refused, in a sentence.
    pub fn refusal(&self, topic: Topic, bytes: usize, error: &KafkaError) -> String {
        let name =
            self.topics.iter().find(|(known, _)| *known == topic).and_then(|(_, name)| name.as_deref());
        words::refusal(&self.brokers, topic, name.unwrap_or_default(), bytes, error)
    }

    pub fn is_in_trouble(&self, trouble: String) {
        *self.trouble.lock() = Some(trouble);
    }

    fn is_well(&self) {
        let mut trouble = self.trouble.lock();
        if trouble.is_some() {
            *trouble = None;
        }
    }

    fn hear(&self, error: &KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka");
        let Some(trouble) = words::trouble(&self.brokers, error, reason) else { return };
        // That none is there says less than why.
        let says_why = *error != KafkaError::Global(RDKafkaErrorCode::AllBrokersDown);
        if says_why || self.trouble.lock().is_none() {
            self.is_in_trouble(trouble);
        }
    }
}

/// The parcel that is on its way: how many of its events have no fate yet.
#[derive(Default)]
pub struct Window {
    state: Mutex<Underway>,
    settled: Notify,
}

#[derive(Default)]
struct Underway {
    /// Which parcel it is: what is heard of an earlier one counts no more.
    number: u32,
    left: usize,
    fates: Vec<(usize, Option<KafkaError>)>,
}

impl Window {
    /// An event's place in a parcel, with the parcel's number.
    pub fn ticket(number: u32, place: usize) -> usize {
        (number as usize) << 32 | place
    }

    pub fn begin(&self, events: usize) -> u32 {
        let mut state = self.state.lock();
        let number = state.number.wrapping_add(1);
        *state = Underway { number, left: 0, fates: Vec::with_capacity(events) };
        number
    }

    /// One more has no fate yet; it may have had it before this is said.
    pub fn sent(&self, number: u32) {
        let mut state = self.state.lock();
        if state.number == number {
            state.left += 1;
        }
    }

    /// The fate of an event that was never sent.
    pub fn settle(&self, number: u32, place: usize, fate: Option<KafkaError>) {
        let mut state = self.state.lock();
        if state.number == number {
            state.left += 1;
            state.fates.push((place, fate));
        }
    }

    fn deliver(&self, ticket: usize, fate: Option<KafkaError>) {
        let mut state = self.state.lock();
        if state.number as usize == ticket >> 32 {
            state.fates.push((ticket & 0xffff_ffff, fate));
            // What is still being sent finds it done.
            if state.fates.len() >= state.left {
                self.settled.notify_one();
            }
        }
    }

    /// Everything that was sent has its fate.
    pub async fn settled(&self) {
        loop {
            {
                let state = self.state.lock();
                if state.fates.len() >= state.left {
                    return;
                }
            }
            self.settled.notified().await;
        }
    }

    pub fn take(&self) -> Vec<(usize, Option<KafkaError>)> {
        std::mem::take(&mut self.state.lock().fates)
    }

    /// Nobody waits for it any more.
    pub fn abandon(&self) {
        self.begin(0);
    }
}

/// The open connections of one producer, as it last told of them.
pub struct Connections {
    watch: Arc<dyn Watch>,
    open: Mutex<Vec<InState>>,
}

impl Connections {
    pub fn new(watch: &Arc<dyn Watch>) -> Connections {
        Connections { watch: watch.clone(), open: Mutex::default() }
    }

    fn told(&self, statistics: &Statistics) {
        let up = statistics.brokers.values().filter(|broker| broker.state == "UP").count();
        let in_use = || InState::new(&self.watch, Plugin::Kafka, Pooled::InUse);
        self.open.lock().resize_with(up, in_use);
    }
}

/// For what must not be lost.
pub struct Kept {
    pub state: Arc<State>,
    pub window: Arc<Window>,
    pub connections: Connections,
}

/// For what may be.
pub struct Loose {
    pub state: Arc<State>,
    pub connections: Connections,
}

impl ProducerContext for Kept {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: usize) {
        let fate = result.as_ref().err().map(|(error, _)| error.clone());
        if fate.is_none() {
            self.state.is_well();
        }
        self.window.deliver(ticket, fate);
    }
}

impl ProducerContext for Loose {
    /// When it was offered.
    type DeliveryOpaque = Box<Instant>;

    fn delivery(&self, result: &DeliveryResult<'_>, offered: Box<Instant>) {
        match result {
            Ok(_) => self.state.delivered.fetch_add(1, Relaxed),
            Err(_) => self.state.lost.fetch_add(1, Relaxed),
        };
        self.connections.watch.operated(Operation::KafkaOffer, offered.elapsed(), result.is_ok());
    }
}

impl ClientContext for Kept {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.state.hear(&error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        self.connections.told(&statistics);
    }
}

impl ClientContext for Loose {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.state.hear(&error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        self.connections.told(&statistics);
    }
}

/// The driver says the same thing again every second while a broker is away: what the operator is to read, the
/// relay says, once.
fn log(level: RDKafkaLogLevel, facility: &str, line: &str) {
    tracing::debug!(?level, facility, line, "librdkafka");
}
