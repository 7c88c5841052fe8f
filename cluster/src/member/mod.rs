//! A node of a cluster: what a `SingleNode` is, with others to agree with.
//!
//! Every node asks for what it wants through its own `voice`, one batch after the other, and learns
//! what became of it from its own table, when the log's entry is applied here: who is answered can also
//! `find` what he was answered. The leader's `steward` notices nodes that are silent and chooses voters.

mod answers;
mod local;
mod status;
mod steward;
mod voice;
mod voters;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use xmpp_core::{BareJid, Jid};

use crate::envelope::{Ask, Told};
use crate::raft::{Parts, RaftNode};
use crate::transport::{Answers, Transport};
use crate::{
    Boot, Cluster, ClusterError, Command, Disk, First, Fut, Gone, NodeId, Opened, Parcel, Peer, Presence,
    Reply, SessionId, SessionTable, SessionsAt, Settings, StartError,
};
use local::Local;
pub use status::{ClusterStatus, NodeStatus, Role};
use voice::{Asked, Owed, Voice};

/// Commands that may wait for the voice. What is more waits for quieter times, or is refused.
const QUEUE_MAX: usize = 16 * 1024;

/// What a node is told that nobody asked for. Called where the log is applied: it must not wait.
pub trait Events: Send + Sync {
    /// A session of this node lost its address to another one: end it with `conflict`.
    fn replaced(&self, _session: SessionId) {}
    /// A node went, or came anew, and took these sessions with it.
    fn gone(&self, _node: NodeId, _gone: &[Gone]) {}
    /// This node had been declared down and is back, with the sessions that were not replaced. Their
    /// ids have this boot from now on, and the old numbers.
    fn returned(&self, _boot: Boot, _kept: &[SessionId]) {}
    /// A presence whose caller had been told `NoQuorum` has reached the table after all.
    fn settled(&self, _session: SessionId, _first: First) {}
}

/// For those who need no events.
pub struct NoEvents;

impl Events for NoEvents {}

pub struct MemberParts {
    pub id: NodeId,
    pub peer: Peer,
    pub disk: Disk,
    pub transport: Arc<dyn Transport>,
    pub settings: Settings,
    /// Chance: the same seed, the same elections.
    pub seed: u64,
    /// Greater than at every earlier start of this node. Microseconds since 1970 will do.
    pub start: u64,
    pub table: Arc<SessionTable>,
    pub events: Arc<dyn Events>,
}

pub struct Member {
    inner: Arc<Inner>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// What the tasks of a member share.
struct Inner {
    id: NodeId,
    peer: Peer,
    settings: Settings,
    table: Arc<SessionTable>,
    transport: Arc<dyn Transport>,
    raft: RaftNode,
    local: Arc<Local>,
    events: Arc<dyn Events>,
    queue: mpsc::Sender<Asked>,
    /// What must not be lost and found the queue full.
    owed: Owed,
    numbers: AtomicU64,
}

impl Member {
    /// Starts, from what its disk holds. A node that is in no cluster waits to be taken into one.
    pub async fn start(parts: MemberParts) -> Result<Member, StartError> {
        let MemberParts { id, peer, disk, transport, settings, seed, start, table, events } = parts;
        let local = Arc::new(Local::new(id, table.clone(), events.clone()));
        let raft_parts = Parts {
            id,
            disk,
            transport: transport.clone(),
            table: table.clone(),
            applied: local.clone(),
            seed,
        };
        let raft = RaftNode::start(&settings, raft_parts).await?;
        let (queue, asked) = mpsc::channel(QUEUE_MAX);
        let (owed, numbers) = (Owed::default(), AtomicU64::new(1));
        let inner = Arc::new(Inner {
            id,
            peer,
            settings,
            table,
            transport,
            raft,
            local,
            events,
            queue,
            owed,
            numbers,
        });
        let voice = tokio::spawn(Voice::new(inner.clone(), asked, start).run());
        let steward = tokio::spawn(steward::run(inner.clone()));
        Ok(Member { inner, tasks: Mutex::new(vec![voice, steward]) })
    }

    /// What answers the other nodes: to be attached to the transport.
    pub fn answers(&self) -> Arc<impl Answers + use<>> {
        self.inner.clone()
    }

    /// Makes a cluster of this node alone. Who may do this is settled elsewhere: only one node ever may.
    pub async fn bootstrap(&self) -> Result<(), String> {
        self.inner.raft.bootstrap(self.inner.peer.clone()).await
    }

    /// Whether this node was ever in a cluster.
    pub async fn is_in_cluster(&self) -> bool {
        self.inner.raft.is_initialized().await
    }

    /// Asks to be taken in, by way of a member whom the transport knows. `false`: not in this time.
    pub async fn join(&self, by: NodeId, limit: Duration) -> bool {
        let ask = Ask::Join { node: self.inner.id, peer: self.inner.peer.clone() };
        self.inner.ask_leader(by, &ask, limit).await
    }

