//! What is due goes: first the blob, then the row, so that no blob is left that no row knows. One server does it
//! for all that share a store; what interrupted uploads left, each looks for in its own place.

use std::sync::Arc;
use std::time::Duration;

use super::{UPLOAD_TIME, Uploads};
use crate::jobs::Turn;
use crate::storage::{BlobName, Lease, StoreError, Write};

/// How often it is looked for what is due.
const LOOK_EVERY: Duration = crate::jobs::ASK_EVERY;
/// How many looks until it is looked for what interrupted uploads left.
const TIDY_EVERY: u32 = 120;
/// What is removed between two looks at the store.
const PAGE: usize = 100;

impl Uploads {
    /// Looks again and again; at once where an account went. It ends with the task that runs it.
    pub async fn clean(self: Arc<Self>, mut turn: Turn) {
        for round in 0u32.. {
            match self.remove_due(&mut turn).await {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "uploads that were due are removed"),
                Err(error) => {
                    turn.forget();
                    tracing::warn!(%error, "uploads that are due could not be removed");
                }
            }
            if round.is_multiple_of(TIDY_EVERY)
                && let Err(error) = self.blobs.tidy(2 * UPLOAD_TIME).await
            {
                tracing::warn!(%error, "what interrupted uploads left could not be removed");
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.due.notified() => {}
            }
        }
    }

    /// Removes what is due, as long as it is this server's turn; how many.
    pub async fn remove_due(&self, turn: &mut Turn) -> Result<u64, StoreError> {
        let mut removed = 0;
        while turn.take().await?.is_some() {
            let names = self.store.files_due(self.clock.now(), PAGE).await?;
            for name in &names {
                let Some(lease) = turn.take().await? else { return Ok(removed) };
                self.remove(name, Some(lease)).await?;
                removed += 1;
            }
            if names.len() < PAGE {
                break;
            }
        }
        Ok(removed)
    }

    /// Removes a file, whether or not it is due. False when there is none.
    pub async fn remove_file(&self, name: &str) -> Result<bool, StoreError> {
        let found = self.store.file(name).await?.is_some();
        if found {
            self.remove(name, None).await?;
        }
        Ok(found)
    }

    async fn remove(&self, name: &str, lease: Option<Lease>) -> Result<(), StoreError> {
        if let Some(blob) = BlobName::parse(name) {
            self.blobs.remove(&blob).await?;
        }
        let write = Write::RemoveFile { name: name.to_owned() };
        let write = match lease {
            Some(lease) => Write::Under { lease, write: Box::new(write) },
            None => write,
        };
        self.store.write(write).await.map(drop)
    }
}
