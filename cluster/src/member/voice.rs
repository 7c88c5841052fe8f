//! What this node asks of the log: one batch at a time, the rest gathers meanwhile.
//!
//! A batch is asked for until it was applied here. `Presence` and `Close` are never given up: a
//! table that does not know that a session went would send messages nowhere. An `Open` is given up with
//! its caller, so that it cannot replace another session minutes later; since it may have been applied
//! all the same, a `Close` takes its place, in a batch with a higher number, behind which the old one
//! cannot come any more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};
use xmpp_core::Jid;

use super::Inner;
use super::local::Replies;
use crate::envelope::{Ask, Told};
use crate::raft::ProposeError;
use crate::{
    BATCH_MAX_COMMANDS, Batch, BatchReply, Boot, ClusterError, Command, Entry, First, Opened, Presence,
    Reply, SessionId,
};

/// Between two attempts, unless another leader is heard of before.
const PAUSE: Duration = Duration::from_millis(100);
/// A leader that was asked answers in this time, or is asked again.
const ATTEMPT: Duration = Duration::from_secs(1);

/// A command and who waits for its reply: `None` is for a session that the table no longer knows.
pub struct Asked {
    command: Command,
    reply: Option<oneshot::Sender<Option<Reply>>>,
    /// It was an `Open` under an earlier number.
    is_given_up: bool,
}

impl Asked {
    fn for_nobody(command: Command) -> Asked {
        Asked { command, reply: None, is_given_up: false }
    }
}

/// Presences (the last of each session) and closes (without presence) that found the queue full.
pub type Owed = Mutex<BTreeMap<SessionId, (Jid, Option<Presence>)>>;

impl Inner {
    /// Puts it into the queue. What must not be lost and finds it full is owed.
    pub(super) fn ask(&self, command: Command) -> Result<oneshot::Receiver<Option<Reply>>, ClusterError> {
        let due = match &command {
            Command::Presence { jid, session, presence } => Some((*session, jid.clone(), Some(*presence))),
            Command::Close { jid, session } => Some((*session, jid.clone(), None)),
            _ => None,
        };
        let mut owed = self.owed.lock();
        let is_behind = due.as_ref().is_some_and(|(session, ..)| owed.contains_key(session));
        let (reply, receiver) = oneshot::channel();
        if !is_behind {
            match self.queue.try_send(Asked { command, reply: Some(reply), is_given_up: false }) {
                Ok(()) => return Ok(receiver),
                Err(mpsc::error::TrySendError::Closed(_)) => return Err(ClusterError::Stopped),
                Err(mpsc::error::TrySendError::Full(_)) => {}
            }
        }
        if let Some((session, jid, presence)) = due {
            let is_closed = owed.get(&session).is_some_and(|(_, presence)| presence.is_none());
            if !is_closed {
                owed.insert(session, (jid, presence));
            }
        }
        Err(ClusterError::NoQuorum)
    }
}

pub struct Voice {
    inner: Arc<Inner>,
    asked: mpsc::Receiver<Asked>,
    start: u64,
    boot: Boot,
    number: u64,
    /// Asked for, and not known to be applied.
    batch: Vec<Asked>,
}

impl Voice {
    pub fn new(inner: Arc<Inner>, asked: mpsc::Receiver<Asked>, start: u64) -> Voice {
        Voice { inner, asked, start, boot: Boot(0), number: 0, batch: Vec::new() }
    }

    pub async fn run(mut self) {
        loop {
            match self.inner.local.up() {
                None => self.come_up().await,
                Some(boot) if boot != self.boot => {
                    (self.boot, self.number) = (boot, 0);
                    self.reopen().await;
                }
                Some(_) => {
                    self.gather().await;
                    self.carry().await;
                }
            }
        }
    }

    /// Says that this node is there, until it is heard.
    async fn come_up(&mut self) {
        let (node, start) = (self.inner.id, self.start);
        self.inner.local.expect_start(start);
        let commands = vec![Command::NodeUp { node, start }];
        let batch = Batch { node, boot: Boot(0), number: 0, commands }.encode();
        loop {
            let said = self.inner.propose(batch.clone()).await;
            // Applied here a moment after the leader's word.
            let wait = if said { ATTEMPT } else { Duration::ZERO };
            if timeout(wait, self.inner.local.until_up()).await.is_ok() || self.inner.local.up().is_some() {
                break;
            }
            if said {
                // Refused, because a later start is known: a clock that went back.
                break;
            }
            self.inner.raft.leader_change(PAUSE).await;
        }
        let known = self.inner.table.node(node).map_or(0, |seen| seen.start);
        self.start = self.start.max(known) + 1;
    }

