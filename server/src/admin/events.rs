//! `meerkatctl events ...`: the event stream, and what waits for it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xmpp_core::date::format_utc;

use super::protocol::{Code, Refusal};
use super::{Admin, Answer, done};
use crate::storage::outbox::WhenFull;

#[derive(Serialize, Deserialize, clap::Subcommand)]
#[serde(rename_all = "camelCase")]
#[command(rename_all = "camelCase")]
pub enum EventsCommand {
    /// How the event stream is, and what waits in the outbox
    Status {},
}

/// How events fare.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventsStatus {
    /// Where the stream is.
    pub stream: String,
    /// Why it is not reached; nothing: all is well.
    pub trouble: Option<String>,
    /// This server is the one that tells the stream, of all that share the store.
    pub relays: bool,
    pub rows: u64,
    pub bytes: u64,
    pub max_bytes: u64,
    /// `drop` or `wait`.
    pub when_full: String,
    /// When the oldest was written.
    pub oldest: Option<String>,
    /// Since the start of this server: confirmed by the stream, thrown away, and lost of those that may be.
    pub confirmed: u64,
    pub dropped: u64,
    pub lost: u64,
}

impl EventsCommand {
    pub(super) async fn run(self, admin: &Arc<Admin>) -> Answer {
        let EventsCommand::Status {} = self;
        let Some(events) = &admin.node.events else {
            let why = "there is no event stream: storage.kafka.brokers names none";
            return Err(Refusal::new(Code::NotFound, why.to_owned()));
        };
        let status = events.status().await;
        let status = status.map_err(|error| Refusal::new(Code::Unavailable, error.to_string()))?;
        let counted = &admin.node.metrics.events;
        done(EventsStatus {
            stream: status.stream.place,
            trouble: status.stream.trouble,
            relays: status.relays,
            rows: status.outbox.rows,
            bytes: status.outbox.bytes,
            max_bytes: status.bounds.max_bytes,
            when_full: match status.bounds.when_full {
                WhenFull::Drop => "drop".to_owned(),
                WhenFull::Wait => "wait".to_owned(),
            },
            oldest: status.outbox.oldest.map(format_utc),
            confirmed: counted.confirmed.value(),
            dropped: counted.dropped.value(),
            lost: counted.lost.value() + status.stream.lost,
        })
    }
}
