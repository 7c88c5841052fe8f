//! A cluster of one: the same table, with nobody to agree with.

use std::sync::atomic::{AtomicU64, Ordering};

use xmpp_core::{BareJid, Jid};

use crate::{
    Boot, Cluster, ClusterError, Command, First, Fut, NodeId, Opened, Parcel, Presence, Reply, SessionId,
    SessionTable, SessionsAt,
};

pub struct SingleNode {
    table: SessionTable,
    boot: Boot,
    numbers: AtomicU64,
}

impl SingleNode {
    /// `boot` differs from that of every earlier start (the time will do), so that the session ids
    /// and stream-management ids of an earlier process mean nothing to this one.
    pub fn new(boot: Boot) -> SingleNode {
        let table = SessionTable::default();
        // The first of all starts: its boot is the number that it gives.
        let up = table.apply(Command::NodeUp { node: NodeId(1), start: boot.0 });
        let boot = if let Reply::NodeUp { boot, .. } = up { boot } else { boot };
        SingleNode { table, boot, numbers: AtomicU64::new(1) }
    }

    pub fn table(&self) -> &SessionTable {
        &self.table
    }

    fn apply<T>(&self, command: Command, expect: impl FnOnce(Reply) -> Option<T>) -> Result<T, ClusterError> {
        expect(self.table.apply(command)).ok_or(ClusterError::Unknown)
    }
}

impl Cluster for SingleNode {
    fn here(&self) -> (NodeId, Boot) {
        (NodeId(1), self.boot)
    }

    fn next_session(&self) -> SessionId {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        SessionId { node: NodeId(1), boot: self.boot, number }
    }

    fn open<'a>(&'a self, jid: &'a Jid, session: SessionId) -> Fut<'a, Result<Opened, ClusterError>> {
        let opened = self.apply(Command::Open { jid: jid.clone(), session }, |reply| match reply {
            Reply::Opened(opened) => Some(opened),
            _ => None,
        });
        Box::pin(std::future::ready(opened))
    }

    fn presence<'a>(
        &'a self,
        jid: &'a Jid,
        session: SessionId,
        presence: Presence,
    ) -> Fut<'a, Result<First, ClusterError>> {
        let first =
            self.apply(Command::Presence { jid: jid.clone(), session, presence }, |reply| match reply {
                Reply::Presence(first) => Some(first),
                _ => None,
            });
        Box::pin(std::future::ready(first))
    }

    fn close<'a>(
        &'a self,
        jid: &'a Jid,
        session: SessionId,
    ) -> Fut<'a, Result<Option<SessionId>, ClusterError>> {
        let next = self.apply(Command::Close { jid: jid.clone(), session }, |reply| match reply {
            Reply::Closed { next_willing } => Some(next_willing),
            _ => None,
        });
        Box::pin(std::future::ready(next))
    }

    fn find(&self, account: &BareJid) -> SessionsAt {
        self.table.find(account)
    }

    fn send(&self, _node: NodeId, parcel: Parcel) -> Result<(), Parcel> {
        // There is no other node: what is meant for one comes back, and the router looks again.
        Err(parcel)
    }
}
