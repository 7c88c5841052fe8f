//! The session table: a plain function from commands to replies, over memory that many may read.
//!
//! Readers take a shard's lock for the time of a lookup and get what they share with the table. An
//! account lives in one shard, and a command changes an account under one hold of its lock, so nobody
//! sees half of a command. Those who apply commands take turns.

mod nodes;
mod snapshot;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ahash::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Place;
use parking_lot::{Mutex, RwLock, RwLockWriteGuard};
use xmpp_core::{BareJid, Jid};

use crate::{Batch, Command, Entry, First, Opened, Presence, Reply, SessionId, SessionsAt};
pub use nodes::NodeSeen;
use nodes::Nodes;
pub use snapshot::{Frozen, SnapshotError};

/// Readers of different accounts do not meet: measured better than one lock, and than lock-free maps.
const SHARDS: usize = 64;

/// An account's address is that of its first entry: the table keeps no key beside it.
type Shard = HashTable<SessionsAt>;

pub struct SessionTable {
    shards: Vec<RwLock<Shard>>,
    hasher: RandomState,
    order: Mutex<Order>,
    sessions: AtomicUsize,
    nobody: SessionsAt,
}

/// What only those touch who apply commands.
#[derive(Default)]
struct Order {
    /// The place in the order of commands; willingness and boots are dated with it.
    applied: u64,
    nodes: Nodes,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchReply {
    /// A reply for each command.
    Applied(Vec<Reply>),
    /// It, or a later one of its node, was applied before.
    Repeated,
    /// Its node is not up with this boot: nothing was applied.
    Stale,
}

impl Default for SessionTable {
    fn default() -> SessionTable {
        SessionTable::with_hasher(RandomState::new())
    }
}

impl SessionTable {
    /// With hash keys from this seed, for a simulation that is to replay. Everywhere else they are
    /// random, because addresses are chosen by strangers.
    pub fn seeded(seed: u64) -> SessionTable {
        SessionTable::with_hasher(RandomState::with_seeds(seed, 1, 2, 3))
    }

    fn with_hasher(hasher: RandomState) -> SessionTable {
        SessionTable {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            hasher,
            order: Mutex::default(),
            sessions: AtomicUsize::new(0),
            nobody: Arc::from([]),
        }
    }

    pub fn find(&self, account: &BareJid) -> SessionsAt {
        let hash = self.hash(account.as_str());
        let shard = self.shards[shard_of(hash)].read();
        shard.find(hash, is(account.as_str())).unwrap_or(&self.nobody).clone()
    }

