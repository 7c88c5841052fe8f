//! The inside of a start tag, and of an XML declaration: names, attributes, their values (XML 1.0 section 3.1).

use std::borrow::Cow;

use memchr::memchr;

use super::chars::{self, NAME, NAME_START};
use super::tokens::{legal, reference};
use crate::stream_error::StreamError;

/// Reads from the front, each byte once.
pub struct TagReader<'a> {
    tag: &'a str,
    at: usize,
}

/// A qualified name; the prefix is empty without a colon.
#[derive(Clone, Copy)]
pub struct Name<'a> {
    pub prefix: &'a str,
    pub local: &'a str,
}

/// An attribute's value, normalised.
#[derive(Clone)]
pub struct Value<'a> {
    pub text: Cow<'a, str>,
    /// Nothing in it needs to be escaped.
    pub plain: bool,
}

impl Name<'_> {
    /// Whether it is this name, without a prefix.
    pub fn is(&self, local: &str) -> bool {
        self.prefix.is_empty() && self.local == local
    }
}

impl<'a> TagReader<'a> {
    /// What is between the angle brackets.
    pub fn new(tag: &'a str) -> TagReader<'a> {
        TagReader { tag, at: 0 }
    }

    /// The next attribute; None at the end. White space stands before each, and around the equals sign where
    /// one likes.
    pub fn attribute(&mut self) -> Result<Option<(Name<'a>, Value<'a>)>, StreamError> {
        let before = self.at;
        self.skip_space();
        if self.at == self.tag.len() {
            return Ok(None);
        }
        if self.at == before {
            return Err(malformed());
        }
        let name = self.name()?;
        self.skip_space();
        if self.peek() != Some(b'=') {
            return Err(malformed());
        }
        self.at += 1;
        self.skip_space();
        Ok(Some((name, self.value()?)))
    }

    /// A name of Namespaces in XML 1.0 section 4: at most one colon, with a name on both sides.
    pub fn name(&mut self) -> Result<Name<'a>, StreamError> {
        let first = self.name_part()?;
        if self.peek() != Some(b':') {
            return Ok(Name { prefix: "", local: first });
        }
        self.at += 1;
        Ok(Name { prefix: first, local: self.name_part()? })
    }

    fn name_part(&mut self) -> Result<&'a str, StreamError> {
        let rest = self.tag.get(self.at..).unwrap_or_default();
        let mut end = chars::span(rest.as_bytes(), NAME);
        let mut is_name = rest.bytes().next().is_some_and(|first| chars::is(first, NAME_START));
        if rest.as_bytes().get(end).is_some_and(|byte| !byte.is_ascii()) {
            let beyond = rest.bytes().position(|byte| byte.is_ascii() && !chars::is(byte, NAME));
            end = beyond.unwrap_or(rest.len());
            is_name = chars::is_name(&rest[..end]);
        }
        if !is_name {
            return Err(StreamError::not_well_formed("a name that is none"));
        }
        self.at += end;
        Ok(&rest[..end])
    }

    fn value(&mut self) -> Result<Value<'a>, StreamError> {
        let quote = self.peek().filter(|quote| matches!(quote, b'\'' | b'"')).ok_or_else(malformed)?;
        self.at += 1;
        let rest = self.tag.get(self.at..).unwrap_or_default();
        let plain = chars::plain_value(rest);
        if rest.as_bytes().get(plain) == Some(&quote) {
            self.at += plain + 1;
            return Ok(Value { text: Cow::Borrowed(&rest[..plain]), plain: true });
        }
        let end = memchr(quote, rest.as_bytes()).ok_or_else(malformed)?;
        self.at += end + 1;
        Ok(Value { text: normalised(&rest[..end])?, plain: false })
    }

    fn peek(&self) -> Option<u8> {
        self.tag.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(chars::is_space) {
            self.at += 1;
        }
    }
}

impl<'a> Value<'a> {
    /// One that we know to need no escaping.
    pub fn plain(text: &'a str) -> Value<'a> {
        Value { text: Cow::Borrowed(text), plain: true }
    }

    /// One that may need it.
    pub fn any(text: &'a str) -> Value<'a> {
        Value { text: Cow::Borrowed(text), plain: false }
    }
}

/// The name in a start tag: what is behind `<` and not shorter than that.
pub fn tag_name(tag: &str, at_least: usize) -> &str {
    let behind = tag.get(1..).unwrap_or_default();
    let rest = behind.as_bytes().get(at_least..).unwrap_or_default();
    let more = rest.iter().position(|byte| chars::is_space(*byte) || matches!(byte, b'/' | b'>'));
    behind.get(..at_least + more.unwrap_or(rest.len())).unwrap_or_default()
}

/// Resolves references and turns white space into spaces (XML 1.0 section 3.3.3).
fn normalised(raw: &str) -> Result<Cow<'_, str>, StreamError> {
    let mut value = String::with_capacity(raw.len());
    let mut rest = raw;
    loop {
        let (plain, special) = rest.split_at(chars::plain_value(rest));
        value.push_str(plain);
        let Some(character) = special.chars().next() else { return Ok(Cow::Owned(value)) };
        rest = &special[character.len_utf8()..];
        match character {
            '<' => return Err(StreamError::not_well_formed("'<' in an attribute value")),
            '&' => {
                let (name, behind) = rest
                    .split_once(';')
                    .ok_or_else(|| StreamError::not_well_formed("a reference that does not end"))?;
                value.push(reference(name)?);
                rest = behind;
            }
            '\r' => {
                // Line ends are normalised first: both characters are one line end, hence one space.
                rest = rest.strip_prefix('\n').unwrap_or(rest);
                value.push(' ');
            }
            '\t' | '\n' => value.push(' '),
            other => value.push(legal(other)?),
        }
    }
}

fn malformed() -> StreamError {
    StreamError::not_well_formed("a tag with a malformed attribute")
}
