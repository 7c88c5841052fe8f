//! Messages behind ARRIVED: who gets them, by the rules of RFC 6121 section 8.5, and whether they are
//! saved first (messages.md, rules 1 to 4).

use std::sync::Arc;

use cluster::{Entry, Presence};
use smallvec::SmallVec;
use xmpp_core::{Condition, ErrorType, Jid, Stanza, StanzaError, Type};

use super::commit::Pending;
use super::hooks::{Letter, Verdict};
use super::{Fate, Router, Save, is_normal};

/// Who gets a message, as things stand.
pub(super) enum Targets<'a> {
    Sessions(SmallVec<[&'a Entry; 4]>),
    /// Nobody who could take it: it waits, if it is of the kind that waits.
    Nobody,
    Refuse,
    Drop,
}

impl Router {
    pub(super) async fn message(self: &Arc<Self>, letter: Letter, to: Jid) -> Fate {
        if to.local().is_none() {
            let verdict = to_the_server(letter.stanza.type_);
            return self.give_up(letter, verdict).await;
        }
        let Some(_) = letter.recipient else {
            // RFC 6121 section 8.5.1: no such account. No error answers a headline or an error.
            let quiet = matches!(letter.stanza.type_, Type::Error | Type::Headline);
            let verdict = if quiet { Verdict::Drop } else { Verdict::Refuse(unavailable()) };
            return self.give_up(letter, verdict).await;
        };
        let entries = self.cluster.find(&to.bare());
        match targets(&letter.stanza, &to, &entries) {
            Targets::Refuse => return self.give_up(letter, Verdict::Refuse(unavailable())).await,
            Targets::Drop => {
                self.undelivered(&letter);
                return self.give_up(letter, Verdict::Drop).await;
            }
            Targets::Nobody if letter.owners.is_empty() => return self.untaken(&letter),
            Targets::Nobody | Targets::Sessions(_) => {}
        }
        let save_first = self.saves_first(&letter, &to);
        let session = letter.session().cloned();
        let in_order = session.as_ref().is_none_or(|s| s.inbound.is_empty());
        if in_order && (letter.owners.is_empty() || !save_first) {
            return match self.deliver_unsaved(letter, &to, &entries) {
                None => Fate::Decided,
                Some(untaken) => self.commit(Pending::new(untaken, to)).await,
            };
        }
        self.commit(Pending::new(letter, to)).await
    }

    /// An archive's message is always saved first (messages.md, rule 4).
    fn saves_first(&self, letter: &Letter, to: &Jid) -> bool {
        if letter.owners.iter().any(|owner| owner.role.archived) {
            return true;
        }
        let domains = self.domains.load();
        domains.by_name.get(to.domain()).is_none_or(|d| d.save == Save::Always)
    }

    /// A message ends here, and its recipient never has it. What its sender's archive keeps is saved all
    /// the same (messages.md, rule 1), unless it is to be sent once more.
    pub(super) async fn give_up(self: &Arc<Self>, mut letter: Letter, verdict: Verdict) -> Fate {
        letter.owners.retain(|owner| owner.role.sent);
        letter.owners.iter_mut().for_each(|owner| owner.role.waits = false);
        let again = matches!(&verdict, Verdict::Refuse(error) if error.type_ == ErrorType::Wait);
        if letter.owners.is_empty() || again {
            return self.conclude(&letter, verdict);
        }
        self.commit(Pending::given_up(letter, verdict)).await
    }

    /// Nobody is there for a message that is not queued. Its sender learns of it if it said something
    /// (messages.md, rule 11), and hears nothing about a chat state. No session of its recipient gets a copy
    /// of what is refused.
    pub(super) fn untaken(self: &Arc<Self>, letter: &Letter) -> Fate {
        self.undelivered(letter);
        let says_something = letter.stanza.payload.has("body", xmpp_core::ns::CLIENT);
        let silent = matches!(letter.stanza.type_, Type::Headline | Type::Error) || !says_something;
        if !silent {
            self.refuse(&letter.sender, &letter.stanza, &unavailable());
        }
        Fate::Decided
    }
}

/// RFC 6121 section 8.5.2.1.1 (bare address) and 8.5.3 (full address).
pub(super) fn targets<'a>(stanza: &Stanza, to: &Jid, entries: &'a [Entry]) -> Targets<'a> {
    let type_ = stanza.type_;
    if to.is_full() {
        // Section 8.5.3.1: whatever its priority, also before its first presence.
        if let Some(entry) = entries.iter().find(|e| e.jid == *to) {
            return Targets::Sessions(SmallVec::from_slice(&[entry]));
        }
        // Section 8.5.3.2.1: only chat goes on to the bare address.
        match type_ {
            Type::Chat => {}
            Type::Error => return Targets::Drop,
            _ => return Targets::Refuse,
        }
    }
    match type_ {
        Type::Groupchat => return Targets::Refuse,
        Type::Error => return Targets::Drop,
        _ => {}
    }
    let willing: SmallVec<[&Entry; 4]> = entries.iter().filter(|e| e.presence == Presence::Willing).collect();
    match willing.is_empty() {
        false => Targets::Sessions(willing),
        true if type_ == Type::Headline => Targets::Drop,
        true => Targets::Nobody,
    }
}

/// The server itself has nothing to read messages with (RFC 6120 section 10.5.1).
fn to_the_server(type_: Type) -> Verdict {
    match is_normal(type_) || type_ == Type::Chat || type_ == Type::Groupchat {
        true => Verdict::Refuse(unavailable()),
        false => Verdict::Drop,
    }
}

pub(super) fn unavailable() -> StanzaError {
    StanzaError::new(Condition::ServiceUnavailable)
}

#[cfg(test)]
mod tests;
