//! Namespace declarations in scope (Namespaces in XML 1.0 section 6).

use std::sync::Arc;

use smallvec::SmallVec;

use super::tag::Value;
use crate::ns;
use crate::stream_error::StreamError;

/// Declarations of a peer that are in force at once, at most: prefixes are looked up one by one, and the
/// work must stay in proportion to the bytes.
pub const DECLARATIONS_MAX: usize = 128;

pub struct Scope<'a> {
    bindings: SmallVec<[Binding<'a>; 4]>,
    /// The default namespace in force.
    default: NamespaceId,
    /// Elements that are open.
    depth: usize,
    max: usize,
    /// Prefixes compared, ever.
    work: u64,
}

struct Binding<'a> {
    /// Empty for the default namespace.
    prefix: &'a str,
    uri: Value<'a>,
    /// The same again, once a tree needs it: its elements share it, or a long namespace on top would be
    /// copied into each of the short elements below.
    shared: Option<Arc<str>>,
    /// The depth of the element that declares it.
    depth: usize,
    /// The default namespace that was in force before.
    default_before: NamespaceId,
}

/// A namespace in scope. Valid until the element that declares it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamespaceId(u32);

impl NamespaceId {
    /// No namespace.
    const NONE: NamespaceId = NamespaceId(u32::MAX);
    /// That of `xml:lang`, bound without a declaration.
    pub const XML: NamespaceId = NamespaceId(u32::MAX - 1);
}

impl<'a> Scope<'a> {
    pub fn new(max: usize) -> Scope<'a> {
        Scope { bindings: SmallVec::new(), default: NamespaceId::NONE, depth: 0, max, work: 0 }
    }

    /// What an ordinary stream header declares.
    pub fn of_stream(content: &'a str) -> Scope<'a> {
        let mut scope = Scope::new(DECLARATIONS_MAX);
        scope.push("", Value::plain(content));
        scope.push("stream", Value::plain(ns::STREAM));
        scope
    }

    pub fn enter(&mut self) {
        self.depth += 1;
    }

    pub fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        while let Some(binding) = self.bindings.last()
            && binding.depth > self.depth
        {
            self.default = binding.default_before;
            self.bindings.pop();
        }
    }

    /// Takes a declaration of the element that was entered last; an empty prefix is the default namespace.
    pub fn declare(&mut self, prefix: &'a str, uri: Value<'a>) -> Result<(), StreamError> {
        let name = &*uri.text;
        // Namespaces in XML 1.0 section 3: `xml` and `xmlns` are taken, and a prefix cannot be undeclared.
        let allowed = match prefix {
            "xml" => name == ns::XML,
            "xmlns" => false,
            _ => name != ns::XML && name != ns::XMLNS && (prefix.is_empty() || !name.is_empty()),
        };
        if !allowed {
            return Err(StreamError::not_well_formed("a namespace declaration that is not allowed"));
        }
        let mut own = self.bindings.iter().rev().take_while(|binding| binding.depth == self.depth);
        if own.any(|binding| binding.prefix == prefix) {
            return Err(StreamError::not_well_formed("a namespace declaration that is there twice"));
        }
        if self.bindings.len() >= self.max {
            return Err(StreamError::stanza_too_big("too many namespace declarations"));
        }
        self.work += self.bindings.len() as u64;
        self.push(prefix, uri);
        Ok(())
    }

    fn push(&mut self, prefix: &'a str, uri: Value<'a>) {
        let default_before = self.default;
        if prefix.is_empty() {
            self.default = NamespaceId(self.bindings.len() as u32);
        }
        self.bindings.push(Binding { prefix, uri, shared: None, depth: self.depth, default_before });
    }

    /// What elements without a prefix are in.
    pub fn default_namespace(&self) -> NamespaceId {
        self.default
    }

    pub fn resolve(&mut self, prefix: &str) -> Result<NamespaceId, StreamError> {
        if prefix == "xml" {
            return Ok(NamespaceId::XML);
        }
        let found = self.bindings.iter().rposition(|binding| binding.prefix == prefix);
        self.work += (self.bindings.len() - found.unwrap_or_default()) as u64;
        match found {
            Some(at) => Ok(NamespaceId(at as u32)),
            None => Err(StreamError::not_well_formed("a prefix that is not declared")),
        }
    }

    pub fn uri(&self, id: NamespaceId) -> &str {
        match id {
            NamespaceId::XML => ns::XML,
            _ => self.bindings.get(id.0 as usize).map_or("", |binding| &binding.uri.text),
        }
    }

    /// Whether nothing in the namespace needs to be escaped.
    pub fn is_plain(&self, id: NamespaceId) -> bool {
        self.bindings.get(id.0 as usize).is_none_or(|binding| binding.uri.plain)
    }

    pub fn shared_uri(&mut self, id: NamespaceId) -> Arc<str> {
        match self.bindings.get_mut(id.0 as usize) {
            Some(binding) => binding.shared.get_or_insert_with(|| Arc::from(&*binding.uri.text)).clone(),
            None => Arc::from(self.uri(id)),
        }
    }

    pub fn same(&self, left: NamespaceId, right: NamespaceId) -> bool {
        left == right || self.uri(left) == self.uri(right)
    }

    /// Prefix and namespace of each declaration, in order.
    pub fn declarations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.bindings.iter().map(|binding| (binding.prefix, &*binding.uri.text))
    }

    pub fn work(&self) -> u64 {
        self.work
    }
}
