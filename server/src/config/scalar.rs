//! Values: how each type is read and written.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use super::error::Fault;
use super::events::{Broker, TopicName};
use super::read::Reader;
use super::schema::{Key, Setting, Shown, Toml};
use super::source::{Content, Node, parse_value};
use super::values::{Domain, Limit, LogFilter, Network, Secret, Uri};
use super::words::Word;

/// A single value, or a list of them.
pub(super) trait Scalar: Sized {
    /// The value that `node` holds, or `None` after its faults were reported.
    fn take(node: &Node, key: &Key, path: &str, reader: &mut Reader) -> Option<Self>;
    /// As TOML; `None` when absent.
    fn to_toml(&self) -> Option<String>;
    /// The same for people, without what is secret.
    fn to_shown_toml(&self) -> Option<String> {
        self.to_toml()
    }
}

impl<T: Scalar> Setting for T {
    fn read(&mut self, node: &Node, key: &Key, path: &str, reader: &mut Reader) {
        if let Some(value) = T::take(node, key, path, reader) {
            *self = value;
        }
    }

    fn shown(&self) -> Shown<'_> {
        Shown::Value(self.to_toml().zip(self.to_shown_toml()).map(|(exact, shown)| Toml { exact, shown }))
    }
}

/// A key that may be absent.
impl<T: Scalar> Scalar for Option<T> {
    fn take(node: &Node, key: &Key, path: &str, reader: &mut Reader) -> Option<Self> {
        T::take(node, key, path, reader).map(Some)
    }

    fn to_toml(&self) -> Option<String> {
        self.as_ref().and_then(T::to_toml)
    }

    fn to_shown_toml(&self) -> Option<String> {
        self.as_ref().and_then(T::to_shown_toml)
    }
}

impl<T: Scalar> Scalar for Vec<T> {
    fn take(node: &Node, key: &Key, path: &str, reader: &mut Reader) -> Option<Self> {
        let from_variable = match &node.content {
            Content::Text(text) => Some(list(text, node)),
            _ => None,
        };
        let node = from_variable.as_ref().unwrap_or(node);
        let Content::Array(entries) = &node.content else {
            reader.wrong_type(node, path, "a list");
            return None;
        };
        let values: Vec<Option<T>> = entries
            .iter()
            .enumerate()
            .map(|(index, entry)| T::take(entry, key, &format!("{path}[{index}]"), reader))
            .collect();
        values.into_iter().collect()
    }

    fn to_toml(&self) -> Option<String> {
        let values: Vec<String> = self.iter().filter_map(T::to_toml).collect();
        Some(format!("[{}]", values.join(", ")))
    }

    fn to_shown_toml(&self) -> Option<String> {
        let values: Vec<String> = self.iter().filter_map(T::to_shown_toml).collect();
        Some(format!("[{}]", values.join(", ")))
    }
}

/// A list in an environment variable: TOML when it begins with a bracket, else words between commas.
fn list(text: &str, node: &Node) -> Node {
    if text.trim_start().starts_with('[') {
        return parse_value(text, &node.origin).unwrap_or_else(|| node.clone());
    }
    let entries = text
        .split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .map(|entry| Node { origin: node.origin.clone(), content: Content::Text(entry.to_owned()) });
    Node { origin: node.origin.clone(), content: Content::Array(entries.collect()) }
}

impl Scalar for bool {
    fn take(node: &Node, _: &Key, path: &str, reader: &mut Reader) -> Option<Self> {
        match &node.content {
            Content::Boolean(value) => return Some(*value),
            Content::Text(text) if text == "true" => return Some(true),
            Content::Text(text) if text == "false" => return Some(false),
            _ => reader.wrong_type(node, path, "true or false"),
        }
        None
    }

    fn to_toml(&self) -> Option<String> {
        Some(self.to_string())
    }
}

/// A number within the key's range, and no greater than the type's `most`.
fn number(node: &Node, key: &Key, most: u64, path: &str, reader: &mut Reader) -> Option<u64> {
    let range = key.range.clone().unwrap_or(0..=most);
    let found = match &node.content {
        Content::Integer(number) => number.and_then(|number| u64::try_from(number).ok()),
        Content::Text(text) => match text.replace('_', "").parse::<i128>() {
            Ok(number) => u64::try_from(number).ok(),
            Err(_) => {
                reader.wrong_type(node, path, wanted_number(&range));
                return None;
            }
        },
        _ => {
            reader.wrong_type(node, path, wanted_number(&range));
            return None;
        }
    };
    let found = found.filter(|number| range.contains(number));
    if found.is_none() {
        let written = match &node.content {
            Content::Integer(Some(number)) => number.to_string(),
            Content::Text(text) => text.clone(),
            _ => "more than 64 bits".into(),
        };
        reader.fault(
            node,
            path,
            Fault::OutOfRange { found: written, least: *range.start(), most: *range.end() },
        );
    }
    found
}

