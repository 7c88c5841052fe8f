//! Whether the server is ready to serve, by named conditions.

use std::fmt::Write;
use std::sync::Arc;

use parking_lot::Mutex;

/// The conditions under which the server is ready. A clone is the same.
#[derive(Debug, Clone, Default)]
pub struct Health {
    conditions: Arc<Mutex<Vec<(&'static str, State)>>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Nothing was said of it yet.
    Awaited,
    Good,
    Bad(String),
}

/// One condition, in the hands of the part that knows about it.
#[derive(Debug, Clone)]
pub struct Condition {
    health: Health,
    index: usize,
}

impl Health {
    /// A further condition, `"store"` for instance. The server is not ready until it is good.
    pub fn condition(&self, name: &'static str) -> Condition {
        let mut conditions = self.conditions.lock();
        conditions.push((name, State::Awaited));
        Condition { health: self.clone(), index: conditions.len() - 1 }
    }

    /// Whether all conditions are good.
    pub fn is_ready(&self) -> bool {
        self.conditions.lock().iter().all(|(_, state)| *state == State::Good)
    }

    /// A line for each condition.
    pub fn report(&self) -> String {
        let mut report = String::new();
        for (name, state) in self.conditions.lock().iter() {
            let state = match state {
                State::Awaited => "awaited",
                State::Good => "good",
                State::Bad(reason) => reason,
            };
            let _ = writeln!(report, "{name}: {state}");
        }
        report
    }
}

impl Condition {
    pub fn good(&self) {
        self.set(State::Good);
    }

    /// It does not hold, for this reason.
    pub fn bad(&self, reason: impl Into<String>) {
        self.set(State::Bad(reason.into()));
    }

    fn set(&self, state: State) {
        // Conditions are only ever added, so that the index stays right.
        if let Some((_, current)) = self.health.conditions.lock().get_mut(self.index) {
            *current = state;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_when_all_conditions_are_good() {
        let health = Health::default();
        let (store, listening) = (health.condition("store"), health.condition("listening"));
        assert!(!health.is_ready());
        store.good();
        assert!(!health.is_ready());
        listening.good();
        assert!(health.is_ready());
        store.bad("the disk is full");
        assert!(!health.is_ready());
        assert_eq!(health.report(), "store: the disk is full\nlistening: good\n");
        store.good();
        assert!(health.is_ready());
    }

    #[test]
    fn without_conditions_the_server_is_ready() {
        assert!(Health::default().is_ready());
    }
}
