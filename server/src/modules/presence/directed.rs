//! Directed presence (RFC 6121 section 4.6): to one entity, which is told of the end as well.

use xmpp_core::{Jid, Stanza, StanzaError, Type};

use super::priority;
use crate::router::Router;
use crate::router::hooks::{Letter, Verdict};
use crate::session::Session;
use crate::telemetry::bound::Bound;

/// Section 4.6.3. The router delivers it; here it is remembered, if no broadcast will reach the entity.
pub fn sent(session: &Session, stanza: &Stanza, to: &Jid, limit: usize, router: &Router) -> Verdict {
    if stanza.type_ == Type::Unavailable {
        session.set_directed(to, false, limit);
        return Verdict::Pass;
    }
    if let Err(error) = priority(stanza) {
        return Verdict::Refuse(error);
    }
    let info = session.info.load();
    let sees_anyway =
        session.is_available() && info.as_deref().is_some_and(|info| info.shows_presence_to(&to.bare()));
    if sees_anyway || !router.is_served(to.domain()) || session.set_directed(to, true, limit) {
        return Verdict::Pass;
    }
    router.metrics.refused(Bound::DirectedPresences);
    // Who could not be told of the end must not be told of the beginning.
    let text = format!("presence is directed to at most {limit} addresses");
    Verdict::Refuse(StanzaError::resource_constraint_wait().with_text(text))
}

/// Section 4.6.1: an entity that says that it is gone is told nothing more.
pub fn arrived(letter: &Letter, router: &Router) {
    let (Some(from), Some(to)) = (&letter.stanza.from, &letter.stanza.to) else { return };
    match to.is_full() {
        true => router.session_at(to).map(|session| session.set_directed(from, false, 0)),
        false => None,
    };
}
