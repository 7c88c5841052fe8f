//! What events look like: `docs/events.md`, and `priv/events.schema.json` for machines.

use std::borrow::Cow;
use std::sync::Arc;

use smallvec::SmallVec;
use xmpp_core::date::format_utc;
use xmpp_core::{BareJid, Jid};

use super::head::{bare, head};
use super::json::{Members, Object, Written};
use crate::router::StanzaIds;
use crate::storage::events::{Event, Topic};
use crate::storage::outbox::{AccountEvent, Item, SavedMessage};
use crate::storage::{AccountNumber, MessageId, Millis, OutboxRow, Owner};

/// The version of what is written here. A field may be added to it, and nothing taken away.
pub const SCHEMA: i64 = 1;

/// What an event has besides its texts.
const ROOM: usize = 400;

/// Makes events of what the outbox keeps.
pub struct Former {
    ids: StanzaIds,
    /// An event with more bytes goes without its stanza.
    most_bytes: usize,
}

impl Former {
    pub fn new(ids: StanzaIds, most_bytes: usize) -> Former {
        Former { ids, most_bytes }
    }

    /// The events of one row, of topics that are sent; `None`: the row is garbled.
    pub fn events(&self, row: &OutboxRow, takes: impl Fn(Topic) -> bool, out: &mut Vec<Event>) -> Option<()> {
        for (item, place) in row.items()?.into_iter().zip(0..) {
            match item {
                Item::Message(message) => self.message(&message, &takes, out),
                Item::Account(event) if takes(Topic::Account) => {
                    // Which row it was, and which of the row: the same each time it is sent.
                    let id = self.ids.encode(AccountNumber(u64::MAX), MessageId(row.place.0 << 20 | place));
                    out.push(account(&id, &event));
                }
                Item::Account(_) => {}
            }
        }
        Some(())
    }

    fn message(&self, message: &SavedMessage, takes: &impl Fn(Topic) -> bool, out: &mut Vec<Event>) {
        let stanza = match str::from_utf8(&message.stanza) {
            Ok(stanza) => Cow::Borrowed(stanza),
            Err(_) => String::from_utf8_lossy(&message.stanza),
        };
        let head = head(&stanza);
        let (from, to) = (head.from.as_deref().unwrap_or_default(), head.to.as_deref().unwrap_or_default());
        let mut common = Object::new(ROOM / 2);
        common.text("from", from).text("to", to).text("type", head.type_.as_deref().unwrap_or("normal"));
        common.text_or_null("message_id", head.id.as_deref());
        let told = Told {
            common: common.into_members(),
            time: format_utc(message.time),
            stanza: Written::new(&stanza),
            stanza_bytes: stanza.len(),
            from,
            to,
        };
        let ids: Vec<(&str, String)> =
            message.owners.iter().map(|owner| (told.account(owner), self.id(owner, message.id))).collect();
        if takes(Topic::MessageAccepted) {
            out.push(self.accepted(&told, message, &ids));
        }
        if takes(Topic::MessageArchived) {
            let archived = message.owners.iter().zip(&ids).filter(|(owner, _)| owner.role.archived);
            out.extend(archived.map(|(owner, (account, id))| self.archived(&told, owner, account, id)));
        }
    }

    fn id(&self, owner: &Owner, id: MessageId) -> String {
        self.ids.encode(owner.account, id)
    }

    /// Its id is the one that its recipient sees; the sender's, where the recipient keeps nothing.
    fn accepted(&self, told: &Told, message: &SavedMessage, ids: &[(&str, String)]) -> Event {
        let recipients = message.owners.iter().position(|owner| !owner.role.sent).unwrap_or(0);
        let id = ids.get(recipients).map_or("", |(_, id)| id);
        let (one, other) = (bare(told.from), bare(told.to));
        let key = if one <= other { format!("{one} {other}") } else { format!("{other} {one}") };
        self.with_stanza(Topic::MessageAccepted, key, id, told, |event| {
            event.map("stanza_ids", ids.iter().map(|(account, id)| (*account, id.as_str())));
        })
    }

    fn archived(&self, told: &Told, owner: &Owner, account: &str, id: &str) -> Event {
        let (direction, with) = match owner.role.sent {
            true => ("sent", bare(told.to)),
            false => ("received", bare(told.from)),
        };
        self.with_stanza(Topic::MessageArchived, account.to_owned(), id, told, |event| {
            event.text("account", account).text("direction", direction).text("with", with);
        })
    }

    fn with_stanza(
        &self,
        topic: Topic,
        key: String,
        id: &str,
        told: &Told,
        more: impl Fn(&mut Object),
    ) -> Event {
        let form = |stanza: Option<&Written>| {
            let mut event = begun(topic, Some(id), &told.time, ROOM + stanza.map_or(0, Written::len));
            event.members(&told.common);
            more(&mut event);
            match stanza {
                Some(stanza) => event.written("stanza", stanza),
                None => event.text_or_null("stanza", None).number("omitted_bytes", told.stanza_bytes as i64),
            };
            event.finish()
        };
        let mut payload = form(Some(&told.stanza));
        if payload.len() + key.len() > self.most_bytes {
            payload = form(None);
        }
        Event { topic, key, payload }
    }
}

