//! A session's mailbox: bounded in stanzas and bytes, and nobody waits on it but the session's own
//! tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;
use xmpp_core::{Kind, Stanza};

use super::{BEHIND_BACKLOG, Backlog, End, Full, REMEMBERED_IDS, Session, State};
use crate::storage::{MessageId, Millis};

/// A stanza for one session. Shared where several sessions get the same bytes.
pub struct Delivery {
    pub stanza: Stanza,
    /// Its id, when it is a saved message of the session's account.
    pub saved: Option<MessageId>,
    /// When it came to the server.
    pub time: Millis,
    /// A copy for information (a carbon): its end is nobody's loss.
    pub copy: bool,
    /// About what it weighs in a queue.
    pub bytes: u32,
    /// One of the sessions that share it has taken it.
    taken: AtomicBool,
    /// What it is a copy of, where that is not saved: who took the copy has it.
    original: Option<Arc<Delivery>>,
}

/// What became of a stanza that was put into a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is in the mailbox, or behind the backlog, or was given to the session before.
    Put,
    /// The session has ended.
    Gone,
    /// The mailbox is full. The session ends for it, as too slow.
    Full,
}

pub struct MailboxBounds {
    pub stanzas: usize,
    pub bytes: usize,
    queued_bytes: AtomicUsize,
    /// Told when something was taken out.
    room: Notify,
}

impl MailboxBounds {
    pub fn new(stanzas: usize, bytes: usize) -> MailboxBounds {
        MailboxBounds { stanzas, bytes, queued_bytes: AtomicUsize::new(0), room: Notify::new() }
    }
}

impl Delivery {
    pub fn new(stanza: Stanza, time: Millis) -> Delivery {
        // The header's share is an estimate: what counts is that a queue of stanzas has a bound.
        let bytes = (stanza.payload.len_bytes() + 200) as u32;
        Delivery {
            stanza,
            saved: None,
            time,
            copy: false,
            bytes,
            taken: AtomicBool::new(false),
            original: None,
        }
    }

    pub fn saved(stanza: Stanza, time: Millis, id: Option<MessageId>) -> Delivery {
        Delivery { saved: id, ..Delivery::new(stanza, time) }
    }

    /// `of`: the message that the session is given by this, if it is its account's.
    pub fn copy(stanza: Stanza, time: Millis, of: Option<&Arc<Delivery>>) -> Delivery {
        let saved = of.and_then(|original| original.saved);
        let original = of.filter(|_| saved.is_none()).cloned();
        Delivery { saved, copy: true, original, ..Delivery::new(stanza, time) }
    }

    pub fn note_taken(&self) {
        self.taken.store(true, Ordering::Relaxed);
        if let Some(original) = &self.original {
            original.note_taken();
        }
    }

