//! What is counted of the places of uploads.

use std::fmt;
use std::time::Duration;

use prometheus_client::registry::Unit;

use super::instruments::{Counter, Histogram, Per};
use super::labels::label;
use super::metrics::DURATIONS;
use super::page::Page;
use crate::config::words::words;
use crate::storage::{BlobKind, StoreError};

words! {
    /// What is done with a blob.
    pub enum BlobOperation {
        Put = "put",
        Read = "read",
        Remove = "remove",
        /// What a client put past us becomes a blob.
        Take = "take",
    }
}

words! {
    /// How that ended.
    pub enum BlobResult {
        Done = "done",
        /// It did not come whole: a client's doing.
        Incomplete = "incomplete",
        Failed = "failed",
    }
}

words! {
    /// Bytes into the place, or out of it.
    pub enum BlobDirection {
        In = "in",
        Out = "out",
    }
}

label!(BlobKind, "store", BlobKind::ALL, BlobKind::as_str);
label!(BlobOperation, "operation", BlobOperation::ALL, BlobOperation::as_str);
label!(BlobResult, "result", BlobResult::ALL, BlobResult::as_str);
label!(BlobDirection, "direction", BlobDirection::ALL, BlobDirection::as_str);

#[derive(Debug, Default)]
pub struct BlobMetrics {
    operations: Per<(BlobKind, (BlobOperation, BlobResult)), Counter>,
    bytes: Per<(BlobKind, BlobDirection), Counter>,
    durations: Per<(BlobKind, BlobOperation), Durations>,
}

#[derive(Debug)]
struct Durations(Histogram);

impl Default for Durations {
    fn default() -> Self {
        Durations(Histogram::new(DURATIONS))
    }
}

impl AsRef<Histogram> for Durations {
    fn as_ref(&self) -> &Histogram {
        &self.0
    }
}

impl BlobMetrics {
    pub fn ended(&self, kind: BlobKind, operation: BlobOperation, result: BlobResult, took: Duration) {
        self.operations.of((kind, (operation, result))).add(1);
        self.durations.of((kind, operation)).0.observe_duration(took);
    }

    pub fn bytes(&self, kind: BlobKind, direction: BlobDirection, bytes: u64) {
        self.bytes.of((kind, direction)).add(bytes);
    }

    pub(super) fn tell(&self, page: &mut Page) -> fmt::Result {
        let help = "What was done at the places of uploads, by place, operation and result.";
        page.counters("meerkat_upload_store_operations", help, &self.operations)?;
        let help = "Bytes of uploads into their places and out of them, through this server.";
        page.counters_in("meerkat_upload_store", help, Unit::Bytes, &self.bytes)?;
        let help = "Time of an operation at the place of uploads; of a read, until its first bytes.";
        page.histograms("meerkat_upload_store_duration", help, Some(Unit::Seconds), &self.durations)
    }
}

impl<T> From<&Result<T, StoreError>> for BlobResult {
    fn from(result: &Result<T, StoreError>) -> Self {
        if result.is_ok() { BlobResult::Done } else { BlobResult::Failed }
    }
}
