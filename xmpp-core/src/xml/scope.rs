//! Namespace declarations in scope (Namespaces in XML 1.0 section 6).

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::ns;
use crate::stream_error::StreamError;

/// Declarations that are in force at once, at most. Prefixes are looked up one by one, and the work must
/// stay in proportion to the bytes.
const DECLARATIONS_MAX: usize = 128;

pub struct Scope<'a> {
    bindings: SmallVec<[Binding<'a>; 8]>,
    depth: usize,
}

struct Binding<'a> {
    /// Empty for the default namespace.
    prefix: &'a str,
    uri: Cow<'a, str>,
    /// The depth of the element that declares it.
    depth: usize,
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
    pub fn new() -> Scope<'a> {
        Scope { bindings: SmallVec::new(), depth: 0 }
    }

    pub fn enter(&mut self) {
        self.depth += 1;
    }

    pub fn leave(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        while self.bindings.last().is_some_and(|binding| binding.depth > self.depth) {
            self.bindings.pop();
        }
    }

    /// Takes a declaration of the element that was entered last; an empty prefix is the default namespace.
    pub fn declare(&mut self, prefix: &'a str, uri: Cow<'a, str>) -> Result<(), StreamError> {
        // Namespaces in XML 1.0 section 3: `xml` and `xmlns` are taken, and a prefix cannot be undeclared.
        let allowed = match prefix {
            "xml" => uri == ns::XML,
            "xmlns" => false,
            _ => uri != ns::XML && uri != ns::XMLNS && (prefix.is_empty() || !uri.is_empty()),
        };
        if !allowed {
            return Err(StreamError::not_well_formed("a namespace declaration that is not allowed"));
        }
        let own = self.bindings.iter().rev().take_while(|binding| binding.depth == self.depth);
        if own.into_iter().any(|binding| binding.prefix == prefix) {
            return Err(StreamError::not_well_formed("a namespace declaration that is there twice"));
        }
        if self.bindings.len() >= DECLARATIONS_MAX {
            return Err(StreamError::stanza_too_big("too many namespace declarations"));
        }
        self.bindings.push(Binding { prefix, uri, depth: self.depth });
        Ok(())
    }

    /// The default namespace.
    pub fn default_namespace(&self) -> NamespaceId {
        self.find("").unwrap_or(NamespaceId::NONE)
    }

    pub fn resolve(&self, prefix: &str) -> Result<NamespaceId, StreamError> {
        match prefix {
            "xml" => Ok(NamespaceId::XML),
            _ => {
                self.find(prefix).ok_or_else(|| StreamError::not_well_formed("a prefix that is not declared"))
            }
        }
    }

    pub fn uri(&self, id: NamespaceId) -> &str {
        match id {
            NamespaceId::XML => ns::XML,
            _ => self.bindings.get(id.0 as usize).map_or("", |binding| &binding.uri),
        }
    }

    pub fn same(&self, left: NamespaceId, right: NamespaceId) -> bool {
        left == right || self.uri(left) == self.uri(right)
    }

    /// Prefix and namespace of each, in order.
    pub fn declarations(&self) -> impl Iterator<Item = (&str, &str)> {
        self.bindings.iter().map(|binding| (binding.prefix, &*binding.uri))
    }

    fn find(&self, prefix: &str) -> Option<NamespaceId> {
        self.bindings.iter().rposition(|binding| binding.prefix == prefix).map(|at| NamespaceId(at as u32))
    }
}
