//! What a session's reader tells the session's task. Each fact has one place that a newer one
//! overwrites, so that no client can fill a queue with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Session;
use crate::c2s::socket::Socket;

#[derive(Default)]
pub struct Link {
    said: Mutex<Option<Box<Said>>>,
    reader: Mutex<Option<Reader>>,
    /// Nobody is connected: the session waits to be resumed.
    sleeping: AtomicBool,
    /// The session's task has finished: queues disposed of, presence sent, table told.
    finished: AtomicBool,
    finish: Notify,
}

/// What the task has not seen yet.
#[derive(Default)]
pub struct Said {
    /// A connection that takes the session over.
    pub attach: Option<Attach>,
    /// The connection of this generation broke.
    pub lost: Option<u64>,
    /// `<a h='..'/>`.
    pub acknowledged: Option<u32>,
    /// So many `<r/>` have no answer yet.
    pub answers_due: usize,
    /// `<enable/>` was accepted: these bytes, then numbers.
    pub enable: Option<Enable>,
    /// `<active/>` or `<inactive/>`.
    pub active: Option<bool>,
    /// Bytes to be written in their turn, such as `<failed/>`. At most one at a time: it ends the
    /// stream or answers a request that is not repeated.
    pub bytes: Option<Vec<u8>>,
}

pub struct Attach {
    pub socket: Arc<Socket>,
    pub generation: u64,
    /// What the client says it handled, and the id by which it asked.
    pub h: u32,
    pub previd: String,
}

pub struct Enable {
    /// `<enabled/>`, to be written behind everything that came before it.
    pub answer: Vec<u8>,
    /// Seconds for which the session may be resumed; `None`: it may not.
    pub resume_seconds: Option<u32>,
}

/// The reader of the session's connection.
struct Reader {
    generation: u64,
    stop: Arc<Notify>,
}

impl Link {
    pub fn say(&self, session: &Session, what: impl FnOnce(&mut Said)) {
        what(self.said.lock().get_or_insert_default());
        session.wake.notify_one();
    }

    pub fn take(&self) -> Option<Box<Said>> {
        self.said.lock().take()
    }

    /// Has somebody said that the connection is gone, or that another takes its place?
    pub fn replaces_connection(&self) -> bool {
        let said = self.said.lock();
        said.as_ref().is_some_and(|said| said.attach.is_some() || said.lost.is_some())
    }

    pub fn is_sleeping(&self) -> bool {
        self.sleeping.load(Ordering::Relaxed)
    }

    pub fn set_sleeping(&self, sleeping: bool) {
        self.sleeping.store(sleeping, Ordering::Relaxed);
    }

    /// A reader begins. It stops when it is notified.
    pub fn begin_reader(&self, generation: u64) -> Arc<Notify> {
        let stop = Arc::new(Notify::new());
        let former = self.reader.lock().replace(Reader { generation, stop: stop.clone() });
        // Two clients that resume the session at once: the second has it.
        if let Some(former) = former {
            former.stop.notify_one();
        }
        stop
    }

    pub fn end_reader(&self, generation: u64) {
        let mut reader = self.reader.lock();
        if reader.as_ref().is_some_and(|r| r.generation == generation) {
            *reader = None;
        }
        drop(reader);
        self.finish.notify_waiters();
    }

    pub fn stop_reader(&self) {
        if let Some(reader) = &*self.reader.lock() {
            reader.stop.notify_one();
        }
    }

    /// Stops the reader and waits until none is left, nor one of somebody else who waited for the same.
    pub async fn without_reader(&self) {
        self.until(|| {
            self.stop_reader();
            self.reader.lock().is_none()
        })
        .await;
    }

    pub fn finished(&self) {
        self.finished.store(true, Ordering::Release);
        self.finish.notify_waiters();
    }

    /// Waits until the session's task has finished.
    pub async fn until_finished(&self) {
        self.until(|| self.finished.load(Ordering::Acquire)).await;
    }

    async fn until(&self, done: impl Fn() -> bool) {
        loop {
            let changed = self.finish.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if done() {
                return;
            }
            changed.await;
        }
    }
}
