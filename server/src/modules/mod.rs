//! What the server does beyond routing: one file per XEP, and RFC 6121's rosters and presence.
//!
//! A module sees hooks, storage traits and the router; it never sees a socket, a plugin or another
//! module. **The order of lines in [`install`] is the order in which they are called.**

mod blocking;
mod caps;
mod carbons;
mod contact;
mod csi;
mod delay;
mod disco;
mod events;
mod last_activity;
mod legacy_session;
mod mam;
mod offline;
mod ping;
mod presence;
mod private_xml;
mod register;
mod roster;
mod stanza_id;
mod stream_management;
mod subscription;
mod time;
mod upload;
mod vcard;
mod version;

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::capabilities::Capabilities;
use crate::config::Config;
use crate::directory::Directory;
use crate::events::Offers;
use crate::host::{Host, HostBuilder, Module};
use crate::storage::Store;
use crate::uploads::Uploads;

/// What modules are made of.
pub struct Parts {
    /// As it was at the start: whether a module is there, and what else takes a restart.
    pub config: Arc<Config>,
    /// As it is now: what a reload may change.
    pub live: Arc<ArcSwap<Config>>,
    pub store: Arc<dyn Store>,
    pub directory: Arc<Directory>,
    pub uploads: Arc<Uploads>,
    /// Where there is an event stream: what it learns of what passes.
    pub events: Option<Arc<Offers>>,
}

/// Every module, in its order: guards (may refuse), stamps (may change), records (name owners),
/// copies, last resorts, answers. What two modules claim both is an error, a sentence each.
pub fn install(parts: &Parts) -> Result<Host, Vec<String>> {
    let mut host = HostBuilder::default();
    let on = &parts.config.modules;
    let live = || parts.live.clone();
    let capabilities = Arc::new(Capabilities::new(on.caps.cached_hashes as usize));
    let mut add = |enabled: bool, module: Arc<dyn Module>| {
        if enabled {
            host.add(module);
        }
    };

    // Guards.
    add(on.blocking.enabled, Arc::new(blocking::Blocking { live: live() }));
    add(on.last_activity.enabled, Arc::new(last_activity::LastActivity::default()));

    // Stamps.
    add(true, Arc::new(stanza_id::StanzaId));
    add(true, Arc::new(delay::Delay));

    // Records.
    add(on.offline.enabled, Arc::new(offline::Offline::new(live())));
    add(on.mam.enabled, Arc::new(mam::Mam::new(live())));

    // Copies.
    add(on.carbons.enabled, Arc::new(carbons::Carbons::default()));
    if let Some(offers) = &parts.events {
        add(true, Arc::new(events::Events { offers: offers.clone() }));
    }

    // Answers.
    add(true, Arc::new(disco::Disco));
    add(true, Arc::new(contact::Contact { live: live() }));
    add(true, Arc::new(caps::Caps::new(live(), capabilities)));
    add(on.ping.enabled, Arc::new(ping::Ping));
    add(on.version.enabled, Arc::new(version::Version { live: live() }));
    add(on.time.enabled, Arc::new(time::Time));
    add(on.vcard.enabled, Arc::new(vcard::Vcard { live: live() }));
    add(on.private.enabled, Arc::new(private_xml::PrivateXml { live: live() }));
    add(on.register.enabled, Arc::new(register::Register::new(live(), parts.directory.clone())));
    // Without a port nothing could be put into a slot.
    let uploads = on.upload.enabled && !parts.config.listen.http.is_empty();
    add(uploads, Arc::new(upload::Upload { live: live(), uploads: parts.uploads.clone() }));
    add(true, Arc::new(legacy_session::LegacySession));
    add(true, Arc::new(stream_management::StreamManagement));
    add(on.csi.enabled, Arc::new(csi::Csi));

    // Rosters and presence. What a client broadcasts ends here on SENT: who wants to see it stands
    // above.
    add(true, Arc::new(roster::RosterModule { live: live() }));
    add(true, Arc::new(subscription::SubscriptionModule { live: live() }));
    add(true, Arc::new(presence::PresenceModule { live: live() }));
    host.build()
}