    pub fn was_taken(&self) -> bool {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Session {
    /// Puts a stanza into the mailbox, at once.
    pub fn put(&self, delivery: Arc<Delivery>) -> Put {
        let mut state = self.state.lock();
        if state.end.is_some() {
            return Put::Gone;
        }
        if delivery.saved.is_some_and(|id| state.given.contains(id)) {
            return Put::Put;
        }
        if delivery.stanza.kind == Kind::Message
            && let Backlog::Flushing { behind, again } = &mut state.backlog
        {
            match behind.len() < BEHIND_BACKLOG {
                true => behind.push(delivery),
                // What is saved still waits, and the flush comes by once more.
                false if delivery.saved.is_some() => *again = true,
                false => {
                    state.end = Some(End::Slow(Full::Stanzas));
                    self.wake.notify_one();
                    return Put::Full;
                }
            }
            return Put::Put;
        }
        self.queue(&mut state, delivery)
    }

    /// As `put`, for what the session itself asked for: waits for room.
    pub async fn put_waiting(&self, delivery: Arc<Delivery>) -> Put {
        self.put_when_room(|| Some((delivery, ()))).await
    }

    /// As `put_waiting`, for what is to be read only when there is room. `read` may give something that
    /// is kept until what it read is in the mailbox: a lock.
    pub async fn put_when_room<G>(&self, read: impl FnOnce() -> Option<(Arc<Delivery>, G)>) -> Put {
        if !self.has_room() && !self.wait_for_room().await {
            return Put::Gone;
        }
        let Ok(permit) = self.mail.reserve().await else { return Put::Gone };
        let Some((delivery, _kept)) = read() else { return Put::Put };
        let mut state = self.state.lock();
        if state.end.is_some() {
            return Put::Gone;
        }
        if !state.note_given(&delivery) {
            return Put::Put;
        }
        self.bounds.queued_bytes.fetch_add(delivery.bytes as usize, Ordering::Relaxed);
        permit.send(delivery);
        Put::Put
    }

    /// What a session asks for fills half of its mailbox at most: the other half is for the others, who
    /// do not wait and at whose first failure the session ends.
    fn has_room(&self) -> bool {
        self.queued_stanzas() <= self.bounds.stanzas / 2
            && self.bounds.queued_bytes.load(Ordering::Relaxed) <= self.bounds.bytes / 2
    }

    /// False when the session ended.
    async fn wait_for_room(&self) -> bool {
        loop {
            let room = self.bounds.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            if self.has_room() {
                return true;
            }
            tokio::select! {
                () = room => {}
                () = self.mail.closed() => return false,
            }
        }
    }

    fn queue(&self, state: &mut State, delivery: Arc<Delivery>) -> Put {
        let bytes = delivery.bytes as usize;
        let queued = self.bounds.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        let full = queued + bytes > self.bounds.bytes && queued > 0;
        // The id is noted only for what is really in the mailbox.
        if full || self.mail.capacity() == 0 {
            self.bounds.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            state.end = Some(End::Slow(if full { Full::Bytes } else { Full::Stanzas }));
            self.wake.notify_one();
            return Put::Full;
        }
        state.note_given(&delivery);
        match self.mail.try_send(delivery) {
            Ok(()) => Put::Put,
            Err(_) => {
                self.bounds.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
                state.end.get_or_insert(End::Slow(Full::Stanzas));
                self.wake.notify_one();
                Put::Full
            }
        }
    }

    /// The session's task has taken this much out of the mailbox for good.
    pub fn unqueued(&self, delivery: &Delivery) {
        self.bounds.queued_bytes.fetch_sub(delivery.bytes as usize, Ordering::Relaxed);
        self.bounds.room.notify_waiters();
    }

    pub fn queued_stanzas(&self) -> usize {
        self.bounds.stanzas - self.mail.capacity()
    }

    /// A saved message was taken by this session: it holds it no more. True when it did.
    pub fn release(&self, id: MessageId) -> bool {
        self.state.lock().held.remove(id)
    }

    /// Begins to read what waits. False when that is under way: it will look once more.
    pub fn begin_backlog(&self) -> bool {
        let mut state = self.state.lock();
        match &mut state.backlog {
            Backlog::Flushing { again, .. } => {
                *again = true;
                false
            }
            backlog => {
                *backlog = Backlog::Flushing { behind: Vec::new(), again: false };
                true
            }
        }
    }

    /// Is it to be given this message as part of the backlog?
    pub fn was_given(&self, id: MessageId) -> bool {
        self.state.lock().given.contains(id)
    }

    /// The store had nothing more. Gives what came meanwhile, in its order, and is live again; false
    /// when there may be more in the store: read on.
    pub fn end_backlog(&self) -> bool {
        let mut state = self.state.lock();
        let Backlog::Flushing { behind, again } = std::mem::take(&mut state.backlog) else { return true };
        if again && state.end.is_none() {
            state.backlog = Backlog::Flushing { behind, again: false };
            return false;
        }
        for delivery in behind {
            let known = delivery.saved.is_some_and(|id| state.given.contains(id));
            if !known && state.end.is_none() {
                self.queue(&mut state, delivery);
            }
        }
        true
    }
}

impl State {
    /// False when it was given before.
    fn note_given(&mut self, delivery: &Delivery) -> bool {
        let Some(id) = delivery.saved else { return true };
        if !self.given.insert(id) {
            return false;
        }
        self.given.keep_last(REMEMBERED_IDS);
        self.held.insert(id);
        true
    }
}
