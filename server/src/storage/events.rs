//! The event stream: what others are told of what happens here.
//!
//! Two doors. What must not be lost comes out of the outbox and through [`EventStream::publish`], which says what
//! arrived; the rest goes through [`EventStream::offer`], which waits for nobody.

use super::Fut;

/// What an event tells of. Each has a topic of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// A message was saved.
    MessageAccepted,
    /// It is in an account's archive.
    MessageArchived,
    /// It was given to sessions.
    MessageDelivered,
    /// Nobody was there for it.
    Push,
    Presence,
    Session,
    Room,
    Account,
}

impl Topic {
    pub const ALL: [Topic; 8] = [
        Topic::MessageAccepted,
        Topic::MessageArchived,
        Topic::MessageDelivered,
        Topic::Push,
        Topic::Presence,
        Topic::Session,
        Topic::Room,
        Topic::Account,
    ];

    /// As events call it.
    pub fn word(self) -> &'static str {
        match self {
            Topic::MessageAccepted => "message.accepted",
            Topic::MessageArchived => "message.archived",
            Topic::MessageDelivered => "message.delivered",
            Topic::Push => "push",
            Topic::Presence => "presence",
            Topic::Session => "session",
            Topic::Room => "room",
            Topic::Account => "account",
        }
    }

    /// It comes out of the outbox, and is not lost.
    pub fn is_kept(self) -> bool {
        matches!(self, Topic::MessageAccepted | Topic::MessageArchived | Topic::Room | Topic::Account)
    }
}

/// One event, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub topic: Topic,
    /// Events of one topic and key arrive in their order.
    pub key: String,
    /// JSON.
    pub payload: Vec<u8>,
}

/// Events on their way, in their order, and what is known of each.
#[derive(Debug, Default)]
pub struct Parcel {
    events: Vec<Event>,
    arrived: Vec<bool>,
}

impl Parcel {
    pub fn push(&mut self, event: Event) {
        self.events.push(event);
        self.arrived.push(false);
    }

    pub fn len(&self) -> usize {
        self.events.len()
    }

    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Those that the stream has not confirmed, with their places.
    pub fn pending(&self) -> impl Iterator<Item = (usize, &Event)> {
        self.events.iter().enumerate().filter(|(place, _)| !self.arrived[*place])
    }

    pub fn confirm(&mut self, place: usize) {
        if let Some(arrived) = self.arrived.get_mut(place) {
            *arrived = true;
        }
    }
}

/// How the stream fares, for the operator.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamStatus {
    /// Where it is.
    pub place: String,
    /// Why it is not reached, or what it refused last; `None`: all is well.
    pub trouble: Option<String>,
    /// Events that were offered and that it did not get.
    pub lost: u64,
    /// Events that were offered and that it has.
    pub delivered: u64,
}

pub trait EventStream: Send + Sync {
    /// Is this topic sent at all?
    fn takes(&self, topic: Topic) -> bool;
    /// An event has at most so many bytes, its key included.
    fn max_event_bytes(&self) -> usize;
    /// Sends what of the parcel has not arrived, in its order, and returns when the fate of each event is
    /// known; those that arrived are confirmed in it. `Err`: not all did, and a sentence why. It waits for a stream
    /// that is away; who drops the future gives up.
    fn publish<'a>(&'a self, parcel: &'a mut Parcel) -> Fut<'a, Result<(), String>>;
    /// Sends it if there is room, and forgets it.
    fn offer(&self, event: Event);
    fn status(&self) -> StreamStatus;
    /// Gets rid of what was offered, if it can in a second.
    fn close<'a>(&'a self) -> Fut<'a, ()>;
}
