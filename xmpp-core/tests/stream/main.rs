//! Transcripts of clients' streams against `xmpp_core::stream`. Each is played as written and again byte
//! by byte, which must give the same.

mod driver;
mod garbage;
mod headers;
mod login;
mod resource;
mod scram;