    /// Brings the sessions back that went when this node was declared down.
    async fn reopen(&mut self) {
        let mut away = self.inner.local.take_away();
        if away.is_empty() {
            return;
        }
        let boot = self.boot;
        let here = |entry: &Entry| SessionId { boot, ..entry.session };
        let again =
            |e: &Entry| Command::Reopen { jid: e.jid.clone(), session: here(e), presence: e.presence };
        let mut kept = Vec::with_capacity(away.len());
        while !away.is_empty() {
            let rest = away.split_off(away.len().min(BATCH_MAX_COMMANDS));
            let commands: Vec<Command> = away.iter().map(again).collect();
            self.number += 1;
            let replies = match self.apply_whole(commands).await {
                BatchReply::Applied(replies) => replies,
                BatchReply::Repeated => away.iter().map(|e| self.outcome(&again(e))).collect(),
                // Down once more: the next return brings all that is left.
                BatchReply::Stale => {
                    away.extend(rest);
                    self.inner.local.give_back_away(away);
                    return;
                }
            };
            for (entry, reply) in away.iter().zip(replies) {
                match reply {
                    Reply::Reopened(_) => kept.push(here(entry)),
                    _ => self.inner.events.replaced(entry.session),
                }
            }
            away = rest;
        }
        self.inner.events.returned(self.boot, &kept);
    }

    /// Fills the batch: awaits one, drains the rest.
    async fn gather(&mut self) {
        if self.batch.is_empty() && self.inner.owed.lock().is_empty() {
            tokio::select! {
                biased;
                () = self.inner.local.until_down() => return,
                first = self.asked.recv() => match first {
                    Some(first) => self.batch.push(first),
                    // The member was dropped: its tasks are ended.
                    None => return std::future::pending().await,
                },
            }
        }
        while self.batch.len() < BATCH_MAX_COMMANDS
            && let Ok(next) = self.asked.try_recv()
        {
            self.batch.push(next);
        }
        let mut owed = self.inner.owed.lock();
        // Only behind everything that was asked before.
        while self.batch.len() < BATCH_MAX_COMMANDS
            && let Some((session, (jid, presence))) = owed.pop_first()
        {
            let command = match presence {
                Some(presence) => Command::Presence { jid, session, presence },
                None => Command::Close { jid, session },
            };
            self.batch.push(Asked::for_nobody(command));
        }
    }

    /// Asks for the batch until it was applied here, or this node is no longer up.
    async fn carry(&mut self) {
        self.number += 1;
        let mut replies = self.inner.local.expect(self.boot, self.number);
        self.refuse_opens_of_other_boots();
        loop {
            self.give_up_opens();
            if self.batch.is_empty() {
                return;
            }
            let commands = self.batch.iter().map(|asked| self.of_this_boot(asked.command.clone())).collect();
            match self.attempt(commands, &mut replies).await {
                Some((number, BatchReply::Applied(replies))) => {
                    self.settle(number, replies.into_iter().map(Some).collect());
                }
                Some((number, BatchReply::Repeated)) => {
                    let outcomes = self
                        .batch
                        .iter()
                        .map(|asked| Some(self.outcome(&self.of_this_boot(asked.command.clone()))))
                        .collect();
                    self.settle(number, outcomes);
                }
                Some((_, BatchReply::Stale)) => {
                    self.keep_what_must_stay();
                    // The table says that this node is not up; the news is here, or on its way.
                    let _ = timeout(ATTEMPT, self.inner.local.until_down()).await;
                    return;
                }
                None => {}
            }
        }
    }

    /// Answers what was applied under this number. What was changed since then goes on under another.
    fn settle(&mut self, number: u64, replies: Vec<Option<Reply>>) {
        let is_last = number == self.number;
        for (asked, reply) in std::mem::take(&mut self.batch).into_iter().zip(replies) {
            match asked.is_given_up && !is_last {
                true => self.batch.push(asked),
                false => self.answer(asked, reply),
            }
        }
        self.number += 1;
    }

    fn answer(&mut self, asked: Asked, reply: Option<Reply>) {
        let session = match &asked.command {
            Command::Open { session, .. } | Command::Presence { session, .. } => *session,
            _ => SessionId { node: self.inner.id, boot: self.boot, number: 0 },
        };
        let unheard = match asked.reply {
            Some(caller) => caller.send(reply).err().flatten(),
            None => reply,
        };
        match (unheard, asked.command) {
            (Some(Reply::Opened(_)), Command::Open { jid, .. }) => {
                // Nobody will ever close it but us.
                self.batch.push(Asked::for_nobody(Command::Close { jid, session }));
            }
            (Some(Reply::Presence(first)), _) => self.inner.events.settled(session, first),
            _ => {}
        }
    }

