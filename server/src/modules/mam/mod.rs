//! Message archives (XEP-0313) with preferences (XEP-0441): what an account sends and receives is kept, and
//! read again a page at a time.

mod page;
mod preferences;
mod query;
mod retries;

use std::sync::Arc;

use arc_swap::ArcSwap;
use xmpp_core::{Jid, StanzaError, date, ns};

use crate::accounts::AccountInfo;
use crate::config::Config;
use crate::host::{HostBuilder, Module, Scope};
use crate::router::hooks::{Answer, AnswerIq, Iq, IqResult, Letter, OnArrived, OnSent, Target, Verdict};
use crate::router::storable::is_archived;
use crate::router::{Router, stanza_error};
use crate::storage::archive::{End, Filter, Peer};
use retries::Retries;
use xmpp_core::Element;

pub struct Mam {
    live: Arc<ArcSwap<Config>>,
    retries: Retries,
}

impl Mam {
    pub fn new(live: Arc<ArcSwap<Config>>) -> Mam {
        Mam { live, retries: Retries::default() }
    }

    fn keeps(&self, account: &AccountInfo, peer: &Jid) -> bool {
        account.archives(peer, self.live.load().modules.mam.default)
    }
}

impl Module for Mam {
    fn name(&self) -> &'static str {
        "mam"
    }

    fn install(self: Arc<Self>, host: &mut HostBuilder) {
        host.archives();
        host.on_sent(self.clone());
        host.on_arrived(self.clone());
        host.feature(ns::MAM, Scope::Account);
        host.feature(ns::MAM_EXTENDED, Scope::Account);
        host.feature(ns::RSM, Scope::Account);
        host.answer_iq(ns::MAM, Scope::Account, self);
    }
}

/// The sender's archive keeps what it sent, whatever becomes of it on its way (messages.md, rule 1).
impl OnSent for Mam {
    fn on_sent<'a>(&'a self, letter: &'a mut Letter, router: &'a Arc<Router>) -> Answer<'a, Verdict> {
        let Some(account) = letter.sender_account.clone().filter(|_| is_archived(&letter.stanza)) else {
            return Answer::Now(Verdict::Pass);
        };
        let to = letter.stanza.to.clone().unwrap_or_else(|| account.jid.jid());
        if self.keeps(&account, &to) {
            let owner = letter.owner(account.number);
            (owner.role.archived, owner.role.sent, owner.peer) = (true, true, Peer::of(&to.bare()));
        }
        self.retries.check(letter, router)
    }
}

impl OnArrived for Mam {
    fn on_arrived<'a>(&'a self, letter: &'a mut Letter, _: &'a Arc<Router>) -> Answer<'a, Verdict> {
        let recipient = letter.recipient.clone().filter(|_| is_archived(&letter.stanza));
        if let Some((recipient, from)) = recipient.zip(letter.stanza.from.clone())
            && self.keeps(&recipient, &from)
        {
            let owner = letter.owner(recipient.number);
            // From an account to itself: one entry, with itself (messages.md, rule 21).
            (owner.role.archived, owner.peer) = (true, Peer::of(&from.bare()));
        }
        Answer::Now(Verdict::Pass)
    }
}

impl AnswerIq for Mam {
    fn answer<'a>(&'a self, iq: &'a Iq<'a>, router: &'a Arc<Router>) -> Answer<'a, IqResult> {
        let account = match &iq.target {
            Target::Own(account) => account,
            // Behaviour 90. Whether there is such an account is nobody's business.
            Target::Other { .. } | Target::Nobody(_) => return Answer::Now(Err(StanzaError::forbidden())),
            Target::Server(_) | Target::Service(_) => {
                return Answer::Now(Err(StanzaError::service_unavailable()));
            }
        };
        match (iq.query.name(), iq.is_set) {
            ("query", false) => Answer::Now(Ok(Some(query::form(self.live.load().modules.mam.full_text)))),
            ("query", true) => Answer::later(self.query(account, iq, router)),
            ("metadata", false) => Answer::later(metadata(account, router)),
            ("prefs", false) => Answer::Now(Ok(Some(self.preferences(account)))),
            ("prefs", true) => Answer::later(self.set_preferences(account, &iq.query, router)),
            _ => Answer::Now(Err(StanzaError::bad_request())),
        }
    }
}

/// Section 5: the first and the last message.
async fn metadata(account: &AccountInfo, router: &Router) -> IqResult {
    let mut metadata = Element::new("metadata", ns::MAM);
    for (name, end) in [("start", End::Oldest), ("end", End::Newest)] {
        let filter = Filter::default();
        let page = router.store.archived(account.number, &filter, end, 1).await;
        for message in page.map_err(|error| stanza_error(&error))? {
            let id = router.stanza_ids.encode(account.number, message.id);
            let edge = Element::new(name, ns::MAM).attr("id", id);
            metadata.push(edge.attr("timestamp", date::format_utc(message.time)));
        }
    }
    Ok(Some(metadata))
}
