//! What is counted, and how it is told to Prometheus.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use xmpp_core::{Condition, Kind, StreamCondition, StreamError};

use super::blobs::BlobMetrics;
use super::bound::Bound;
use super::events::EventMetrics;
use super::instruments::{Counter, Gauge, Histogram, Per};
use super::labels::{Login, Queue, SessionState, StoreFailure};
use super::page::{self, Page};
use super::plugins::Plugins;
use super::process;
use crate::config::Mechanism;
use crate::storage::cache::{CacheAction, CacheOutcome};
use crate::storage::{CacheWatch, ColdUsage, Crowded, Operation, Plugin, Pooled, StoreError, Watch};

/// Everything that is counted. The fields are public: whoever counts seldom does so directly; what is counted
/// for each stanza has a method.
#[derive(Debug)]
pub struct Metrics {
    /// Clients' connections that are open, whether or not they logged in.
    pub connections: Gauge,
    pub connections_accepted: Counter,
    pub sessions: Per<SessionState, Gauge>,
    pub stanzas_received: Per<Kind, Counter>,
    pub stanzas_sent: Per<Kind, Counter>,
    pub bytes_received: Counter,
    pub bytes_sent: Counter,
    pub logins: Per<(Mechanism, Login), Counter>,
    /// From the moment a client's stanza was read until its fate was decided.
    pub route_duration: Histogram,
    pub store_batch_writes: Histogram,
    pub store_batch_duration: Histogram,
    pub store_failures: Per<StoreFailure, Counter>,
    pub plugins: Plugins,
    /// What was asked of the cache that nodes share, and what came of it.
    pub cache_operations: Per<(CacheAction, CacheOutcome), Counter>,
    pub queue_length: Per<Queue, Gauge>,
    /// How often each bound bit.
    pub refusals: Per<Bound, Counter>,
    /// Stream errors that were sent.
    pub stream_errors: Per<StreamCondition, Counter>,
    /// Stanza errors that the server itself answered.
    pub stanza_errors: Per<Condition, Counter>,
    /// What becomes of uploads at their places.
    pub blobs: BlobMetrics,
    /// Files of the cold archive, their bytes, and the messages in them.
    pub cold_files: Gauge,
    pub cold_bytes: Gauge,
    pub cold_messages: Gauge,
    /// Of the event stream.
    pub events: Arc<EventMetrics>,
    /// When each certificate expires, in seconds since 1970, by its file.
    certificate_expiry: Mutex<BTreeMap<String, i64>>,
    started: SystemTime,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            connections: Gauge::default(),
            connections_accepted: Counter::default(),
            sessions: Per::default(),
            stanzas_received: Per::default(),
            stanzas_sent: Per::default(),
            bytes_received: Counter::default(),
            bytes_sent: Counter::default(),
            logins: Per::default(),
            route_duration: Histogram::new(DURATIONS),
            store_batch_writes: Histogram::new(BATCH_SIZES),
            store_batch_duration: Histogram::new(DURATIONS),
            store_failures: Per::default(),
            plugins: Plugins::default(),
            cache_operations: Per::default(),
            queue_length: Per::default(),
            refusals: Per::default(),
            stream_errors: Per::default(),
            stanza_errors: Per::default(),
            blobs: BlobMetrics::default(),
            cold_files: Gauge::default(),
            cold_bytes: Gauge::default(),
            cold_messages: Gauge::default(),
            events: Arc::default(),
            certificate_expiry: Mutex::default(),
            started: SystemTime::now(),
        }
    }
}

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

/// Bounds in nanoseconds.
pub(super) const DURATIONS: &[u64] = &[
    10 * MICROSECOND,
    25 * MICROSECOND,
    50 * MICROSECOND,
    100 * MICROSECOND,
    250 * MICROSECOND,
    500 * MICROSECOND,
    MILLISECOND,
    5 * MILLISECOND / 2,
    5 * MILLISECOND,
    10 * MILLISECOND,
    25 * MILLISECOND,
    50 * MILLISECOND,
    100 * MILLISECOND,
    250 * MILLISECOND,
    SECOND,
    10 * SECOND,
];

pub(super) const BATCH_SIZES: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 4_096];

impl Metrics {
    pub fn stanza_in(&self, kind: Kind) {
        self.stanzas_received.of(kind).add(1);
    }

    pub fn stanza_out(&self, kind: Kind) {
        self.stanzas_sent.of(kind).add(1);
    }

    pub fn bytes_in(&self, bytes: usize) {
        self.bytes_received.add(bytes as u64);
    }

    pub fn bytes_out(&self, bytes: usize) {
        self.bytes_sent.add(bytes as u64);
    }

    pub fn routed(&self, took: Duration) {
        self.route_duration.observe_duration(took);
    }

    pub fn login(&self, mechanism: Mechanism, result: Login) {
        self.logins.of((mechanism, result)).add(1);
    }

    /// A bound bit.
    pub fn refused(&self, bound: Bound) {
        self.refusals.of(bound).add(1);
    }

