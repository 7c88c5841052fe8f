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

    /// Appends one element in canonical bytes that this server wrote, as `ChildRef::raw` gives them.
    pub fn push_raw(&mut self, xml: &[u8]) {
        let mut builder = self.to_builder();
        builder.push_raw(xml);
        *self = builder.finish();
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
        self.note(start);
    }

    fn push_raw(&mut self, xml: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(xml);
        self.note(start);
    }

    /// Notes the child that reaches from there to the end.
    fn note(&mut self, start: usize) {
        let name = self.bytes.get(start + 1..).unwrap_or_default();
        let name_length =
            name.iter().position(|byte| matches!(byte, b' ' | b'/' | b'>')).unwrap_or(name.len());
        let behind = name.get(name_length..).unwrap_or_default().strip_prefix(b" xmlns='");
        let namespace_length = behind.and_then(|uri| uri.iter().position(|byte| *byte == b'\''));
        let mut child = Child::new(start, name_length, namespace_length);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stanza::Stanza;

    fn payload(children: &str) -> Payload {
        Stanza::read(format!("<message>{children}</message>").as_bytes()).unwrap().payload
    }

    fn text(payload: &Payload) -> &str {
        str::from_utf8(payload.bytes()).unwrap()
    }

    #[test]
    fn children_are_found() {
        let payload = payload(
            " <body>hi <b/></body>x<a xmlns='urn:a' b='c'/><body xml:lang='de'>hallo</body><c xmlns=''/>",
        );
        let names: Vec<_> =
            payload.children().map(|child| (child.name.to_owned(), child.ns.to_owned())).collect();
        let expected = [("body", ns::CLIENT), ("a", "urn:a"), ("body", ns::CLIENT), ("c", "")];
        assert_eq!(names, expected.map(|(name, ns)| (name.to_owned(), ns.to_owned())));
        assert!(payload.has("a", "urn:a") && !payload.has("a", ns::CLIENT) && !payload.has("b", ns::CLIENT));
        assert!(payload.has_ns("urn:a") && payload.has_ns("") && !payload.has_ns("urn:b"));
        assert_eq!(payload.get("a", "urn:a").unwrap().attribute("b"), Some("c"));
        assert_eq!(payload.text_of("body", ns::CLIENT).as_deref(), Some("hi "));
        assert_eq!(payload.first().unwrap().raw(), b"<body>hi <b/></body>");
        assert!(payload.first().unwrap().is("body", ns::CLIENT));
        assert_eq!((payload.child_count(), payload.len_bytes()), (4, text(&payload).len()));
    }

    #[test]
    fn children_are_added() {
        let mut all = Payload::empty();
        assert!(all.is_empty() && all.first().is_none() && all.bytes().is_empty());
        all.push(&Element::new("body", ns::CLIENT).text("a<b"));
        all.push(&Element::new("x", "urn:'x'").attr("y", "z"));
        let before = all.clone();
        all.push_raw(b"<n xmlns='urn:n'><m/></n>");
        all.push_raw(b"<o/>");
        assert_eq!(
            text(&all),
            "<body>a&lt;b</body><x xmlns='urn:&apos;x&apos;' y='z'/><n xmlns='urn:n'><m/></n><o/>"
        );
        assert_eq!(text(&before), "<body>a&lt;b</body><x xmlns='urn:&apos;x&apos;' y='z'/>");
        assert!(all.has("n", "urn:n") && all.has("o", ns::CLIENT) && all.has("body", ns::CLIENT));
        assert_eq!(all.get("x", "urn:&apos;x&apos;").unwrap().ns(), "urn:'x'");
        assert_eq!(all, payload(text(&all)));
        let elements: Vec<_> = all.children().map(|child| child.element()).collect();
        assert_eq!(Payload::from_elements(&elements), all);
    }

    #[test]
    fn children_are_left_out() {
        let original = payload("1<a/>2<b xmlns='urn:b'/>3<c/>4");
        let mut kept = original.clone();
        kept.retain(|_| true);
        assert_eq!(kept.bytes().as_ptr(), original.bytes().as_ptr());
        kept.retain(|child| child.name != "b");
        assert_eq!(text(&kept), "1<a/>23<c/>4");
        assert!(kept.has("c", ns::CLIENT) && kept.get("c", ns::CLIENT).is_some() && !kept.has_ns("urn:b"));
        kept.retain(|_| false);
        assert_eq!((text(&kept), kept.child_count()), ("1234", 0));
        let mut all = payload("<a/>");
        all.retain(|_| false);
        assert!(all.is_empty());
        assert_eq!(text(&original), "1<a/>2<b xmlns='urn:b'/>3<c/>4");
    }
}
