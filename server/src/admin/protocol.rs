//! What passes through the control socket: a line of JSON for each request, and for each of them lines of
//! JSON in answer, of which the last says how it ended.
//!
//! ```text
//! -> {"version":1,"command":{"account":{"listUsers":{"domain":"localhost"}}}}
//! <- {"item":"juliet@localhost"}
//! <- {"item":"romeo@localhost"}
//! <- {"end":2}                                    a list, of so many items
//! -> {"version":1,"command":{"account":{"countUsers":{"domain":"localhost"}}}}
//! <- {"done":2}                                   one answer
//! -> {"version":1,"command":{"account":{"countUsers":{"domain":"nowhere"}}}}
//! <- {"refused":{"code":"notServed","message":"this server does not serve the domain nowhere"}}
//! ```
//!
//! Requests of a connection are answered one after the other. A request that is too long or no request at
//! all is refused, and the connection ends.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Command;

/// Grows when an older tool would misunderstand a newer server, or the other way round.
pub const VERSION: u32 = 1;

/// The longest line, its line break included.
pub const MAX_LINE_BYTES: usize = 1 << 20;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    pub version: u32,
    pub command: Command,
}

/// What is read of a request first: a request of another version need not make sense here.
#[derive(Deserialize)]
pub struct Versioned {
    pub version: u32,
}

/// One line of an answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Line {
    /// One of a list; more lines follow.
    Item(Value),
    /// The list is complete, with so many items.
    End(u64),
    /// Done, with this result.
    Done(Value),
    /// Not done, for this reason.
    Refused(Refusal),
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub code: Code,
    /// For a person; several lines where there are several reasons.
    pub message: String,
}

/// The kinds of reasons, for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Code {
    /// The request is none that this server understands.
    BadRequest,
    /// The request is of another version of the protocol.
    BadVersion,
    /// An argument is no address, or not an address of the kind that is wanted.
    BadAddress,
    /// An empty password, or one with control characters.
    BadPassword,
    /// Not a stanza, or one that cannot be sent.
    BadStanza,
    /// The configuration has faults.
    BadConfiguration,
    /// The domain is none of this server's.
    NotServed,
    /// It is there already.
    Exists,
    /// It is not there.
    NotFound,
    /// A bound is reached.
    Limit,
    /// Too much is under way; it may go better later.
    Busy,
    /// The server or its store cannot do it now.
    Unavailable,
}

impl Refusal {
    pub fn new(code: Code, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into() }
    }
}
