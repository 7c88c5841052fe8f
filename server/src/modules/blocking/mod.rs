//! Block lists (XEP-0191): what goes to or comes from a blocked address ends here, before it is saved
//! anywhere (messages.md, rule 22), and each sees the other's presence go.

mod list;

use std::sync::Arc;

use arc_swap::ArcSwap;
use xmpp_core::{Element, ErrorType, Jid, Kind, Stanza, StanzaError, Type, ns};

use crate::accounts::AccountInfo;
use crate::config::Config;
use crate::host::{HostBuilder, Module, Scope};
use crate::router::Router;
use crate::router::hooks::{Answer, AnswerIq, Iq, IqResult, Letter, OnArrived, OnSent, Verdict};

pub struct Blocking {
    pub live: Arc<ArcSwap<Config>>,
}

impl Module for Blocking {
    fn name(&self) -> &'static str {
        "blocking"
    }

    fn install(self: Arc<Self>, host: &mut HostBuilder) {
        host.on_sent(self.clone());
        host.on_arrived(self.clone());
        host.feature(ns::BLOCKING, Scope::Both);
        host.answer_iq(ns::BLOCKING, Scope::Account, self);
    }
}

impl OnSent for Blocking {
    fn on_sent<'a>(&'a self, letter: &'a mut Letter, router: &'a Arc<Router>) -> Answer<'a, Verdict> {
        let blocked = is_blocked(&letter.sender_account, &letter.stanza.to, router);
        Answer::Now(match (blocked, is_answerable(&letter.stanza)) {
            (false, _) => Verdict::Pass,
            (true, false) => Verdict::Drop,
            // Section 3.3: the sender itself is told why.
            (true, true) => Verdict::Refuse(
                StanzaError::not_acceptable()
                    .with_type(ErrorType::Cancel)
                    .with_extra(Element::new("blocked", ns::BLOCKING_ERRORS)),
            ),
        })
    }
}

impl OnArrived for Blocking {
    fn on_arrived<'a>(&'a self, letter: &'a mut Letter, router: &'a Arc<Router>) -> Answer<'a, Verdict> {
        let blocked = is_blocked(&letter.recipient, &letter.stanza.from, router);
        Answer::Now(match (blocked, is_answerable(&letter.stanza)) {
            (false, _) => Verdict::Pass,
            (true, false) => Verdict::Drop,
            // As if the account were away and nothing were kept for it.
            (true, true) => Verdict::Refuse(StanzaError::service_unavailable()),
        })
    }
}

/// The server itself is never blocked, even where its domain is listed.
fn is_blocked(account: &Option<Arc<AccountInfo>>, other: &Option<Jid>, router: &Router) -> bool {
    let (Some(account), Some(other)) = (account, other) else { return false };
    account.blocks(other) && !(other.local().is_none() && router.is_served(other.domain()))
}

/// No error answers an error, groupchat or presence.
fn is_answerable(stanza: &Stanza) -> bool {
    match stanza.kind {
        Kind::Message => !matches!(stanza.type_, Type::Error | Type::Groupchat),
        Kind::Iq => matches!(stanza.type_, Type::Get | Type::Set),
        Kind::Presence => false,
    }
}

impl AnswerIq for Blocking {
    fn answer<'a>(&'a self, iq: &'a Iq<'a>, router: &'a Arc<Router>) -> Answer<'a, IqResult> {
        let account = match iq.own(StanzaError::forbidden()) {
            Ok(account) => account,
            Err(error) => return Answer::Now(Err(error)),
        };
        let limit = self.live.load().limits.block_list_items;
        match (iq.is_set, iq.query.name()) {
            (false, "blocklist") => Answer::later(list::get(account, iq, router)),
            (true, "block") => Answer::later(list::block(account, &iq.query, limit, router)),
            (true, "unblock") => Answer::later(list::unblock(account, &iq.query, router)),
            _ => Answer::Now(Err(StanzaError::bad_request())),
        }
    }
}

#[cfg(test)]
mod tests;
