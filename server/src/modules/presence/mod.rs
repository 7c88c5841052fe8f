//! Presence (RFC 6121 section 4): what a client says of itself is shown to its contacts and to its
//! account's other clients, and taken back when it ends, however it ends.

mod directed;
mod probe;

use std::sync::Arc;

use arc_swap::ArcSwap;
use cluster::{ClusterError, Presence};
use xmpp_core::{Kind, Stanza, StanzaError, Type, ns};

use crate::config::Config;
use crate::host::{HostBuilder, Module};
use crate::router::hooks::{Answer, Letter, OnArrived, OnSent, OnSession, Verdict};
use crate::router::showing::unavailable_from;
use crate::router::{Router, wait};
use crate::session::{OwnPresence, Put, Session, Wants};

pub struct PresenceModule {
    pub live: Arc<ArcSwap<Config>>,
}

impl Module for PresenceModule {
    fn name(&self) -> &'static str {
        "presence"
    }

    fn install(self: Arc<Self>, host: &mut HostBuilder) {
        host.on_sent(self.clone());
        host.on_arrived(self.clone());
        host.on_session(self);
    }
}

impl OnSent for PresenceModule {
    fn on_sent<'a>(&'a self, letter: &'a mut Letter, router: &'a Arc<Router>) -> Answer<'a, Verdict> {
        let Some(session) = letter.session().cloned() else { return Answer::Now(Verdict::Pass) };
        let stanza = &letter.stanza;
        match (stanza.kind, stanza.type_, &stanza.to) {
            (Kind::Presence, Type::None, None) => match priority(stanza) {
                Ok(priority) => Answer::later(available(session, stanza, priority, router)),
                Err(error) => Answer::Now(Verdict::Refuse(error)),
            },
            (Kind::Presence, Type::Unavailable, None) => Answer::later(unavailable(session, stanza, router)),
            (Kind::Presence, Type::None | Type::Unavailable, Some(to)) => {
                let limit = self.live.load().limits.directed_presences as usize;
                Answer::Now(directed::sent(&session, stanza, to, limit, router))
            }
            // An error that answers nobody.
            (Kind::Presence, Type::Error, None) => Answer::Now(Verdict::Drop),
            _ => Answer::Now(Verdict::Pass),
        }
    }
}

impl OnArrived for PresenceModule {
    fn on_arrived<'a>(&'a self, letter: &'a mut Letter, router: &'a Arc<Router>) -> Answer<'a, Verdict> {
        match (letter.stanza.kind, letter.stanza.type_) {
            (Kind::Presence, Type::Probe) => Answer::later(probe::answer(letter, router)),
            (Kind::Presence, Type::Unavailable) => {
                directed::arrived(letter, router);
                Answer::Now(Verdict::Pass)
            }
            _ => Answer::Now(Verdict::Pass),
        }
    }
}

impl OnSession for PresenceModule {
    fn on_bound<'a>(&'a self, session: &'a Arc<Session>, router: &'a Arc<Router>) -> Answer<'a, ()> {
        Answer::later(router.inform(session))
    }

    fn on_ending<'a>(&'a self, session: &'a Arc<Session>, router: &'a Arc<Router>) -> Answer<'a, ()> {
        let stanza = unavailable_from(&session.jid);
        Answer::later(async move {
            withdraw(session, &stanza, router).await;
        })
    }
}

/// Sections 4.2.2 and 4.4.2.
async fn available(session: Arc<Session>, stanza: &Stanza, priority: i8, router: &Arc<Router>) -> Verdict {
    if session.info.load().is_none() {
        // Its account could not be read when it was bound, or when it changed.
        router.inform(&session).await;
        if session.info.load().is_none() {
            return Verdict::Refuse(wait());
        }
    }
    let before = session.presence().map(|presence| presence.priority);
    let (was, is) = (before.map_or(Presence::None, class), class(priority));
    // What comes from the moment at which the table calls it willing stands behind what waits.
    let backlog = is == Presence::Willing && was != is && session.begin_backlog();
    let first_willing = match reclassify(&session, was, is, router).await {
        Ok(first) => first,
        Err(error) => {
            if backlog {
                router.settle_backlog(&session, false);
            }
            return match error {
                ClusterError::NoQuorum => Verdict::Refuse(wait()),
                ClusterError::Unknown | ClusterError::Stopped => Verdict::Done,
            };
        }
    };
    let shown = OwnPresence { stanza: Arc::new(stanza.clone()), priority };
    if show(&session, shown, router) && before.is_none() {
        look_around(&session, router).await;
        for (_, hook) in &router.host().session {
            hook.on_available(&session, router).get().await;
        }
    }
    match backlog {
        true => router.settle_backlog(&session, first_willing),
        false if first_willing => router.give_backlog(&session),
        false => {}
    }
    Verdict::Done
}

