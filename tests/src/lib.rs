//! What the tests share: a server in this process, actors who speak XMPP to it, and the language in
//! which plays are written.

pub mod actor;
pub mod client;
pub mod kafka;
mod keeper;
pub mod names;
pub mod play;
pub mod postgres;
pub mod redis;
pub mod s3;
pub mod stage;
pub mod xml;
