//! A small tree, for what must be understood or built. What only passes through stays bytes.

use std::sync::Arc;

use super::Limits;
use super::escape;
use super::scope::Scope;
use super::tag::Value;
use super::tokens::{Start, Token, Tokens};
use crate::ns;
use crate::stream_error::StreamError;

#[derive(Debug, Clone, PartialEq)]
pub struct Element {
    name: Box<str>,
    namespace: Arc<str>,
    attributes: Vec<Attribute>,
    nodes: Vec<Node>,
}

#[derive(Debug, Clone, PartialEq)]
struct Attribute {
    /// Namespace and prefix of an attribute that has them.
    namespace: Option<(Arc<str>, Box<str>)>,
    name: Box<str>,
    value: Box<str>,
}

/// What an element contains.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    Element(Element),
    Text(String),
}

/// Building.
impl Element {
    pub fn new(name: &str, ns: &str) -> Element {
        Element { name: name.into(), namespace: ns.into(), attributes: Vec::new(), nodes: Vec::new() }
    }

    /// Sets an attribute: one without prefix, or `xml:lang`.
    pub fn attr(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.set_attribute(name, value);
        self
    }

    pub fn attr_opt(self, name: &str, value: Option<impl AsRef<str>>) -> Self {
        match value {
            Some(value) => self.attr(name, value),
            None => self,
        }
    }

    pub fn text(mut self, text: &str) -> Self {
        self.push_text(text);
        self
    }

    pub fn child(mut self, child: Element) -> Self {
        self.push(child);
        self
    }

    pub fn children(mut self, children: impl IntoIterator<Item = Element>) -> Self {
        self.nodes.extend(children.into_iter().map(Node::Element));
        self
    }

    /// Sets or replaces an attribute: one without prefix, or `xml:lang`.
    pub fn set_attribute(&mut self, name: &str, value: impl AsRef<str>) {
        let value: Box<str> = value.as_ref().into();
        let (namespace, name) = match name.strip_prefix("xml:") {
            Some(local) => (Some((ns::XML.into(), "xml".into())), local),
            None => (None, name),
        };
        let same = |attribute: &&mut Attribute| {
            *attribute.name == *name
                && attribute.namespace.as_ref().map(|(uri, _)| uri) == namespace.as_ref().map(|(uri, _)| uri)
        };
        match self.attributes.iter_mut().find(same) {
            Some(attribute) => attribute.value = value,
            None => self.attributes.push(Attribute { namespace, name: name.into(), value }),
        }
    }

    pub fn push(&mut self, child: Element) {
        self.nodes.push(Node::Element(child));
    }

    /// Text that follows text becomes one with it.
    pub fn push_text(&mut self, text: &str) {
        match self.nodes.last_mut() {
            _ if text.is_empty() => {}
            Some(Node::Text(before)) => before.push_str(text),
            _ => self.nodes.push(Node::Text(text.to_owned())),
        }
    }

    /// Removes all children of that name.
    pub fn remove(&mut self, name: &str, ns: &str) {
        self.nodes.retain(|node| !matches!(node, Node::Element(element) if element.is(name, ns)));
    }
}

/// Reading.
impl Element {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn ns(&self) -> &str {
        &self.namespace
    }

    pub fn is(&self, name: &str, ns: &str) -> bool {
        *self.name == *name && *self.namespace == *ns
    }

