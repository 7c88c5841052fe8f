//! What plugins do, how long it takes, and how often it fails: the same few families for all of them.

use std::fmt;
use std::time::Duration;

use prometheus_client::registry::Unit;

use super::instruments::{Counter, Gauge, Histogram, Per};
use super::metrics::{BATCH_SIZES, DURATIONS};
use super::page::Page;
use crate::storage::{Operation, Plugin, Pooled};

#[derive(Debug)]
pub struct Plugins {
    operations: Per<Operation, Counter>,
    errors: Per<Operation, Counter>,
    durations: Per<Operation, Histogram>,
    batches: Per<Plugin, Histogram>,
    connections: Per<(Plugin, Pooled), Gauge>,
    /// How much was told of it at all: one that is not configured is not shown.
    told: Per<Plugin, Counter>,
}

impl Default for Plugins {
    fn default() -> Self {
        Plugins {
            operations: Per::default(),
            errors: Per::default(),
            durations: Per::histograms(DURATIONS),
            batches: Per::histograms(BATCH_SIZES),
            connections: Per::default(),
            told: Per::default(),
        }
    }
}

impl Plugins {
    pub fn operated(&self, operation: Operation, took: Duration, well: bool) {
        self.told.of(operation.plugin()).add(1);
        self.operations.of(operation).add(1);
        self.errors.of(operation).add(u64::from(!well));
        self.durations.of(operation).observe_duration(took);
    }

    pub fn batched(&self, plugin: Plugin, items: usize) {
        self.told.of(plugin).add(1);
        self.batches.of(plugin).observe(items as u64);
    }

    pub fn pooled(&self, plugin: Plugin, state: Pooled, change: i64) {
        self.told.of(plugin).add(1);
        self.connections.of((plugin, state)).add(change);
    }

    pub(super) fn show(&self, page: &mut Page) -> fmt::Result {
        let used = |plugin: Plugin| self.told.of(plugin).value() > 0;
        let operation = |operation: Operation| used(operation.plugin());
        if !Plugin::ALL.iter().any(|plugin| used(*plugin)) {
            return Ok(());
        }
        let family = ("meerkat_plugin_operations", "Operations of plugins that ended, well or not.");
        page.counters_of(family, &self.operations, operation)?;
        let family = ("meerkat_plugin_errors", "Operations of plugins that failed.");
        page.counters_of(family, &self.errors, operation)?;
        let family = ("meerkat_plugin_operation_duration", "Time of one operation of a plugin.");
        page.histograms_of(family, Some(Unit::Seconds), &self.durations, operation)?;
        let family = ("meerkat_plugin_batch_items", "Items in one transaction or request of a plugin.");
        page.histograms_of(family, None, &self.batches, used)?;
        let family =
            ("meerkat_plugin_connections", "Connections of a plugin's pool, and callers that wait for one.");
        page.gauges_of(family, &self.connections, |(plugin, _)| used(plugin))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::storage::Watch;
    use crate::telemetry::metrics::Metrics;

    #[test]
    fn a_plugin_is_shown_with_all_its_operations_once_it_told_anything() {
        let metrics = Arc::new(Metrics::default());
        assert!(!metrics.exposition().contains("plugin=\""));
        metrics.operated(Operation::PostgresSave, Duration::from_millis(3), true);
        metrics.operated(Operation::PostgresSave, Duration::from_millis(3), false);
        metrics.batched(Plugin::Postgres, 30);
        metrics.pooled(Plugin::Postgres, Pooled::InUse, 2);
        metrics.pooled(Plugin::Postgres, Pooled::InUse, -1);
        let text = metrics.exposition();
        let expected = [
            "meerkat_plugin_operations_total{plugin=\"postgres\",operation=\"save\"} 2",
            "meerkat_plugin_operations_total{plugin=\"postgres\",operation=\"read\"} 0",
            "meerkat_plugin_errors_total{plugin=\"postgres\",operation=\"save\"} 1",
            "meerkat_plugin_operation_duration_seconds_bucket{le=\"0.005\",plugin=\"postgres\",operation=\"save\"} 2",
            "meerkat_plugin_batch_items_sum{plugin=\"postgres\"} 30.0",
            "meerkat_plugin_connections{plugin=\"postgres\",state=\"in_use\"} 1",
        ];
        for line in expected {
            assert!(text.lines().any(|found| found == line), "{line}\nis not in\n{text}");
        }
        assert!(!text.contains("plugin=\"redis\""));
    }
}