fn wanted_number(range: &std::ops::RangeInclusive<u64>) -> String {
    format!("a number from {} to {}", range.start(), range.end())
}

macro_rules! numbers {
    ($($Type:ty)+) => { $(
        impl Scalar for $Type {
            fn take(node: &Node, key: &Key, path: &str, reader: &mut Reader) -> Option<Self> {
                let most = <$Type>::MAX as u64;
                number(node, key, most, path, reader).and_then(|number| number.try_into().ok())
            }

            fn to_toml(&self) -> Option<String> {
                Some(grouped(*self as u64))
            }
        }
    )+ };
}

numbers!(u16 u32 u64);

impl Scalar for Limit {
    fn take(node: &Node, key: &Key, path: &str, reader: &mut Reader) -> Option<Self> {
        match &node.content {
            Content::String(text) | Content::Text(text) if text == "none" => Some(Limit::None),
            Content::String(text) => {
                let nearest = "none";
                reader.fault(
                    node,
                    path,
                    Fault::UnknownWord { found: text.clone(), words: vec!["none"], nearest },
                );
                None
            }
            _ => number(node, key, i64::MAX as u64, path, reader).map(Limit::AtMost),
        }
    }

    fn to_toml(&self) -> Option<String> {
        Some(self.at_most().map_or_else(|| quoted("none"), grouped))
    }
}

impl<T: Word> Scalar for T {
    fn take(node: &Node, _: &Key, path: &str, reader: &mut Reader) -> Option<Self> {
        reader.word(node, path, T::WORDS).and_then(|word| word.parse().ok())
    }

    fn to_toml(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

fn text<'a>(node: &'a Node, wanted: &str, path: &str, reader: &mut Reader) -> Option<&'a str> {
    match &node.content {
        Content::String(text) | Content::Text(text) => Some(text),
        _ => {
            reader.wrong_type(node, path, wanted);
            None
        }
    }
}

impl Scalar for String {
    fn take(node: &Node, _: &Key, path: &str, reader: &mut Reader) -> Option<Self> {
        text(node, "a string", path, reader).map(str::to_owned)
    }

    fn to_toml(&self) -> Option<String> {
        Some(quoted(self))
    }
}

impl Scalar for Secret {
    fn take(node: &Node, _: &Key, path: &str, reader: &mut Reader) -> Option<Self> {
        text(node, "a string", path, reader).map(Secret::new)
    }

    fn to_toml(&self) -> Option<String> {
        Some(quoted(self.reveal()))
    }

    fn to_shown_toml(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

impl Scalar for PathBuf {
    fn take(node: &Node, _: &Key, path: &str, reader: &mut Reader) -> Option<Self> {
        let text = text(node, "a path", path, reader)?;
        if text.is_empty() {
            reader.fault(node, path, Fault::Empty);
            return None;
        }
        Some(text.into())
    }

    fn to_toml(&self) -> Option<String> {
        Some(quoted(&self.to_string_lossy()))
    }
}

/// Types that have a form as text, and say what that form is.
macro_rules! from_text {
    ($($Type:ty: $wanted:literal,)+) => { $(
        impl Scalar for $Type {
            fn take(node: &Node, _: &Key, path: &str, reader: &mut Reader) -> Option<Self> {
                let value = <$Type>::from_str(text(node, $wanted, path, reader)?);
                if value.is_err() {
                    reader.fault(node, path, Fault::Malformed { wanted: $wanted });
                }
                value.ok()
            }

            fn to_toml(&self) -> Option<String> {
                Some(quoted(&self.to_string()))
            }
        }
    )+ };
}

from_text! {
    IpAddr: "an IP address",
    SocketAddr: "an IP address with a port, as \"192.0.2.53:53\"",
    Network: "an IP address, or a network as \"10.0.0.0/8\"",
    Domain: "a domain name",
    LogFilter: "a part of the server and a level, as \"server::c2s=debug\"",
    Uri: "a URI, as \"mailto:abuse@example.com\"",
    Broker: "a host and a port, as \"127.0.0.1:19094\"",
    TopicName: "a topic's name (letters, digits, '.', '_', '-'), or nothing",
}

pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A number with its digits in groups of three, as TOML allows.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    if digits.len() < 5 {
        return digits;
    }
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('_');
        }
        text.push(digit);
    }
    text
}
