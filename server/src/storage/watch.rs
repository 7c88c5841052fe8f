//! Whom a store, or a service beside it, tells how it fares; the server's metrics count it.
//!
//! What is told is a closed set of words, so that counting is an index into an array: a plugin that comes adds its line
//! to [`operations!`]'s table below, and tells with each operation how long it took and whether it went well.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{ColdUsage, StoreError};

/// Told by a store of each transaction, failure and bound; by every plugin of its operations and connections. Nothing
/// here may wait or allocate: it stands on the way of messages.
pub trait Watch: Send + Sync + std::fmt::Debug {
    /// One transaction with so many writes and messages is durable.
    fn committed(&self, writes: usize, took: Duration);
    /// Something was not read or not written, for a reason of the store's own.
    fn failed(&self, error: &StoreError);
    /// A write was refused, because as many wait as may.
    fn crowded(&self, queue: Crowded);
    /// An operation came to its end, well or not.
    fn operated(&self, _operation: Operation, _took: Duration, _well: bool) {}
    /// So many items went together, in one transaction or request.
    fn batched(&self, _plugin: Plugin, _items: usize) {}
    /// So much is in the cold archive.
    fn cold(&self, _usage: ColdUsage) {}
    /// So many connections more, or fewer, are in that state; or callers that wait for one.
    fn pooled(&self, _plugin: Plugin, _state: Pooled, _change: i64) {}
}

/// The bound of a store's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crowded {
    Writes,
    Bytes,
    /// What waits for the event stream.
    Outbox,
}

/// Where a pool's connections, and those who want one, are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooled {
    InUse,
    Idle,
    Waiting,
}

impl Pooled {
    pub const ALL: [Pooled; 3] = [Pooled::InUse, Pooled::Idle, Pooled::Waiting];

    pub fn as_str(self) -> &'static str {
        match self {
            Pooled::InUse => "in_use",
            Pooled::Idle => "idle",
            Pooled::Waiting => "waiting",
        }
    }
}

/// Declares the plugins with their operations, each with its word.
macro_rules! operations {
    ($( $Plugin:ident = $plugin:literal { $( $Operation:ident = $operation:literal, )* } )*) => {
        /// A plugin that is watched.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Plugin { $( $Plugin, )* }

        /// What a plugin does, and what is counted and timed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Operation { $( $( $Operation, )* )* }

        impl Plugin {
            pub const ALL: &'static [Plugin] = &[$( Plugin::$Plugin, )*];

            pub fn as_str(self) -> &'static str {
                match self { $( Plugin::$Plugin => $plugin, )* }
            }
        }

        impl Operation {
            pub const ALL: &'static [Operation] = &[$( $( Operation::$Operation, )* )*];

            pub fn plugin(self) -> Plugin {
                match self { $( $( Operation::$Operation => Plugin::$Plugin, )* )* }
            }

            pub fn as_str(self) -> &'static str {
                match self { $( $( Operation::$Operation => $operation, )* )* }
            }
        }
    };
}

operations! {
    Sqlite = "sqlite" {
        SqliteRead = "read",
        SqliteCommit = "commit",
    }
    Postgres = "postgres" {
        PostgresConnect = "connect",
        PostgresRead = "read",
        PostgresWrite = "write",
        PostgresSave = "save",
    }
    Redis = "redis" {
        RedisConnect = "connect",
        RedisLook = "look",
        RedisPut = "put",
        RedisBegin = "begin",
        RedisEnd = "end",
        RedisClear = "clear",
        RedisFailures = "failures",
    }
    Kafka = "kafka" {
        // Events that must not be lost, a parcel of them; and one that may be.
        KafkaPublish = "publish",
        KafkaOffer = "offer",
    }
    Disk = "disk" {
        DiskPut = "put",
        DiskGet = "get",
        DiskDelete = "delete",
        DiskList = "list",
    }
    S3 = "s3" {
        S3Put = "put",
        S3Get = "get",
        S3Head = "head",
        S3Copy = "copy",
        S3Delete = "delete",
        S3List = "list",
    }
    Cold = "cold" {
        ColdRead = "read",
        ColdWrite = "write",
        ColdRemove = "remove",
        ColdMove = "move",
        ColdRewrite = "rewrite",
    }
}

/// Nobody is told.
#[derive(Debug)]
pub struct Unwatched;

impl Watch for Unwatched {
    fn committed(&self, _: usize, _: Duration) {}
    fn failed(&self, _: &StoreError) {}
    fn crowded(&self, _: Crowded) {}
}

/// Does it, and tells how long it took and whether it went well.
pub async fn watched<T, E>(
    watch: &Arc<dyn Watch>,
    operation: Operation,
    doing: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let begun = Instant::now();
    let outcome = doing.await;
    watch.operated(operation, begun.elapsed(), outcome.is_ok());
    outcome
}

/// One connection, or one who waits, is in that state until this is dropped.
pub struct InState {
    watch: Arc<dyn Watch>,
    plugin: Plugin,
    state: Pooled,
}

impl InState {
    pub fn new(watch: &Arc<dyn Watch>, plugin: Plugin, state: Pooled) -> InState {
        watch.pooled(plugin, state, 1);
        InState { watch: watch.clone(), plugin, state }
    }
}

impl Drop for InState {
    fn drop(&mut self) {
        self.watch.pooled(self.plugin, self.state, -1);
    }
}
