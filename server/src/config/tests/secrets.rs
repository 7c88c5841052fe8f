//! Secrets are read, told apart, and never shown.

use std::path::Path;

use crate::config::read::Reader;
use crate::config::schema::{Applies, Section, Shown};
use crate::config::{Secret, Tables, source};

settings! {
    /// A service somewhere.
    pub struct Service {
        /// Where it is.
        restart url: Secret = Secret::new("redis://localhost");
        /// What opens it.
        now key: Option<Secret> = None;
    }
}

fn read(toml: &str) -> Service {
    let mut problems = Vec::new();
    let tree = source::parse_toml(toml, Path::new("m.toml"), &mut problems);
    let mut reader = Reader::new(problems);
    let mut service = Service::default();
    reader.section(&mut service, &tree, "");
    assert_eq!(reader.problems, []);
    service
}

#[test]
fn what_is_shown_and_logged_is_masked() {
    let service = read("url = \"postgres://a:hunter2@b/c\"\nkey = \"hunter2\"\n");
    assert_eq!(service.url.reveal(), "postgres://a:hunter2@b/c");
    let settings = service.settings();
    let shown: Vec<String> = settings
        .iter()
        .filter_map(|setting| match setting.shown() {
            Shown::Value(value) => value.map(|value| value.shown),
            Shown::Section(_) | Shown::Sections { .. } => None,
        })
        .collect();
    assert_eq!(shown, ["\"postgres://a:***@b/c\"", "\"***\""]);
    assert!(!format!("{:?}", Tables(vec![service.clone()])).contains("hunter2"));
}

#[test]
fn another_secret_is_a_change_that_shows_neither() {
    let (old, new) = (read("key = \"hunter2\"\n"), read("key = \"hunter3\"\n"));
    let changes = crate::config::changes::differences(&old, &new);
    assert_eq!(changes.len(), 1);
    assert_eq!((changes[0].key.as_str(), changes[0].applies), ("key", Applies::Now));
    assert_eq!((changes[0].old.as_deref(), changes[0].new.as_deref()), (Some("\"***\""), Some("\"***\"")));
    assert_eq!(crate::config::changes::differences(&old, &old), []);
}
