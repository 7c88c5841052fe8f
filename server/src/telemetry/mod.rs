//! What the server tells of itself: log lines, metrics, and whether it is well.
//!
//! Nothing here knows a session or a store; they count into `metrics::Metrics` and report to
//! `health::Health`.

pub mod blobs;
pub mod bound;
pub mod events;
#[cfg(test)]
mod exposition_tests;
pub mod health;
pub mod http;
mod instruments;
pub mod labels;
pub mod logging;
pub mod metrics;
mod page;
pub mod plugins;
mod process;
