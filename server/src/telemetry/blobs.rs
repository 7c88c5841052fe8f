//! What is counted of the places of uploads. How long it takes there is said by their plugins (`plugins.rs`).

use std::fmt;

use prometheus_client::registry::Unit;

use super::instruments::{Counter, Per};
use super::labels::label;
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
}

impl BlobMetrics {
    pub fn ended(&self, kind: BlobKind, operation: BlobOperation, result: BlobResult) {
        self.operations.of((kind, (operation, result))).add(1);
    }

    pub fn bytes(&self, kind: BlobKind, direction: BlobDirection, bytes: u64) {
        self.bytes.of((kind, direction)).add(bytes);
    }

    pub(super) fn tell(&self, page: &mut Page) -> fmt::Result {
        let help = "What was done at the places of uploads, by place, operation and result.";
        page.counters("meerkat_upload_store_operations", help, &self.operations)?;
        let help = "Bytes of uploads into their places and out of them, through this server.";
        page.counters_in("meerkat_upload_store", help, Unit::Bytes, &self.bytes)
    }
}

impl<T> From<&Result<T, StoreError>> for BlobResult {
    fn from(result: &Result<T, StoreError>) -> Self {
        if result.is_ok() { BlobResult::Done } else { BlobResult::Failed }
    }
}
