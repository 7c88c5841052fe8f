//! A small XMPP client: enough to log in, send, receive, and acknowledge.
//!
//! It trusts the server's XML, never blocks on one session, and allocates nothing per message.

pub mod dialer;
pub mod inbox;
pub mod login;
pub mod register;
pub mod scan;
pub mod scram;
pub mod session;
pub mod tls;
pub mod wire;
