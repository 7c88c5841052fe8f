//! What passes and leaves no trace in the store, for the event stream: deliveries, messages that nobody is there
//! for, presence, sessions. (What is saved is told by way of the outbox.)

use std::sync::Arc;

use smallvec::SmallVec;
use xmpp_core::{BareJid, Kind, Stanza, Type, ns};

use crate::events::{Offers, Passed, Passing, Shown};
use crate::host::{HostBuilder, Module};
use crate::router::Router;
use crate::router::hooks::{Answer, Delivered, Letter, OnAbsent, OnDelivered, OnSent, OnSession, Verdict};
use crate::session::Session;

pub struct Events {
    pub offers: Arc<Offers>,
}

impl Module for Events {
    fn name(&self) -> &'static str {
        "events"
    }

    fn install(self: Arc<Self>, host: &mut HostBuilder) {
        host.on_sent(self.clone());
        host.on_delivered(self.clone());
        host.on_absent(self.clone());
        host.on_session(self);
    }
}

/// What a session broadcasts.
impl OnSent for Events {
    fn on_sent<'a>(&'a self, letter: &'a mut Letter, router: &'a Arc<Router>) -> Answer<'a, Verdict> {
        let stanza = &letter.stanza;
        if stanza.kind == Kind::Presence && stanza.to.is_none() {
            let presence = match stanza.type_ {
                Type::None => Some(Some(shown(stanza))),
                Type::Unavailable => Some(None),
                _ => None,
            };
            if let (Some(presence), Some(session)) = (presence, letter.session()) {
                self.offers.offer(Passing::Presence { session: session.jid.clone(), presence }, router.now());
            }
        }
        Answer::Now(Verdict::Pass)
    }
}

impl OnDelivered for Events {
    fn on_delivered(&self, delivered: &Delivered<'_>, router: &Arc<Router>) {
        let Some(account) = delivered.recipient.filter(|_| !delivered.given.is_empty()) else { return };
        let sessions: SmallVec<_> = delivered.given.iter().map(|session| session.jid.clone()).collect();
        let saved = delivered.given.first().map(|session| session.account).zip(delivered.saved);
        let message = passed(delivered.stanza, account.clone());
        self.offers.offer(Passing::Delivered { message, saved, sessions }, router.now());
    }
}

/// Only of messages of which their recipient is to learn: no chat state wakes a telephone.
impl OnAbsent for Events {
    fn on_absent(&self, stanza: &Stanza, router: &Arc<Router>) {
        let Some(to) = stanza.to.as_ref().filter(|to| to.local().is_some()) else { return };
        self.offers.offer(Passing::Push { message: passed(stanza, to.bare()) }, router.now());
    }
}

impl OnSession for Events {
    fn on_bound<'a>(&'a self, session: &'a Arc<Session>, router: &'a Arc<Router>) -> Answer<'a, ()> {
        self.offers.offer(Passing::Session { session: session.jid.clone(), opened: true }, router.now());
        Answer::Now(())
    }

    fn on_ending<'a>(&'a self, session: &'a Arc<Session>, router: &'a Arc<Router>) -> Answer<'a, ()> {
        let jid = &session.jid;
        if session.is_available() {
            self.offers.offer(Passing::Presence { session: jid.clone(), presence: None }, router.now());
        }
        self.offers.offer(Passing::Session { session: jid.clone(), opened: false }, router.now());
        Answer::Now(())
    }
}

fn passed(stanza: &Stanza, account: BareJid) -> Passed {
    let type_ = stanza.type_.as_str().unwrap_or("normal");
    Passed { account, from: stanza.from.clone(), id: stanza.id.clone(), type_ }
}

fn shown(stanza: &Stanza) -> Shown {
    let text = |name| stanza.payload.text_of(name, ns::CLIENT);
    let priority = text("priority").and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    Shown { show: text("show"), status: text("status"), priority }
}
