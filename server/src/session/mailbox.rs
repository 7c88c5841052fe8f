//! A session's mailbox: bounded in stanzas and bytes, and nobody waits on it but the session's own
//! tasks.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;
use xmpp_core::{Kind, Stanza};

use super::{BEHIND_BACKLOG, Backlog, End, Full, REMEMBERED_IDS, Session, State};
use crate::storage::{MessageId, Millis};

/// An empty mailbox keeps memory for so many stanzas; what a burst took is given back.
const KEPT_CAPACITY: usize = 16;

/// A stanza for one session. Shared where several sessions get the same bytes.
pub struct Delivery {
    pub stanza: Stanza,
    /// Its id, when it is a saved message of the session's account.
    pub saved: Option<MessageId>,
    /// When it came to the server.
    pub time: Millis,
    /// A copy for information (a carbon, an archive's result): its end is nobody's loss.
    pub copy: bool,
    /// It was asked for, and is given whether or not the session was given the same message before.
    pub asked_for: bool,
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
    /// Told when half of it is free again, and when the session ends.
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
            asked_for: false,
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

    /// An archive's result; `id` where the message still waits for the account: it is taken by this too.
    pub fn result(stanza: Stanza, time: Millis, id: Option<MessageId>) -> Delivery {
        Delivery { saved: id, copy: true, asked_for: true, ..Delivery::new(stanza, time) }
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
            && let Backlog::Flushing { behind, again, unread } = &mut state.backlog
            && (delivery.saved.is_some() || !*unread)
        {
            match behind.len() < BEHIND_BACKLOG && !*unread {
                true => behind.push(delivery),
                // What is saved still waits, and the flush comes by once more.
                false if delivery.saved.is_some() => *again = true,
                false => {
                    state.end = Some(End::Slow(Full::Stanzas));
                    self.wake_for_end();
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

    /// As `put_waiting`, but does not wait: `None` when there is no room now.
    pub fn put_if_room(&self, delivery: &Arc<Delivery>) -> Option<Put> {
        Some(match self.try_keep_place()? {
            true => self.put_in_place(|| Some((delivery.clone(), ()))),
            false => Put::Gone,
        })
    }

    /// As `put_waiting`, for what is to be read only when there is room. `read` may give something that
    /// is kept until what it read is in the mailbox: a lock.
    pub async fn put_when_room<G>(&self, read: impl FnOnce() -> Option<(Arc<Delivery>, G)>) -> Put {
        match self.keep_place().await {
            true => self.put_in_place(read),
            false => Put::Gone,
        }
    }

    /// Behind `try_keep_place`.
    fn put_in_place<G>(&self, read: impl FnOnce() -> Option<(Arc<Delivery>, G)>) -> Put {
        let read = read();
        let mut state = self.state.lock();
        state.kept_places -= 1;
        let Some((delivery, _kept)) = read else { return Put::Put };
        if state.end.is_some() {
            return Put::Gone;
        }
        if !state.note_given(&delivery) {
            return Put::Put;
        }
        self.bounds.queued_bytes.fetch_add(delivery.bytes as usize, Ordering::Relaxed);
        self.push(&mut state, delivery);
        Put::Put
    }

    /// Waits for room, and keeps a place for a stanza. False when the session ended.
    async fn keep_place(&self) -> bool {
        loop {
            let room = self.bounds.room.notified();
            tokio::pin!(room);
            // Before the look: what is taken out behind it is heard of.
            room.as_mut().enable();
            match self.try_keep_place() {
                Some(kept) => return kept,
                None => room.await,
            }
        }
    }

    /// What a session asks for fills half of its mailbox at most: the other half is for the others, who
    /// do not wait and at whose first failure the session ends.
    fn try_keep_place(&self) -> Option<bool> {
        let mut state = self.state.lock();
        if state.end.is_some() {
            return Some(false);
        }
        let bytes = self.bounds.queued_bytes.load(Ordering::Relaxed);
        let has_room = state.queue.len() <= self.bounds.stanzas / 2 && bytes <= self.bounds.bytes / 2;
        state.kept_places += usize::from(has_room);
        has_room.then_some(true)
    }

    fn queue(&self, state: &mut State, delivery: Arc<Delivery>) -> Put {
        let bytes = delivery.bytes as usize;
        let queued = self.bounds.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        let full = queued + bytes > self.bounds.bytes && queued > 0;
        // The id is noted only for what is really in the mailbox.
        if full || state.queue.len() + state.kept_places >= self.bounds.stanzas {
            self.bounds.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            state.end = Some(End::Slow(if full { Full::Bytes } else { Full::Stanzas }));
            self.wake_for_end();
            return Put::Full;
        }
        state.note_given(&delivery);
        self.push(state, delivery);
        Put::Put
    }

    /// The task is woken for the first one only: it does not wait again before it found nothing more, or
    /// until somebody tells it that more can be taken.
    fn push(&self, state: &mut State, delivery: Arc<Delivery>) {
        let wakes = state.queue.is_empty();
        state.queue.push_back(delivery);
        if wakes {
            self.wake.notify_one();
        }
    }

    /// Takes the next one out of the mailbox. Only the session's task does, which says later with
    /// `unqueued` that it is done with it.
    pub fn take(&self) -> Option<Arc<Delivery>> {
        let mut state = self.state.lock();
        let delivery = state.queue.pop_front()?;
        let left = state.queue.len();
        if left == 0 && state.queue.capacity() > KEPT_CAPACITY {
            state.queue = VecDeque::new();
        }
        drop(state);
        if left == self.bounds.stanzas / 2 {
            self.bounds.room.notify_waiters();
        }
        Some(delivery)
    }

    /// The session's task has taken this much out of the mailbox for good.
    pub fn unqueued(&self, delivery: &Delivery) {
        let (bytes, half) = (delivery.bytes as usize, self.bounds.bytes / 2);
        let before = self.bounds.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
        if before > half && before.saturating_sub(bytes) <= half {
            self.bounds.room.notify_waiters();
        }
    }

    pub fn queued_stanzas(&self) -> usize {
        self.state.lock().queue.len()
    }

    /// The session has ended: its task and whoever waits for room are told.
    pub(super) fn wake_for_end(&self) {
        self.wake.notify_one();
        self.bounds.room.notify_waiters();
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
                *backlog = Backlog::Flushing { behind: Vec::new(), again: false, unread: false };
                true
            }
        }
    }

    /// Is it to be given this message as part of the backlog?
    pub fn was_given(&self, id: MessageId) -> bool {
        self.state.lock().given.contains(id)
    }

    /// The store could not be read (`unread`): until it is asked again, saved messages wait there, so that none of them
    /// overtakes what waits already, and others pass.
    pub fn suspend_backlog(&self, is_unread: bool) {
        let mut state = self.state.lock();
        let Backlog::Flushing { behind, again, unread } = &mut state.backlog else { return };
        *unread = is_unread;
        if !is_unread {
            return;
        }
        let behind = std::mem::take(behind);
        *again |= behind.iter().any(|delivery| delivery.saved.is_some());
        for delivery in behind.into_iter().filter(|delivery| delivery.saved.is_none()) {
            if state.end.is_none() {
                self.queue(&mut state, delivery);
            }
        }
    }

    /// The store had nothing more. Gives what came meanwhile, in its order, and is live again; false
    /// when there may be more in the store: read on.
    pub fn end_backlog(&self) -> bool {
        let mut state = self.state.lock();
        let Backlog::Flushing { behind, again, .. } = std::mem::take(&mut state.backlog) else { return true };
        if again && state.end.is_none() {
            state.backlog = Backlog::Flushing { behind, again: false, unread: false };
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
            return delivery.asked_for;
        }
        self.given.keep_last(REMEMBERED_IDS);
        self.held.insert(id);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::{bare_session, settle};

    fn message() -> Arc<Delivery> {
        Arc::new(Delivery::new(Stanza::message(xmpp_core::Type::Chat), 0))
    }

    /// Messages of no content weigh little: stanzas are the bound here.
    fn filled(stanzas: usize) -> Arc<Session> {
        let session = bare_session("romeo@example.com/orchard");
        (0..stanzas).for_each(|_| assert_eq!(session.put(message()), Put::Put));
        session
    }

    #[tokio::test]
    async fn a_full_mailbox_ends_the_session_and_takes_nothing_more() {
        let session = filled(4096);
        assert_eq!(session.put(message()), Put::Full);
        assert_eq!(session.ended(), Some(End::Slow(Full::Stanzas)));
        assert_eq!(session.put(message()), Put::Gone);
        assert_eq!(std::iter::from_fn(|| session.take()).count(), 4096);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_room_goes_on_when_half_is_free_or_the_session_ends() {
        for ends in [false, true] {
            let session = filled(2049);
            let waiting = tokio::spawn({
                let session = session.clone();
                async move { session.put_waiting(message()).await }
            });
            settle().await;
            assert!(!waiting.is_finished());
            let expected = match ends {
                true => {
                    session.end(End::Closed);
                    Put::Gone
                }
                false => {
                    session.unqueued(&session.take().expect("a stanza"));
                    Put::Put
                }
            };
            let put = tokio::time::timeout(Duration::from_secs(1), waiting).await;
            assert_eq!(put.expect("it was told").expect("a task"), expected);
            assert_eq!(session.queued_stanzas(), 2049);
        }
    }

    #[tokio::test]
    async fn the_task_is_woken_once_for_what_it_finds_at_once_and_again_behind_it() {
        let session = filled(2);
        session.wake.notified().await;
        while session.take().is_some() {}
        assert_eq!(session.put(message()), Put::Put);
        session.wake.notified().await;
    }

    #[tokio::test]
    async fn what_a_burst_took_is_given_back() {
        let session = filled(1000);
        while session.take().is_some() {}
        assert!(session.state.lock().queue.capacity() <= KEPT_CAPACITY);
    }
}
