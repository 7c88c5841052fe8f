//! What was given up leaves its files: a file of which an owner gave something up, or whose owner is gone, is written
//! anew without it, and what nobody needs any more is removed.

use std::collections::HashMap;

use super::Cold;
use super::format::{self, Entry};
use super::moving::{catalogued, packed};
use crate::jobs::Turn;
use crate::storage::*;

/// Files, notes and parts that are read from the catalogue at a time.
const FILES: usize = 8;
const NOTES: usize = 100;
const PARTS: usize = 1_000;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tidied {
    pub rewritten: u64,
    /// Files of which nothing was left, and what nobody knows of.
    pub removed: u64,
}

impl Cold {
    /// Does it all, as long as it is this server's turn. One file that cannot be read keeps no other from it.
    pub async fn tidy(&self, turn: &mut Turn, now: Millis) -> Result<Tidied, StoreError> {
        let _one = self.working.lock().await;
        let mut tidied = Tidied::default();
        let (mut after, mut failed) = (0, None);
        loop {
            let files = self.files()?.cold_files(after, true, FILES).await?;
            let Some(last) = files.last() else { break };
            after = last.number;
            for file in files {
                let rewriting = self.rewrite(turn, file, now, &mut tidied);
                match watched(&self.watch, Operation::ColdRewrite, rewriting).await {
                    // More was given up meanwhile: the next round sees it.
                    Ok(()) | Err(StoreError::Conflict(_)) => {}
                    Err(error) => failed = Some(error),
                }
            }
        }
        self.sweep(turn, now, &mut tidied).await?;
        failed.map_or(Ok(tidied), Err)
    }

    async fn rewrite(
        &self,
        turn: &mut Turn,
        file: ColdFile,
        now: Millis,
        tidied: &mut Tidied,
    ) -> Result<(), StoreError> {
        let parts = self.parts_of(file.number).await?;
        if parts.is_empty() {
            if self.under(turn, ColdChange::Remove { number: file.number }).await? {
                tidied.removed += 1;
            }
            return Ok(());
        }
        let mut entries = self.entries_of(&file).await?;
        entries.retain(|entry| {
            parts.get(&entry.owner).is_some_and(|part| (part.first..=part.last).contains(&entry.id))
        });
        let written = packed(entries).await?;
        let Some(place) = self.put_new(turn, &written, now).await? else { return Ok(()) };
        let old = file.place.clone();
        let file = catalogued(&written, ColdFile { place, ..file });
        if self.under(turn, ColdChange::Swap { file }).await? {
            tidied.rewritten += 1;
            self.blocks.forget(&old);
        }
        Ok(())
    }

    /// Removes what is due, wherever it is, and forgets it.
    async fn sweep(&self, turn: &mut Turn, now: Millis, tidied: &mut Tidied) -> Result<(), StoreError> {
        loop {
            let places = self.files()?.cold_notes(now, NOTES).await?;
            if places.is_empty() {
                return Ok(());
            }
            for place in places {
                // Whoever lost the lease must not remove what another has just put.
                if turn.take().await?.is_none() {
                    return Ok(());
                }
                self.remove(&place).await?;
                self.under(turn, ColdChange::Forget { place }).await?;
                tidied.removed += 1;
            }
        }
    }

    /// All entries of a file.
    pub(super) async fn entries_of(&self, file: &ColdFile) -> Result<Vec<Entry>, StoreError> {
        let bytes = self.fetch(&file.place, 0, file.bytes).await?;
        let bytes = bytes.ok_or_else(|| {
            StoreError::Damaged(format!("the cold file {} ({}): it is not there", file.number, file.place))
        })?;
        let (sum, index_at) = (file.sum.clone(), file.index_at);
        let read = tokio::task::spawn_blocking(move || format::read(&bytes, &sum, index_at)).await;
        let read = read.map_err(|_| StoreError::closed())?;
        read.map(|(_, entries)| entries).map_err(|why| self.damaged(file, &why))
    }

    pub(super) async fn parts_of(&self, number: u64) -> Result<HashMap<AccountNumber, ColdPart>, StoreError> {
        let (mut parts, mut after) = (HashMap::new(), AccountNumber(0));
        loop {
            let page = self.files()?.cold_parts_of(number, after, PARTS).await?;
            let Some(last) = page.last() else { return Ok(parts) };
            after = last.owner;
            parts.extend(page.into_iter().map(|part| (part.owner, part)));
        }
    }
}
