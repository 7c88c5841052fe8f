//! The session table: a plain function from commands to replies, over memory that many may read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use ahash::{HashMap, RandomState};
use parking_lot::RwLock;
use xmpp_core::{BareJid, Jid};

use crate::{Entry, First, NodeId, Opened, Presence, SessionId, SessionsAt};

/// Readers of different accounts do not meet: measured better than one lock, and than lock-free maps.
const SHARDS: usize = 64;

/// What may happen to the table. In a cluster these are the entries of the log.
#[derive(Debug, Clone)]
pub enum Command {
    Open { jid: Jid, session: SessionId },
    Presence { jid: Jid, session: SessionId, presence: Presence },
    Close { jid: Jid, session: SessionId },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Opened(Opened),
    Presence(First),
    Closed {
        next_willing: Option<SessionId>,
    },
    /// The command spoke of a session that is not there.
    Unknown,
}

pub struct SessionTable {
    shards: Vec<RwLock<HashMap<BareJid, SessionsAt>>>,
    hasher: RandomState,
    /// The place in the order of commands; a session's willingness is dated with it.
    applied: AtomicU64,
    sessions: AtomicUsize,
    nobody: SessionsAt,
}

impl Default for SessionTable {
    fn default() -> SessionTable {
        SessionTable {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            hasher: RandomState::new(),
            applied: AtomicU64::new(0),
            sessions: AtomicUsize::new(0),
            nobody: Arc::from([]),
        }
    }
}

impl SessionTable {
    pub fn find(&self, account: &BareJid) -> SessionsAt {
        self.shard(account).read().get(account).unwrap_or(&self.nobody).clone()
    }

