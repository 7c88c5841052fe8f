//! XML as XMPP restricts it (RFC 6120 section 11): bytes in, checked frames and canonical bytes out.
//!
//! `scan` finds where a first-level element ends (with `inbox` and `lexer`), `read` makes a frame of it (with `header` for
//! the first), `tokens` checks every rule over quick-xml's events (with `tag`, `scope` and `chars`), `canonical`
//! writes what may travel on, `element` is the small tree for what must be understood or built, `escape`
//! writes text. No byte is forwarded that `canonical` or `element` did not write.

mod canonical;
mod chars;
pub mod element;
pub mod escape;
mod header;
mod inbox;
mod lexer;
mod names;
mod read;
mod scan;
mod scope;
mod tag;
mod tokens;

use crate::stanza::Stanza;
use crate::stanza_error::Condition;

pub use element::Element;
pub use header::StreamHeader;
pub use scan::Scanner;

pub(crate) use read::read_stanza;

/// What a peer may send at most. Checked while bytes come in, so that memory stays within them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A first-level element, as sent and in canonical form.
    pub stanza_bytes: usize,
    /// The XML declaration and the stream header together.
    pub header_bytes: usize,
    /// Elements inside a first-level element, itself included.
    pub elements: usize,
    /// Nested elements, the first-level element counted as one. At most `DEPTH_MAX` takes effect.
    pub depth: usize,
    /// Attributes of one element, namespace declarations included.
    pub attributes: usize,
}

/// Trees are dropped and written by recursion, which must not exhaust a stack whatever a configuration says.
pub const DEPTH_MAX: usize = 1000;

impl Default for Limits {
    fn default() -> Limits {
        Limits { stanza_bytes: 262_144, header_bytes: 10_000, elements: 10_000, depth: 100, attributes: 100 }
    }
}

impl Limits {
    /// For bytes that this server wrote itself or that a bound held before: the depth alone is limited.
    pub const TRUSTED: Limits = Limits {
        stanza_bytes: usize::MAX,
        header_bytes: usize::MAX,
        elements: usize::MAX,
        depth: DEPTH_MAX,
        attributes: usize::MAX,
    };
}

/// What a stream consists of, in order.
#[derive(Debug, Clone)]
pub enum Frame {
    /// The stream's opening tag.
    Header(StreamHeader),
    /// A message, presence or IQ in the stream's content namespace.
    Stanza(Stanza),
    /// A stanza that is well-formed and yet must be answered with an error.
    Malformed(Malformed),
    /// Any other first-level element: of TLS, SASL, stream management, or nothing known.
    Element(Element),
    /// The stream's closing tag. Nothing behind it is read.
    Close,
}

/// A stanza with a fault, without the part at fault.
#[derive(Debug, Clone)]
pub struct Malformed {
    pub stanza: Stanza,
    /// What the sender is told (RFC 6120 section 8.3.3).
    pub condition: Condition,
    pub fault: Fault,
}

/// Which part of a stanza is at fault. The first that is found counts, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `from` is no address.
    From,
    /// `to` is no address.
    To,
    /// `type` is missing or none that this kind of stanza has.
    Type,
    /// An IQ without `id`.
    Id,
    /// An IQ of type get or set without exactly one child.
    Children,
}
