//! A reload says what changed, and what of it needs a restart.

use super::read;
use crate::config::{Applies, Change, Config, diff, reloaded};

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
    let new = "[general]\nlog_level = \"debug\"\ndata_dir = \"/d\"\n[limits]\nbytes_per_second = \"none\"\n\
               offline_messages = 7\n";
    assert_eq!(
        changes("", new),
        [
            change("general.data_dir", None, Some("\"/d\""), Applies::Restart),
            change("general.log_level", Some("\"info\""), Some("\"debug\""), Applies::Now),
            change("limits.bytes_per_second", Some("1_048_576"), Some("\"none\""), Applies::New),
            change("limits.offline_messages", Some("1000"), Some("7"), Applies::Now),
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

#[test]
fn what_needs_a_restart_stays_and_is_said_again() {
    let running = read("").unwrap();
    let new = "[general]\nlog_level = \"debug\"\nlog_format = \"json\"\n[[listen.c2s]]\nport = 1\n\
               [[tls.certificates]]\ncertificate = \"c\"\nkey = \"k\"\n[modules.csi]\nenabled = false\nheld_stanzas = 7\n\
               [[domain]]\nname = \"localhost\"\nstrict_iq = true\n";
    let new = read(new).unwrap();
    let after = reloaded(&running, &new);
    assert!(diff(&running, &after).iter().all(|change| change.applies != Applies::Restart));
    assert!(diff(&after, &new).iter().all(|change| change.applies == Applies::Restart));
    let keys = |changes: Vec<Change>| changes.into_iter().map(|change| change.key).collect::<Vec<_>>();
    assert_eq!(
        keys(diff(&running, &after)),
        ["general.log_level", "tls.certificates[0]", "modules.csi.held_stanzas", "domain[0]"]
    );
    assert_eq!(
        keys(diff(&after, &new)),
        ["general.log_format", "listen.c2s[0].port", "listen.c2s[1]", "modules.csi.enabled"]
    );
}

#[test]
fn paths_that_were_settled_are_shown() {
    let mut config = Config::default();
    config.settle("/data".into());
    assert_eq!(config.storage.sqlite.path.as_deref(), Some("/data/meerkat.db".as_ref()));
    config.storage.sqlite.path = Some("/other.db".into());
    config.settle("/elsewhere".into());
    assert_eq!(config.storage.sqlite.path.as_deref(), Some("/other.db".as_ref()));
    assert_eq!(config.general.data_dir.as_deref(), Some("/elsewhere".as_ref()));
}
