//! Presence behind ARRIVED: what was directed at an account of ours. Broadcasts, probes and
//! subscriptions are the modules' (`modules/presence.rs`, `modules/subscription.rs`).

use std::sync::Arc;

use cluster::Presence;
use xmpp_core::{BareJid, Jid, Stanza, Type};

use super::hooks::Letter;
use super::{Fate, Router};
use crate::session::Delivery;

impl Router {
    pub(super) fn presence(self: &Arc<Self>, letter: Letter, to: Jid) -> Fate {
        if letter.recipient.is_none() {
            // RFC 6121 section 8.5.1, and presence to a domain of ours: silence.
            return Fate::Decided;
        }
        match letter.stanza.type_ {
            Type::None | Type::Unavailable | Type::Error if to.is_full() => {
                // Section 8.5.3: to that session, also before its first presence; else silence.
                if let Some(session) = self.session_at(&to) {
                    session.put(Arc::new(Delivery::new(letter.stanza, letter.time)));
                }
            }
            Type::None | Type::Unavailable => self.to_available(&to.bare(), letter.stanza),
            _ => {}
        }
        Fate::Decided
    }

    /// Presence to every available session of an account, those of negative priority too, `to`
    /// unchanged (RFC 6121 section 8.5.2.1.2).
    pub fn to_available(&self, account: &BareJid, stanza: Stanza) {
        let entries = self.cluster.find(account);
        if entries.iter().all(|e| e.presence == Presence::None) {
            return;
        }
        let delivery = Arc::new(Delivery::new(stanza, self.now()));
        for entry in entries.iter().filter(|e| e.presence != Presence::None) {
            if let Some(session) = self.sessions.find(entry.session) {
                session.put(delivery.clone());
            }
        }
    }
}
