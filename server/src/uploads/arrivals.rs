//! What clients put past us, at the place of the blobs itself: it is noticed when somebody asks for it, and else within
//! a minute. Only what was noticed, and is what its slot was for, is a file.

use super::{Uploads, is_media_type, shown, titles};
use crate::jobs::Turn;
use crate::storage::*;

/// What is asked of the place at one time.
const PAGE: usize = 200;
/// Files that are noticed at the same time; two of one file never are, on one node.
pub(super) const NOTICED_AT_ONCE: usize = 16;

impl Uploads {
    /// Notices all that has arrived, as long as it is this server's turn, and clears away what came into a slot that is used or gone.
    pub async fn notice_all(&self, turn: &mut Turn) -> Result<(), StoreError> {
        let Some(around) = self.places.main().around() else { return Ok(()) };
        let mut after: Option<BlobName> = None;
        while turn.take().await?.is_some() {
            let page = around.arrivals(after.as_ref(), PAGE).await?;
            for name in &page {
                if turn.take().await?.is_none() {
                    break;
                }
                match self.store.file(name.as_str()).await? {
                    Some(file) if !file.stored && file.owner.is_some() => _ = self.notice(name, file).await?,
                    _ => around.discard(name).await?,
                }
            }
            if page.len() < PAGE {
                break;
            }
            after = page.last().cloned();
        }
        Ok(())
    }

    /// The row of a file, noticed if it had arrived.
    pub(super) async fn notice(&self, name: &BlobName, file: File) -> Result<File, StoreError> {
        let blobs = self.places.main();
        let Some(around) = blobs.around() else { return Ok(file) };
        let _turn = self.noticing[turn(name)].lock().await;
        let Some(arrival) = around.arrival(name).await? else { return self.again(name, file).await };
        if let Some(why) = differs(&file, &arrival) {
            tracing::warn!(%name, why, "an upload is not what its slot was for");
            around.discard(name).await?;
            return Ok(file);
        }
        let said = arrival.media_type.clone().filter(|text| is_media_type(text));
        let shown = shown(&file.title, file.media_type.clone().or_else(|| said.clone()));
        let blob = name.attempt(rand::random());
        if !around.take(&arrival, &blob, &shown).await? {
            return self.again(name, file).await;
        }
        let place = BlobPlace { kind: blobs.kind(), name: blob };
        let stored = Write::StoreFile { name: file.name.clone(), blob: place.to_string(), media_type: said };
        match self.store.write(stored).await {
            Ok(_) => tracing::debug!(%name, size = file.size, "a file was uploaded past us"),
            // Another node noticed it, or it is nobody's any more.
            Err(StoreError::Conflict(_)) => blobs.remove(&place.name).await?,
            // Whether the row knows of it is not known: the blob goes with the row.
            Err(error) => return Err(error),
        }
        around.discard(name).await?;
        self.again(name, file).await
    }

    async fn again(&self, name: &BlobName, file: File) -> Result<File, StoreError> {
        Ok(self.store.file(name.as_str()).await?.unwrap_or(file))
    }
}

fn turn(name: &BlobName) -> usize {
    name.as_str().bytes().fold(0, |sum, byte| sum + usize::from(byte)) % NOTICED_AT_ONCE
}

/// The place was told to take nothing else; it may not have listened.
fn differs(file: &File, arrival: &Arrival) -> Option<&'static str> {
    if arrival.size != file.size {
        return Some("its length is another");
    }
    let agrees = |slot: &str| arrival.media_type.as_deref().is_some_and(|upload| titles::agree(slot, upload));
    (!file.media_type.as_deref().is_none_or(agrees)).then_some("its type is another")
}
