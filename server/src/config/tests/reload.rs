//! A reload says what changed, and what of it needs a restart.

use super::read;
use crate::config::{Applies, Change, Config, diff};

fn changes(old: &str, new: &str) -> Vec<Change> {
    diff(&read(old).unwrap(), &read(new).unwrap())
}

fn change(key: &str, old: Option<&str>, new: Option<&str>, applies: Applies) -> Change {
    Change { key: key.into(), old: old.map(str::to_owned), new: new.map(str::to_owned), applies }
}

#[test]
fn nothing_changed() {
    assert_eq!(diff(&Config::default(), &Config::default()), []);
}

#[test]
fn keys_that_apply_now_and_keys_that_do_not() {
    let new = "[general]\nlog_level = \"debug\"\ndata_dir = \"/d\"\n[limits]\nbytes_per_second = \"none\"\n";
    assert_eq!(
        changes("", new),
        [
            change("general.data_dir", None, Some("\"/d\""), Applies::Restart),
            change("general.log_level", Some("\"info\""), Some("\"debug\""), Applies::Now),
            change("limits.bytes_per_second", Some("1_048_576"), Some("\"none\""), Applies::Now),
        ]
    );
}

#[test]
fn entries_that_changed_came_or_went() {
    let old = "[[listen.c2s]]\nport = 1\n[[listen.c2s]]\nport = 2\n";
    let new =
        "[[listen.c2s]]\nport = 3\n[[domain]]\nname = \"localhost\"\nmessages.save = \"unless-delivered\"\n";
    let gone = "{ ip = \"::\", port = 2, tls = \"starttls\", proxy_protocol_from = [], max_connections = \"none\", \
                backlog = 1024 }";
    let came =
        "{ name = \"localhost\", strict_iq = false, messages = { save = \"unless-delivered\" }, auth = {} }";
    assert_eq!(
        changes(old, new),
        [
            change("listen.c2s[0].port", Some("1"), Some("3"), Applies::Restart),
            change("listen.c2s[1]", Some(gone), None, Applies::Restart),
            change("domain[0]", None, Some(came), Applies::Now),
        ]
    );
}
