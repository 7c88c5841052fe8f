//! The children of a stanza: canonical bytes, and where each first-level element lies in them.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use smallvec::SmallVec;

use crate::ns;
use crate::xml::element::Element;

/// The children of a stanza in canonical bytes: valid, unchanged, in a client stream, a server stream,
/// `<forwarded/>`, the database and a node link. A clone counts a reference.
#[derive(Debug, Clone, Default)]
pub struct Payload(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    bytes: Bytes,
    children: SmallVec<[Child; 6]>,
}

/// Where one first-level child lies. Its name follows its `<`, and ` xmlns='...'` its name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Child {
    start: u32,
    end: u32,
    name_length: u32,
    /// Length of the namespace as written; `INHERITS` without `xmlns`.
    namespace_length: u32,
}

const INHERITS: u32 = u32::MAX;

/// One first-level child.
#[derive(Debug, Clone, Copy)]
pub struct ChildRef<'p> {
    pub name: &'p str,
    /// As written, hence escaped; `jabber:client` where the child inherits the stanza's namespace.
    pub ns: &'p str,
    raw: &'p [u8],
}

impl Child {
    /// Of an element whose end is not known yet. Limits keep payloads below 4 GiB.
    pub(crate) fn new(start: usize, name_length: usize, namespace_length: Option<usize>) -> Child {
        Child {
            start: start as u32,
            end: start as u32,
            name_length: name_length as u32,
            namespace_length: namespace_length.map_or(INHERITS, |length| length as u32),
        }
    }

    pub(crate) fn set_end(&mut self, end: usize) {
        self.end = end as u32;
    }

    fn raw<'p>(&self, bytes: &'p [u8]) -> &'p [u8] {
        bytes.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    fn name<'p>(&self, bytes: &'p [u8]) -> &'p [u8] {
        let at = self.start as usize + 1;
        bytes.get(at..at + self.name_length as usize).unwrap_or_default()
    }

    fn namespace<'p>(&self, bytes: &'p [u8]) -> &'p [u8] {
        if self.namespace_length == INHERITS {
            return ns::CLIENT.as_bytes();
        }
        let at = self.start as usize + 1 + self.name_length as usize + " xmlns='".len();
        bytes.get(at..at + self.namespace_length as usize).unwrap_or_default()
    }

    fn is(&self, bytes: &[u8], name: &str, ns: &str) -> bool {
        self.name(bytes) == name.as_bytes() && self.namespace(bytes) == ns.as_bytes()
    }
}

impl ChildRef<'_> {
    pub fn is(&self, name: &str, ns: &str) -> bool {
        self.name == name && self.ns == ns
    }

    /// The whole element in canonical bytes.
    pub fn raw(&self) -> &[u8] {
        self.raw
    }

    pub fn element(&self) -> Element {
        parse(self.raw).unwrap_or_else(|| Element::new(self.name, self.ns))
    }
}

impl Payload {
    pub fn empty() -> Payload {
        Payload(None)
    }

    pub fn from_element(element: &Element) -> Payload {
        Payload::from_elements(std::slice::from_ref(element))
    }

    pub fn from_elements(elements: &[Element]) -> Payload {
        let mut builder = Builder::default();
        for element in elements {
            builder.push(element);
        }
        builder.finish()
    }

    /// From bytes that `xml/canonical.rs` wrote, and their index.
    pub(crate) fn from_canonical(bytes: &[u8], children: SmallVec<[Child; 6]>) -> Payload {
        if bytes.is_empty() {
            return Payload::empty();
        }
        Payload(Some(Arc::new(Inner { bytes: Bytes::copy_from_slice(bytes), children })))
    }

    pub fn bytes(&self) -> &Bytes {
        static NOTHING: LazyLock<Bytes> = LazyLock::new(Bytes::new);
        match &self.0 {
            Some(inner) => &inner.bytes,
            None => &NOTHING,
        }
    }

    pub fn len_bytes(&self) -> usize {
        self.bytes().len()
    }

