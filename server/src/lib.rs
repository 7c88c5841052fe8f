//! Meerkat, an XMPP server.

pub mod accounts;
pub mod admin;
pub mod c2s;
pub mod capabilities;
pub mod clock;
pub mod cold;
pub mod config;
pub mod ctl;
pub mod database;
pub mod directory;
pub mod doctor;
pub mod events;
pub mod host;
pub mod http;
pub mod jobs;
pub mod modules;
pub mod node;
pub mod passwords;
pub mod plugins;
pub mod retention;
pub mod router;
pub mod session;
pub mod storage;
pub mod telemetry;
#[cfg(test)]
pub mod testing;
pub mod tls;
pub mod uploads;
