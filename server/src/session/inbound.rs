//! The stanzas of a session whose fate is not decided yet: a first-in-first-out queue, of which only
//! the counts are here (messages.md, rules 2 and 3).

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use tokio::sync::Notify;

#[derive(Default)]
pub struct Inbound {
    /// Stanzas whose fate is decided: 0198's `h` from the moment it counts.
    handled: AtomicU32,
    pending: AtomicUsize,
    pending_bytes: AtomicUsize,
    /// Told when `pending` goes down.
    decided: Notify,
}

impl Inbound {
    /// A stanza went to the committing task.
    pub fn begin(&self, bytes: usize) {
        self.pending_bytes.fetch_add(bytes, Ordering::AcqRel);
        self.pending.fetch_add(1, Ordering::AcqRel);
    }

    /// Its fate is decided.
    pub fn finish(&self, bytes: usize) {
        self.pending_bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.handled.fetch_add(1, Ordering::AcqRel);
        self.pending.fetch_sub(1, Ordering::AcqRel);
        self.decided.notify_one();
    }

    /// A stanza's fate was decided on the spot, with none before it undecided.
    pub fn handled_now(&self) {
        self.handled.fetch_add(1, Ordering::AcqRel);
    }

    /// `<enable/>`: counts from 0, with nothing before it undecided (XEP-0198 section 4).
    pub fn start_counting(&self) {
        self.handled.store(0, Ordering::Release);
    }

    pub fn handled(&self) -> u32 {
        self.handled.load(Ordering::Acquire)
    }

    pub fn is_empty(&self) -> bool {
        self.pending.load(Ordering::Acquire) == 0
    }

    pub fn pending(&self) -> (usize, usize) {
        (self.pending.load(Ordering::Acquire), self.pending_bytes.load(Ordering::Acquire))
    }

    /// Waits until fewer than these are pending. One waiter: the session's reader.
    pub async fn below(&self, stanzas: usize, bytes: usize) {
        loop {
            let (pending, pending_bytes) = self.pending();
            if pending == 0 || (pending < stanzas && pending_bytes < bytes) {
                return;
            }
            self.decided.notified().await;
        }
    }
}
