//! One node's Raft, as the rest of the crate sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::errors::{ClientWriteError, RaftError};
use openraft::{ChangeMembers, Config, SnapshotPolicy};
use tokio::time::Instant;

use super::machine::{Applied, Machine};
use super::message::Request;
use super::network::Links;
use super::serve::{Incoming, serve};
use super::snapshots::Place;
use super::{LogError, Peer, Proposal, RedbLog, Runtime, Types};
use crate::transport::Transport;
use crate::wire::{Malformed, Reader};
use crate::{BadSetting, Disk, NodeId, SessionTable, Settings, envelope};

pub(super) type Raft = openraft::Raft<Types, Machine>;
type Failure = RaftError<Types, ClientWriteError<Types>>;

/// Why a node cannot start.
#[derive(Debug)]
pub enum StartError {
    Setting(BadSetting),
    /// The log cannot be opened; the file is named.
    Log(LogError),
    /// The snapshot cannot be read; the file is named.
    Snapshot(io::Error),
    /// Raft itself would not start.
    Raft(String),
}

/// Why a proposal was not taken. It may have been applied in each case but the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProposeError {
    NotLeader(Option<NodeId>),
    /// Leadership was lost before it was committed.
    Unknown,
    Stopped,
}

pub(crate) struct RaftNode {
    raft: Raft,
    incoming: Incoming,
}

pub(crate) struct Parts {
    pub id: NodeId,
    pub disk: Disk,
    pub transport: Arc<dyn Transport>,
    pub table: Arc<SessionTable>,
    pub applied: Arc<dyn Applied>,
    pub seed: u64,
}

/// What a node knows of the cluster at this moment.
#[derive(Debug, Clone)]
pub(crate) struct RaftStatus {
    pub leader: Option<NodeId>,
    pub term: u64,
    pub voters: BTreeSet<NodeId>,
    pub members: BTreeMap<NodeId, Peer>,
    pub is_membership_settled: bool,
    pub last_log: u64,
    pub applied: u64,
    pub snapshot: u64,
    /// When the leader (here) last heard from each other node.
    pub heard: BTreeMap<NodeId, Instant>,
    /// The disk failed, or the node was stopped.
    pub is_dead: bool,
}

impl RaftNode {
    pub async fn start(settings: &Settings, parts: Parts) -> Result<RaftNode, StartError> {
        settings.check().map_err(StartError::Setting)?;
        let config = Arc::new(config(settings)?);
        let Parts { id, disk, transport, table, applied, seed } = parts;
        let raft_id = u64::from(id.0);
        let links = Links { transport };
        let stop = |error: &dyn std::fmt::Display| StartError::Raft(error.to_string());
        let (started, place) = match disk {
            Disk::Memory(disk) => {
                let place = Place::Memory(disk.snapshot.clone());
                let machine = Machine::open(table, place.clone(), applied).map_err(StartError::Snapshot)?;
                let start = Raft::new(raft_id, config, links, disk.log.clone(), machine);
                (Runtime::scope(seed, start).await, place)
            }
            Disk::Folder(folder) => {
                let place = Place::Folder(folder.clone());
                let log = open_log(folder).await?;
                let machine = Machine::open(table, place.clone(), applied).map_err(StartError::Snapshot)?;
                let start = Raft::new(raft_id, config, links, log, machine);
                (Runtime::scope(seed, start).await, place)
            }
        };
        let raft = started.map_err(|error| stop(&error))?;
        Ok(RaftNode { raft, incoming: Incoming::new(place) })
    }

    /// Makes a cluster of this node alone. Only ever once in a cluster's life.
    pub async fn bootstrap(&self, peer: Peer) -> Result<(), String> {
        let members = BTreeMap::from([(*self.raft.node_id(), peer)]);
        self.raft.initialize(members).await.map_err(|error| error.to_string())
    }

    pub async fn is_initialized(&self) -> bool {
        self.raft.is_initialized().await.unwrap_or(false)
    }

    pub async fn propose(&self, batch: Bytes) -> Result<(), ProposeError> {
        match self.raft.client_write(Proposal(batch)).await {
            Ok(_) => Ok(()),
            Err(error) => Err(propose_error(&error)),
        }
    }

    /// Takes a node in, without a vote. It is sent the table while it is asked nothing.
    pub async fn add_learner(&self, node: NodeId, peer: Peer) -> Result<(), ProposeError> {
        let added = self.raft.add_learner(u64::from(node.0), peer, false).await;
        added.map(drop).map_err(|error| propose_error(&error))
    }

    /// These have a vote from now on, and others that had one stay as learners.
    pub async fn set_voters(&self, voters: &BTreeSet<NodeId>) -> Result<(), ProposeError> {
        let voters: BTreeSet<u64> = voters.iter().map(|node| u64::from(node.0)).collect();
        let changed = self.raft.change_membership(ChangeMembers::ReplaceAllVoters(voters), true).await;
        changed.map(drop).map_err(|error| propose_error(&error))
    }

