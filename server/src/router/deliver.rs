//! DELIVERED: a message is put into the mailboxes of those who are to get it, the modules make their
//! copies; or else ABSENT. Synchronous: nothing here asks a store or waits for anybody.

use std::sync::Arc;

use cluster::Entry;
use smallvec::SmallVec;
use xmpp_core::{BareJid, Jid, Kind, Stanza};

use super::Router;
use super::hooks::{Delivered, Letter};
use super::message::{Targets, targets};
use crate::session::{Delivery, Put, Session};
use crate::storage::{AccountNumber, MessageId};

type Given = SmallVec<[Arc<Session>; 4]>;

impl Router {
    /// Delivers a message that is saved or that needs no save.
    pub(super) fn deliver(self: &Arc<Self>, letter: &Letter, to: &Jid) {
        // What only the sender's archive keeps does not wait for its recipient.
        let saved = letter.recipients().zip(letter.saved);
        let stanza = match (saved, &letter.recipient) {
            (Some((owner, id)), Some(recipient)) if self.shows_id(owner.role.archived) => {
                self.with_stanza_id(&letter.stanza, &recipient.jid, owner.account, id)
            }
            _ => letter.stanza.clone(),
        };
        let delivery = Arc::new(Delivery::saved(stanza, letter.time, saved.map(|(_, id)| id)));
        let given = self.give(&delivery, to, &self.cluster.find(&to.bare()));
        if given.is_empty() && saved.is_none() {
            self.untaken(letter);
        } else {
            self.after_delivery(letter, &delivery, &given);
        }
    }

    /// Delivers without a save to some of `entries`, which are the account's sessions as of now. Gives the
    /// letter back when nobody took it and it is of the kind that is queued: then it is to be saved now, and
    /// the modules are called behind that.
    pub(super) fn deliver_unsaved(
        self: &Arc<Self>,
        letter: Letter,
        to: &Jid,
        entries: &[Entry],
    ) -> Option<Letter> {
        let delivery = Arc::new(Delivery::new(letter.stanza.clone(), letter.time));
        let given = self.give(&delivery, to, entries);
        if !given.is_empty() {
            self.after_delivery(&letter, &delivery, &given);
            return None;
        }
        if !letter.owners.is_empty() {
            return Some(letter);
        }
        self.untaken(&letter);
        None
    }

    /// A session that is gone by now is passed over. What is saved waits for the next one that asks.
    fn give(&self, delivery: &Arc<Delivery>, to: &Jid, entries: &[Entry]) -> Given {
        let Targets::Sessions(targets) = targets(&delivery.stanza, to, entries) else { return Given::new() };
        let sessions = targets.iter().filter_map(|entry| self.sessions.find(entry.session));
        sessions.filter(|session| session.put(delivery.clone()) == Put::Put).collect()
    }

    fn after_delivery(self: &Arc<Self>, letter: &Letter, delivery: &Arc<Delivery>, given: &[Arc<Session>]) {
        let delivered = Delivered {
            stanza: &delivery.stanza,
            sent: &letter.stanza,
            saved: delivery.saved,
            in_senders_archive: letter.in_senders_archive(),
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
                in_senders_archive: letter.in_senders_archive(),
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
                in_senders_archive: None,
                time: error.time,
                recipient: Some(&session.jid.bare()),
                sender: None,
                original: None,
                given: std::slice::from_ref(session),
            };
            self.host().delivered.iter().for_each(|(_, hook)| hook.on_delivered(&delivered, self));
        }
    }

    /// An account with an archive gets ids of what is in it, one without of everything that is saved for
    /// it (messages.md, rule 7).
    pub(super) fn shows_id(&self, archived: bool) -> bool {
        archived || !self.host().has_archives
    }

    /// The message with an account's own `<stanza-id/>`.
    pub fn with_stanza_id(
        &self,
        stanza: &Stanza,
        by: &BareJid,
        owner: AccountNumber,
        id: MessageId,
    ) -> Stanza {
        let mut stanza = stanza.clone();
        stanza.payload.push_raw(&self.stanza_ids.element(by, owner, id));
        stanza
    }
}
