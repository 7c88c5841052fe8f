//! A sorted set of message ids. They come almost always in rising order, which makes it a queue.

use std::collections::VecDeque;

use crate::storage::MessageId;

#[derive(Default)]
pub struct Ids(VecDeque<MessageId>);

impl Ids {
    /// True when it was not there.
    pub fn insert(&mut self, id: MessageId) -> bool {
        if self.0.back().is_none_or(|last| *last < id) {
            self.0.push_back(id);
            return true;
        }
        match self.0.binary_search(&id) {
            Ok(_) => false,
            Err(at) => {
                self.0.insert(at, id);
                true
            }
        }
    }

    pub fn contains(&self, id: MessageId) -> bool {
        self.0.back().is_some_and(|last| id <= *last) && self.0.binary_search(&id).is_ok()
    }

    /// True when it was there.
    pub fn remove(&mut self, id: MessageId) -> bool {
        if self.0.front() == Some(&id) {
            self.0.pop_front();
            return true;
        }
        match self.0.binary_search(&id) {
            Ok(at) => self.0.remove(at).is_some(),
            Err(_) => false,
        }
    }

    /// Forgets the smallest ids until `limit` are left.
    pub fn keep_last(&mut self, limit: usize) {
        while self.0.len() > limit {
            self.0.pop_front();
        }
    }
}
