//! A configuration as TOML: resolved, or as the reference with sentences for each key.

use super::Config;
use super::read::join;
use super::scalar::grouped;
use super::schema::{Applies, Key, Section, Setting, Shown};

/// Every key with the value that it has, secrets masked; what is absent is left out.
pub fn resolved_toml(config: &Config) -> String {
    let mut page = Page { text: String::new(), reference: false, commented: false };
    page.body(config, "", None);
    page.text.trim_start().to_owned()
}

/// The text of `config/meerkat.toml`: every key with its default, its range and its sentences. What is absent
/// by default is commented out: `#key = ...` is a setting, `# Words` are words.
pub fn reference_toml() -> String {
    let mut page = Page { text: REFERENCE_HEAD.to_owned(), reference: true, commented: false };
    page.body(&Config::default(), "", None);
    page.text
}

const REFERENCE_HEAD: &str = "\
# Meerkat's configuration: every key, with its default. A server without any file behaves as this one says.
#
# Looked for at `--config FILE`, MEERKAT_CONFIG, /member/meerkat.toml, /etc/meerkat/meerkat.toml.
# `meerkat --check` says what is wrong with it, and prints what results. An environment variable goes before
# the file: MEERKAT__STORAGE__SQLITE__PATH is storage.sqlite.path, MEERKAT__STORAGE__SQLITE__PATH_FILE names a
# file to read it from, MEERKAT__LISTEN__C2S__0__PORT is the port of the first entry of listen.c2s.
#
# A reload is `meerkatctl server reload`, or SIGHUP. In brackets behind a key's sentences: what it may be, and
# when a change takes effect: `new connections` for those that begin after a reload, with their sessions;
# `restart` when the server starts again; nothing in brackets for a change that a reload applies at once.
";

struct Page {
    text: String,
    /// Whether keys are explained.
    reference: bool,
    /// Whether all of the current table is commented out.
    commented: bool,
}

impl Page {
    /// What stands in a table. Values come first: behind a header they would belong to that table.
    /// Against a `blank`, only values that differ from it are shown.
    fn body(&mut self, section: &dyn Section, path: &str, blank: Option<&dyn Section>) {
        let blanks = blank.map(|blank| blank.settings());
        let settings = section.settings();
        for (index, key) in section.keys().iter().enumerate() {
            let Some(value) = self.value(settings[index]) else { continue };
            let blank = blanks.as_ref().and_then(|blanks| self.value(blanks[index]));
            if blank.as_ref() != Some(&value) {
                self.key(key, value, blanks.is_none());
            }
        }
        for (key, setting) in section.keys().iter().zip(settings) {
            let path = join(path, key.name);
            match setting.shown() {
                Shown::Value(_) => {}
                Shown::Section(section) => self.table(key, section, &path),
                Shown::Sections { entries, blank } => self.list(key, &entries, blank.as_ref(), &path),
            }
        }
    }

    /// What can be written as `key = value`; absent is `Some(None)`.
    fn value(&self, setting: &dyn Setting) -> Option<Option<String>> {
        match setting.shown() {
            Shown::Value(value) => Some(value.map(|value| value.shown)),
            // An empty list is not the default list, and must be said.
            Shown::Sections { entries, .. } if entries.is_empty() && !self.reference => {
                Some(Some("[]".into()))
            }
            _ => None,
        }
    }

    fn table(&mut self, key: &Key, section: &dyn Section, path: &str) {
        let is_value = |setting: &&dyn Setting| self.value(*setting).is_some();
        if section.settings().iter().any(is_value) {
            self.header(key, &format!("[{path}]"), true);
        } else if self.reference {
            self.text.push('\n');
            self.about(key.about);
        }
        self.body(section, path, None);
    }

    fn list(&mut self, key: &Key, entries: &[&dyn Section], blank: &dyn Section, path: &str) {
        let header = format!("[[{path}]]");
        for (index, entry) in entries.iter().enumerate() {
            let explained = self.reference && index == 0;
            self.header(key, &header, explained);
            self.body(*entry, path, Some(blank).filter(|_| self.reference && !explained));
        }
        if entries.is_empty() && self.reference {
            self.commented = true;
            self.header(key, &header, true);
            self.body(blank, path, None);
            self.commented = false;
        }
    }

    fn header(&mut self, key: &Key, header: &str, explained: bool) {
        self.text.push('\n');
        if self.reference && explained {
            self.about(key.about);
        }
        self.line(header, self.commented);
    }

    fn key(&mut self, key: &Key, value: Option<String>, explained: bool) {
        if self.reference && explained {
            self.about(&format!("{} {}", key.about, remarks(key)));
        }
        let example = key.example.map(str::to_owned);
        let (value, commented) = match (self.commented, value) {
            (true, value) => (example.or(value), true),
            (false, Some(value)) => (Some(value), false),
            (false, None) => (example.filter(|_| self.reference), true),
        };
        if let Some(value) = value {
            self.line(&format!("{} = {value}", key.name), commented);
        }
    }

    fn line(&mut self, line: &str, commented: bool) {
        if commented {
            self.text.push('#');
        }
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Words, filled to the width of the file.
    fn about(&mut self, words: &str) {
        let mut width = 0;
        for word in words.split_whitespace() {
            if width > 0 && width + 1 + word.len() > WIDTH {
                self.text.push('\n');
                width = 0;
            }
            let lead = if width == 0 { "# " } else { " " };
            self.text.push_str(lead);
            self.text.push_str(word);
            width += lead.len() + word.len();
        }
        self.text.push('\n');
    }
}

/// The range of a number, and when a change takes effect if that is not at once.
fn remarks(key: &Key) -> String {
    let range = key.range.as_ref().map(|range| {
        let (least, most) = range.clone().into_inner();
        format!("{} to {}", grouped(least), grouped(most))
    });
    let when = match key.applies {
        Applies::Now => None,
        Applies::New => Some("new connections".to_owned()),
        Applies::Restart => Some("restart".to_owned()),
    };
    let remarks: Vec<String> = range.into_iter().chain(when).collect();
    if remarks.is_empty() { String::new() } else { format!("({})", remarks.join("; ")) }
}

const WIDTH: usize = 110;
