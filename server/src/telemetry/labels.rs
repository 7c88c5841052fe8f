//! Labels of metrics: closed sets of words, each the index of its instrument.

use xmpp_core::{Condition, Kind, StreamCondition};

use crate::config::Mechanism;
use crate::config::words::words;
use crate::storage::cache::{CacheAction, CacheOutcome};
use crate::storage::{Operation, Plugin, Pooled};

/// A label, or several together, with all values that it can have.
pub trait Label: Copy {
    const COUNT: usize;
    /// From 0 to `COUNT - 1`.
    fn index(self) -> usize;
    /// In the order of their indices.
    fn all() -> Vec<Self>;
    /// Names and values.
    fn pairs(self) -> Vec<(&'static str, &'static str)>;
}

impl<A: Label, B: Label> Label for (A, B) {
    const COUNT: usize = A::COUNT * B::COUNT;

    fn index(self) -> usize {
        self.0.index() * B::COUNT + self.1.index()
    }

    fn all() -> Vec<Self> {
        A::all().into_iter().flat_map(|a| B::all().into_iter().map(move |b| (a, b))).collect()
    }

    fn pairs(self) -> Vec<(&'static str, &'static str)> {
        [self.0.pairs(), self.1.pairs()].concat()
    }
}

/// Makes a label of an enum without fields: `label!(TYPE, "name", ALL VALUES, value -> word)`.
macro_rules! label {
    ($Type:ty, $name:literal, $all:expr, $word:expr) => {
        impl $crate::telemetry::labels::Label for $Type {
            const COUNT: usize = $all.len();

            fn index(self) -> usize {
                self as usize
            }

            fn all() -> Vec<Self> {
                $all.to_vec()
            }

            fn pairs(self) -> Vec<(&'static str, &'static str)> {
                let word: fn($Type) -> &'static str = $word;
                vec![($name, word(self))]
            }
        }
    };
}
pub(super) use label;

words! {
    /// How an attempt to log in ended.
    pub enum Login {
        Success = "success",
        /// Wrong password, unknown user, wrong proof.
        NotAuthorized = "not-authorized",
        /// The account is banned.
        Disabled = "account-disabled",
        /// What the client sent was no proof at all.
        Malformed = "malformed-request",
        /// The client gave up.
        Aborted = "aborted",
        /// Too many failures before.
        Limited = "limited",
        /// The store or the hashing pool could not answer.
        Temporary = "temporary-auth-failure",
    }
}

words! {
    /// Where a session is in its life.
    pub enum SessionState {
        /// It has a connection.
        Connected = "connected",
        /// It waits to be resumed.
        Resumable = "resumable",
    }
}

words! {
    /// A queue of the whole server. (Queues of single sessions are bounds, and count when they are full.)
    pub enum Queue {
        /// Writes that wait for their transaction.
        StoreWrites = "store_writes",
        /// Routed stanzas whose commit is awaited.
        Commits = "commits",
        /// Passwords that wait to be hashed.
        Hashing = "hashing",
    }
}

words! {
    /// Why the store could not do something.
    pub enum StoreFailure {
        Unavailable = "unavailable",
        Conflict = "conflict",
        Full = "full",
        Damaged = "damaged",
    }
}

label!(Login, "result", Login::ALL, Login::as_str);
label!(SessionState, "state", SessionState::ALL, SessionState::as_str);
label!(Queue, "queue", Queue::ALL, Queue::as_str);
label!(StoreFailure, "kind", StoreFailure::ALL, StoreFailure::as_str);
label!(CacheAction, "action", CacheAction::ALL, CacheAction::as_str);
label!(CacheOutcome, "outcome", CacheOutcome::ALL, CacheOutcome::as_str);
label!(Mechanism, "mechanism", Mechanism::ALL, Mechanism::as_str);
label!(StreamCondition, "condition", StreamCondition::ALL, StreamCondition::as_str);
label!(Condition, "condition", Condition::ALL, Condition::as_str);
label!(Plugin, "plugin", Plugin::ALL, Plugin::as_str);
label!(Pooled, "state", Pooled::ALL, Pooled::as_str);
label!(Kind, "kind", [Kind::Message, Kind::Presence, Kind::Iq], |kind| match kind {
    Kind::Message => "message",
    Kind::Presence => "presence",
    Kind::Iq => "iq",
});

/// Two plugins may call what they do by the same word.
impl Label for Operation {
    const COUNT: usize = Operation::ALL.len();

    fn index(self) -> usize {
        self as usize
    }

    fn all() -> Vec<Self> {
        Operation::ALL.to_vec()
    }

    fn pairs(self) -> Vec<(&'static str, &'static str)> {
        vec![("plugin", self.plugin().as_str()), ("operation", self.as_str())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::bound::Bound;

    fn holds<L: Label>() {
        let all = L::all();
        assert_eq!(all.len(), L::COUNT);
        assert!(all.iter().enumerate().all(|(index, label)| label.index() == index));
        let words: std::collections::HashSet<_> = all.iter().map(|label| label.pairs()).collect();
        assert_eq!(words.len(), L::COUNT, "two values have the same words");
    }

    #[test]
    fn each_value_has_an_index_of_its_own() {
        holds::<Login>();
        holds::<SessionState>();
        holds::<Queue>();
        holds::<StoreFailure>();
        holds::<(CacheAction, CacheOutcome)>();
        holds::<Mechanism>();
        holds::<StreamCondition>();
        holds::<Condition>();
        holds::<Kind>();
        holds::<Bound>();
        holds::<(Mechanism, Login)>();
        holds::<Operation>();
        holds::<(Plugin, Pooled)>();
    }
}
