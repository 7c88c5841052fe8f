//! Checked tokens: quick-xml finds the markup, and here every rule of XML, of namespaces and of RFC 6120
//! section 11 is applied to what lies in it. What comes out is well-formed and legal.

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::events::Event;
use smallvec::SmallVec;

use super::Limits;
use super::chars;
use super::scope::{NamespaceId, Scope};
use super::tag::{TagReader, Value};
use crate::stream_error::{Exceeded, StreamError};

pub struct Tokens<'a> {
    input: &'a str,
    reader: Reader<&'a [u8]>,
    pub scope: Scope<'a>,
    pub attributes: SmallVec<[Attribute<'a>; 8]>,
    limits: Limits,
    depth: usize,
    elements: usize,
    /// The token before ended an element, whose declarations were in force until now.
    ended: bool,
    /// Attribute names compared, ever.
    work: u64,
}

pub enum Token<'a> {
    /// Its attributes are in `Tokens::attributes`, without declarations.
    Start(Start<'a>),
    Text(Text<'a>),
    /// A character reference or one of the five entities.
    Character(char),
    /// Ends what the last unfinished `Start` began; carries its name without prefix.
    End(&'a str),
}

pub struct Start<'a> {
    pub name: &'a str,
    pub namespace: NamespaceId,
    /// `<name/>`: no `End` follows.
    pub empty: bool,
}

pub struct Text<'a> {
    pub text: Cow<'a, str>,
    /// Nothing in it needs to be escaped.
    pub plain: bool,
}

pub struct Attribute<'a> {
    /// Empty without a prefix.
    pub prefix: &'a str,
    pub name: &'a str,
    /// Of the prefix; attributes without a prefix have no namespace.
    pub namespace: Option<NamespaceId>,
    pub value: Cow<'a, str>,
    /// Nothing in the value needs to be escaped.
    pub plain: bool,
}

impl Attribute<'_> {
    pub fn is(&self, name: &str) -> bool {
        self.namespace.is_none() && self.name == name
    }

    pub fn is_lang(&self) -> bool {
        self.namespace == Some(NamespaceId::XML) && self.name == "lang"
    }
}

