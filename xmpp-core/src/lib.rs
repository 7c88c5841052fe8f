//! XMPP without I/O: bytes and `now` go in, events and bytes come out.
//!
//! Nothing in this crate knows a socket, a task, a clock, a source of chance or a file.

pub mod date;
pub mod jid;
pub mod ns;
pub mod sasl;
pub mod sm;
pub mod stanza;
pub mod stanza_error;
pub mod stream;
pub mod stream_error;
pub mod xml;

pub use jid::{BareJid, Jid, JidError};
pub use stanza::{ChildRef, Kind, Payload, Stanza, Type};
pub use stanza_error::{Condition, ErrorType, StanzaError};
pub use stream_error::{Exceeded, StreamCondition, StreamError};
pub use xml::element::Element;
pub use xml::{Frame, Limits, Malformed, Scanner, StreamHeader};
