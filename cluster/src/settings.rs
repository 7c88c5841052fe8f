//! The times and sizes of a cluster, each with its bounds.

use std::time::Duration;

/// What an operator may turn. `check` says what is out of bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// A leader is heard from so often: 20 ms to 5 s.
    pub heartbeat: Duration,
    /// A node that hears no leader for a time between these asks for votes. At least 3 heartbeats, at
    /// most 60 s.
    pub election_min: Duration,
    pub election_max: Duration,
    /// A node not heard from for so long is declared down: at least `election_max`, at most 60 s.
    pub node_timeout: Duration,
    /// A bind that finds no majority is refused after so long: 100 ms to 60 s.
    pub quorum_wait: Duration,
    /// A voter that is down for so long gives its vote to a learner: at least `node_timeout`.
    pub replace_voter_after: Duration,
    /// How many voters: 1, 3 or 5. Chosen by the number of nodes when absent.
    pub voters: Option<usize>,
    /// A snapshot is made when the log has grown by so many bytes since the last: 64 KiB to 1 GiB.
    pub snapshot_after_bytes: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            heartbeat: Duration::from_millis(100),
            election_min: Duration::from_millis(300),
            election_max: Duration::from_millis(600),
            node_timeout: Duration::from_millis(3500),
            quorum_wait: Duration::from_secs(3),
            replace_voter_after: Duration::from_secs(30),
            voters: None,
            snapshot_after_bytes: 32 * 1024 * 1024,
        }
    }
}

/// A setting that is out of its bounds, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadSetting(pub &'static str);

impl Settings {
    pub fn check(&self) -> Result<(), BadSetting> {
        let most = Duration::from_secs(60);
        let bounds = [
            (
                (Duration::from_millis(20)..=Duration::from_secs(5)).contains(&self.heartbeat),
                "heartbeat: 20 ms to 5 s",
            ),
            (self.election_min >= self.heartbeat * 3, "election_min: at least 3 heartbeats"),
            (self.election_max > self.election_min, "election_max: more than election_min"),
            (self.election_max <= most, "election_max: at most 60 s"),
            (
                (self.election_max..=most).contains(&self.node_timeout),
                "node_timeout: from election_max to 60 s",
            ),
            ((Duration::from_millis(100)..=most).contains(&self.quorum_wait), "quorum_wait: 100 ms to 60 s"),
            (self.replace_voter_after >= self.node_timeout, "replace_voter_after: at least node_timeout"),
            (self.voters.is_none_or(|v| [1, 3, 5].contains(&v)), "voters: 1, 3 or 5"),
            (
                (64 * 1024..=1024 * 1024 * 1024).contains(&self.snapshot_after_bytes),
                "snapshot_after_bytes: 64 KiB to 1 GiB",
            ),
        ];
        match bounds.iter().find(|(is_kept, _)| !is_kept) {
            Some((_, words)) => Err(BadSetting(words)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_within_bounds_and_nonsense_is_not() {
        assert_eq!(Settings::default().check(), Ok(()));
        let refused = |change: fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            assert!(settings.check().is_err(), "{settings:?}");
        };
        refused(|s| s.heartbeat = Duration::ZERO);
        refused(|s| s.election_min = s.heartbeat);
        refused(|s| s.election_max = s.election_min);
        refused(|s| s.node_timeout = Duration::from_millis(200));
        refused(|s| s.quorum_wait = Duration::ZERO);
        refused(|s| s.replace_voter_after = Duration::ZERO);
        refused(|s| s.voters = Some(2));
        refused(|s| s.snapshot_after_bytes = 1);
    }
}
