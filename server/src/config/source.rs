//! The tree of what was written: the file's TOML, with the environment laid over it.
//!
//! Each node remembers its origin, so that any fault found later can say where it is.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Fault, Origin, Problem};

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub origin: Origin,
    pub content: Content,
}

#[derive(Debug, Clone)]
pub(super) enum Content {
    String(String),
    /// `None`: more than 64 bits.
    Integer(Option<i64>),
    Boolean(bool),
    Float,
    Date,
    Array(Vec<Node>),
    Table(BTreeMap<String, Node>),
    /// From the environment: the wanted type decides how it is read.
    Text(String),
    /// From the environment: single entries of a list that the file does not have.
    Entries(BTreeMap<usize, Node>),
}

impl Node {
    /// The kind of value, for the end of "must be a number, not ...".
    pub fn kind(&self) -> &'static str {
        match &self.content {
            Content::String(_) => "a string",
            Content::Integer(_) => "a number",
            Content::Boolean(_) => "true or false",
            Content::Float => "a fraction",
            Content::Date => "a date",
            Content::Array(_) => "a list",
            Content::Table(_) => "a table",
            Content::Text(_) => "this text",
            Content::Entries(_) => "single entries",
        }
    }

    /// The origin of a key, or of the innermost table around it that was written at all.
    pub fn origin_of(&self, path: &str) -> Origin {
        let mut node = self;
        for step in path.split(['.', '[']) {
            let step = step.trim_end_matches(']');
            let next = match &node.content {
                Content::Table(table) => table.get(step),
                Content::Array(entries) => step.parse().ok().and_then(|index: usize| entries.get(index)),
                Content::Entries(entries) => step.parse().ok().and_then(|index: usize| entries.get(&index)),
                _ => None,
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node.origin.clone()
    }
}

/// Reads TOML as far as it can be read; what is no TOML is reported and left out.
pub(super) fn parse_toml(text: &str, name: &Path, problems: &mut Vec<Problem>) -> Node {
    let file = File { name: name.into(), text };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let line = error.span().map_or(0, |span| file.line(span.start));
        problems.push(Problem {
            origin: Origin::File { name: file.name.clone(), line },
            key: String::new(),
            fault: Fault::Syntax { reason: error.message().to_owned() },
        });
    }
    Node { origin: file.origin(0), content: file.table(table.get_ref()) }
}

/// Reads one TOML value from an environment variable.
pub(super) fn parse_value(text: &str, origin: &Origin) -> Option<Node> {
    let value = DeValue::parse(text).ok()?;
    let mut node = File { name: Path::new("").into(), text }.node(value.get_ref(), 0);
    set_origin(&mut node, origin);
    Some(node)
}

fn set_origin(node: &mut Node, origin: &Origin) {
    node.origin = origin.clone();
    match &mut node.content {
        Content::Array(entries) => entries.iter_mut().for_each(|entry| set_origin(entry, origin)),
        Content::Table(table) => table.values_mut().for_each(|entry| set_origin(entry, origin)),
        _ => {}
    }
}

struct File<'a> {
    name: Arc<Path>,
    text: &'a str,
}

impl File<'_> {
    fn line(&self, position: usize) -> usize {
        let before = self.text.as_bytes().get(..position).unwrap_or(self.text.as_bytes());
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }

    fn origin(&self, position: usize) -> Origin {
        Origin::File { name: self.name.clone(), line: self.line(position) }
    }

    fn table(&self, table: &DeTable<'_>) -> Content {
        // The place of an entry is that of its key: a value may begin lines later.
        let entries = table
            .iter()
            .map(|(key, value)| (key.get_ref().to_string(), self.node(value.get_ref(), key.span().start)));
        Content::Table(entries.collect())
    }

    fn node(&self, value: &DeValue<'_>, position: usize) -> Node {
        let content = match value {
            DeValue::String(text) => Content::String(text.to_string()),
            DeValue::Integer(number) => {
                Content::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok())
            }
            DeValue::Float(_) => Content::Float,
            DeValue::Boolean(value) => Content::Boolean(*value),
            DeValue::Datetime(_) => Content::Date,
            DeValue::Array(entries) => {
                let entry = |entry: &Spanned<DeValue<'_>>| self.node(entry.get_ref(), entry.span().start);
                Content::Array(entries.iter().map(entry).collect())
            }
            DeValue::Table(table) => self.table(table),
        };
        Node { origin: self.origin(position), content }
    }
}