    /// Forgets a learner.
    pub async fn remove_learner(&self, node: NodeId) -> Result<(), ProposeError> {
        let nodes = BTreeSet::from([u64::from(node.0)]);
        let changed = self.raft.change_membership(ChangeMembers::RemoveNodes(nodes), false).await;
        changed.map(drop).map_err(|error| propose_error(&error))
    }

    pub async fn transfer_leader(&self, to: NodeId) {
        // Nothing comes of it when this node does not lead.
        let _ = self.raft.trigger().transfer_leader(u64::from(to.0)).await;
    }

    pub async fn snapshot(&self) {
        let _ = self.raft.trigger().snapshot().await;
    }

    pub async fn serve(&self, from: NodeId, mut reader: Reader) -> Result<Bytes, Malformed> {
        let request = Request::read(&mut reader)?;
        reader.end()?;
        let answer = serve(&self.raft, &self.incoming, from, request).await;
        Ok(envelope::raft(|out| answer.put(out)))
    }

    pub fn status(&self) -> RaftStatus {
        use openraft::async_runtime::watch::WatchReceiver;
        let watched = self.raft.metrics();
        let metrics = watched.borrow_watched();
        let membership = metrics.membership_config.membership();
        let index = |id: Option<super::LogId>| id.map_or(0, |id| id.index);
        let heard = metrics.heartbeat.iter().flatten();
        RaftStatus {
            leader: metrics.current_leader.and_then(narrow),
            term: metrics.current_term,
            voters: membership.voter_ids().filter_map(narrow).collect(),
            members: membership.nodes().filter_map(|(id, peer)| Some((narrow(*id)?, peer.clone()))).collect(),
            is_membership_settled: membership.get_joint_config().len() == 1
                && metrics.committed_membership_config == metrics.membership_config,
            last_log: metrics.last_log_index.unwrap_or(0),
            applied: index(metrics.last_applied),
            snapshot: index(metrics.snapshot),
            heard: heard.filter_map(|(id, at)| Some((narrow(*id)?, tokio_instant(at.as_ref()?)))).collect(),
            is_dead: metrics.running_state.is_err(),
        }
    }

    /// Returns when there may be another leader, or after this time.
    pub async fn leader_change(&self, limit: Duration) {
        use openraft::async_runtime::watch::WatchReceiver;
        let mut watched = self.raft.server_metrics();
        // What it is now was seen by who asks.
        watched.borrow_and_update();
        let _ = tokio::time::timeout(limit, watched.changed()).await;
    }

    pub async fn stop(&self) {
        let _ = self.raft.shutdown().await;
    }
}

fn config(settings: &Settings) -> Result<Config, StartError> {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let config = Config {
        cluster_name: "meerkat".to_owned(),
        heartbeat_interval: millis(settings.heartbeat),
        election_timeout_min: millis(settings.election_min),
        election_timeout_max: millis(settings.election_max),
        enable_pre_vote: Some(true),
        install_snapshot_timeout: 60_000,
        max_payload_entries: 256,
        // By bytes, see `Settings::snapshot_after_bytes`: entries are of any size.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: 256,
        replication_lag_threshold: 4096,
        ..Config::default()
    };
    config.validate().map_err(|error| StartError::Raft(error.to_string()))
}

async fn open_log(folder: PathBuf) -> Result<RedbLog, StartError> {
    let open = move || {
        let path = folder.join("raft.redb");
        std::fs::create_dir_all(&folder)
            .map_err(|error| LogError { path: folder.clone(), reason: error.to_string() })?;
        RedbLog::open(&path)
    };
    let opened = tokio::task::spawn_blocking(open).await;
    opened.map_err(|error| StartError::Raft(error.to_string()))?.map_err(StartError::Log)
}

fn propose_error(error: &Failure) -> ProposeError {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => {
            ProposeError::NotLeader(forward.leader_id.and_then(narrow))
        }
        RaftError::APIError(_) => ProposeError::Unknown,
        RaftError::Fatal(_) => ProposeError::Stopped,
    }
}

fn narrow(id: u64) -> Option<NodeId> {
    u32::try_from(id).ok().map(NodeId)
}

fn tokio_instant(at: &openraft::alias::SerdeInstantOf<Types>) -> Instant {
    // openraft keeps tokio's own instants and shows only how long ago they were.
    use openraft::Instant as _;
    Instant::now() - at.elapsed()
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StartError::Setting(BadSetting(words)) => write!(f, "cluster: {words}"),
            StartError::Log(error) => write!(f, "{error}"),
            StartError::Snapshot(error) => write!(f, "the snapshot of the cluster: {error}"),
            StartError::Raft(error) => write!(f, "Raft does not start: {error}"),
        }
    }
}

impl std::error::Error for StartError {}
