//! A session's end, as the rest of the server sees it: the table, the modules, and what was left in
//! its queues (messages.md, rule 11).

use std::sync::Arc;

use cluster::SessionId;
use xmpp_core::{Kind, Stanza, StanzaError, Type, ns};

use super::Router;
use super::backlog::add_delay;
use super::commit::Pending;
use super::hooks::{Letter, Sender};
use super::message::unavailable;
use super::storable::is_queued;
use crate::session::{Delivery, End, Session};
use crate::storage::Owner;

impl Router {
    /// Takes an ended session out of the world. `left`: what its client did not take, in order.
    pub async fn close_session(self: &Arc<Self>, session: &Arc<Session>, end: End, left: Vec<Arc<Delivery>>) {
        for (_, hook) in &self.host().session {
            hook.on_ending(session, self).get().await;
        }
        let next = self.cluster.close(&session.jid, session.id).await.ok().flatten();
        for (_, hook) in &self.host().session {
            hook.on_ended(session, self).get().await;
        }
        self.sessions.remove(session.id);
        tracing::info!(
            jid = %session.jid,
            end = ?end,
            seconds = self.now().saturating_sub(session.opened) / 1000,
            left = left.len(),
            "session ended"
        );
        let saved_left = left.iter().any(|delivery| delivery.saved.is_some());
        for delivery in &left {
            self.dispose(session, delivery).await;
        }
        // What is saved waits again, and goes at once to the first willing session that is left.
        let next = next.or_else(|| if saved_left { self.first_willing(session) } else { None });
        match next.and_then(|id| self.sessions.find(id)) {
            Some(next) => self.give_backlog(&next),
            None => self.nobody_has(&left),
        }
    }

    /// Nobody is there any more for messages that a session did not take.
    fn nobody_has(self: &Arc<Self>, left: &[Arc<Delivery>]) {
        for delivery in left.iter().filter(|left| left.saved.is_some() && !left.copy && !left.was_taken()) {
            self.host().absent.iter().for_each(|(_, hook)| hook.on_absent(&delivery.stanza, self));
        }
    }

    fn first_willing(&self, ended: &Session) -> Option<SessionId> {
        let entries = self.cluster.find(&ended.jid.bare());
        let willing = entries.iter().filter(|e| e.presence == cluster::Presence::Willing);
        willing.min_by_key(|e| e.willing_since).map(|e| e.session)
    }

    async fn dispose(self: &Arc<Self>, session: &Session, delivery: &Delivery) {
        if delivery.saved.is_some() || delivery.copy || delivery.was_taken() {
            return;
        }
        let stanza = &delivery.stanza;
        match (stanza.kind, stanza.type_) {
            (Kind::Iq, Type::Get | Type::Set) => self.bounce(stanza, &unavailable()).await,
            (Kind::Message, Type::None | Type::Normal | Type::Chat) if is_queued(stanza) => {
                self.save_left(session, delivery).await;
            }
            (Kind::Message, Type::None | Type::Normal | Type::Chat)
                if stanza.payload.has("body", ns::CLIENT) =>
            {
                self.bounce(stanza, &unavailable()).await;
            }
            _ => {}
        }
    }

    /// Under `unless-delivered`: nobody took it, so it is saved now, and waits or goes to another
    /// session of the account.
    async fn save_left(self: &Arc<Self>, session: &Session, delivery: &Delivery) {
        let Ok(Some(recipient)) = self.accounts.find(&session.jid.bare()).get().await else { return };
        let mut stanza = delivery.stanza.clone();
        // Another session is given it at once, but it came long ago.
        add_delay(&mut stanza, session.jid.domain(), delivery.time);
        let mut letter = Letter::new(stanza, Sender::Server, delivery.time);
        letter.owners.push(Owner::queued(recipient.number));
        letter.recipient = Some(recipient);
        // Not to the full address: that session is gone.
        self.commit(Pending::new(letter, session.jid.to_bare())).await;
    }

    /// An error to the sender of a stanza that was on its way.
    pub async fn bounce(self: &Arc<Self>, stanza: &Stanza, error: &StanzaError) {
        if let Some(reply) = stanza.error_reply(error) {
            self.metrics.stanza_error(error.condition);
            Box::pin(self.send(reply)).await;
        }
    }
}
