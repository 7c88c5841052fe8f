//! A stanza is an envelope with a sealed letter: the header is parsed, the children are bytes that
//! `xml/read.rs` wrote, with an index of the first level.

use std::sync::Arc;

use bytes::Bytes;

use crate::jid::Jid;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Message,
    Presence,
    Iq,
}

/// The `type` attribute of all three kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Type {
    /// No `type` (or one that a message may not have): a normal message, or available presence.
    None,
    Normal,
    Chat,
    Groupchat,
    Headline,
    Unavailable,
    Subscribe,
    Subscribed,
    Unsubscribe,
    Unsubscribed,
    Probe,
    Get,
    Set,
    Result,
    Error,
}

#[derive(Debug, Clone)]
pub struct Stanza {
    pub kind: Kind,
    pub type_: Type,
    pub from: Option<Jid>,
    pub to: Option<Jid>,
    pub id: Option<Arc<str>>,
    pub lang: Option<Arc<str>>,
    pub payload: Payload,
}

/// The children of a stanza in canonical bytes: valid, unchanged, in a client stream, a server
/// stream, `<forwarded/>`, the database and a node link. A clone counts references.
#[derive(Debug, Clone, Default)]
pub struct Payload {
    bytes: Bytes,
    children: Arc<[Child]>,
}

/// Where one first-level child lies in a payload's bytes.
#[derive(Debug, Clone, Copy)]
pub struct Child {
    /// Byte range of the whole element.
    pub start: u32,
    pub end: u32,
    /// Byte range of its local name, and of its namespace as written (escaped; empty range = the
    /// content namespace, which a child inherits).
    pub name: (u32, u32),
    pub ns: (u32, u32),
}
