//! The save: drafts of all sessions are gathered, saved in one commit, and delivered in the order of
//! their ids (messages.md, rules 1, 3 and 6).
//!
//! Batches come of being busy: await one, drain the rest. What needs no save but comes behind
//! something that does passes through here too, so that a session's stanzas keep their order.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use tokio::sync::mpsc;
use xmpp_core::Jid;

use super::hooks::{Letter, Verdict};
use super::{Fate, Router, wait};
use crate::session::Session;
use crate::storage::Draft;

/// Letters that may wait for the committing task. A sender of one more waits.
pub(super) const QUEUE: usize = 8_192;
/// Letters in one commit.
const BATCH: usize = 512;

/// A letter on its way through a commit.
pub(super) struct Pending {
    letter: Letter,
    behind: Behind,
    bytes: usize,
}

/// What comes behind the save.
enum Behind {
    Deliver(Jid),
    /// Only its sender's archive has it.
    GiveUp(Verdict),
}

impl Pending {
    pub(super) fn new(letter: Letter, to: Jid) -> Pending {
        Pending::before(letter, Behind::Deliver(to))
    }

    pub(super) fn given_up(letter: Letter, verdict: Verdict) -> Pending {
        Pending::before(letter, Behind::GiveUp(verdict))
    }

    fn before(letter: Letter, behind: Behind) -> Pending {
        let bytes = letter.stanza.payload.len_bytes() + 200;
        Pending { letter, behind, bytes }
    }

    fn draft(&self) -> Option<Draft> {
        if self.letter.owners.is_empty() {
            return None;
        }
        let mut stanza = Vec::with_capacity(self.bytes + 100);
        self.letter.stanza.write(&mut stanza);
        Some(Draft {
            time: self.letter.time,
            owners: self.letter.owners.clone(),
            stanza: Bytes::from(stanza),
        })
    }
}

impl Router {
    /// Hands a letter to the committing task.
    pub(super) async fn commit(self: &Arc<Self>, pending: Pending) -> Fate {
        let inbound: Option<Arc<Session>> = pending.letter.session().cloned();
        let bytes = pending.bytes;
        if let Some(session) = &inbound {
            session.inbound.begin(bytes);
        }
        if let Err(mpsc::error::SendError(pending)) = self.commits.send(pending).await {
            // The server stops: not saved, hence not acknowledged either.
            self.conclude(&pending.letter, Verdict::Refuse(wait()));
            if let Some(session) = inbound {
                session.inbound.finish(bytes);
            }
        }
        Fate::Pending
    }

    async fn commit_batch(self: &Arc<Self>, batch: &mut Vec<Pending>) {
        let drafts: Vec<Draft> = batch.iter().filter_map(Pending::draft).collect();
        let messages = drafts.len();
        let saved = match drafts.is_empty() {
            true => Ok(Vec::new()),
            false => self.store.save(drafts).await,
        };
        if let Err(error) = &saved {
            // The store says when it begins to fail, and when that is over.
            tracing::debug!(%error, messages, "messages were not saved; their senders are told to wait");
        }
        let mut ids = saved.as_ref().map(|ids| ids.iter().copied()).ok();
        for Pending { mut letter, behind, bytes } in batch.drain(..) {
            let (session, came) = (letter.session().cloned(), letter.came);
            match (letter.owners.is_empty(), &mut ids) {
                (true, _) => self.go_on(letter, behind),
                (false, Some(ids)) => {
                    letter.saved = ids.next();
                    debug_assert!(letter.saved.is_some(), "a store gives an id for each draft");
                    self.go_on(letter, behind);
                }
                (false, None) => drop(self.conclude(&letter, Verdict::Refuse(wait()))),
            }
            if let Some(session) = session {
                self.metrics.routed(came.elapsed());
                session.inbound.finish(bytes);
            }
        }
    }

    /// Behind the save, or in the turn of what needed none.
    fn go_on(self: &Arc<Self>, letter: Letter, behind: Behind) {
        match behind {
            Behind::Deliver(to) => self.deliver(&letter, &to),
            Behind::GiveUp(verdict) => drop(self.conclude(&letter, verdict)),
        }
    }
}

/// The committing task. Ends when the router is gone.
pub(super) async fn run(router: Weak<Router>, mut pending: mpsc::Receiver<Pending>) {
    let mut batch = Vec::new();
    while pending.recv_many(&mut batch, BATCH).await > 0 {
        let Some(router) = router.upgrade() else { return };
        router.commit_batch(&mut batch).await;
    }
}
