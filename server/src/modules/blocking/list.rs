//! Reading and changing a block list (XEP-0191 sections 3.2 to 3.5).

use std::collections::BTreeSet;
use std::sync::Arc;

use xmpp_core::{Element, Jid, Payload, StanzaError, ns};

use crate::accounts::AccountInfo;
use crate::router::hooks::{Iq, IqResult};
use crate::router::showing::{Showing, unavailable_from};
use crate::router::{Router, stanza_error};
use crate::session::{Put, Session, Wants};
use crate::storage::{AccountNumber, StoreError, Write};
use crate::telemetry::bound::Bound;

/// Section 3.2: who asks for the list is told of its changes from then on.
pub async fn get(account: &AccountInfo, iq: &Iq<'_>, router: &Arc<Router>) -> IqResult {
    if let Some(session) = iq.session {
        session.begin_list(Wants::Blocklist);
    }
    let blocked = router.store.blocked(account.number).await;
    if let Some(session) = iq.session {
        let (session, router, owner) = (session.clone(), router.clone(), account.number);
        let told = blocked.clone().unwrap_or_default();
        iq.then(async move { catch_up(&session, &router, owner, told).await });
    }
    let blocked = blocked.map_err(|error| stanza_error(&error))?;
    Ok(Some(element("blocklist", &blocked)))
}

/// Tells the client what changed between the reading of the list and now.
async fn catch_up(session: &Session, router: &Router, owner: AccountNumber, told: Vec<Jid>) {
    let mut told: BTreeSet<Jid> = told.into_iter().collect();
    while !session.end_list(Wants::Blocklist) {
        let Ok(now) = router.store.blocked(owner).await else { continue };
        let now: BTreeSet<Jid> = now.into_iter().collect();
        for (name, from, to) in [("block", &told, &now), ("unblock", &now, &told)] {
            let changed: Vec<Jid> = to.difference(from).cloned().collect();
            let push = router.push_to(session, Payload::from_element(&element(name, &changed)));
            if !changed.is_empty() && session.put_waiting(push).await == Put::Gone {
                return;
            }
        }
        told = now;
    }
}

/// Section 3.3.
pub async fn block(account: &AccountInfo, query: &Element, limit: u32, router: &Arc<Router>) -> IqResult {
    let jids = items(query)?;
    if jids.is_empty() {
        return Err(StanzaError::bad_request());
    }
    let write = Write::Block { owner: account.number, jids, limit };
    change(account, write, query, router).await
}

/// Sections 3.4 and 3.5: without an item it unblocks all.
pub async fn unblock(account: &AccountInfo, query: &Element, router: &Arc<Router>) -> IqResult {
    let write = Write::Unblock { owner: account.number, jids: items(query)? };
    change(account, write, query, router).await
}

async fn change(account: &AccountInfo, write: Write, query: &Element, router: &Arc<Router>) -> IqResult {
    let _turn = router.turn(std::slice::from_ref(&account.jid)).await;
    let read = || async { router.accounts.find(&account.jid).get().await.map_err(|e| stanza_error(&e)) };
    let Some(before) = read().await? else { return Err(StanzaError::item_not_found()) };
    let change = router.accounts.begin(std::slice::from_ref(&account.jid)).await;
    let written = router.store.write(write).await;
    change.end(&written, &[]).await;
    written.map_err(|error| match error {
        StoreError::Full(why) => {
            router.metrics.refused(Bound::BlockListItems);
            StanzaError::resource_constraint_wait().with_text(why)
        }
        error => stanza_error(&error),
    })?;
    router.renew(&account.jid).await;
    if let Some(after) = read().await? {
        show_difference(&before, &after, router).await;
    }
    let push = Payload::from_element(query);
    for session in router.sessions_of(&account.jid) {
        if session.is_told_of(Wants::Blocklist) {
            session.put(router.push_to(&session, push.clone()));
        }
    }
    Ok(None)
}

/// Whom the account has begun to block sees it go, whom it blocks no more sees it again, as far as
/// they may see its presence at all (sections 3.3 and 3.4), and is seen again.
async fn show_difference(before: &AccountInfo, after: &AccountInfo, router: &Arc<Router>) {
    let viewers = after.contacts().iter().filter(|contact| contact.subscription.from());
    let viewers: Vec<Arc<Session>> = viewers.flat_map(|contact| router.sessions_of(&contact.jid)).collect();
    let changed = |jid: &Jid| (before.blocks(jid), after.blocks(jid));
    let own_sessions = router.sessions_of(&after.jid);
    for session in &own_sessions {
        let _turn = session.showing.lock();
        let Some(presence) = session.presence() else { continue };
        let gone = unavailable_from(&session.jid);
        for viewer in viewers.iter().filter(|viewer| viewer.is_available()) {
            let stanza = match changed(&viewer.jid) {
                (false, true) => &gone,
                (true, false) => &*presence.stanza,
                _ => continue,
            };
            // Not by what the account blocks now: that is what the viewer is told.
            Showing { stanza, from: &session.jid, own: None, time: router.now() }.to_session(viewer);
        }
    }
    for session in &own_sessions {
        for to in session.forget_directed(|jid| changed(jid) == (false, true)) {
            Box::pin(router.send(unavailable_from(&session.jid).with_to(to))).await;
        }
    }
    let seen = after.contacts().iter().filter(|contact| contact.subscription.to());
    for contact in seen.filter(|contact| changed(&contact.jid.jid()) == (true, false)) {
        for session in own_sessions.iter().filter(|session| session.is_available()) {
            router.show_contact(&contact.jid, session, after).await;
        }
    }
}

fn items(query: &Element) -> Result<Vec<Jid>, StanzaError> {
    let items = query.elements().filter(|element| element.is("item", ns::BLOCKING));
    let jid = |item: &Element| {
        let text = item.attribute("jid").ok_or_else(StanzaError::bad_request)?;
        Jid::parse(text).map_err(|_| StanzaError::jid_malformed())
    };
    items.map(jid).collect()
}

fn element(name: &str, jids: &[Jid]) -> Element {
    let items = jids.iter().map(|jid| Element::new("item", ns::BLOCKING).attr("jid", jid));
    Element::new(name, ns::BLOCKING).children(items)
}
