//! Presence subscriptions (RFC 6121 section 3) by the complete tables of appendix A, both sides of a
//! local pair in one transaction, with pre-approval (section 3.4).

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use xmpp_core::{BareJid, Element, Kind, Stanza, StanzaError, Type, ns};

use crate::config::Config;
use crate::host::{HostBuilder, Module};
use crate::router::hooks::{Answer, Letter, OnArrived, OnSent, OnSession, Verdict};
use crate::router::{Router, stanza_error, wait};
use crate::session::{Delivery, Put, Session};
use crate::storage::subscription::Verb;
use crate::storage::{RosterLimits, StoreError, Write};
use crate::telemetry::bound::Bound;

/// A request is kept until it is answered, so that its size has a bound of its own (section 3.1.3,
/// security warning).
const REQUEST_MAX_BYTES: usize = 16 * 1024;

pub struct SubscriptionModule {
    pub live: Arc<ArcSwap<Config>>,
}

impl Module for SubscriptionModule {
    fn name(&self) -> &'static str {
        "subscription"
    }

    fn install(self: Arc<Self>, host: &mut HostBuilder) {
        host.stream_feature(Element::new("sub", ns::SUBSCRIPTION_PRE_APPROVAL));
        host.on_sent(self.clone());
        host.on_arrived(self.clone());
        host.on_session(self);
    }
}

impl OnSent for SubscriptionModule {
    fn on_sent<'a>(&'a self, letter: &'a mut Letter, router: &'a Arc<Router>) -> Answer<'a, Verdict> {
        match verb(&letter.stanza) {
            Some(verb) => Answer::later(self.send(verb, &letter.stanza, router)),
            None => Answer::Now(Verdict::Pass),
        }
    }
}

/// What the server or an operator sends in an account's name has no SENT.
impl OnArrived for SubscriptionModule {
    fn on_arrived<'a>(&'a self, letter: &'a mut Letter, router: &'a Arc<Router>) -> Answer<'a, Verdict> {
        match verb(&letter.stanza) {
            Some(verb) => Answer::later(self.send(verb, &letter.stanza, router)),
            None => Answer::Now(Verdict::Pass),
        }
    }
}

/// Section 3.1.3: a request comes again with each login, until it is answered.
impl OnSession for SubscriptionModule {
    fn on_available<'a>(&'a self, session: &'a Arc<Session>, router: &'a Arc<Router>) -> Answer<'a, ()> {
        let info = session.info.load();
        match info.as_deref().is_some_and(|info| info.is_asked) {
            true => Answer::later(give_requests(session, router)),
            false => Answer::Now(()),
        }
    }
}

impl SubscriptionModule {
    fn limits(&self) -> RosterLimits {
        let limits = &self.live.load().limits;
        RosterLimits { items: limits.roster_items, requests: limits.subscription_requests }
    }

    async fn send(&self, verb: Verb, stanza: &Stanza, router: &Arc<Router>) -> Verdict {
        let (Some(from), Some(to)) = (&stanza.from, &stanza.to) else {
            return Verdict::Refuse(StanzaError::bad_request());
        };
        let to_is_served = router.is_served(to.domain());
        if verb == Verb::Subscribe && !to_is_served {
            // Section 3.1.2: the router says that there is no way to that server.
            return Verdict::Pass;
        }
        // Section 8.5.3.2.2: of all four only a request may miss its resource.
        if verb != Verb::Subscribe && to.is_full() && to_is_served && router.session_at(to).is_none() {
            return Verdict::Done;
        }
        let (sender, recipient) = (from.bare(), to.bare());
        let request = match request(verb, stanza, &sender, &recipient) {
            Ok(request) => request,
            Err(error) => return Verdict::Refuse(error),
        };
        // XEP-0191: for whom is blocked, it is as if nothing had arrived.
        let to_is_local = to_is_served
            && match router.accounts.find(&recipient).get().await {
                Ok(account) => !account.is_some_and(|account| account.blocks(&sender.jid())),
                Err(_) => return Verdict::Refuse(wait()),
            };
        let write = Write::Subscribe {
            from_is_local: router.is_served(sender.domain()),
            to_is_local,
            from: sender.clone(),
            to: recipient.clone(),
            verb,
            stanza: request,
            limits: self.limits(),
        };
        match router.change_rosters(&[sender, recipient], write).await {
            Ok(_) => Verdict::Done,
            Err(StoreError::Full(why)) => {
                router.metrics.refused(Bound::RosterItems);
                Verdict::Refuse(StanzaError::resource_constraint_wait().with_text(why))
            }
            Err(error) => Verdict::Refuse(stanza_error(&error)),
        }
    }
}

async fn give_requests(session: &Session, router: &Router) {
    let requests = match router.store.subscription_requests(session.account).await {
        Ok(requests) => requests,
        Err(error) => {
            // They come with the next login.
            tracing::warn!(jid = %session.jid, %error, "subscription requests could not be read");
            return;
        }
    };
    let info = session.info.load_full();
    for (from, request) in requests {
        if info.as_deref().is_some_and(|info| info.blocks(&from.jid())) {
            continue;
        }
        match Stanza::read(&request) {
            Ok(stanza) => {
                let delivery = Arc::new(Delivery::new(stanza, router.now()));
                if session.put_waiting(delivery).await == Put::Gone {
                    return;
                }
            }
            Err(error) => tracing::error!(jid = %session.jid, %from, ?error, "a kept request cannot be read"),
        }
    }
}

fn verb(stanza: &Stanza) -> Option<Verb> {
    match (stanza.kind, stanza.type_) {
        (Kind::Presence, Type::Subscribe) => Some(Verb::Subscribe),
        (Kind::Presence, Type::Subscribed) => Some(Verb::Subscribed),
        (Kind::Presence, Type::Unsubscribe) => Some(Verb::Unsubscribe),
        (Kind::Presence, Type::Unsubscribed) => Some(Verb::Unsubscribed),
        _ => None,
    }
}

/// The request as it is delivered and kept: whole, and from bare address to bare address (section 3.1.2).
fn request(verb: Verb, stanza: &Stanza, from: &BareJid, to: &BareJid) -> Result<Bytes, StanzaError> {
    if verb != Verb::Subscribe {
        return Ok(Bytes::new());
    }
    let request = Stanza { from: Some(from.jid()), to: Some(to.jid()), ..stanza.clone() };
    let mut bytes = Vec::with_capacity(request.payload.len_bytes() + 200);
    request.write(&mut bytes);
    if bytes.len() > REQUEST_MAX_BYTES {
        let text = format!("a subscription request has at most {REQUEST_MAX_BYTES} bytes");
        return Err(StanzaError::policy_violation().with_text(text));
    }
    Ok(Bytes::from(bytes))
}

#[cfg(test)]
mod tests;