    /// An attribute without prefix.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let attribute = self.attributes.iter().find(|it| it.namespace.is_none() && *it.name == *name)?;
        Some(&attribute.value)
    }

    /// An attribute with a prefix, by its namespace.
    pub fn attribute_ns(&self, name: &str, ns: &str) -> Option<&str> {
        let is =
            |it: &&Attribute| *it.name == *name && it.namespace.as_ref().is_some_and(|(uri, _)| **uri == *ns);
        self.attributes.iter().find(is).map(|attribute| &*attribute.value)
    }

    /// Names and values of the attributes without prefix.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.attributes.iter().filter(|it| it.namespace.is_none()).map(|it| (&*it.name, &*it.value))
    }

    /// Namespace (empty without a prefix), name and value of all attributes.
    pub fn all_attributes(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.attributes
            .iter()
            .map(|it| (it.namespace.as_ref().map_or("", |(uri, _)| uri), &*it.name, &*it.value))
    }

    /// Elements and text in their order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// `xml:lang` of this element itself.
    pub fn lang(&self) -> Option<&str> {
        self.attribute_ns("lang", ns::XML)
    }

    pub fn elements(&self) -> impl Iterator<Item = &Element> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    pub fn find(&self, name: &str, ns: &str) -> Option<&Element> {
        self.elements().find(|element| element.is(name, ns))
    }

    /// All text directly inside, put together.
    pub fn content(&self) -> String {
        let texts = self.nodes.iter().filter_map(|node| match node {
            Node::Text(text) => Some(text.as_str()),
            Node::Element(_) => None,
        });
        texts.collect()
    }

    /// Reads one element that stands alone, with white space around it at most. Checks everything that a
    /// stream's scanner checks but the size.
    pub fn parse(xml: &[u8]) -> Result<Element, StreamError> {
        Element::parse_in(super::read::standing_alone(xml)?, "")
    }

    /// The same inside an element of that default namespace.
    pub(crate) fn parse_in(xml: &str, parent_ns: &str) -> Result<Element, StreamError> {
        let mut scope = Scope::new(usize::MAX);
        scope.declare("", Value::any(parent_ns))?;
        let mut tokens = Tokens::new(xml, scope, Limits::TRUSTED);
        let Some(Token::Start(start)) = tokens.next()? else {
            return Err(StreamError::not_well_formed("no element"));
        };
        let element = Element::read(&start, &mut tokens)?;
        match tokens.next()? {
            None => Ok(element),
            Some(_) => Err(StreamError::not_well_formed("something behind the element")),
        }
    }

    /// Reads the element that began with `start`, up to its end.
    pub(crate) fn read(start: &Start, tokens: &mut Tokens) -> Result<Element, StreamError> {
        let mut element = Element::begin(start, tokens);
        if start.empty {
            return Ok(element);
        }
        // Not by recursion: what a peer sends decides the depth.
        let mut around: Vec<Element> = Vec::new();
        while let Some(token) = tokens.next()? {
            match token {
                Token::Start(start) if start.empty => element.push(Element::begin(&start, tokens)),
                Token::Start(start) => {
                    around.push(std::mem::replace(&mut element, Element::begin(&start, tokens)));
                }
                Token::Text(text) => element.push_text(&text.text),
                Token::Character(character) => element.push_text(character.encode_utf8(&mut [0; 4])),
                Token::End(_) => match around.pop() {
                    Some(parent) => {
                        let child = std::mem::replace(&mut element, parent);
                        element.push(child);
                    }
                    None => return Ok(element),
                },
            }
        }
        Err(StreamError::not_well_formed("an element that does not end"))
    }

    fn begin(start: &Start, tokens: &mut Tokens) -> Element {
        let scope = &mut tokens.scope;
        let attributes = tokens.attributes.iter().map(|attribute| Attribute {
            namespace: attribute.namespace.map(|id| (scope.shared_uri(id), attribute.prefix.into())),
            name: attribute.name.into(),
            value: attribute.value.as_ref().into(),
        });
        let attributes = attributes.collect();
        let namespace = tokens.scope.shared_uri(start.namespace);
        Element { name: start.name.into(), namespace, attributes, nodes: Vec::new() }
    }
}

/// Writing, in the canonical form of `canonical`.
impl Element {
    /// Inside an element of that namespace: `xmlns` only where it differs from the parent's.
    pub fn write(&self, parent_ns: &str, out: &mut Vec<u8>) {
        out.push(b'<');
        out.extend_from_slice(self.name.as_bytes());
        if *self.namespace != *parent_ns {
            escape::attribute("xmlns", &self.namespace, out);
        }
        self.write_attributes(out);
        if self.nodes.is_empty() {
            out.extend_from_slice(b"/>");
            return;
        }
        out.push(b'>');
        for node in &self.nodes {
            match node {
                Node::Element(element) => element.write(&self.namespace, out),
                Node::Text(text) => escape::text(text, out),
            }
        }
        out.extend_from_slice(b"</");
        out.extend_from_slice(self.name.as_bytes());
        out.push(b'>');
    }

    /// Stand-alone, with `xmlns`.
    pub fn to_xml(&self) -> String {
        let mut out = Vec::new();
        self.write("", &mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    fn write_attributes(&self, out: &mut Vec<u8>) {
        for (index, attribute) in self.attributes.iter().enumerate() {
            let Some((uri, prefix)) = &attribute.namespace else {
                escape::attribute(&attribute.name, &attribute.value, out);
                continue;
            };
            let declared = self
                .attributes
                .iter()
                .take(index)
                .any(|before| before.namespace.as_ref().is_some_and(|(_, before)| before == prefix));
            if **uri != *ns::XML && !declared {
                escape::attribute(&format!("xmlns:{prefix}"), uri, out);
            }
            escape::attribute(&format!("{prefix}:{}", attribute.name), &attribute.value, out);
        }
    }
}

#[cfg(test)]
mod tests;