    /// Takes another node out of the cluster. `false`: not in this time.
    pub async fn remove(&self, node: NodeId, limit: Duration) -> bool {
        self.inner.ask_leader(self.inner.id, &Ask::Remove { node }, limit).await
    }

    /// Asks the other to lead. Only the leader can.
    pub async fn transfer_leader(&self, to: NodeId) {
        self.inner.raft.transfer_leader(to).await;
    }

    pub async fn snapshot(&self) {
        self.inner.raft.snapshot().await;
    }

    /// Whether this node takes part, waiting for it so long.
    pub async fn is_up_within(&self, limit: Duration) -> bool {
        tokio::time::timeout(limit, self.inner.local.until_up()).await.is_ok()
    }

    pub fn status(&self) -> ClusterStatus {
        status::status(&self.inner)
    }

    pub fn table(&self) -> &SessionTable {
        &self.inner.table
    }

    /// Ends everything. Its sessions stay in the others' tables until it is missed.
    pub async fn stop(&self) {
        self.end_tasks();
        self.inner.raft.stop().await;
    }

    fn end_tasks(&self) {
        self.tasks.lock().drain(..).for_each(|task| task.abort());
    }

    async fn ask<T>(
        &self,
        command: Command,
        expect: impl FnOnce(Reply) -> Option<T>,
    ) -> Result<T, ClusterError> {
        let reply = self.inner.ask(command)?;
        match tokio::time::timeout(self.inner.settings.quorum_wait, reply).await {
            Ok(Ok(Some(reply))) => expect(reply).ok_or(ClusterError::Unknown),
            // Declared down meanwhile: who binds is to come again.
            Ok(Ok(None)) | Err(_) => Err(ClusterError::NoQuorum),
            Ok(Err(_)) => Err(ClusterError::Stopped),
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.end_tasks();
    }
}

impl Cluster for Member {
    /// Boot 0 until the node was up for the first time.
    fn here(&self) -> (NodeId, Boot) {
        (self.inner.id, self.inner.local.boot())
    }

    fn next_session(&self) -> SessionId {
        let (node, boot) = self.here();
        SessionId { node, boot, number: self.inner.numbers.fetch_add(1, Ordering::Relaxed) }
    }

    fn open<'a>(&'a self, jid: &'a Jid, session: SessionId) -> Fut<'a, Result<Opened, ClusterError>> {
        let command = Command::Open { jid: jid.clone(), session };
        Box::pin(self.ask(command, |reply| match reply {
            Reply::Opened(opened) => Some(opened),
            _ => None,
        }))
    }

    fn presence<'a>(
        &'a self,
        jid: &'a Jid,
        session: SessionId,
        presence: Presence,
    ) -> Fut<'a, Result<First, ClusterError>> {
        let command = Command::Presence { jid: jid.clone(), session, presence };
        Box::pin(self.ask(command, |reply| match reply {
            Reply::Presence(first) => Some(first),
            _ => None,
        }))
    }

    fn close<'a>(
        &'a self,
        jid: &'a Jid,
        session: SessionId,
    ) -> Fut<'a, Result<Option<SessionId>, ClusterError>> {
        let command = Command::Close { jid: jid.clone(), session };
        Box::pin(self.ask(command, |reply| match reply {
            Reply::Closed { next_willing } => Some(next_willing),
            _ => None,
        }))
    }

    fn find(&self, account: &BareJid) -> SessionsAt {
        self.inner.table.find(account)
    }

    fn send(&self, _node: NodeId, parcel: Parcel) -> Result<(), Parcel> {
        // There are no links for parcels: the router looks again.
        Err(parcel)
    }
}

impl Inner {
    /// Asks the leader for a change of members, by whoever knows him.
    async fn ask_leader(&self, by: NodeId, ask: &Ask, limit: Duration) -> bool {
        let mut next = by;
        let asking = async {
            loop {
                match self.ask_one(next, ask).await {
                    Some(Told::Done) => return,
                    Some(Told::NotLeader(Some(leader))) if leader != next => next = leader,
                    _ => {
                        next = by;
                        tokio::time::sleep(Duration::from_millis(200)).await;
                    }
                }
            }
        };
        tokio::time::timeout(limit, asking).await.is_ok()
    }

    /// Another node, or this one.
    async fn ask_one(&self, node: NodeId, ask: &Ask) -> Option<Told> {
        const LIMIT: Duration = Duration::from_secs(5);
        if node == self.id {
            return tokio::time::timeout(LIMIT, self.told(self.id, ask.clone())).await.ok();
        }
        let answer = self.transport.request(node, ask.encode(), LIMIT).await.ok()?;
        Told::decode(answer).ok()
    }
}