    pub fn len(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every session of a node (for `NodeDown` and the operator). Walks the table.
    pub fn sessions_of(&self, node: NodeId) -> Vec<Entry> {
        let of_node = |e: &&Entry| e.session.node == node;
        let shards = self.shards.iter();
        shards
            .flat_map(|s| {
                s.read().values().flat_map(|v| v.iter().filter(of_node).cloned()).collect::<Vec<_>>()
            })
            .collect()
    }

    pub fn apply(&self, command: Command) -> Reply {
        let index = self.applied.fetch_add(1, Ordering::Relaxed) + 1;
        match command {
            Command::Open { jid, session } => self.open(jid, session),
            Command::Presence { jid, session, presence } => self.set_presence(&jid, session, presence, index),
            Command::Close { jid, session } => self.close(&jid, session),
        }
    }

    fn open(&self, jid: Jid, session: SessionId) -> Reply {
        let account = jid.bare();
        let mut shard = self.shard(&account).write();
        let sessions = shard.entry(account).or_insert_with(|| self.nobody.clone());
        let mut entries = sessions.to_vec();
        let mut replaced = None;
        match entries.iter().position(|e| e.jid == jid) {
            Some(at) if entries[at].session == session => {}
            taken => {
                if let Some(at) = taken {
                    replaced = Some(entries.remove(at).session);
                    self.sessions.fetch_sub(1, Ordering::Relaxed);
                }
                entries.push(Entry { jid, session, presence: Presence::None, willing_since: 0 });
                self.sessions.fetch_add(1, Ordering::Relaxed);
            }
        }
        *sessions = entries.into();
        Reply::Opened(Opened { replaced })
    }

    fn set_presence(&self, jid: &Jid, session: SessionId, presence: Presence, index: u64) -> Reply {
        let account = jid.bare();
        let mut shard = self.shard(&account).write();
        let Some(sessions) = shard.get_mut(&account) else { return Reply::Unknown };
        let mut entries = sessions.to_vec();
        let Some(at) = entries.iter().position(|e| e.session == session) else { return Reply::Unknown };
        let was_willing = entries[at].presence == Presence::Willing;
        let was_first = first_willing(&entries) == Some(session);
        let becomes_willing = presence == Presence::Willing && !was_willing;
        entries[at].presence = presence;
        if becomes_willing {
            entries[at].willing_since = index;
        }
        let first = first_willing(&entries);
        *sessions = entries.into();
        Reply::Presence(First {
            first_willing: becomes_willing && first == Some(session),
            next_willing: first.filter(|next| was_first && *next != session),
        })
    }

    fn close(&self, jid: &Jid, session: SessionId) -> Reply {
        let account = jid.bare();
        let mut shard = self.shard(&account).write();
        let Some(sessions) = shard.get_mut(&account) else { return Reply::Unknown };
        let Some(at) = sessions.iter().position(|e| e.session == session) else { return Reply::Unknown };
        let was_first = first_willing(sessions) == Some(session);
        let mut entries = sessions.to_vec();
        entries.remove(at);
        self.sessions.fetch_sub(1, Ordering::Relaxed);
        let next_willing = if was_first { first_willing(&entries) } else { None };
        match entries.is_empty() {
            true => drop(shard.remove(&account)),
            false => *sessions = entries.into(),
        }
        Reply::Closed { next_willing }
    }

    fn shard(&self, account: &BareJid) -> &RwLock<HashMap<BareJid, SessionsAt>> {
        let hash = self.hasher.hash_one(account);
        &self.shards[(hash % SHARDS as u64) as usize]
    }
}

/// The session that is given what waits (messages.md, rule 10 of the design: the table's order decides).
fn first_willing(entries: &[Entry]) -> Option<SessionId> {
    let willing = entries.iter().filter(|e| e.presence == Presence::Willing);
    willing.min_by_key(|e| e.willing_since).map(|e| e.session)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Boot;

    fn id(number: u64) -> SessionId {
        SessionId { node: NodeId(1), boot: Boot(1), number }
    }

    fn jid(text: &str) -> Jid {
        Jid::parse(text).unwrap()
    }

    fn open(table: &SessionTable, text: &str, number: u64) -> Reply {
        table.apply(Command::Open { jid: jid(text), session: id(number) })
    }

    fn presence(table: &SessionTable, text: &str, number: u64, presence: Presence) -> Reply {
        table.apply(Command::Presence { jid: jid(text), session: id(number), presence })
    }

    #[test]
    fn one_full_address_has_one_session() {
        let table = SessionTable::default();
        assert_eq!(open(&table, "r@m/a", 1), Reply::Opened(Opened { replaced: None }));
        assert_eq!(open(&table, "r@m/a", 1), Reply::Opened(Opened { replaced: None }), "idempotent");
        assert_eq!(open(&table, "r@m/a", 2), Reply::Opened(Opened { replaced: Some(id(1)) }));
        assert_eq!(table.find(&jid("r@m").bare()).len(), 1);
        assert_eq!(table.len(), 1);
        // The end of the replaced session does not take its successor with it.
        assert_eq!(table.apply(Command::Close { jid: jid("r@m/a"), session: id(1) }), Reply::Unknown);
        assert_eq!(table.find(&jid("r@m").bare())[0].session, id(2));
    }

    #[test]
    fn what_waits_is_for_the_first_that_became_willing_and_then_for_the_next() {
        let table = SessionTable::default();
        open(&table, "r@m/a", 1);
        open(&table, "r@m/b", 2);
        let yes = First { first_willing: true, next_willing: None };
        let no = First { first_willing: false, next_willing: None };
        assert_eq!(presence(&table, "r@m/b", 2, Presence::Willing), Reply::Presence(yes));
        assert_eq!(presence(&table, "r@m/a", 1, Presence::Willing), Reply::Presence(no));
        assert_eq!(
            presence(&table, "r@m/b", 2, Presence::Willing),
            Reply::Presence(no),
            "was willing before"
        );
        let closed = table.apply(Command::Close { jid: jid("r@m/b"), session: id(2) });
        assert_eq!(closed, Reply::Closed { next_willing: Some(id(1)) });
        table.apply(Command::Close { jid: jid("r@m/a"), session: id(1) });
        assert!(table.is_empty() && table.find(&jid("r@m").bare()).is_empty());
    }
}
