//! Addresses by RFC 7622: prepared when parsed, so that equal addresses are equal bytes.

use std::sync::Arc;

/// A prepared address, with or without resource. A clone counts a reference.
#[derive(Clone)]
pub struct Jid {
    text: Arc<str>,
    /// Where the domain begins: 0 without a local part.
    domain_at: u16,
    /// Where the bare address ends: the whole text without a resource.
    bare_len: u16,
}

/// An address without resource. It may share the text of the full address it was taken from.
#[derive(Clone)]
pub struct BareJid(Jid);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JidError {
    /// The domain is missing.
    NoDomain,
    /// A part before `@` or behind `/` is there, and empty.
    EmptyPart,
    /// A part is longer than 1023 bytes (RFC 7622 section 3).
    TooLong,
    /// The local part has a character that UsernameCaseMapped or RFC 7622 section 3.3.1 excludes.
    BadLocal,
    /// The domain is neither an IDNA name nor an IP address.
    BadDomain,
    /// The resource has a character that OpaqueString excludes.
    BadResource,
}
