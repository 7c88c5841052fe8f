//! Canonical bytes: what may travel on, written once from checked tokens.
//!
//! Elements carry no prefix but a default `xmlns` where their namespace differs from their parent's; a
//! prefixed attribute brings its declaration along on its own element; values stand between apostrophes;
//! CDATA is text; an element without content is `<name/>`. Elements in the content namespace directly
//! inside the stanza carry no `xmlns`: they inherit it wherever the stanza goes.

use smallvec::SmallVec;

use super::escape;
use super::scope::NamespaceId;
use super::tokens::{Attribute, Start, Text, Token, Tokens};
use crate::stanza::Payload;
use crate::stanza::payload::Child;
use crate::stream_error::{Exceeded, StreamError};

pub struct Canonical<'o> {
    out: &'o mut Vec<u8>,
    children: SmallVec<[Child; 6]>,
    /// Namespaces of the elements that are open, the stanza's first.
    open: SmallVec<[NamespaceId; 16]>,
    /// A start tag that lacks its end, because `/>` may follow.
    tag_is_open: bool,
    max_bytes: usize,
}

impl<'o> Canonical<'o> {
    /// Writes to `out`, which is emptied first. `content` is the namespace that the outermost elements
    /// inherit.
    pub fn new(content: NamespaceId, out: &'o mut Vec<u8>, max_bytes: usize) -> Canonical<'o> {
        out.clear();
        // Most payloads need no more.
        out.reserve(512);
        let mut open = SmallVec::new();
        open.push(content);
        Canonical { out, children: SmallVec::new(), open, tag_is_open: false, max_bytes }
    }

    /// Writes everything up to the end of the element that surrounds it.
    pub fn write(mut self, tokens: &mut Tokens) -> Result<Payload, StreamError> {
        while let Some(token) = tokens.next()? {
            match token {
                Token::Start(start) => self.start(&start, tokens),
                Token::Text(text) => self.text(&text),
                Token::Character(character) => {
                    self.end_tag();
                    escape::text(character.encode_utf8(&mut [0; 4]), self.out);
                }
                Token::End(_) if self.open.len() == 1 => {
                    return Ok(Payload::from_canonical(self.out, self.children));
                }
                Token::End(name) => self.end(name),
            }
            // Prefixes with long namespaces and characters to escape can make more of it than came in.
            if self.out.len() > self.max_bytes {
                return Err(StreamError::exceeded(Exceeded::Bytes));
            }
        }
        Err(StreamError::not_well_formed("an element that does not end"))
    }

    fn start(&mut self, start: &Start, tokens: &Tokens) {
        self.end_tag();
        let parent = self.open.last().copied().unwrap_or(start.namespace);
        let at = self.out.len();
        self.out.push(b'<');
        self.out.extend_from_slice(start.name.as_bytes());
        let inherits = tokens.scope.same(parent, start.namespace);
        let mut namespace_length = None;
        if !inherits {
            self.out.extend_from_slice(b" xmlns");
            self.value(tokens.scope.uri(start.namespace), tokens.scope.is_plain(start.namespace));
            namespace_length = Some(self.out.len() - at - 1 - start.name.len() - " xmlns=''".len());
        }
        if self.open.len() == 1 {
            self.children.push(Child::new(at, start.name.len(), namespace_length));
        }
        for (index, attribute) in tokens.attributes.iter().enumerate() {
            self.attribute(attribute, tokens.attributes.get(..index).unwrap_or_default(), tokens);
        }
        if start.empty {
            self.out.extend_from_slice(b"/>");
            self.end_child();
        } else {
            self.tag_is_open = true;
            self.open.push(start.namespace);
        }
    }

    fn attribute(&mut self, attribute: &Attribute, before: &[Attribute], tokens: &Tokens) {
        if let Some(namespace) = attribute.namespace.filter(|namespace| *namespace != NamespaceId::XML)
            && before.iter().all(|other| other.prefix != attribute.prefix)
        {
            self.out.extend_from_slice(b" xmlns:");
            self.out.extend_from_slice(attribute.prefix.as_bytes());
            self.value(tokens.scope.uri(namespace), tokens.scope.is_plain(namespace));
        }
        self.out.push(b' ');
        if !attribute.prefix.is_empty() {
            self.out.extend_from_slice(attribute.prefix.as_bytes());
            self.out.push(b':');
        }
        self.out.extend_from_slice(attribute.name.as_bytes());
        self.value(&attribute.value, attribute.plain);
    }

    fn value(&mut self, value: &str, plain: bool) {
        self.out.extend_from_slice(b"='");
        match plain {
            true => self.out.extend_from_slice(value.as_bytes()),
            false => escape::value(value, self.out),
        }
        self.out.push(b'\'');
    }

    fn text(&mut self, text: &Text) {
        if text.text.is_empty() {
            return;
        }
        self.end_tag();
        match text.plain {
            true => self.out.extend_from_slice(text.text.as_bytes()),
            false => escape::text(&text.text, self.out),
        }
    }

    fn end(&mut self, name: &str) {
        self.open.pop();
        if std::mem::take(&mut self.tag_is_open) {
            self.out.extend_from_slice(b"/>");
        } else {
            self.out.extend_from_slice(b"</");
            self.out.extend_from_slice(name.as_bytes());
            self.out.push(b'>');
        }
        self.end_child();
    }

    /// Notes where a first-level child ends, if it is one that just did.
    fn end_child(&mut self) {
        if self.open.len() == 1
            && let Some(child) = self.children.last_mut()
        {
            child.set_end(self.out.len());
        }
    }

    fn end_tag(&mut self) {
        if std::mem::take(&mut self.tag_is_open) {
            self.out.push(b'>');
        }
    }
}