impl<'a> Tokens<'a> {
    pub fn new(input: &'a str, scope: Scope<'a>, limits: Limits) -> Tokens<'a> {
        let reader = Reader::from_str(input);
        Tokens {
            input,
            reader,
            scope,
            attributes: SmallVec::new(),
            limits,
            depth: 0,
            elements: 0,
            ended: false,
            work: 0,
        }
    }

    /// None at the end of the input, even inside an element.
    pub fn next(&mut self) -> Result<Option<Token<'a>>, StreamError> {
        if std::mem::take(&mut self.ended) {
            self.scope.leave();
            self.depth = self.depth.saturating_sub(1);
        }
        let from = self.position();
        let event = self
            .reader
            .read_event()
            .map_err(|_| StreamError::not_well_formed("markup that is not well-formed"))?;
        let kind = match event {
            Event::Start(_) => Kind::Start,
            Event::Empty(_) => Kind::Empty,
            Event::End(_) => Kind::End,
            Event::Text(_) => Kind::Text,
            Event::CData(_) => Kind::CData,
            Event::GeneralRef(_) => Kind::Reference,
            Event::Eof => return Ok(None),
            Event::Comment(_) => return Err(StreamError::restricted_xml("comments are not allowed")),
            Event::PI(_) | Event::Decl(_) => {
                return Err(StreamError::restricted_xml("processing instructions are not allowed"));
            }
            Event::DocType(_) => return Err(StreamError::restricted_xml("a DTD is not allowed")),
        };
        let raw = self.input.get(from..self.position()).unwrap_or_default();
        match kind {
            Kind::Start => self.start(inside(raw, 1, 1), false).map(Some),
            Kind::Empty => self.start(inside(raw, 1, 2), true).map(Some),
            Kind::End => Ok(Some(self.end(inside(raw, 2, 1)))),
            Kind::Text => text(raw, true).map(|text| Some(Token::Text(text))),
            Kind::CData => text(inside(raw, 9, 3), false).map(|text| Some(Token::Text(text))),
            Kind::Reference => {
                reference(inside(raw, 1, 1)).map(|character| Some(Token::Character(character)))
            }
        }
    }

    /// Bytes that were read, and comparisons that were needed for them.
    pub fn work(&self) -> u64 {
        self.position() as u64 + self.work + self.scope.work()
    }

    /// How much of the input was read.
    pub fn position(&self) -> usize {
        self.reader.buffer_position() as usize
    }

    fn start(&mut self, tag: &'a str, empty: bool) -> Result<Token<'a>, StreamError> {
        self.elements += 1;
        if self.elements > self.limits.elements {
            return Err(StreamError::exceeded(Exceeded::Elements));
        }
        if self.depth >= self.limits.depth.min(super::DEPTH_MAX) {
            return Err(StreamError::exceeded(Exceeded::Depth));
        }
        let mut tag = TagReader::new(tag);
        let name = tag.name()?;
        self.scope.enter();
        self.read_attributes(&mut tag)?;
        // The element's own declarations are in force for its own name.
        let namespace = match name.prefix {
            "" => self.scope.default_namespace(),
            "xml" => return Err(StreamError::not_well_formed("an element with the prefix 'xml'")),
            prefix => self.scope.resolve(prefix)?,
        };
        self.depth += 1;
        self.ended = empty;
        Ok(Token::Start(Start { name: name.local, namespace, empty }))
    }

    /// quick-xml has compared the name with the start tag's.
    fn end(&mut self, tag: &'a str) -> Token<'a> {
        self.ended = true;
        let name = tag.trim_end_matches(chars::SPACE);
        Token::End(name.split_once(':').map_or(name, |(_, local)| local))
    }

    /// Sorts declarations from attributes, and resolves prefixes when all declarations are known.
    fn read_attributes(&mut self, tag: &mut TagReader<'a>) -> Result<(), StreamError> {
        self.attributes.clear();
        let mut count = 0;
        while let Some((name, value)) = tag.attribute()? {
            count += 1;
            if count > self.limits.attributes {
                return Err(StreamError::exceeded(Exceeded::Attributes));
            }
            match (name.prefix, name.local) {
                ("", "xmlns") => self.scope.declare("", value)?,
                ("xmlns", prefix) => self.scope.declare(prefix, value)?,
                (prefix, name) => {
                    let Value { text: value, plain } = value;
                    self.attributes.push(Attribute { prefix, name, namespace: None, value, plain });
                }
            }
        }
        for at in 0..self.attributes.len() {
            let (before, rest) = self.attributes.split_at_mut(at);
            let Some(attribute) = rest.first_mut() else { break };
            if !attribute.prefix.is_empty() {
                attribute.namespace = Some(self.scope.resolve(attribute.prefix)?);
            }
            self.work += at as u64;
            if before.iter().any(|other| same_attribute(&self.scope, other, attribute)) {
                return Err(StreamError::not_well_formed("an attribute that is there twice"));
            }
        }
        Ok(())
    }
}

/// What the markup around an event is, without the event's borrow.
enum Kind {
    Start,
    Empty,
    End,
    Text,
    CData,
    Reference,
}

/// Namespaces in XML 1.0 section 6.3: neither the same name nor the same namespace and local name.
fn same_attribute(scope: &Scope, left: &Attribute, right: &Attribute) -> bool {
    left.name == right.name
        && match (left.namespace, right.namespace) {
            (None, None) => true,
            (Some(left), Some(right)) => scope.same(left, right),
            _ => false,
        }
}

/// Without so many bytes at the beginning and the end.
fn inside(raw: &str, before: usize, behind: usize) -> &str {
    raw.len().checked_sub(behind).and_then(|end| raw.get(before..end)).unwrap_or_default()
}

/// Checks text and normalises its line ends (XML 1.0 section 2.11). `]]>` is not allowed outside of CDATA.
fn text(raw: &str, outside: bool) -> Result<Text<'_>, StreamError> {
    let plain = chars::plain_text(raw);
    if plain == raw.len() {
        return Ok(Text { text: Cow::Borrowed(raw), plain: true });
    }
    if outside && raw.contains("]]>") {
        return Err(StreamError::not_well_formed("']]>' in text"));
    }
    for character in raw[plain..].chars() {
        legal(character)?;
    }
    let text = match raw.contains('\r') {
        true => Cow::Owned(raw.replace("\r\n", "\n").replace('\r', "\n")),
        false => Cow::Borrowed(raw),
    };
    Ok(Text { text, plain: false })
}

/// A character that XML allows.
pub fn legal(character: char) -> Result<char, StreamError> {
    match chars::is_char(character) {
        true => Ok(character),
        false => Err(StreamError::not_well_formed("a character that XML does not allow")),
    }
}

/// The character that a reference stands for, given what is between `&` and `;`.
pub fn reference(name: &str) -> Result<char, StreamError> {
    match name {
        "lt" => return Ok('<'),
        "gt" => return Ok('>'),
        "amp" => return Ok('&'),
        "apos" => return Ok('\''),
        "quot" => return Ok('"'),
        _ => {}
    }
    let Some(number) = name.strip_prefix('#') else {
        return match name.split(':').all(chars::is_name) {
            true => Err(StreamError::restricted_xml("an entity other than the five")),
            false => Err(StreamError::not_well_formed("a reference that is none")),
        };
    };
    let (digits, radix) = match number.strip_prefix('x') {
        Some(digits) => (digits, 16),
        None => (number, 10),
    };
    // `from_str_radix` would take a sign.
    let is_number = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
    is_number
        .then(|| u32::from_str_radix(digits, radix).ok())
        .flatten()
        .and_then(char::from_u32)
        .filter(|character| chars::is_char(*character))
        .ok_or_else(|| StreamError::not_well_formed("a character reference to no character"))
}
