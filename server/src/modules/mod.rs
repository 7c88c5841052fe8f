//! What the server does beyond routing: one file per XEP, and RFC 6121's rosters and presence.
//!
//! A module sees hooks, storage traits and the router; it never sees a socket, a plugin or another
//! module. **The order of lines in [`install`] is the order in which they are called.**

mod blocking;
mod carbons;
mod offline;
mod presence;
mod roster;
mod stanza_id;
mod subscription;

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::config::Config;
use crate::host::{Host, HostBuilder};
use crate::storage::Store;

/// What modules are made of.
pub struct Parts {
    /// Replaced by a reload: what applies at once is read from here when it is needed.
    pub live: Arc<ArcSwap<Config>>,
    pub store: Arc<dyn Store>,
}

/// Every module, in its order: guards (may refuse), stamps (may change), records (name owners),
/// copies, last resorts, answers. What two modules claim both is an error, a sentence each.
pub fn install(parts: &Parts) -> Result<Host, Vec<String>> {
    let mut host = HostBuilder::default();
    let config = parts.live.load_full();
    let live = || parts.live.clone();
    let modules = &config.modules;
    // Guards.
    host.add_if(modules.blocking.enabled, || Arc::new(blocking::Blocking { live: live() }));
    // Stamps.
    host.add(Arc::new(stanza_id::StanzaId));
    // Records.
    host.add_if(modules.offline.enabled, || Arc::new(offline::Offline { live: live() }));
    // Copies.
    host.add_if(modules.carbons.enabled, || Arc::new(carbons::Carbons::default()));
    // Answers; presence ends on SENT with the two that stand for RFC 6121.
    host.add(Arc::new(roster::RosterModule { live: live() }));
    host.add(Arc::new(subscription::SubscriptionModule { live: live() }));
    host.add(Arc::new(presence::PresenceModule { live: live() }));
    host.build()
}
