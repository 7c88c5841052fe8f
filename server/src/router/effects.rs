//! Changes of accounts, and who learns of them: roster pushes, subscription presence, presence that
//! appears or goes with a subscription.
//!
//! A change is stored, then what is remembered of the accounts is renewed, then everybody is told, and
//! only then the client that asked for it is answered.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cluster::Presence;
use xmpp_core::{BareJid, Element, Payload, Stanza, Type, ns};

use super::Router;
use super::turns::Turn;
use crate::accounts::AccountInfo;
use crate::session::{Delivery, Session, Wants};
use crate::storage::subscription::{Effect, Verb};
use crate::storage::{RosterItem, RosterVersion, StoreError, Write, Written};
use crate::telemetry::bound::Bound;

impl Router {
    /// Stores a change of rosters and tells everybody who is to know. `accounts`: whose rosters it
    /// changes, the owner of a `Written::Item` first. The removal of an account changes those of all its
    /// contacts besides.
    pub async fn change_rosters(
        self: &Arc<Self>,
        accounts: &[BareJid],
        write: Write,
    ) -> Result<Written, StoreError> {
        // On whose rosters a removed account stands is known only once it is removed.
        let whose = if matches!(write, Write::RemoveAccount { .. }) { &[] } else { accounts };
        let _turn = self.turn(whose).await;
        let change = self.accounts.begin(accounts).await;
        let written = self.store.write(write).await;
        let more: BTreeSet<&BareJid> = match &written {
            Ok(Written::Effects(effects)) => effects.iter().flat_map(accounts_of).collect(),
            _ => BTreeSet::new(),
        };
        let more: Vec<BareJid> = more.into_iter().filter(|jid| !accounts.contains(jid)).cloned().collect();
        change.end(&written, &more).await;
        let written = written?;
        match (&written, accounts) {
            (Written::Item(item, version), [owner, ..]) => {
                self.renew(owner).await;
                self.push(owner, &item_element(item), *version);
            }
            (Written::Effects(effects), _) => self.apply(accounts, effects).await,
            _ => {}
        }
        Ok(written)
    }

    /// Until it is dropped, no other change of these accounts is stored or told.
    pub async fn turn(&self, accounts: &[BareJid]) -> Turn<'_> {
        self.turns.take(accounts).await
    }

    /// What a subscription, a removal from a roster or the removal of an account set off, in its order.
    pub async fn apply_effects(self: &Arc<Self>, effects: Vec<Effect>) {
        self.apply(&[], &effects).await;
    }

    async fn apply(&self, accounts: &[BareJid], effects: &[Effect]) {
        let named = accounts.iter().chain(effects.iter().flat_map(accounts_of));
        let changed: BTreeSet<&BareJid> = named.filter(|jid| self.is_served(jid.domain())).collect();
        for account in changed {
            self.renew(account).await;
        }
        for effect in effects {
            match effect {
                Effect::Push { owner, item, version } => self.push(owner, &item_element(item), *version),
                Effect::PushRemoved { owner, contact, version } => {
                    self.push(owner, &removed_element(contact), *version);
                }
                Effect::Deliver { from, to, verb, stanza } => {
                    self.deliver_subscription(from, to, *verb, stanza.as_deref()).await;
                }
                Effect::SendPresence { from, to } => self.show_all(from, to, true).await,
                Effect::SendUnavailable { from, to } => self.show_all(from, to, false).await,
                Effect::NoRoom { .. } => self.metrics.refused(Bound::SubscriptionRequests),
            }
        }
    }

    /// Gives an account's sessions what it is now, after a change.
    pub async fn renew(&self, account: &BareJid) {
        self.accounts.forget(account);
        let sessions = self.sessions_of(account);
        if sessions.is_empty() {
            return;
        }
        let info = self.info_now(account).await;
        sessions.iter().for_each(|session| session.info.store(info.clone()));
    }

    /// Gives a session that was bound what its account is.
    pub async fn inform(&self, session: &Session) {
        let account = session.jid.bare();
        let _turn = self.turn(std::slice::from_ref(&account)).await;
        session.info.store(self.info_now(&account).await);
    }

    /// None: it is gone, or the store cannot say, and then nobody is shown anything by mistake.
    async fn info_now(&self, account: &BareJid) -> Option<Arc<AccountInfo>> {
        self.accounts.find(account).get().await.unwrap_or_else(|error| {
            tracing::warn!(%account, %error, "an account that changed could not be read");
            None
        })
    }

    /// A roster push to the owner's interested sessions, to each with an id of its own (RFC 6121
    /// section 2.1.6). Nobody waits for an answer.
    fn push(&self, owner: &BareJid, item: &Element, version: RosterVersion) {
        let sessions = self.sessions_of(owner);
        let mut interested = sessions.iter().filter(|session| session.is_told_of(Wants::Roster)).peekable();
        if interested.peek().is_none() {
            return;
        }
        let payload = push_payload(item, version);
        for session in interested {
            session.put(self.push_to(session, payload.clone()));
        }
    }

    /// An IQ of the account's own to one of its sessions, which tells it of a change.
    pub fn push_to(&self, session: &Session, payload: Payload) -> Arc<Delivery> {
        let id = format!("push-{:x}", self.pushes.fetch_add(1, Ordering::Relaxed));
        let iq = Stanza::iq(Type::Set, &id).with_from(session.jid.to_bare()).with_to(session.jid.clone());
        Arc::new(Delivery::new(Stanza { payload, ..iq }, self.now()))
    }

    /// A request goes to available sessions, its answer and a cancellation to interested ones (RFC 6121
    /// section 2.2). A recipient of another server is out of reach as yet.
    async fn deliver_subscription(&self, from: &BareJid, to: &BareJid, verb: Verb, request: Option<&[u8]>) {
        let sessions = self.sessions_of(to);
        if sessions.is_empty() {
            return;
        }
        let Some(stanza) = subscription_stanza(from, to, verb, request) else { return };
        let own = self.accounts.find(from).get().await.ok().flatten();
        let entries = self.cluster.find(to);
        let is_available = |session: &Session| {
            entries.iter().any(|entry| entry.session == session.id && entry.presence != Presence::None)
        };
        let delivery = Arc::new(Delivery::new(stanza, self.now()));
        for session in sessions {
            let wanted = match verb {
                Verb::Subscribe => is_available(&session),
                _ => session.wants(Wants::Roster),
            };
            let info = session.info.load();
            let blocks = info.as_deref().is_none_or(|info| info.blocks(&from.jid()))
                || own.as_deref().is_some_and(|own| own.blocks(&to.jid()));
            if wanted && !blocks {
                session.put(delivery.clone());
            }
        }
    }
}

