//! What a reload changes: two configurations compared, key by key.

use super::Config;
use super::read::join;
use super::schema::{Applies, Reload, Section, Shown};
use super::values::Tables;

/// A key that has another value than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key in full, `listen.c2s[1].port` for instance.
    pub key: String,
    /// As TOML; `None` when the key or the entry was absent.
    pub old: Option<String>,
    /// As TOML; `None` when the key or the entry is absent now.
    pub new: Option<String>,
    pub applies: Applies,
}

/// All keys that differ, in the order of the reference.
pub fn diff(old: &Config, new: &Config) -> Vec<Change> {
    differences(old, new)
}

pub(super) fn differences(old: &dyn Section, new: &dyn Section) -> Vec<Change> {
    let mut changes = Vec::new();
    compare(old, new, "", &mut changes);
    changes
}

/// What holds after a reload: the new configuration, except for what needs a restart.
pub fn reloaded(running: &Config, new: &Config) -> Config {
    let mut config = new.clone();
    config.keep_until_restart(running);
    config
}

impl<T: Reload> Reload for Tables<T> {
    fn keep_until_restart(&mut self, running: &Self) {
        for (new, running) in self.0.iter_mut().zip(&running.0) {
            new.keep_until_restart(running);
        }
    }
}

fn compare(old: &dyn Section, new: &dyn Section, path: &str, changes: &mut Vec<Change>) {
    let settings = old.settings().into_iter().zip(new.settings());
    for (key, (old, new)) in old.keys().iter().zip(settings) {
        let path = join(path, key.name);
        match (old.shown(), new.shown()) {
            (Shown::Value(old), Shown::Value(new)) => {
                // Two secrets that look the same are not.
                if old != new {
                    let (old, new) = (old.map(|old| old.shown), new.map(|new| new.shown));
                    changes.push(Change { key: path, old, new, applies: key.applies });
                }
            }
            (Shown::Section(old), Shown::Section(new)) => compare(old, new, &path, changes),
            (Shown::Sections { entries: old, .. }, Shown::Sections { entries: new, .. }) => {
                for index in 0..old.len().max(new.len()) {
                    let path = format!("{path}[{index}]");
                    match (old.get(index), new.get(index)) {
                        (Some(old), Some(new)) => compare(*old, *new, &path, changes),
                        (old, new) => {
                            let old = old.map(|entry| inline(*entry));
                            let new = new.map(|entry| inline(*entry));
                            changes.push(Change { key: path, old, new, applies: key.applies });
                        }
                    }
                }
            }
            _ => unreachable!("a key stands for the same kind of thing in each configuration"),
        }
    }
}

/// A table in one line, without what is absent.
fn inline(section: &dyn Section) -> String {
    let pairs: Vec<String> = section
        .keys()
        .iter()
        .zip(section.settings())
        .filter_map(|(key, setting)| match setting.shown() {
            Shown::Value(value) => Some(format!("{} = {}", key.name, value?.shown)),
            Shown::Section(section) => Some(format!("{} = {}", key.name, inline(section))),
            Shown::Sections { entries, .. } => {
                let entries: Vec<String> = entries.iter().map(|entry| inline(*entry)).collect();
                Some(format!("{} = [{}]", key.name, entries.join(", ")))
            }
        })
        .collect();
    if pairs.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", pairs.join(", ")) }
}