    /// A session sent more than its share, and was read more slowly.
    pub fn slowed_down(&self) {
        self.refused(Bound::BytesPerSecond);
    }

    /// A stream error is sent; a bound that it tells of has bitten.
    pub fn stream_error(&self, error: &StreamError) {
        self.stream_errors.of(error.condition).add(1);
        error.exceeded.into_iter().for_each(|exceeded| self.refused(exceeded.into()));
    }

    pub fn stanza_error(&self, condition: Condition) {
        self.stanza_errors.of(condition).add(1);
    }

    /// The certificates that are in use now, each with the end of its validity in seconds since 1970.
    pub fn set_certificates(&self, expiry: impl IntoIterator<Item = (String, i64)>) {
        *self.certificate_expiry.lock() = expiry.into_iter().collect();
    }

    /// All metrics in OpenMetrics' text form.
    pub fn exposition(self: &Arc<Self>) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self.clone()));
        let mut text = String::new();
        // Only a writer can fail, and a string does not.
        let _ = encode(&mut text, &registry);
        text
    }

    /// All metrics in Prometheus's older text form.
    pub fn text(self: &Arc<Self>) -> String {
        page::older_form(&self.exposition())
    }
}

impl Watch for Metrics {
    fn committed(&self, writes: usize, took: Duration) {
        self.store_batch_writes.observe(writes as u64);
        self.store_batch_duration.observe_duration(took);
    }

    fn failed(&self, error: &StoreError) {
        let failure = match error {
            StoreError::Unavailable(_) => StoreFailure::Unavailable,
            StoreError::Conflict(_) => StoreFailure::Conflict,
            StoreError::Full(_) => StoreFailure::Full,
            StoreError::Damaged(_) => StoreFailure::Damaged,
        };
        self.store_failures.of(failure).add(1);
    }

    fn crowded(&self, queue: Crowded) {
        self.refused(match queue {
            Crowded::Writes => Bound::WaitingWrites,
            Crowded::Bytes => Bound::WaitingBytes,
            Crowded::Outbox => Bound::MaxBytes,
        });
    }

    fn operated(&self, operation: Operation, took: Duration, well: bool) {
        self.plugins.operated(operation, took, well);
    }

    fn batched(&self, plugin: Plugin, items: usize) {
        self.plugins.batched(plugin, items);
    }

    fn cold(&self, usage: ColdUsage) {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.cold_files.set(number(usage.files));
        self.cold_bytes.set(number(usage.bytes));
        self.cold_messages.set(number(usage.messages));
    }

    fn pooled(&self, plugin: Plugin, state: Pooled, change: i64) {
        self.plugins.pooled(plugin, state, change);
    }
}

impl CacheWatch for Metrics {
    fn asked(&self, action: CacheAction, outcome: CacheOutcome) {
        self.cache_operations.of((action, outcome)).add(1);
    }
}

impl Collector for Metrics {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut page = Page(encoder);
        self.traffic(&mut page)?;
        self.store(&mut page)?;
        self.cold_archive(&mut page)?;
        self.events.tell(&mut page)?;
        self.plugins.show(&mut page)?;
        self.errors(&mut page)?;
        self.build_and_certificates(&mut page)?;
        self.process(&mut page)
    }
}

impl Metrics {
    fn traffic(&self, page: &mut Page) -> fmt::Result {
        page.gauge("meerkat_connections", "Open connections of clients.", None, self.connections.value())?;
        let accepted = self.connections_accepted.value();
        page.counter("meerkat_connections_accepted", "Connections of clients accepted.", None, accepted)?;
        page.gauges("meerkat_sessions", "Sessions by state.", &self.sessions)?;
        page.counters("meerkat_stanzas_received", "Stanzas from clients by kind.", &self.stanzas_received)?;
        page.counters("meerkat_stanzas_sent", "Stanzas to clients by kind.", &self.stanzas_sent)?;
        let bytes = Some(Unit::Bytes);
        let received = self.bytes_received.value();
        page.counter("meerkat_received", "Bytes from clients, inside TLS.", bytes.clone(), received)?;
        page.counter("meerkat_sent", "Bytes to clients, inside TLS.", bytes, self.bytes_sent.value())?;
        page.counters("meerkat_logins", "Attempts to log in by mechanism and result.", &self.logins)?;
        let help = "From reading a stanza until it is in its mailboxes, saved, answered or refused.";
        page.histogram("meerkat_route_duration", help, Some(Unit::Seconds), &self.route_duration)
    }

    fn cold_archive(&self, page: &mut Page) -> fmt::Result {
        page.gauge("meerkat_cold_files", "Files of the cold archive.", None, self.cold_files.value())?;
        let help = "What the files of the cold archive come to.";
        page.gauge("meerkat_cold", help, Some(Unit::Bytes), self.cold_bytes.value())?;
        page.gauge("meerkat_cold_messages", "Messages in the cold archive.", None, self.cold_messages.value())
    }