/// `<query/>` of `jabber:iq:roster` with its version.
pub fn roster_element(version: RosterVersion) -> Element {
    Element::new("query", ns::ROSTER).attr("ver", version.to_string())
}

pub fn push_payload(item: &Element, version: RosterVersion) -> Payload {
    Payload::from_element(&roster_element(version).child(item.clone()))
}

/// A roster item as a client sees it (RFC 6121 section 2.1.2).
pub fn item_element(item: &RosterItem) -> Element {
    let groups = item.groups.iter().map(|group| Element::new("group", ns::ROSTER).text(group));
    Element::new("item", ns::ROSTER)
        .attr("jid", &item.contact)
        .attr_opt("name", (!item.name.is_empty()).then_some(&item.name))
        .attr("subscription", item.subscription.as_str())
        .attr_opt("ask", item.ask.then_some("subscribe"))
        .attr_opt("approved", item.approved.then_some("true"))
        .children(groups)
}

pub fn removed_element(contact: &BareJid) -> Element {
    Element::new("item", ns::ROSTER).attr("jid", contact).attr("subscription", "remove")
}

/// Presence of a subscription type always has bare addresses (behaviour 38). A request comes as it was
/// sent, with what it carried.
fn subscription_stanza(from: &BareJid, to: &BareJid, verb: Verb, request: Option<&[u8]>) -> Option<Stanza> {
    let type_ = match (verb, request) {
        (Verb::Subscribe, Some(request)) => {
            let stanza = Stanza::read(request);
            return stanza
                .inspect_err(|error| tracing::error!(%from, %to, ?error, "a kept request cannot be read"))
                .ok();
        }
        (Verb::Subscribe, None) => Type::Subscribe,
        (Verb::Subscribed, _) => Type::Subscribed,
        (Verb::Unsubscribe, _) => Type::Unsubscribe,
        (Verb::Unsubscribed, _) => Type::Unsubscribed,
    };
    Some(Stanza::presence(type_).with_from(from.jid()).with_to(to.jid()))
}

fn accounts_of(effect: &Effect) -> [&BareJid; 2] {
    match effect {
        Effect::Push { owner, .. } | Effect::PushRemoved { owner, .. } | Effect::NoRoom { owner } => {
            [owner, owner]
        }
        Effect::Deliver { from, to, .. }
        | Effect::SendPresence { from, to }
        | Effect::SendUnavailable { from, to } => [from, to],
    }
}
