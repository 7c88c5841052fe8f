//! Settings by environment: `MEERKAT__STORAGE__SQLITE__PATH` is `storage.sqlite.path`, and
//! `MEERKAT__STORAGE__SQLITE__PATH_FILE` names a file to read it from.
//!
//! A list is written with commas or as TOML; entries of a list of tables are numbered from 0:
//! `MEERKAT__LISTEN__C2S__0__PORT`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use super::error::{Fault, Origin, Problem};
use super::source::{Content, Node};

const PREFIX: &str = "MEERKAT__";
const FILE_SUFFIX: &str = "_FILE";

/// Lays the variables over the tree; they go before the file.
pub(super) fn overlay(root: &mut Node, environment: &[(OsString, OsString)], problems: &mut Vec<Problem>) {
    let variables: Vec<(&str, &OsString)> = environment
        .iter()
        .filter_map(|(name, value)| Some((name.to_str()?, value)))
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect();
    let names: BTreeSet<&str> = variables.iter().map(|(name, _)| *name).collect();
    // In the order of names, so that entries of a list come in the order of their numbers.
    let variables: BTreeMap<&str, &OsString> = variables.into_iter().collect();

    for (name, value) in variables {
        let bare_name =
            name.strip_suffix(FILE_SUFFIX).filter(|bare| bare.len() > PREFIX.len()).unwrap_or(name);
        let key = bare_name[PREFIX.len()..].to_ascii_lowercase().replace("__", ".");
        let origin = Origin::Variable(name.to_owned());
        let text = if bare_name != name && names.contains(bare_name) {
            Err(Fault::BothForms { other: bare_name.to_owned() })
        } else {
            text(value, bare_name != name)
        };
        let outcome = text.and_then(|text| insert(root, &key, text, &origin));
        if let Err(fault) = outcome {
            problems.push(Problem { origin, key: bracketed(&key), fault });
        }
    }
}

fn text(value: &OsString, is_file: bool) -> Result<String, Fault> {
    let value = value.to_str().ok_or(Fault::NotUnicode)?;
    if !is_file {
        return Ok(value.to_owned());
    }
    match std::fs::read_to_string(value) {
        // Secrets are often written by `echo`.
        Ok(text) => Ok(text.trim_end_matches(['\n', '\r']).to_owned()),
        Err(error) => Err(Fault::Unreadable { file: value.to_owned(), reason: error.to_string() }),
    }
}

fn insert(root: &mut Node, key: &str, text: String, origin: &Origin) -> Result<(), Fault> {
    let mut node = root;
    for step in key.split('.') {
        node = match step.parse::<usize>() {
            Ok(index) => entry(node, index, origin)?,
            Err(_) => table(node, origin).entry(step.to_owned()).or_insert_with(|| unwritten(origin)),
        };
    }
    *node = Node { origin: origin.clone(), content: Content::Text(text) };
    Ok(())
}

/// The node's table; what else it was gives way.
fn table<'a>(node: &'a mut Node, origin: &Origin) -> &'a mut BTreeMap<String, Node> {
    if !matches!(node.content, Content::Table(_)) {
        *node = unwritten(origin);
    }
    match &mut node.content {
        Content::Table(table) => table,
        _ => unreachable!("it was made a table above"),
    }
}

/// An entry of a list: one that the file has, the one behind its last, or one of the list of defaults.
fn entry<'a>(node: &'a mut Node, index: usize, origin: &Origin) -> Result<&'a mut Node, Fault> {
    if !matches!(node.content, Content::Array(_) | Content::Entries(_)) {
        *node = Node { origin: origin.clone(), content: Content::Entries(BTreeMap::new()) };
    }
    match &mut node.content {
        Content::Array(entries) => {
            if index == entries.len() {
                entries.push(unwritten(origin));
            }
            let count = entries.len();
            entries.get_mut(index).ok_or(Fault::NoSuchEntry { entries: count })
        }
        Content::Entries(entries) => Ok(entries.entry(index).or_insert_with(|| unwritten(origin))),
        _ => Err(Fault::NoSuchEntry { entries: 0 }),
    }
}

fn unwritten(origin: &Origin) -> Node {
    Node { origin: origin.clone(), content: Content::Table(BTreeMap::new()) }
}

/// `listen.c2s.0.port` as it is written in messages: `listen.c2s[0].port`.
fn bracketed(key: &str) -> String {
    let mut text = String::new();
    for step in key.split('.') {
        if step.parse::<usize>().is_ok() {
            text.push_str(&format!("[{step}]"));
        } else {
            if !text.is_empty() {
                text.push('.');
            }
            text.push_str(step);
        }
    }
    text
}
