//! Meerkat, an XMPP server.

pub mod config;
pub mod plugins;
pub mod storage;
pub mod telemetry;
