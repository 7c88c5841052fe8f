//! Every bound that can bite, by the name of its configuration key.

use xmpp_core::Exceeded;

use super::labels::label;
use crate::config::words::words;

words! {
    /// A bound. The name is the last part of its configuration key.
    pub enum Bound {
        // limits
        Connections = "connections",
        ConnectionsPerAddress = "connections_per_address",
        UnauthenticatedSeconds = "unauthenticated_seconds",
        UnauthenticatedBytes = "unauthenticated_bytes",
        StanzaBytes = "stanza_bytes",
        StanzaElements = "stanza_elements",
        StanzaDepth = "stanza_depth",
        StanzaAttributes = "stanza_attributes",
        /// Refuses nothing: the session is read more slowly.
        BytesPerSecond = "bytes_per_second",
        SessionsPerAccount = "sessions_per_account",
        MailboxStanzas = "mailbox_stanzas",
        MailboxBytes = "mailbox_bytes",
        UnacknowledgedStanzas = "unacknowledged_stanzas",
        UnacknowledgedBytes = "unacknowledged_bytes",
        /// Refuses nothing: the session is read no further until a commit.
        PendingCommitStanzas = "pending_commit_stanzas",
        PendingCommitBytes = "pending_commit_bytes",
        DirectedPresences = "directed_presences",
        RosterItems = "roster_items",
        RosterItemGroups = "roster_item_groups",
        RosterNameBytes = "roster_name_bytes",
        SubscriptionRequests = "subscription_requests",
        BlockListItems = "block_list_items",
        OfflineMessages = "offline_messages",
        VcardBytes = "vcard_bytes",
        PrivateBytes = "private_bytes",
        PrivateElements = "private_elements",
        // listen.c2s, listen.http
        MaxConnections = "max_connections",
        // auth
        AttemptsPerStream = "attempts_per_stream",
        FailedLoginsPerAddress = "failed_logins_per_address",
        FailedLoginsPerAccount = "failed_logins_per_account",
        HashingQueue = "hashing_queue",
        // c2s
        WriteTimeoutSeconds = "write_timeout_seconds",
        PingTimeoutSeconds = "ping_timeout_seconds",
        // storage
        WaitingWrites = "waiting_writes",
        WaitingBytes = "waiting_bytes",
        // outbox
        MaxBytes = "max_bytes",
        // modules
        RegistrationsPerAddress = "registrations_per_address",
        PendingQueries = "pending_queries",
        MaxFileBytes = "max_file_bytes",
        FilesPerDay = "files_per_day",
        BytesPerDay = "bytes_per_day",
    }
}

label!(Bound, "bound", Bound::ALL, Bound::as_str);

impl From<Exceeded> for Bound {
    fn from(exceeded: Exceeded) -> Bound {
        match exceeded {
            Exceeded::Bytes => Bound::StanzaBytes,
            Exceeded::Elements => Bound::StanzaElements,
            Exceeded::Depth => Bound::StanzaDepth,
            Exceeded::Attributes => Bound::StanzaAttributes,
            Exceeded::Logins => Bound::AttemptsPerStream,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::reference_toml;

    fn keys(section: &str) -> Vec<String> {
        let reference = reference_toml();
        let lines = reference.lines().skip_while(|line| *line != format!("[{section}]")).skip(1);
        let lines = lines.take_while(|line| !line.starts_with('['));
        lines
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once(" = "))
            .map(|pair| pair.0.to_owned())
            .collect()
    }

    #[test]
    fn every_limit_of_the_configuration_has_a_bound() {
        let limits = keys("limits");
        assert!(limits.len() > 20);
        for key in limits {
            // The burst belongs to the rate.
            assert!(key == "burst_bytes" || key.parse::<Bound>().is_ok(), "no bound is named {key}");
        }
    }

    /// All code of the server, without its tests.
    fn code(folder: &Path, text: &mut String) {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                code(&path, text);
            } else {
                let file = std::fs::read_to_string(&path).expect("a source file");
                text.push_str(file.split("#[cfg(test)]").next().unwrap_or_default());
            }
        }
    }

    /// A bound that nobody counts is a promise that nobody keeps.
    #[test]
    fn every_bound_is_counted_somewhere() {
        let mut text = String::new();
        code(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut text);
        for bound in Bound::ALL {
            assert!(text.contains(&format!("::{bound:?}")), "{bound} is not counted");
        }
    }

    #[test]
    fn every_bound_is_a_key_of_the_configuration() {
        let reference = reference_toml();
        for bound in Bound::ALL {
            let is_key = |line: &str| line.split(" = ").next() == Some(bound.as_str());
            assert!(reference.lines().any(is_key), "no key is named {bound}");
        }
    }
}
