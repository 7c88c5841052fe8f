//! Messages for those who are away (XEP-0160, with the hints of XEP-0334): names the recipient as the
//! owner of what may wait. Where messages are saved before they are delivered it is this that saves
//! them for those who are there, too.

mod places;

use std::sync::Arc;

use arc_swap::ArcSwap;
use cluster::Presence;
use xmpp_core::{StanzaError, ns};

use crate::config::Config;
use crate::host::{HostBuilder, Module, Scope};
use crate::router::hooks::{Answer, Letter, OnArrived, Verdict};
use crate::router::storable::is_queued;
use crate::router::{Router, wait};
use crate::storage::AccountNumber;
use crate::telemetry::bound::Bound;
use places::Places;

pub struct Offline {
    live: Arc<ArcSwap<Config>>,
    places: Arc<Places>,
}

impl Offline {
    pub fn new(live: Arc<ArcSwap<Config>>) -> Offline {
        Offline { live, places: Arc::default() }
    }
}

impl Module for Offline {
    fn name(&self) -> &'static str {
        "offline"
    }

    fn install(self: Arc<Self>, host: &mut HostBuilder) {
        host.on_arrived(self);
        host.feature(ns::OFFLINE, Scope::Both);
    }
}

impl OnArrived for Offline {
    fn on_arrived<'a>(&'a self, letter: &'a mut Letter, router: &'a Arc<Router>) -> Answer<'a, Verdict> {
        let Some(recipient) = letter.recipient.as_ref().filter(|_| is_queued(&letter.stanza)) else {
            return Answer::Now(Verdict::Pass);
        };
        let (number, jid) = (recipient.number, recipient.jid.clone());
        letter.owner(number).role.waits = true;
        let entries = router.cluster.find(&jid);
        let addressed = |entry: &cluster::Entry| letter.stanza.to.as_ref().is_some_and(|to| *to == entry.jid);
        match entries.iter().any(|e| e.presence == Presence::Willing || addressed(e)) {
            true => Answer::Now(Verdict::Pass),
            false => Answer::later(self.room(number, letter, router)),
        }
    }
}

impl Offline {
    /// Section 2: what there is no room for is refused, and its sender knows (behaviour 74).
    async fn room(&self, owner: AccountNumber, letter: &mut Letter, router: &Router) -> Verdict {
        let limit = u64::from(self.live.load().limits.offline_messages);
        match self.places.take(owner, limit, || router.store.count_waiting(owner)).await {
            Ok(Some(place)) => {
                letter.place = Some(Box::new(place));
                Verdict::Pass
            }
            Ok(None) => {
                router.metrics.refused(Bound::OfflineMessages);
                Verdict::Refuse(StanzaError::service_unavailable())
            }
            Err(_) => Verdict::Refuse(wait()),
        }
    }
}

#[cfg(test)]
mod tests;
