//! Rows of uploaded files.

use super::Memory;
use super::state::State;
use crate::storage::*;

impl Files for Memory {
    fn file<'a>(&'a self, name: &'a str) -> StoreFut<'a, Option<File>> {
        self.read(|state| Ok(state.files.get(name).cloned()))
    }

    fn files<'a>(
        &'a self,
        owner: Option<AccountNumber>,
        after: &'a str,
        limit: usize,
    ) -> StoreFut<'a, Vec<File>> {
        self.read(|state| {
            let behind = state.files.values().filter(|file| file.name.as_str() > after);
            let files = behind.filter(|file| owner.is_none() || file.owner == owner);
            Ok(files.take(limit).cloned().collect())
        })
    }

    fn files_granted<'a>(
        &'a self,
        owner: AccountNumber,
        since: Millis,
        limit: usize,
    ) -> StoreFut<'a, Vec<(Millis, u64)>> {
        self.read(|state| {
            let mut granted: Vec<_> =
                state.files_of(owner, since).map(|file| (file.created, file.size)).collect();
            granted.sort_unstable();
            granted.truncate(limit);
            Ok(granted)
        })
    }

    fn files_due<'a>(&'a self, now: Millis, limit: usize) -> StoreFut<'a, Vec<String>> {
        self.read(|state| {
            let due = state.files.values().filter(|file| file.is_due(now));
            Ok(due.take(limit).map(|file| file.name.clone()).collect())
        })
    }

    fn file_usage<'a>(&'a self, owner: Option<AccountNumber>) -> StoreFut<'a, Usage> {
        self.read(|state| {
            let stored = state.files.values().filter(|file| file.stored);
            let counted = stored.filter(|file| owner.is_none() || file.owner == owner);
            Ok(counted.fold(Usage::default(), |sum, file| Usage {
                count: sum.count + 1,
                bytes: sum.bytes + file.size,
            }))
        })
    }
}

impl State {
    pub fn grant_file(&mut self, file: File, quota: FileQuota) -> Result<Written, StoreError> {
        let owner = file.owner.ok_or_else(|| StoreError::no_slot(&file.name))?;
        self.owner(owner)?;
        let granted = self.files_of(owner, quota.since);
        let (files, bytes) =
            granted.fold((1, file.size), |(files, bytes), one| (files + 1, bytes + one.size));
        if files > quota.files || bytes > quota.bytes {
            return Err(StoreError::quota_reached());
        }
        self.files.insert(file.name.clone(), file);
        Ok(Written::Done)
    }

    pub fn store_file(
        &mut self,
        name: &str,
        blob: String,
        media_type: Option<String>,
    ) -> Result<Written, StoreError> {
        let file = self.files.get_mut(name).filter(|file| !file.stored && file.owner.is_some());
        let file = file.ok_or_else(|| StoreError::no_slot(name))?;
        file.stored = true;
        file.blob = Some(blob);
        file.media_type = file.media_type.take().or(media_type);
        Ok(Written::Done)
    }

    pub fn disown_files(&mut self, owner: AccountNumber) {
        for file in self.files.values_mut().filter(|file| file.owner == Some(owner)) {
            file.owner = None;
        }
    }

    fn files_of(&self, owner: AccountNumber, since: Millis) -> impl Iterator<Item = &File> {
        self.files.values().filter(move |file| file.owner == Some(owner) && file.created >= since)
    }
}
