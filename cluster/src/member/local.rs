//! What this node learns when an entry of the log is applied here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use super::Events;
use crate::raft::Applied;
use crate::{Batch, BatchReply, Boot, Command, Entry, Gone, NodeId, Reply, SessionTable};

pub struct Local {
    id: NodeId,
    table: Arc<SessionTable>,
    events: Arc<dyn Events>,
    state: Mutex<State>,
    /// The boot that is up, if this node is.
    up: watch::Sender<Option<Boot>>,
    /// The last boot of this process, for ids that are given while it is away: 0 before the first.
    boot: AtomicU64,
    /// What the log has grown by since the last snapshot.
    bytes: AtomicU64,
}

#[derive(Default)]
struct State {
    /// The start that this process gave, while it waits to be up.
    start: Option<u64>,
    /// The batch that is under way, under one number or several.
    waits: Option<Waits>,
    /// Sessions of this process that went from the table because it was declared down.
    away: Vec<Entry>,
    before: Vec<Entry>,
}

struct Waits {
    boot: Boot,
    from: u64,
    replies: mpsc::Sender<(u64, BatchReply)>,
}

/// What became of a batch, by its number. `Repeated`: this one and those before it are in a snapshot.
pub type Replies = mpsc::Receiver<(u64, BatchReply)>;

impl Local {
    pub fn new(id: NodeId, table: Arc<SessionTable>, events: Arc<dyn Events>) -> Local {
        let (state, up) = (Mutex::default(), watch::channel(None).0);
        Local { id, table, events, state, up, boot: AtomicU64::new(0), bytes: AtomicU64::new(0) }
    }

    pub fn boot(&self) -> Boot {
        Boot(self.boot.load(Ordering::Acquire))
    }

    pub fn up(&self) -> Option<Boot> {
        *self.up.borrow()
    }

    pub async fn until_up(&self) {
        // The sender is here: it cannot be gone.
        let _ = self.up.subscribe().wait_for(Option::is_some).await;
    }

    pub async fn until_down(&self) {
        let _ = self.up.subscribe().wait_for(Option::is_none).await;
    }

    /// From now on a `NodeUp` with this start is ours.
    pub fn expect_start(&self, start: u64) {
        self.state.lock().start = Some(start);
    }

    /// What becomes of the batches from this number on, in the place of what was expected before.
    pub fn expect(&self, boot: Boot, from: u64) -> Replies {
        // Each number is answered once, and the voice has few of them under way.
        let (replies, receiver) = mpsc::channel(64);
        self.state.lock().waits = Some(Waits { boot, from, replies });
        receiver
    }

    pub fn take_away(&self) -> Vec<Entry> {
        std::mem::take(&mut self.state.lock().away)
    }

    pub fn give_back_away(&self, entries: Vec<Entry>) {
        self.state.lock().away.extend(entries);
    }

    pub fn bytes_since_snapshot(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub fn snapshot_begun(&self) {
        self.bytes.store(0, Ordering::Relaxed);
    }

    fn applied(&self, command: &Command, reply: &Reply) {
        match (command, reply) {
            (Command::Open { .. }, Reply::Opened(opened)) => {
                if let Some(old) = opened.replaced.filter(|old| old.node == self.id) {
                    self.events.replaced(old);
                }
            }
            (Command::NodeUp { node, start }, Reply::NodeUp { boot, gone }) => {
                self.went(*node, gone);
                if *node == self.id && self.state.lock().start == Some(*start) {
                    self.boot.store(boot.0, Ordering::Release);
                    self.up.send_replace(Some(*boot));
                }
            }
            (Command::NodeDown { node, .. }, Reply::NodeDown { gone }) => {
                self.went(*node, gone);
                if *node == self.id {
                    self.down();
                }
            }
            _ => {}
        }
    }

    fn went(&self, node: NodeId, gone: &[Gone]) {
        if node == self.id {
            // Those of an earlier process are nobody's.
            let ours = gone.iter().map(|g| &g.entry).filter(|e| e.session.boot == self.boot());
            self.state.lock().away.extend(ours.cloned());
        }
        self.events.gone(node, gone);
    }

    fn down(&self) {
        self.state.lock().start = None;
        self.up.send_replace(None);
    }
}

impl Applied for Local {
    fn batch(&self, batch: &Batch, reply: &BatchReply, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        if let BatchReply::Applied(replies) = reply {
            batch.commands.iter().zip(replies).for_each(|(command, reply)| self.applied(command, reply));
        }
        if batch.node != self.id || batch.number == 0 {
            return;
        }
        let state = self.state.lock();
        let is_awaited = |w: &&Waits| w.boot == batch.boot && w.from <= batch.number;
        // What was repeated has been answered when it was applied.
        if let (Some(waits), true) = (state.waits.as_ref().filter(is_awaited), *reply != BatchReply::Repeated)
        {
            let _ = waits.replies.try_send((batch.number, reply.clone()));
        }
    }

    fn before_restore(&self) {
        let before = if self.up().is_some() { self.table.sessions_of(self.id) } else { Vec::new() };
        self.state.lock().before = before;
    }

    fn restored(&self) {
        let before = std::mem::take(&mut self.state.lock().before);
        let seen = self.table.node(self.id);
        let is_up = |boot| seen.is_some_and(|seen| seen.is_up && seen.boot == boot);
        match self.up() {
            Some(boot) if is_up(boot) => {
                let is_there = |e: &Entry| self.table.find(&e.jid.bare()).contains(e);
                let session_is_there = |e: &Entry| {
                    is_there(e) || self.table.find(&e.jid.bare()).iter().any(|s| s.session == e.session)
                };
                before.iter().filter(|e| !session_is_there(e)).for_each(|e| self.events.replaced(e.session));
            }
            Some(_) => {
                self.state.lock().away.extend(before);
                self.down();
            }
            None => self.was_restored_while_down(seen),
        }
        let state = self.state.lock();
        if let (Some(waits), Some(seen)) = (&state.waits, seen)
            && (waits.boot == seen.boot && waits.from <= seen.batch)
        {
            let _ = waits.replies.try_send((seen.batch, BatchReply::Repeated));
        }
    }
}

impl Local {
    /// Our own `NodeUp` may be in what was restored.
    fn was_restored_while_down(&self, seen: Option<crate::NodeSeen>) {
        let start = self.state.lock().start;
        if let Some(seen) = seen.filter(|seen| seen.is_up && Some(seen.start) == start) {
            self.boot.store(seen.boot.0, Ordering::Release);
            self.up.send_replace(Some(seen.boot));
        }
    }
}