    /// Neither children nor text.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub fn child_count(&self) -> usize {
        self.index().len()
    }

    pub fn children(&self) -> impl Iterator<Item = ChildRef<'_>> {
        let bytes: &[u8] = self.bytes();
        self.index().iter().map(|child| ChildRef {
            name: str::from_utf8(child.name(bytes)).unwrap_or_default(),
            ns: str::from_utf8(child.namespace(bytes)).unwrap_or_default(),
            raw: child.raw(bytes),
        })
    }

    /// The first child: what an IQ asks.
    pub fn first(&self) -> Option<ChildRef<'_>> {
        self.children().next()
    }

    pub fn has(&self, name: &str, ns: &str) -> bool {
        self.index().iter().any(|child| child.is(self.bytes(), name, ns))
    }

    pub fn has_ns(&self, ns: &str) -> bool {
        self.index().iter().any(|child| child.namespace(self.bytes()) == ns.as_bytes())
    }

    /// Parses the first child of that name, and only that.
    pub fn get(&self, name: &str, ns: &str) -> Option<Element> {
        let child = self.index().iter().find(|child| child.is(self.bytes(), name, ns))?;
        parse(child.raw(self.bytes()))
    }

    /// The text directly inside the first child of that name.
    pub fn text_of(&self, name: &str, ns: &str) -> Option<String> {
        self.get(name, ns).map(|element| element.content())
    }

    /// With one more child at the end.
    pub fn with(&self, element: &Element) -> Payload {
        let mut builder = self.to_builder();
        builder.push(element);
        builder.finish()
    }

    pub fn push(&mut self, element: &Element) {
        *self = self.with(element);
    }

    /// Appends one element in canonical bytes that this server wrote. What is not one element is left out.
    pub fn push_raw(&mut self, xml: &[u8]) {
        if let Some(element) = parse(xml) {
            self.push(&element);
        }
    }

    /// Leaves out the children that `keep` refuses; rewrites the bytes only if there are any. Text between
    /// children stays.
    pub fn retain(&mut self, mut keep: impl FnMut(&ChildRef) -> bool) {
        let kept: SmallVec<[bool; 16]> = self.children().map(|child| keep(&child)).collect();
        if kept.iter().all(|keep| *keep) {
            return;
        }
        let mut builder = Builder::default();
        let bytes: &[u8] = self.bytes();
        let mut at = 0;
        for (child, keep) in self.index().iter().zip(kept) {
            builder.copy(bytes.get(at..child.start as usize).unwrap_or_default());
            if keep {
                builder.copy_child(child, bytes);
            }
            at = child.end as usize;
        }
        builder.copy(bytes.get(at..).unwrap_or_default());
        *self = builder.finish();
    }

    fn index(&self) -> &[Child] {
        self.0.as_deref().map_or(&[], |inner| &inner.children)
    }

    fn to_builder(&self) -> Builder {
        Builder { bytes: self.bytes().to_vec(), children: self.index().into() }
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Payload) -> bool {
        self.bytes() == other.bytes()
    }
}

/// Collects canonical bytes and their index.
#[derive(Default)]
struct Builder {
    bytes: Vec<u8>,
    children: SmallVec<[Child; 6]>,
}

impl Builder {
    fn push(&mut self, element: &Element) {
        let start = self.bytes.len();
        element.write(ns::CLIENT, &mut self.bytes);
        let written = self.bytes.get(start + 1 + element.name().len()..).unwrap_or_default();
        let namespace_length = written
            .strip_prefix(b" xmlns='")
            .and_then(|behind| behind.iter().position(|byte| *byte == b'\''));
        let mut child = Child::new(start, element.name().len(), namespace_length);
        child.set_end(self.bytes.len());
        self.children.push(child);
    }

    fn copy(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn copy_child(&mut self, child: &Child, bytes: &[u8]) {
        let start = self.bytes.len() as u32;
        self.copy(child.raw(bytes));
        self.children.push(Child { start, end: self.bytes.len() as u32, ..*child });
    }

    fn finish(self) -> Payload {
        Payload::from_canonical(&self.bytes, self.children)
    }
}

fn parse(raw: &[u8]) -> Option<Element> {
    Element::parse_in(str::from_utf8(raw).ok()?, ns::CLIENT).ok()
}