    pub fn len(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn apply(&self, command: Command) -> Reply {
        self.apply_one(&mut self.order.lock(), command)
    }

    /// Applies a batch of a node in its place of that node's order, or says why not.
    pub fn apply_batch(&self, batch: &Batch) -> BatchReply {
        let mut order = self.order.lock();
        if batch.number > 0 {
            match order.nodes.seen_mut(batch.node) {
                Some(seen) if seen.boot == batch.boot && seen.batch >= batch.number => {
                    return BatchReply::Repeated;
                }
                Some(seen) if seen.boot == batch.boot => seen.batch = batch.number,
                _ => return BatchReply::Stale,
            }
        }
        let commands = batch.commands.iter().cloned();
        BatchReply::Applied(commands.map(|command| self.apply_one(&mut order, command)).collect())
    }

    fn apply_one(&self, order: &mut Order, command: Command) -> Reply {
        order.applied += 1;
        match command {
            Command::Open { jid, session } => self.open(order, jid, session),
            Command::Reopen { jid, session, presence } => self.reopen(order, jid, session, presence),
            Command::Presence { jid, session, presence } => {
                self.set_presence(&jid, session, presence, order.applied)
            }
            Command::Close { jid, session } => self.close(order, &jid, session),
            Command::NodeUp { node, start } => self.node_up(order, node, start),
            Command::NodeDown { node, boot } => self.node_down(order, node, boot),
        }
    }

    fn open(&self, order: &mut Order, jid: Jid, session: SessionId) -> Reply {
        if !order.nodes.is_up(session.node, session.boot) {
            return Reply::Unknown;
        }
        let (hash, mut shard) = self.write(jid.bare_str());
        let mut entries = entries_of(&shard, hash, jid.bare_str());
        let mut replaced = None;
        match entries.iter().position(|e| e.jid == jid) {
            Some(at) if entries[at].session == session => return Reply::Opened(Opened { replaced }),
            Some(at) => {
                let old = entries.remove(at).session;
                self.uncount(order, old, hash);
                replaced = Some(old);
            }
            None => {}
        }
        self.count(order, session, hash);
        entries.push(Entry { jid: jid.clone(), session, presence: Presence::None, willing_since: 0 });
        self.put(&mut shard, hash, jid.bare_str(), entries);
        Reply::Opened(Opened { replaced })
    }

    fn reopen(&self, order: &mut Order, jid: Jid, session: SessionId, presence: Presence) -> Reply {
        if !order.nodes.is_up(session.node, session.boot) {
            return Reply::Unknown;
        }
        {
            let (hash, mut shard) = self.write(jid.bare_str());
            let mut entries = entries_of(&shard, hash, jid.bare_str());
            match entries.iter().find(|e| e.jid == jid) {
                Some(entry) if entry.session == session => {}
                Some(_) => return Reply::Taken,
                None => {
                    self.count(order, session, hash);
                    entries.push(Entry {
                        jid: jid.clone(),
                        session,
                        presence: Presence::None,
                        willing_since: 0,
                    });
                    self.put(&mut shard, hash, jid.bare_str(), entries);
                }
            }
        }
        match self.set_presence(&jid, session, presence, order.applied) {
            Reply::Presence(first) => Reply::Reopened(first),
            other => other,
        }
    }

    fn set_presence(&self, jid: &Jid, session: SessionId, presence: Presence, index: u64) -> Reply {
        let (hash, mut shard) = self.write(jid.bare_str());
        let mut entries = entries_of(&shard, hash, jid.bare_str());
        let Some(at) = entries.iter().position(|e| e.session == session) else { return Reply::Unknown };
        let was_willing = entries[at].presence == Presence::Willing;
        let was_first = first_willing(&entries) == Some(session);
        let becomes_willing = presence == Presence::Willing && !was_willing;
        entries[at].presence = presence;
        if becomes_willing {
            entries[at].willing_since = index;
        }
        let first = first_willing(&entries);
        self.put(&mut shard, hash, jid.bare_str(), entries);
        Reply::Presence(First {
            first_willing: becomes_willing && first == Some(session),
            next_willing: first.filter(|next| was_first && *next != session),
        })
    }

    fn close(&self, order: &mut Order, jid: &Jid, session: SessionId) -> Reply {
        let (hash, mut shard) = self.write(jid.bare_str());
        let mut entries = entries_of(&shard, hash, jid.bare_str());
        let Some(at) = entries.iter().position(|e| e.session == session) else { return Reply::Unknown };
        let was_first = first_willing(&entries) == Some(session);
        entries.remove(at);
        self.uncount(order, session, hash);
        let next_willing = first_willing(&entries).filter(|_| was_first);
        self.put(&mut shard, hash, jid.bare_str(), entries);
        Reply::Closed { next_willing }
    }

    fn count(&self, order: &mut Order, session: SessionId, hash: u64) {
        order.nodes.add(session.node, hash);
        self.sessions.fetch_add(1, Ordering::Relaxed);
    }

    fn uncount(&self, order: &mut Order, session: SessionId, hash: u64) {
        order.nodes.remove(session.node, hash);
        self.sessions.fetch_sub(1, Ordering::Relaxed);
    }

    fn hash(&self, account: &str) -> u64 {
        self.hasher.hash_one(account)
    }

    fn write(&self, account: &str) -> (u64, RwLockWriteGuard<'_, Shard>) {
        let hash = self.hash(account);
        (hash, self.shards[shard_of(hash)].write())
    }

    /// These are now the sessions of the account, which is not in the table when there are none.
    fn put(&self, shard: &mut Shard, hash: u64, account: &str, entries: Vec<Entry>) {
        let rehash = |sessions: &SessionsAt| self.hash(account_of(sessions));
        match shard.entry(hash, is(account), rehash) {
            Place::Occupied(place) if entries.is_empty() => drop(place.remove()),
            Place::Occupied(mut place) => *place.get_mut() = entries.into(),
            Place::Vacant(_) if entries.is_empty() => {}
            Place::Vacant(place) => drop(place.insert(entries.into())),
        }
    }
}

/// The high bits: the table within a shard goes by the low ones.
fn shard_of(hash: u64) -> usize {
    (hash >> 32) as usize % SHARDS
}

fn account_of(sessions: &SessionsAt) -> &str {
    sessions.first().map_or("", |entry| entry.jid.bare_str())
}

fn is<'a>(account: &'a str) -> impl Fn(&SessionsAt) -> bool + 'a {
    move |sessions| account_of(sessions) == account
}

fn entries_of(shard: &Shard, hash: u64, account: &str) -> Vec<Entry> {
    shard.find(hash, is(account)).map(|sessions| sessions.to_vec()).unwrap_or_default()
}

/// The session that is given what waits: the table's order decides (in whatever order sessions are listed).
fn first_willing(entries: &[Entry]) -> Option<SessionId> {
    let willing = entries.iter().filter(|e| e.presence == Presence::Willing);
    willing.min_by_key(|e| e.willing_since).map(|e| e.session)
}
