//! Probes of clients and of other servers (RFC 6121 sections 4.3.2 and 4.6.6). What this server would
//! probe itself it looks up (`Router::show_contact`).

use std::sync::Arc;

use xmpp_core::{BareJid, Element, Jid, Stanza, Type, date, ns};

use crate::accounts::AccountInfo;
use crate::router::Router;
use crate::router::hooks::{Letter, Verdict};
use crate::router::showing::unavailable_from;

/// Whoever may not see anything hears nothing, as if there were no such account.
pub async fn answer(letter: &Letter, router: &Arc<Router>) -> Verdict {
    let (Some(from), Some(recipient)) = (&letter.stanza.from, &letter.recipient) else {
        return Verdict::Done;
    };
    // Without `to` it is for the prober's own account.
    let bare = recipient.jid.jid();
    let to = letter.stanza.to.as_ref().unwrap_or(&bare);
    let subscribed = recipient.shows_presence_to(&from.bare());
    let mut answers = match (to.is_full(), subscribed) {
        (false, true) => of_account(recipient, router),
        (true, _) => of_resource(to, subscribed, from, router).into_iter().collect(),
        (false, false) => return Verdict::Done,
    };
    if answers.is_empty() && subscribed {
        let mut gone = unavailable_from(to);
        // Section 4.3.2.1: here there is no `id` of the resource's own.
        gone.id = letter.stanza.id.clone();
        add_last_logout(&mut gone, recipient, router).await;
        answers.push(gone);
    }
    for answer in answers {
        Box::pin(router.send(Stanza { to: Some(from.clone()), ..answer })).await;
    }
    Verdict::Done
}

/// The whole presence of each resource.
fn of_account(recipient: &AccountInfo, router: &Router) -> Vec<Stanza> {
    let sessions = router.sessions_of(&recipient.jid);
    sessions.iter().filter_map(|session| Some(session.presence()?.stanza.as_ref().clone())).collect()
}

/// Of one resource only that it is there, and to those to whom it directed presence too.
fn of_resource(to: &Jid, subscribed: bool, from: &Jid, router: &Router) -> Option<Stanza> {
    let session = router.session_at(to)?;
    let directed = || session.has_directed(from) || session.has_directed(&from.to_bare());
    let is_shown = if subscribed { session.is_available() } else { directed() };
    is_shown.then(|| Stanza::presence(Type::None).with_from(to.clone()))
}

/// Section 4.3.2, case 3: since when.
async fn add_last_logout(gone: &mut Stanza, recipient: &AccountInfo, router: &Router) {
    let Ok(Some((time, _))) = router.store.last_logout(recipient.number).await else { return };
    let Ok(domain) = BareJid::new(None, recipient.jid.domain()) else { return };
    let stamp = date::format_utc(time);
    gone.payload.push(&Element::new("delay", ns::DELAY).attr("from", &domain).attr("stamp", stamp));
}
