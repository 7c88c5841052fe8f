//! The sessions of this node, by their id.

use std::sync::Arc;

use ahash::{HashMap, RandomState};
use cluster::SessionId;
use parking_lot::RwLock;

use super::Session;

const SHARDS: usize = 64;

pub struct Sessions {
    shards: Vec<RwLock<HashMap<u64, Arc<Session>>>>,
    hasher: RandomState,
}

impl Default for Sessions {
    fn default() -> Sessions {
        Sessions { shards: (0..SHARDS).map(|_| RwLock::default()).collect(), hasher: RandomState::new() }
    }
}

impl Sessions {
    pub fn insert(&self, session: Arc<Session>) {
        self.shard(session.id.number).write().insert(session.id.number, session);
    }

    pub fn remove(&self, id: SessionId) -> Option<Arc<Session>> {
        self.shard(id.number).write().remove(&id.number)
    }

    pub fn find(&self, id: SessionId) -> Option<Arc<Session>> {
        self.shard(id.number).read().get(&id.number).filter(|s| s.id == id).cloned()
    }

    pub fn all(&self) -> Vec<Arc<Session>> {
        self.shards.iter().flat_map(|s| s.read().values().cloned().collect::<Vec<_>>()).collect()
    }

    pub fn len(&self) -> usize {
        self.shards.iter().map(|s| s.read().len()).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, number: u64) -> &RwLock<HashMap<u64, Arc<Session>>> {
        &self.shards[(self.hasher.hash_one(number) % SHARDS as u64) as usize]
    }
}
