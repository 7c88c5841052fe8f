//! The cold archive: old messages of archives in compressed files, on a disk or in S3, and still found.
//!
//! [`Cold`] is a store over another one. Whoever asks it for an archive gets what the store has and what is in files,
//! as one; everything else is the store's own. The store keeps the catalogue (`storage/cold.rs`).
//!
//! ```text
//!            reach                                ids ->
//!   [ file | file ][ what is not moved yet ]
//!         [ store's own                    ]      a page reads the store first, then the catalogue
//!          ^ what of the files is not deleted yet: the same in both, given once
//! ```
//!
//! A file counts from the commit that puts it into the catalogue (`moving.rs`), and only afterwards is the store's own
//! deleted, from the oldest on. So what a page does not find in the store was in the catalogue before: it reads the
//! store first, and then the catalogue, and needs no transaction over both.

mod cache;
pub mod format;
mod job;
mod moving;
mod reading;
mod rewriting;
mod store;
mod verify;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};

use crate::storage::*;
use cache::Blocks;
pub use moving::{Moved, WHEN_DUE};
pub use rewriting::Tidied;
pub use verify::Looked;

/// Unpacked blocks and indexes that are remembered.
const REMEMBERED_BYTES: usize = 16 << 20;

pub struct Cold {
    /// With a catalogue.
    store: Arc<dyn Store>,
    /// The first takes what is written from now on.
    places: Vec<Arc<dyn Blobs>>,
    blocks: Blocks,
    /// One moves or tidies at a time: a lease is a server's, and not a task's.
    working: tokio::sync::Mutex<()>,
    /// Tells the job that an account was removed, whose entries are to leave their files soon.
    removed: tokio::sync::Notify,
    watch: Arc<dyn Watch>,
    bounds: Bounds,
}

/// What one file has at most. Unpacked it is in memory while it is made.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub messages: u64,
    pub bytes: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { messages: 65_536, bytes: 32 << 20 }
    }
}

impl Cold {
    /// Nothing where the store has no catalogue.
    pub fn new(
        store: Arc<dyn Store>,
        places: Vec<Arc<dyn Blobs>>,
        watch: Arc<dyn Watch>,
        bounds: Bounds,
    ) -> Option<Arc<Cold>> {
        store.catalogue()?;
        let blocks = Blocks::new(REMEMBERED_BYTES);
        (!places.is_empty()).then(|| {
            Arc::new(Cold {
                store,
                places,
                blocks,
                working: Default::default(),
                removed: Default::default(),
                watch,
                bounds,
            })
        })
    }

    pub async fn usage(&self) -> Result<ColdUsage, StoreError> {
        self.files()?.cold_usage().await
    }

    /// Where files are written, for the operator.
    pub fn place(&self) -> String {
        self.places.first().map(|blobs| blobs.place()).unwrap_or_default()
    }

    /// The catalogue. It was there when this was made.
    fn files(&self) -> Result<&dyn Catalogue, StoreError> {
        self.store.catalogue().ok_or_else(StoreError::no_catalogue)
    }

    fn blobs(&self, place: &str) -> Result<(&dyn Blobs, BlobName), StoreError> {
        let place = BlobPlace::parse(place)
            .ok_or_else(|| StoreError::Damaged(format!("{place:?} is no place of a cold file")))?;
        let blobs = self.places.iter().find(|blobs| blobs.kind() == place.kind);
        let blobs = blobs.ok_or_else(|| {
            let (kind, name) = (place.kind, &place.name);
            StoreError::Unavailable(format!("the cold file {name} is kept in {kind}: set storage.{kind}"))
        })?;
        Ok((&**blobs, place.name))
    }

    /// A part of a file; nothing where there is no such file.
    async fn fetch(&self, place: &str, from: u64, to: u64) -> Result<Option<Bytes>, StoreError> {
        let fetch = async {
            let (blobs, name) = self.blobs(place)?;
            let Some(mut content) = blobs.read(&name, from..to).await? else { return Ok(None) };
            let length = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
            let mut bytes = BytesMut::new();
            while let Some(part) = content.next().await {
                let part = part.map_err(|error| {
                    StoreError::Unavailable(format!("the cold file {name} in {}: {error}", blobs.place()))
                })?;
                bytes.extend_from_slice(&part);
            }
            match bytes.len() == length {
                true => Ok(Some(bytes.freeze())),
                false => Err(StoreError::Damaged(format!("the cold file {name} is shorter than it was"))),
            }
        };
        watched(&self.watch, Operation::ColdRead, fetch).await
    }

    async fn put(&self, place: &str, bytes: Bytes) -> Result<(), StoreError> {
        let put = async {
            let (blobs, name) = self.blobs(place)?;
            let shown = Shown { media_type: None, disposition: "attachment".to_owned() };
            let size = bytes.len() as u64;
            let parts: Vec<_> = bytes.chunks(PART_BYTES).map(|part| Ok(bytes.slice_ref(part))).collect();
            let put = blobs.put(&name, size, &shown, Box::pin(stream::iter(parts))).await;
            put.map_err(|error| match error {
                PutError::Store(error) => error,
                PutError::Incomplete(why) => StoreError::Unavailable(why),
            })
        };
        watched(&self.watch, Operation::ColdWrite, put).await
    }

    async fn remove(&self, place: &str) -> Result<(), StoreError> {
        let remove = async {
            let (blobs, name) = self.blobs(place)?;
            blobs.remove(&name).await
        };
        let removed = watched(&self.watch, Operation::ColdRemove, remove).await;
        self.blocks.forget(place);
        removed
    }

    fn damaged(&self, file: &ColdFile, why: &format::Garbled) -> StoreError {
        StoreError::Damaged(format!("the cold file {} ({}): {}", file.number, file.place, why.0))
    }
}

/// A file is handed over in parts of this size.
const PART_BYTES: usize = 256 << 10;