    fn store(&self, page: &mut Page) -> fmt::Result {
        let help = "Writes in one transaction of the store.";
        page.histogram("meerkat_store_batch_writes", help, None, &self.store_batch_writes)?;
        let help = "Time of one transaction of the store.";
        page.histogram(
            "meerkat_store_batch_duration",
            help,
            Some(Unit::Seconds),
            &self.store_batch_duration,
        )?;
        page.counters(
            "meerkat_store_failures",
            "What the store could not do, by kind.",
            &self.store_failures,
        )?;
        let help = "What was asked of the shared cache, by action and outcome.";
        page.counters("meerkat_cache_operations", help, &self.cache_operations)?;
        page.gauges("meerkat_queue_length", "Items that wait, by queue.", &self.queue_length)?;
        self.blobs.tell(page)
    }

    fn errors(&self, page: &mut Page) -> fmt::Result {
        page.counters("meerkat_refusals", "How often each bound bit.", &self.refusals)?;
        page.counters("meerkat_stream_errors", "Stream errors sent by condition.", &self.stream_errors)?;
        page.counters(
            "meerkat_stanza_errors",
            "Stanza errors of the server by condition.",
            &self.stanza_errors,
        )
    }

    fn build_and_certificates(&self, page: &mut Page) -> fmt::Result {
        let mut family =
            page.family("meerkat_build_info", "The build that runs.", None, MetricType::Gauge)?;
        family.encode_family(&[("version", env!("CARGO_PKG_VERSION"))])?.encode_gauge(&1)?;

        let help = "When each certificate expires, in seconds since 1970.";
        let name = "meerkat_certificate_expiry_timestamp";
        let mut family = page.family(name, help, Some(&Unit::Seconds), MetricType::Gauge)?;
        for (certificate, expiry) in self.certificate_expiry.lock().iter() {
            family.encode_family(&[("certificate", certificate.as_str())])?.encode_gauge(expiry)?;
        }
        Ok(())
    }

    /// The names that every Prometheus client library uses.
    fn process(&self, page: &mut Page) -> fmt::Result {
        let (bytes, seconds) = (Some(Unit::Bytes), Some(Unit::Seconds));
        let started = self.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        page.gauge(
            "process_start_time",
            "Start of the process, in seconds since 1970.",
            seconds.clone(),
            started,
        )?;
        let Some(usage) = process::usage() else { return Ok(()) };
        page.counter("process_cpu", "User and system CPU time.", seconds, usage.cpu_seconds)?;
        page.gauge("process_resident_memory", "Resident memory.", bytes.clone(), usage.resident_bytes)?;
        page.gauge("process_virtual_memory", "Virtual memory.", bytes, usage.virtual_bytes)?;
        page.gauge("process_open_fds", "Open file descriptors.", None, usage.open_files)?;
        if let Some(most) = usage.most_open_files {
            page.gauge("process_max_fds", "Most open file descriptors.", None, most)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_told() {
        let metrics = Arc::new(Metrics::default());
        metrics.stanza_in(Kind::Presence);
        metrics.stanza_in(Kind::Presence);
        metrics.bytes_out(300);
        metrics.sessions.of(SessionState::Resumable).add(3);
        metrics.sessions.of(SessionState::Resumable).add(-1);
        metrics.login(Mechanism::ScramSha1Plus, Login::NotAuthorized);
        metrics.refused(Bound::RosterItems);
        metrics.slowed_down();
        metrics.routed(Duration::from_micros(20));
        metrics.committed(64, Duration::from_millis(3));
        metrics.failed(&StoreError::Full("disk".into()));
        metrics.stanza_error(Condition::ServiceUnavailable);
        metrics.set_certificates([("/a \"b\".pem".to_owned(), 1_800_000_000)]);
        let text = metrics.exposition();
        let expected = [
            "meerkat_stanzas_received_total{kind=\"presence\"} 2",
            "meerkat_stanzas_received_total{kind=\"iq\"} 0",
            "meerkat_sent_bytes_total 300",
            "meerkat_sessions{state=\"resumable\"} 2",
            "meerkat_logins_total{mechanism=\"SCRAM-SHA-1-PLUS\",result=\"not-authorized\"} 1",
            "meerkat_refusals_total{bound=\"roster_items\"} 1",
            "meerkat_refusals_total{bound=\"bytes_per_second\"} 1",
            "meerkat_route_duration_seconds_bucket{le=\"0.00001\"} 0",
            "meerkat_route_duration_seconds_bucket{le=\"0.000025\"} 1",
            "meerkat_route_duration_seconds_bucket{le=\"+Inf\"} 1",
            "meerkat_store_batch_writes_sum 64.0",
            "meerkat_store_batch_duration_seconds_count 1",
            "meerkat_store_failures_total{kind=\"full\"} 1",
            "meerkat_stanza_errors_total{condition=\"service-unavailable\"} 1",
            "meerkat_certificate_expiry_timestamp_seconds{certificate=\"/a \\\"b\\\".pem\"} 1800000000",
        ];
        for line in expected {
            assert!(text.lines().any(|found| found == line), "{line}\nis not in\n{text}");
        }
    }
}
