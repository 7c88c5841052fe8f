//! From the tree of what was written to a `Config`: each section takes its keys, every fault is noted, none
//! ends the reading.

use std::borrow::Cow;

use super::Config;
use super::error::{Fault, Problem};
use super::nearest::{nearest_key, nearest_word};
use super::schema::{Key, Section, Setting, Shown};
use super::source::{Content, Node, parse_value};
use super::values::Tables;

/// Sections and words that are designed, and not built yet.
const NOT_YET: &[&str] = &[
    "cluster",
    "listen.admin",
    "listen.component",
    "listen.http",
    "listen.s2s",
    "modules.mam",
    "modules.muc",
    "modules.muc_light",
    "modules.inbox",
    "modules.pep",
    "modules.pubsub",
    "modules.push",
    "modules.http_upload",
    "outbox",
    "s2s",
    "storage.kafka",
    "storage.main.postgres",
    "storage.s3",
];

pub(super) struct Reader {
    pub problems: Vec<Problem>,
    /// Every key there is, with its path.
    known: Vec<String>,
}

impl Reader {
    pub fn new(problems: Vec<Problem>) -> Reader {
        let mut known = Vec::new();
        collect_keys(&Config::default(), "", &mut known);
        Reader { problems, known }
    }

    pub fn fault(&mut self, node: &Node, path: &str, fault: Fault) {
        self.problems.push(Problem { origin: node.origin.clone(), key: path.to_owned(), fault });
    }

    pub fn wrong_type(&mut self, node: &Node, path: &str, wanted: impl Into<String>) {
        let wanted = wanted.into();
        self.fault(node, path, Fault::WrongType { wanted, found: node.kind() });
    }

    /// One of these words.
    pub fn word(&mut self, node: &Node, path: &str, words: &[&'static str]) -> Option<&'static str> {
        let (Content::String(text) | Content::Text(text)) = &node.content else {
            self.wrong_type(node, path, format!("one of \"{}\"", words.join("\", \"")));
            return None;
        };
        let found = words.iter().find(|word| *word == text).copied();
        if found.is_none() {
            let fault = if NOT_YET.contains(&format!("{path}.{text}").as_str()) {
                Fault::NotSupported
            } else {
                let nearest = nearest_word(text, words.iter().copied()).unwrap_or_default();
                Fault::UnknownWord { found: text.clone(), words: words.to_vec(), nearest }
            };
            self.fault(node, path, fault);
        }
        found
    }

    /// A table: every key that it has is read or refused.
    pub fn section(&mut self, section: &mut dyn Section, node: &Node, path: &str) {
        let node = &expanded(node);
        let Content::Table(table) = &node.content else {
            self.wrong_type(node, path, "a table");
            return;
        };
        let keys = section.keys();
        for (name, value) in table {
            let path = join(path, name);
            match keys.iter().position(|key| key.name == name) {
                Some(index) => section.settings_mut()[index].read(value, &keys[index], &path, self),
                None => self.unknown(value, &path),
            }
        }
    }

    fn unknown(&mut self, node: &Node, path: &str) {
        let fault = if NOT_YET.contains(&without_indices(path).as_str()) {
            Fault::NotSupported
        } else {
            Fault::UnknownKey { nearest: nearest_key(&without_indices(path), &self.known).to_owned() }
        };
        self.fault(node, path, fault);
    }

    /// An entry of a list of tables that must have all its required keys.
    fn entry(&mut self, section: &mut dyn Section, node: &Node, path: &str) {
        let node = &expanded(node);
        self.section(section, node, path);
        let Content::Table(table) = &node.content else { return };
        let missing: Vec<_> =
            section.keys().iter().filter(|key| key.required && !table.contains_key(key.name)).collect();
        for key in missing {
            self.fault(node, &join(path, key.name), Fault::Missing);
        }
    }
}

impl<T: Section + Setting + Default + 'static> Setting for Tables<T> {
    fn read(&mut self, node: &Node, _: &Key, path: &str, reader: &mut Reader) {
        let node = &expanded(node);
        match &node.content {
            Content::Array(entries) => {
                self.0.clear();
                for (index, node) in entries.iter().enumerate() {
                    self.0.push(T::default());
                    reader.entry(&mut self.0[index], node, &format!("{path}[{index}]"));
                }
            }
            Content::Entries(entries) => {
                for (index, node) in entries {
                    let path = format!("{path}[{index}]");
                    let count = self.0.len();
                    if let Some(entry) = self.0.get_mut(*index) {
                        reader.section(entry, node, &path);
                    } else if *index == count {
                        self.0.push(T::default());
                        reader.entry(&mut self.0[count], node, &path);
                    } else {
                        reader.fault(node, &path, Fault::NoSuchEntry { entries: count });
                    }
                }
            }
            _ => reader.wrong_type(node, path, "a list of tables"),
        }
    }

    fn shown(&self) -> Shown<'_> {
        let entries = self.0.iter().map(|entry| entry as &dyn Section).collect();
        Shown::Sections { entries, blank: Box::new(T::default()) }
    }
}

/// A table or list that an environment variable holds as TOML; any other node as it is.
pub(super) fn expanded(node: &Node) -> Cow<'_, Node> {
    let parsed = match &node.content {
        Content::Text(text) => parse_value(text, &node.origin),
        _ => None,
    };
    parsed.map_or(Cow::Borrowed(node), Cow::Owned)
}

/// The paths of all keys and sections, without indices.
fn collect_keys(section: &dyn Section, path: &str, known: &mut Vec<String>) {
    for (key, setting) in section.keys().iter().zip(section.settings()) {
        let path = join(path, key.name);
        match setting.shown() {
            Shown::Value(_) => {}
            Shown::Section(section) => collect_keys(section, &path, known),
            Shown::Sections { blank, .. } => collect_keys(blank.as_ref(), &path, known),
        }
        known.push(path);
    }
}

pub(super) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn without_indices(path: &str) -> String {
    let mut depth = 0;
    path.chars()
        .filter(|char| {
            match char {
                '[' => depth += 1,
                ']' => depth -= 1,
                _ => return depth == 0,
            }
            false
        })
        .collect()
}
