//! Meerkat, an XMPP server.

pub mod plugins;
pub mod storage;
