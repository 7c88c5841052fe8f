//! How presence is shown: what one session of an account says of itself, to the available sessions of
//! other accounts and of its own. Neither side sees whom it blocks (XEP-0191), nor is it seen by them.
//!
//! Nothing here asks a store: each session carries what must be known of its account.

use std::sync::Arc;

use cluster::Presence;
use xmpp_core::{BareJid, Jid, Stanza, Type};

use super::Router;
use crate::accounts::AccountInfo;
use crate::session::{Delivery, Put, Session};
use crate::storage::Millis;

/// A presence stanza that goes to many, who share its payload.
pub struct Showing<'a> {
    pub stanza: &'a Stanza,
    /// Its sender: the full address of a resource, or the bare one of an account.
    pub from: &'a Jid,
    /// The sender's account: whom it blocks is not shown anything.
    pub own: Option<&'a AccountInfo>,
    pub time: Millis,
}

impl Showing<'_> {
    /// To an account's available sessions, those of negative priority too, addressed to its bare
    /// address (RFC 6121 sections 4.2.3, 4.4.3, 4.5.3).
    pub fn to_account(&self, to: &BareJid, router: &Router) {
        let entries = router.cluster.find(to);
        let mut shared: Option<Arc<Delivery>> = None;
        for entry in entries.iter().filter(|entry| entry.presence != Presence::None) {
            let Some(session) = router.sessions.find(entry.session) else { continue };
            if self.is_for(&session) {
                let delivery = shared.get_or_insert_with(|| self.addressed(to.jid()));
                session.put(delivery.clone());
            }
        }
    }

    pub fn to_session(&self, session: &Session) {
        if self.is_for(session) {
            session.put(self.addressed(session.jid.to_bare()));
        }
    }

    fn is_for(&self, session: &Session) -> bool {
        let info = session.info.load();
        let Some(info) = info.as_deref() else { return false };
        !info.blocks(self.from) && self.own.is_none_or(|own| !own.blocks(&session.jid))
    }

    fn addressed(&self, to: Jid) -> Arc<Delivery> {
        Arc::new(Delivery::new(Stanza { to: Some(to), ..self.stanza.clone() }, self.time))
    }
}

impl Router {
    /// To everybody who sees the account's presence: contacts with a subscription, and its own available
    /// sessions (RFC 6121 sections 4.2.2, 4.4.2, 4.5.2).
    pub fn broadcast(&self, stanza: &Stanza, session: &Session, info: Option<&AccountInfo>) {
        let showing = Showing { stanza, from: &session.jid, own: info, time: self.now() };
        let contacts = info.map_or(&[][..], AccountInfo::contacts);
        for contact in contacts.iter().filter(|contact| contact.subscription.from()) {
            // An operator may have put anything into a roster.
            if !is_bare_of(&session.jid, &contact.jid) {
                showing.to_account(&contact.jid, self);
            }
        }
        showing.to_account(&session.jid.bare(), self);
    }

    /// The current presence of each of the account's sessions, for those of another account (section
    /// 3.1.5), or that they are gone from its sight (section 3.2.2).
    pub async fn show_all(&self, from: &BareJid, to: &BareJid, available: bool) {
        // An account that was removed meanwhile blocks nobody any more.
        let own = self.accounts.find(from).get().await.ok().flatten();
        for session in self.sessions_of(from) {
            let _turn = session.showing.lock();
            let Some(presence) = session.presence() else { continue };
            let unavailable;
            let stanza = match available {
                true => &*presence.stanza,
                false => {
                    unavailable = unavailable_from(&session.jid);
                    &unavailable
                }
            };
            let showing = Showing { stanza, from: &session.jid, own: own.as_deref(), time: self.now() };
            showing.to_account(to, self);
        }
    }

    /// What a session that has become available asks by a probe (section 4.3): it is given the presence
    /// of the account's resources, if the account lets it see them. Waits for room in its mailbox.
    pub async fn show_contact(&self, contact: &BareJid, viewer: &Session, viewer_info: &AccountInfo) -> Put {
        for session in self.sessions_of(contact) {
            if session.id == viewer.id {
                continue;
            }
            let put = viewer.put_when_room(|| {
                let turn = session.showing.lock();
                let presence = session.presence()?;
                let info = session.info.load();
                let info = info.as_deref().filter(|info| info.shows_presence_to(&viewer_info.jid))?;
                if info.blocks(&viewer.jid) || viewer_info.blocks(&session.jid) {
                    return None;
                }
                let stanza = Stanza { to: Some(viewer_info.jid.jid()), ..presence.stanza.as_ref().clone() };
                Some((Arc::new(Delivery::new(stanza, self.now())), turn))
            });
            if put.await == Put::Gone {
                return Put::Gone;
            }
        }
        Put::Put
    }
}

/// That a resource is gone, in the words of its server.
pub fn unavailable_from(jid: &Jid) -> Stanza {
    Stanza::presence(Type::Unavailable).with_from(jid.clone())
}

fn is_bare_of(full: &Jid, bare: &BareJid) -> bool {
    full.bare_str() == bare.as_str()
}
