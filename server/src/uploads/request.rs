//! What a client asks for when it asks for a slot, and why it gets none.

use super::titles::{is_media_type, is_title};
use crate::storage::{Millis, StoreError};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotRequest {
    /// The file's name.
    pub title: String,
    pub size: u64,
    pub media_type: Option<String>,
    /// It must not be served any more then.
    pub until: Option<Millis>,
}

/// Why there is no slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlotError {
    /// The file is larger than any may be.
    TooLarge {
        most: u64,
    },
    /// The name is none that a URL and a disk can keep.
    BadTitle,
    /// The type is no media type.
    BadMediaType,
    /// The account has had as many files (or else bytes) as it may for now; when there will be room, if ever.
    Quota {
        by_count: bool,
        retry: Option<Millis>,
    },
    Store(StoreError),
}

impl SlotRequest {
    pub fn check(&self, most: u64) -> Result<(), SlotError> {
        if self.size > most {
            return Err(SlotError::TooLarge { most });
        }
        if !is_title(&self.title) {
            return Err(SlotError::BadTitle);
        }
        match &self.media_type {
            Some(text) if !is_media_type(text) => Err(SlotError::BadMediaType),
            _ => Ok(()),
        }
    }
}
