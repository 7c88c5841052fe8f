//! IQs behind ARRIVED: answered for the server or an account, or passed to a session (RFC 6120
//! section 8.2.3, RFC 6121 section 8.5).

use std::sync::Arc;

use parking_lot::Mutex;
use xmpp_core::{Condition, Jid, Kind, Payload, Stanza, StanzaError, Type};

use super::hooks::{Iq, IqResult, Letter, Target, Verdict};
use super::message::unavailable;
use super::{Fate, Router};
use crate::host::Service;
use crate::session::{Delivery, Put};
use crate::storage::Fut;

impl Router {
    /// For an address beside a served domain's, at which a service stands: it answers IQs, and knows nothing else.
    pub(super) async fn to_service(self: &Arc<Self>, letter: Letter, to: Jid) -> Fate {
        match letter.stanza.kind {
            Kind::Iq if to.is_domain() => self.iq(letter, to).await,
            Kind::Presence => Fate::Decided,
            Kind::Iq | Kind::Message => self.conclude(&letter, Verdict::Refuse(unavailable())),
        }
    }

    /// The service that stands at an address, and its domain.
    pub(super) fn service<'a>(&'a self, to: &'a Jid) -> Option<(&'a Service, &'a str)> {
        let (label, domain) = to.domain().split_once('.')?;
        // A domain that is served itself is no other's service.
        let stands = !self.is_served(to.domain()) && self.is_served(domain);
        let service = self.host().services.get(label).filter(|_| stands)?;
        Some((service, domain))
    }

    pub(super) async fn iq(self: &Arc<Self>, letter: Letter, to: Jid) -> Fate {
        let is_request = matches!(letter.stanza.type_, Type::Get | Type::Set);
        if to.is_full() && to.local().is_some() {
            return self.iq_to_session(letter, &to, is_request);
        }
        if !is_request {
            // Section 8.2.3: a result or an error is never answered.
            self.requests.answer(&letter.stanza);
            return Fate::Decided;
        }
        let answered = self.answer(&letter, &to).await;
        if let Some(later) = answered.later {
            let router = self.clone();
            tokio::spawn(async move { router.reply(&letter, later.await).await });
            return Fate::Decided;
        }
        self.reply(&letter, answered.result).await;
        if let Some(behind) = answered.behind {
            behind.await;
        }
        Fate::Decided
    }

    async fn reply(self: &Arc<Self>, letter: &Letter, result: IqResult) {
        match result {
            Ok(element) => {
                let payload = element.map_or_else(Payload::empty, |element| Payload::from_element(&element));
                let reply = Stanza { payload, ..letter.stanza.result() };
                // What a session asked for may wait for room in its own mailbox; nobody else waits with it.
                if let Some(session) = letter.session() {
                    session.put_waiting(Arc::new(Delivery::new(reply, self.now()))).await;
                }
            }
            Err(error) => {
                self.conclude(letter, Verdict::Refuse(error));
            }
        }
    }

    fn iq_to_session(self: &Arc<Self>, letter: Letter, to: &Jid, is_request: bool) -> Fate {
        if is_request && !self.may_ask(&letter, to) {
            return self.conclude(&letter, Verdict::Refuse(unavailable()));
        }
        let delivery = Arc::new(Delivery::new(letter.stanza.clone(), letter.time));
        let put = self.session_at(to).map(|session| session.put(delivery));
        match put {
            Some(Put::Put) => Fate::Decided,
            _ if is_request => self.conclude(&letter, Verdict::Refuse(unavailable())),
            _ => Fate::Decided,
        }
    }

    /// Under the strict switch only those who see the account's presence may ask its sessions
    /// (RFC 6121 section 8.5.3.1).
    fn may_ask(&self, letter: &Letter, to: &Jid) -> bool {
        let domains = self.domains.load();
        let strict = domains.by_name.get(to.domain()).is_some_and(|d| d.strict_iq);
        if !strict {
            return true;
        }
        let (Some(from), Some(recipient)) = (&letter.stanza.from, &letter.recipient) else { return false };
        recipient.shows_presence_to(&from.bare())
            || self.session_at(to).is_some_and(|session| session.has_directed(from))
    }

    async fn answer(self: &Arc<Self>, letter: &Letter, to: &Jid) -> Answered {
        let stanza = &letter.stanza;
        let (Some(from), Some(child)) = (&stanza.from, stanza.payload.first()) else {
            return Answered::at_once(Err(StanzaError::new(Condition::BadRequest)));
        };
        let host = self.host();
        let service = self.service(to);
        let target = match (to.local(), &letter.recipient) {
            (None, _) => match service {
                Some((_, domain)) => Target::Service(domain.to_owned()),
                None => Target::Server(to.domain().to_owned()),
            },
            (Some(_), Some(account)) if account.jid == from.bare() => Target::Own(account.clone()),
            (Some(_), Some(account)) => Target::Other {
                account: account.clone(),
                subscribed: account.shows_presence_to(&from.bare()),
            },
            (Some(_), None) => Target::Nobody(to.bare()),
        };
        let hook = match (&target, service) {
            (_, Some((service, _))) => service.iq.get(child.ns),
            (Target::Server(_), None) => host.server_iq.get(child.ns).map(|(_, hook)| hook),
            _ => host.account_iq.get(child.ns).map(|(_, hook)| hook),
        };
        // Behaviour 41: never silence.
        let Some(hook) = hook else { return Answered::at_once(Err(unavailable())) };
        let is_set = stanza.type_ == Type::Set;
        let (query, session) = (child.element(), letter.session());
        let (behind, later) = (Mutex::default(), Mutex::default());
        let iq = Iq { stanza, from, target, is_set, query, session, behind, later };
        let result = hook.answer(&iq, self).get().await;
        Answered { result, behind: iq.behind.into_inner(), later: iq.later.into_inner() }
    }
}

struct Answered {
    result: IqResult,
    /// What the module wants to do behind its answer.
    behind: Option<Fut<'static, ()>>,
    /// The answer itself, where it takes longer.
    later: Option<Fut<'static, IqResult>>,
}

impl Answered {
    fn at_once(result: IqResult) -> Answered {
        Answered { result, behind: None, later: None }
    }
}
