//! DELIVERED: a message is put into the mailboxes of those who are to get it, the modules make their
//! copies; or else ABSENT. Synchronous: nothing here asks a store or waits for anybody.

use std::sync::Arc;

use smallvec::SmallVec;
use xmpp_core::{Jid, Kind, Stanza};

use super::Router;
use super::hooks::{Delivered, Letter};
use super::message::{Targets, targets};
use crate::session::{Delivery, Put, Session};
use crate::storage::{AccountNumber, MessageId};

type Given = SmallVec<[Arc<Session>; 4]>;

impl Router {
    /// Delivers a message that is saved (`id`) or that needs no save. False when nobody took it.
    pub(super) fn deliver(self: &Arc<Self>, letter: &Letter, to: &Jid, id: Option<MessageId>) -> bool {
        let owner = letter.recipient.as_ref().map(|r| r.number);
        let stanza = self.with_stanza_id(&letter.stanza, owner, id);
        let delivery = Arc::new(Delivery::saved(stanza, letter.time, id));
        let given = self.give(&delivery, to);
        if given.is_empty() && id.is_none() {
            // It is gone: no session of its recipient gets a copy of what its sender hears is refused.
            self.undelivered(letter);
            return false;
        }
        self.after_delivery(letter, &delivery, &given);
        !given.is_empty()
    }

    /// Delivers without a save. Gives the letter back when nobody took it and it is of the kind that
    /// is queued: then it is to be saved now, and the modules are called behind that.
    pub(super) fn deliver_unsaved(self: &Arc<Self>, letter: Letter, to: &Jid) -> Option<Letter> {
        let delivery = Arc::new(Delivery::new(letter.stanza.clone(), letter.time));
        let given = self.give(&delivery, to);
        if !given.is_empty() {
            self.after_delivery(&letter, &delivery, &given);
            return None;
        }
        if !letter.owners.is_empty() {
            return Some(letter);
        }
        self.undelivered(&letter);
        self.untaken(&letter);
        None
    }

    /// A session that is gone by now is passed over. What is saved waits for the next one that asks.
    fn give(&self, delivery: &Arc<Delivery>, to: &Jid) -> Given {
        let entries = self.cluster.find(&to.bare());
        let Targets::Sessions(targets) = targets(&delivery.stanza, to, &entries) else { return Given::new() };
        let sessions = targets.iter().filter_map(|entry| self.sessions.find(entry.session));
        sessions.filter(|session| session.put(delivery.clone()) == Put::Put).collect()
    }

    fn after_delivery(self: &Arc<Self>, letter: &Letter, delivery: &Arc<Delivery>, given: &[Arc<Session>]) {
        let delivered = Delivered {
            stanza: &delivery.stanza,
            sent: &letter.stanza,
            saved: delivery.saved,
            time: delivery.time,
            recipient: letter.recipient.as_ref().map(|r| &r.jid),
            sender: letter.session(),
            original: Some(delivery),
            given,
        };
        self.host().delivered.iter().for_each(|(_, hook)| hook.on_delivered(&delivered, self));
        if given.is_empty() {
            self.host().absent.iter().for_each(|(_, hook)| hook.on_absent(&delivery.stanza, self));
        }
    }

    /// A message that nobody gets, since it was refused or dropped behind SENT: for those who copy what
    /// is sent. To its recipient it never came (messages.md, rules 1 and 22).
    pub(super) fn undelivered(self: &Arc<Self>, letter: &Letter) {
        if letter.stanza.kind == Kind::Message {
            let delivered = Delivered {
                stanza: &letter.stanza,
                sent: &letter.stanza,
                saved: None,
                time: letter.time,
                recipient: None,
                sender: letter.session(),
                original: None,
                given: &[],
            };
            self.host().delivered.iter().for_each(|(_, hook)| hook.on_delivered(&delivered, self));
        }
    }

    /// The server's own error to the sender of a message, which is a message too.
    pub(super) fn refused(self: &Arc<Self>, session: &Arc<Session>, error: &Delivery) {
        if error.stanza.kind == Kind::Message {
            let delivered = Delivered {
                stanza: &error.stanza,
                sent: &error.stanza,
                saved: None,
                time: error.time,
                recipient: Some(&session.jid.bare()),
                sender: None,
                original: None,
                given: std::slice::from_ref(session),
            };
            self.host().delivered.iter().for_each(|(_, hook)| hook.on_delivered(&delivered, self));
        }
    }

    /// The message with the recipient's own `<stanza-id/>` (messages.md, rule 7).
    pub(super) fn with_stanza_id(
        &self,
        stanza: &Stanza,
        owner: Option<AccountNumber>,
        id: Option<MessageId>,
    ) -> Stanza {
        let mut stanza = stanza.clone();
        if let (Some(owner), Some(id), Some(to)) = (owner, id, &stanza.to) {
            let element = self.stanza_ids.element(&to.bare(), owner, id);
            stanza.payload.push_raw(&element);
        }
        stanza
    }
}
