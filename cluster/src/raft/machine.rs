//! What the log does to the session table.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend};

use super::snapshots::{Body, Place, write_snapshot};
use super::{LogId, Proposal, Snapshot, SnapshotMeta, StoredMembership, Types};
use crate::{Batch, BatchReply, Frozen, SessionTable};

/// Who learns what was applied, in the log's order, on the spot. It must not wait.
pub(crate) trait Applied: Send + Sync {
    fn batch(&self, batch: &Batch, reply: &BatchReply, bytes: usize);
    /// The table is about to become another one, of which the log is not told.
    fn before_restore(&self);
    fn restored(&self);
}

pub struct Machine {
    table: Arc<SessionTable>,
    place: Place,
    applied: Arc<dyn Applied>,
    last: Option<LogId>,
    membership: StoredMembership,
}

pub struct Builder {
    frozen: Arc<Frozen>,
    meta: SnapshotMeta,
    place: Place,
}

impl Machine {
    /// With what the kept snapshot holds, if there is one.
    pub fn open(table: Arc<SessionTable>, place: Place, applied: Arc<dyn Applied>) -> io::Result<Machine> {
        let membership = StoredMembership::default();
        let mut machine = Machine { table, place, applied, last: None, membership };
        if let Some(body) = machine.place.current()? {
            let meta = load(&machine.table, &body)?;
            machine.loaded(meta);
        }
        Ok(machine)
    }

    fn loaded(&mut self, meta: SnapshotMeta) {
        self.last = meta.last_log_id;
        self.membership = meta.last_membership;
    }

    fn apply_batch(&self, bytes: Bytes) -> io::Result<()> {
        let length = bytes.len();
        // The leader read it before it proposed it: what cannot be read now is damage, and to go on
        // would make this node's table another one than its neighbours'.
        let batch = Batch::decode(bytes)?;
        let reply = self.table.apply_batch(&batch);
        self.applied.batch(&batch, &reply, length);
        Ok(())
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = Body;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.last, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some(next) = entries.next().await {
            let (entry, responder) = next?;
            match entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(Proposal(bytes)) => self.apply_batch(bytes)?,
                EntryPayload::Membership(membership) => {
                    self.membership = StoredMembership::new(Some(entry.log_id), membership);
                }
            }
            self.last = Some(entry.log_id);
            if let Some(responder) = responder {
                responder.send(());
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        let meta = SnapshotMeta { last_log_id: self.last, last_membership: self.membership.clone() };
        Builder { frozen: Arc::new(self.table.freeze()), meta, place: self.place.clone() }
    }

    async fn install_snapshot(&mut self, _meta: &SnapshotMeta, body: Body) -> Result<(), io::Error> {
        self.applied.before_restore();
        let (table, place) = (self.table.clone(), self.place.clone());
        let install = move || -> io::Result<SnapshotMeta> {
            let meta = load(&table, &body)?;
            place.keep(&body)?;
            Ok(meta)
        };
        let meta = blocking(&self.place, install).await?;
        self.loaded(meta);
        self.applied.restored();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        self.place.current()?.map(Body::into_snapshot).transpose()
    }
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = Body;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let (frozen, meta, place) = (self.frozen.clone(), self.meta.clone(), self.place.clone());
        let build = move || -> io::Result<Body> {
            let mut growing = place.begin("snapshot.new")?;
            write_snapshot(&mut growing, &meta, &frozen)?;
            let body = growing.finish()?;
            place.keep(&body)?;
            Ok(body)
        };
        let body = blocking(&self.place, build).await?;
        Ok(Snapshot { meta: self.meta.clone(), snapshot: body })
    }
}

fn load(table: &SessionTable, body: &Body) -> io::Result<SnapshotMeta> {
    let (meta, mut reader) = body.open()?;
    table.restore(&mut reader).map_err(|error| match body.path() {
        Some(path) => super::snapshots::at(path, error),
        None => io::Error::other(error),
    })?;
    Ok(meta)
}

/// Where the disk is a disk, its work is not done on the threads that answer heartbeats.
async fn blocking<T: Send + 'static>(
    place: &Place,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    match place {
        Place::Memory(_) => work(),
        Place::Folder(_) => tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?,
    }
}