/// A message, as its events tell of it: what several of them say is written once.
struct Told<'m> {
    common: Members,
    time: String,
    stanza: Written,
    stanza_bytes: usize,
    from: &'m str,
    to: &'m str,
}

impl Told<'_> {
    /// The owner's address.
    fn account(&self, owner: &Owner) -> &str {
        bare(if owner.role.sent { self.from } else { self.to })
    }
}

fn begun(topic: Topic, id: Option<&str>, time: &str, room: usize) -> Object {
    let mut event = Object::new(room);
    event.number("schema", SCHEMA).text("event", topic.word());
    if let Some(id) = id {
        event.text("id", id);
    }
    event.text("time", time);
    event
}

fn account(id: &str, event: &AccountEvent) -> Event {
    let mut form = begun(Topic::Account, Some(id), &format_utc(event.time), ROOM);
    form.text("account", event.account.as_str()).text("action", event.change.word());
    if let Some(reason) = &event.reason {
        form.text("reason", reason);
    }
    Event { topic: Topic::Account, key: event.account.to_string(), payload: form.finish() }
}

/// Something that may be lost: so small that many may wait, and made into an event only by who sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Passing {
    /// A message was given to sessions.
    Delivered {
        message: Passed,
        /// The account's number and the message's id, where it was saved for it.
        saved: Option<(AccountNumber, MessageId)>,
        sessions: SmallVec<[Jid; 2]>,
    },
    /// A message waits, and nobody is there for it.
    Push {
        message: Passed,
    },
    Presence {
        session: Jid,
        presence: Option<Shown>,
    },
    Session {
        session: Jid,
        opened: bool,
    },
}

/// A message, as far as its delivery is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    pub account: BareJid,
    pub from: Option<Jid>,
    pub id: Option<Arc<str>>,
    pub type_: &'static str,
}

/// What a session says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub show: Option<String>,
    pub status: Option<String>,
    pub priority: i8,
}

impl Passing {
    pub fn topic(&self) -> Topic {
        match self {
            Passing::Delivered { .. } => Topic::MessageDelivered,
            Passing::Push { .. } => Topic::Push,
            Passing::Presence { .. } => Topic::Presence,
            Passing::Session { .. } => Topic::Session,
        }
    }
}

impl Former {
    pub fn passing(&self, passing: &Passing, time: Millis) -> Event {
        let (topic, time) = (passing.topic(), format_utc(time));
        match passing {
            Passing::Delivered { message, saved, sessions } => {
                let id = saved.map(|(owner, id)| self.ids.encode(owner, id));
                let mut event = begun(topic, id.as_deref(), &time, ROOM);
                message.tell(&mut event);
                event.texts("sessions", sessions.iter().map(Jid::as_str));
                Event { topic, key: message.account.to_string(), payload: event.finish() }
            }
            Passing::Push { message } => {
                let mut event = begun(topic, None, &time, ROOM);
                message.tell(&mut event);
                Event { topic, key: message.account.to_string(), payload: event.finish() }
            }
            Passing::Presence { session, presence } => of_session(topic, &time, session, |event| {
                event.boolean("available", presence.is_some());
                let Some(Shown { show, status, priority }) = presence else { return };
                event.text("show", show.as_deref().unwrap_or("available"));
                event.number("priority", i64::from(*priority));
                if let Some(status) = status {
                    event.text("status", shortened(status));
                }
            }),
            Passing::Session { session, opened } => of_session(topic, &time, session, |event| {
                event.text("action", if *opened { "opened" } else { "closed" });
            }),
        }
    }
}

impl Passed {
    fn tell(&self, event: &mut Object) {
        event
            .text("account", self.account.as_str())
            .text_or_null("from", self.from.as_ref().map(Jid::as_str));
        event.text("type", self.type_).text_or_null("message_id", self.id.as_deref());
    }
}

fn of_session(topic: Topic, time: &str, session: &Jid, more: impl Fn(&mut Object)) -> Event {
    let mut event = begun(topic, None, time, ROOM);
    let account = bare(session.as_str());
    event.text("account", account).text("session", session.as_str());
    more(&mut event);
    Event { topic, key: account.to_owned(), payload: event.finish() }
}

/// A status of any length would be an event of any length.
fn shortened(status: &str) -> &str {
    const MOST_BYTES: usize = 1_024;
    let mut end = status.len().min(MOST_BYTES);
    while !status.is_char_boundary(end) {
        end -= 1;
    }
    status.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests;
