//! The time of day. Under a paused runtime (plays) it moves with the paused time.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::storage::Millis;

#[derive(Debug, Clone, Copy)]
pub enum Clock {
    System,
    /// `start` was `at`; what has passed since is the runtime's own time.
    Runtime {
        start: Instant,
        at: Millis,
    },
}

impl Clock {
    pub fn now(&self) -> Millis {
        match self {
            Clock::System => since_epoch(),
            Clock::Runtime { start, at } => at + start.elapsed().as_millis() as u64,
        }
    }

    pub fn runtime() -> Clock {
        Clock::Runtime { start: Instant::now(), at: since_epoch() }
    }
}

fn since_epoch() -> Millis {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|d| d.as_millis() as u64).unwrap_or(0)
}