    /// Who asked to bind and has left was told that it failed.
    fn give_up_opens(&mut self) {
        let mut gave_up = false;
        for asked in &mut self.batch {
            let has_left = asked.reply.as_ref().is_some_and(oneshot::Sender::is_closed);
            if let (true, Command::Open { jid, session }) = (has_left, &asked.command) {
                let command = Command::Close { jid: jid.clone(), session: *session };
                *asked = Asked { command, reply: None, is_given_up: true };
                gave_up = true;
            }
        }
        if gave_up {
            // Another content needs another number; under the old one it may still come, or be too late.
            self.number += 1;
        }
    }

    /// Its caller took the id before this node came back: he is to take another one.
    fn refuse_opens_of_other_boots(&mut self) {
        let boot = self.boot;
        let is_other =
            |asked: &Asked| matches!(&asked.command, Command::Open { session, .. } if session.boot != boot);
        for asked in std::mem::take(&mut self.batch) {
            match is_other(&asked) {
                true => drop(asked.reply.map(|reply| reply.send(None))),
                false => self.batch.push(asked),
            }
        }
    }

    /// Commands that nobody waits for, until they were applied here.
    async fn apply_whole(&mut self, commands: Vec<Command>) -> BatchReply {
        let mut replies = self.inner.local.expect(self.boot, self.number);
        loop {
            if let Some((_, reply)) = self.attempt(commands.clone(), &mut replies).await {
                return reply;
            }
        }
    }

    /// Asks the leader once, and looks whether it was applied here. `None`: try again.
    async fn attempt(&mut self, commands: Vec<Command>, replies: &mut Replies) -> Option<(u64, BatchReply)> {
        let (node, boot, number) = (self.inner.id, self.boot, self.number);
        let stale = Some((number, BatchReply::Stale));
        if self.inner.local.up() != Some(boot) {
            return stale;
        }
        let batch = Batch { node, boot, number, commands }.encode();
        let begun = Instant::now();
        let said = tokio::select! {
            biased;
            reply = replies.recv() => return reply,
            () = self.inner.local.until_down() => return stale,
            said = self.inner.propose(batch) => said,
        };
        let wait = if said { ATTEMPT } else { Duration::from_millis(1) };
        if let Ok(reply) = timeout(wait, replies.recv()).await {
            return reply;
        }
        if !said && begun.elapsed() < PAUSE {
            self.inner.raft.leader_change(PAUSE).await;
            sleep(Duration::from_millis(5)).await;
        }
        None
    }

    /// An id that was given by an earlier boot of this process is this session all the same.
    fn of_this_boot(&self, mut command: Command) -> Command {
        if let Command::Open { session, .. }
        | Command::Presence { session, .. }
        | Command::Close { session, .. } = &mut command
            && session.node == self.inner.id
        {
            session.boot = self.boot;
        }
        command
    }

    /// What became of a command whose reply went by in a snapshot.
    fn outcome(&self, command: &Command) -> Reply {
        let is_there = |jid: &Jid, session: &SessionId| {
            self.inner.table.find(&jid.bare()).iter().any(|entry| entry.session == *session)
        };
        let nothing_new = First { first_willing: false, next_willing: None };
        match command {
            Command::Open { jid, session } if is_there(jid, session) => {
                Reply::Opened(Opened { replaced: None })
            }
            Command::Presence { jid, session, .. } if is_there(jid, session) => Reply::Presence(nothing_new),
            Command::Reopen { jid, session, .. } if is_there(jid, session) => Reply::Reopened(nothing_new),
            Command::Close { jid, session } if !is_there(jid, session) => {
                Reply::Closed { next_willing: None }
            }
            _ => Reply::Unknown,
        }
    }

    /// The node was declared down under the batch: binds come again, the rest goes on after the return.
    fn keep_what_must_stay(&mut self) {
        for asked in std::mem::take(&mut self.batch) {
            match &asked.command {
                Command::Presence { .. } | Command::Close { .. } => self.batch.push(asked),
                // The reply's end is told by `None`; nobody has such a session.
                _ => drop(asked.reply.map(|reply| reply.send(None))),
            }
        }
    }
}

impl Inner {
    /// Puts a batch before the leader. `false`: it may be in the log or not.
    pub(super) async fn propose(&self, batch: bytes::Bytes) -> bool {
        match self.raft.status().leader {
            Some(leader) if leader == self.id => matches!(self.propose_here(batch).await, Told::Done),
            Some(leader) => {
                let ask = Ask::Propose(batch).encode();
                let answer = self.transport.request(leader, ask, ATTEMPT).await;
                matches!(answer.map(Told::decode), Ok(Ok(Told::Done)))
            }
            None => false,
        }
    }

    pub(super) async fn propose_here(&self, batch: bytes::Bytes) -> Told {
        match timeout(ATTEMPT, self.raft.propose(batch)).await {
            Ok(Ok(())) => Told::Done,
            Ok(Err(ProposeError::NotLeader(leader))) => Told::NotLeader(leader),
            Ok(Err(ProposeError::Unknown | ProposeError::Stopped)) | Err(_) => Told::NotNow,
        }
    }
}
