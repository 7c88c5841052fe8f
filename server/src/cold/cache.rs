//! Blocks of cold files as they were read last, so that the next page of a client costs no request.

use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;

use super::format::{Entry, Index};

/// A file's index, or one of its blocks.
#[derive(Debug, Clone)]
pub enum Part {
    Index(Arc<Index>),
    Block(Arc<Vec<Entry>>),
}

/// `None` is the index.
type Key = (Arc<str>, Option<usize>);

/// A plain lock: no section of it waits for anything.
pub struct Blocks {
    parts: Mutex<Parts>,
    most_bytes: usize,
}

struct Parts {
    by_key: LruCache<Key, (Part, usize)>,
    bytes: usize,
}

impl Blocks {
    pub fn new(most_bytes: usize) -> Blocks {
        Blocks { parts: Mutex::new(Parts { by_key: LruCache::unbounded(), bytes: 0 }), most_bytes }
    }

    pub fn find(&self, place: &str, number: Option<usize>) -> Option<Part> {
        self.parts.lock().by_key.get(&(place.into(), number)).map(|(part, _)| part.clone())
    }

    /// `bytes`: about what it takes.
    pub fn put(&self, place: &str, number: Option<usize>, part: Part, bytes: usize) {
        let mut parts = self.parts.lock();
        if let Some((_, old)) = parts.by_key.put((place.into(), number), (part, bytes)) {
            parts.bytes -= old;
        }
        parts.bytes += bytes;
        while parts.bytes > self.most_bytes {
            let Some((_, (_, bytes))) = parts.by_key.pop_lru() else { break };
            parts.bytes -= bytes;
        }
    }

    /// The file is gone.
    pub fn forget(&self, place: &str) {
        let mut parts = self.parts.lock();
        let keys: Vec<Key> =
            parts.by_key.iter().map(|(key, _)| key.clone()).filter(|key| &*key.0 == place).collect();
        for key in keys {
            if let Some((_, bytes)) = parts.by_key.pop(&key) {
                parts.bytes -= bytes;
            }
        }
    }
}
