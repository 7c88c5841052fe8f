//! What the server does beyond routing: one file per XEP, and RFC 6121's rosters and presence.
//!
//! A module sees hooks, storage traits and the router; it never sees a socket, a plugin or another
//! module. **The order of lines in [`install`] is the order in which they are called.**

use std::sync::Arc;

use crate::config::Config;
use crate::host::{Host, HostBuilder};
use crate::storage::Store;

/// What modules are made of.
pub struct Parts {
    pub config: Arc<Config>,
    pub store: Arc<dyn Store>,
}

/// Every module, in its order: guards (may refuse), stamps (may change), records (name owners),
/// copies, last resorts, answers. What two modules claim both is an error, a sentence each.
pub fn install(_parts: &Parts) -> Result<Host, Vec<String>> {
    let host = HostBuilder::default();
    host.build()
}