/// Tells the table what the session's presence means, if that is another than before; whom it passes
/// over is given what waits. True when the session is to be given it.
async fn reclassify(
    session: &Session,
    was: Presence,
    is: Presence,
    router: &Arc<Router>,
) -> Result<bool, ClusterError> {
    if was == is {
        return Ok(false);
    }
    let first = router.cluster.presence(&session.jid, session.id, is).await?;
    if let Some(next) = first.next_willing.and_then(|id| router.sessions.find(id)) {
        router.give_backlog(&next);
    }
    Ok(first.first_willing)
}

/// False when the session has ended: its end has been shown, or is about to be.
fn show(session: &Session, presence: OwnPresence, router: &Router) -> bool {
    let _turn = session.showing.lock();
    if session.ended().is_some() {
        return false;
    }
    session.set_presence(Some(presence.clone()));
    session.set_wants(Wants::Presence, true);
    let info = session.info.load_full();
    router.broadcast(&presence.stanza, session, info.as_deref());
    true
}

/// Section 4.3.1: who has just become available is given the presence of its contacts, and of its own
/// account's other resources.
async fn look_around(session: &Session, router: &Router) {
    let Some(info) = session.info.load_full() else { return };
    let seen = info.contacts().iter().filter(|contact| contact.subscription.to()).map(|contact| &contact.jid);
    for contact in seen.filter(|contact| **contact != info.jid).chain([&info.jid]) {
        if router.show_contact(contact, session, &info).await == Put::Gone {
            return;
        }
    }
}

/// Section 4.5.2.
async fn unavailable(session: Arc<Session>, stanza: &Stanza, router: &Arc<Router>) -> Verdict {
    if session.ended().is_some() {
        return Verdict::Done;
    }
    if let Some(was) = withdraw(&session, stanza, router).await {
        // Where no majority can be reached, its end will tell.
        let _ = reclassify(&session, class(was), Presence::None, router).await;
    }
    Verdict::Done
}

/// Takes back what the session showed of itself, once: from those who see its presence, and from those
/// to whom it directed presence. Gives the priority it had, if it was available.
async fn withdraw(session: &Session, stanza: &Stanza, router: &Arc<Router>) -> Option<i8> {
    let info = session.info.load_full();
    // Who took its address over may have shown itself already: nobody is gone then (behaviour 30).
    let successor = router.session_at(&session.jid).filter(|successor| successor.id != session.id);
    let (presence, directed) = {
        let _turn = session.showing.lock();
        let _its_turn = successor.as_ref().map(|successor| successor.showing.lock());
        let presence = session.presence();
        session.set_presence(None);
        if presence.is_some() && !successor.as_ref().is_some_and(|successor| successor.is_available()) {
            router.broadcast(stanza, session, info.as_deref());
        }
        (presence, session.take_directed())
    };
    for to in directed {
        let sees_anyway =
            presence.is_some() && info.as_ref().is_some_and(|i| i.shows_presence_to(&to.bare()));
        let sees_successor = successor.as_ref().is_some_and(|successor| successor.has_directed(&to));
        let blocked = info.as_ref().is_some_and(|info| info.blocks(&to));
        if !sees_anyway && !sees_successor && !blocked {
            Box::pin(router.send(Stanza { to: Some(to), ..stanza.clone() })).await;
        }
    }
    presence.map(|presence| presence.priority)
}

fn class(priority: i8) -> Presence {
    if priority < 0 { Presence::Present } else { Presence::Willing }
}

/// Section 4.7.2.3: at most one, and an integer from -128 to 127.
fn priority(stanza: &Stanza) -> Result<i8, StanzaError> {
    let mut priorities = stanza.payload.children().filter(|child| child.is("priority", ns::CLIENT));
    match (priorities.next(), priorities.next()) {
        (None, _) => Ok(0),
        (Some(priority), None) => {
            let text = priority.element().content();
            text.trim().parse().map_err(|_| StanzaError::bad_request().with_text("not a priority"))
        }
        (Some(_), Some(_)) => Err(StanzaError::bad_request().with_text("more than one priority")),
    }
}

#[cfg(test)]
mod tests;
