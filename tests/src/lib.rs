//! What the tests share: a server in this process, and actors who speak XMPP to it.

pub mod actor;
pub mod stage;
