//! What is due goes: first the blob, then the row, so that no blob is left that no row knows.

use std::sync::Arc;
use std::time::Duration;

use super::{UPLOAD_TIME, Uploads};
use crate::storage::{BlobName, StoreError, Write};

/// How often it is looked for what is due.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How many looks until it is looked for what interrupted uploads left.
const TIDY_EVERY: u32 = 60;
/// What is removed between two looks at the store.
const PAGE: usize = 100;

impl Uploads {
    /// Looks again and again; at once where an account went. It ends with the task that runs it.
    pub async fn clean(self: Arc<Self>) {
        for round in 0u32.. {
            // Before what was not uploaded in time goes.
            if let Err(error) = self.notice_all().await {
                tracing::warn!(%error, "what clients put past this server could not be looked at");
            }
            match self.remove_due().await {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "uploads that were due are removed"),
                Err(error) => tracing::warn!(%error, "uploads that are due could not be removed"),
            }
            if round.is_multiple_of(TIDY_EVERY) {
                self.tidy().await;
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.due.notified() => {}
            }
        }
    }

    async fn tidy(&self) {
        for blobs in self.places.all() {
            if let Err(error) = blobs.tidy(2 * UPLOAD_TIME).await {
                tracing::warn!(%error, "what interrupted uploads left could not be removed");
            }
        }
    }

    /// Removes what is due; how many.
    pub async fn remove_due(&self) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let names = self.store.files_due(self.clock.now(), PAGE).await?;
            for name in &names {
                self.remove(name).await?;
            }
            removed += names.len() as u64;
            if names.len() < PAGE {
                return Ok(removed);
            }
        }
    }

    /// Removes a file, whether or not it is due. False when there is none.
    pub async fn remove_file(&self, name: &str) -> Result<bool, StoreError> {
        let found = self.store.file(name).await?.is_some();
        if found {
            self.remove(name).await?;
        }
        Ok(found)
    }

    /// Wherever it is, also what came of attempts that did not count.
    async fn remove(&self, name: &str) -> Result<(), StoreError> {
        if let Some(blob) = BlobName::parse(name) {
            for blobs in self.places.all() {
                blobs.clear(&blob).await?;
            }
        }
        self.store.write(Write::RemoveFile { name: name.to_owned() }).await.map(drop)
    }
}
