//! Blobs as files in a folder of this machine.
//!
//! ```text
//! FOLDER/incoming/NAME.CHANCE    while it comes; removed when that fails
//! FOLDER/a5/a5f0...              whole: written, synced, and only then given its name, of its attempt
//! ```

use std::io::{self, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::storage::*;

const INCOMING: &str = "incoming";
/// What is read at once.
const READ_BYTES: usize = 64 << 10;

pub struct Disk {
    folder: PathBuf,
    watch: Arc<dyn Watch>,
}

impl Disk {
    /// The folder is made when the first blob comes.
    pub fn new(folder: impl Into<PathBuf>) -> Disk {
        Disk { folder: folder.into(), watch: Arc::new(Unwatched) }
    }

    pub fn watched(self, watch: Arc<dyn Watch>) -> Disk {
        Disk { watch, ..self }
    }

    fn path(&self, name: &BlobName) -> PathBuf {
        let (shelf, _) = name.as_str().split_at(2);
        self.folder.join(shelf).join(name.as_str())
    }

    fn error(&self, error: io::Error) -> StoreError {
        let folder = self.folder.display();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                StoreError::Full(format!(
                    "there is no room left for files in {folder}: free space on its disk ({error})"
                ))
            }
            _ => StoreError::Unavailable(format!("files cannot be kept in {folder}: {error}")),
        }
    }

    async fn receive(&self, name: &BlobName, size: u64, content: Content) -> Result<(), PutError> {
        let failed = |error| PutError::Store(self.error(error));
        let place = self.path(name);
        let shelf = place.parent().unwrap_or(&self.folder).to_owned();
        let incoming = self.folder.join(INCOMING);
        make(&incoming).and_then(|()| make(&shelf)).map_err(failed)?;

        let unfinished = Unfinished(incoming.join(format!("{name}.{:016x}", rand::random::<u64>())));
        let mut options = File::options();
        let file = options.write(true).create_new(true).mode(0o600).open(&unfinished.0).await;
        self.fill(file.map_err(failed)?, size, content).await?;
        tokio::fs::rename(&unfinished.0, &place).await.map_err(failed)?;
        // The name is durable once its folder is.
        let shelf = File::open(&shelf).await.map_err(failed)?;
        shelf.sync_all().await.map_err(failed)
    }

    async fn fill(&self, mut file: File, size: u64, mut content: Content) -> Result<(), PutError> {
        let failed = |error| PutError::Store(self.error(error));
        let mut came = 0;
        while let Some(part) = content.next().await {
            let part = part.map_err(|error| PutError::Incomplete(error.to_string()))?;
            came += part.len() as u64;
            if came > size {
                return Err(PutError::Incomplete(format!("more than the {size} bytes that were said came")));
            }
            file.write_all(&part).await.map_err(failed)?;
        }
        if came < size {
            return Err(PutError::Incomplete(format!("{came} of {size} bytes came")));
        }
        file.flush().await.map_err(failed)?;
        file.sync_all().await.map_err(failed)
    }

    /// Folders and files are walked off the reactor's threads.
    async fn walk<T: Send + 'static>(
        &self,
        walk: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let folder = self.folder.clone();
        let walked = tokio::task::spawn_blocking(move || walk(&folder)).await;
        walked.map_err(|_| StoreError::closed())?.map_err(|error| self.error(error))
    }
}

impl Blobs for Disk {
    fn kind(&self) -> BlobKind {
        BlobKind::Disk
    }

    fn place(&self) -> String {
        std::path::absolute(&self.folder).unwrap_or_else(|_| self.folder.clone()).display().to_string()
    }

    /// What a disk cannot take it says at once, to who puts.
    fn health<'a>(&'a self) -> StoreFut<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn put<'a>(
        &'a self,
        name: &'a BlobName,
        size: u64,
        _: &'a Shown,
        content: Content,
    ) -> Fut<'a, Result<(), PutError>> {
        Box::pin(async move {
            let begun = Instant::now();
            let put = self.receive(name, size, content).await;
            // What did not come whole is its client's doing.
            if !matches!(put, Err(PutError::Incomplete(_))) {
                self.watch.operated(Operation::DiskPut, begun.elapsed(), put.is_ok());
            }
            put
        })
    }

    fn read<'a>(&'a self, name: &'a BlobName, range: Range<u64>) -> StoreFut<'a, Option<Content>> {
        Box::pin(watched(&self.watch, Operation::DiskGet, async move {
            let mut file = match File::open(self.path(name)).await {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                file => file.map_err(|error| self.error(error))?,
            };
            file.seek(SeekFrom::Start(range.start)).await.map_err(|error| self.error(error))?;
            let left = range.end.saturating_sub(range.start);
            let parts = stream::try_unfold((file, left), |(mut file, left)| async move {
                let part = read_part(&mut file, left).await?;
                Ok(part.map(|part| {
                    let left = left.saturating_sub(part.len() as u64);
                    (part, (file, left))
                }))
            });
            Ok(Some(Box::pin(parts) as Content))
        }))
    }

    fn remove<'a>(&'a self, name: &'a BlobName) -> StoreFut<'a, ()> {
        Box::pin(watched(&self.watch, Operation::DiskDelete, async move {
            match tokio::fs::remove_file(self.path(name)).await {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => removed.map_err(|error| self.error(error)),
            }
        }))
    }

    fn clear<'a>(&'a self, file: &'a BlobName) -> StoreFut<'a, ()> {
        let path = self.path(file);
        let file = file.file().to_owned();
        let walked = self.walk(move |folder| {
            for entry in entries(path.parent().unwrap_or(folder))? {
                if entry.file_name().to_str().is_some_and(|name| name.starts_with(&file)) {
                    match std::fs::remove_file(entry.path()) {
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                        removed => removed?,
                    }
                }
            }
            Ok(())
        });
        Box::pin(watched(&self.watch, Operation::DiskDelete, walked))
    }

    fn tidy<'a>(&'a self, older_than: Duration) -> StoreFut<'a, u64> {
        let walked = self.walk(move |folder| {
            let mut removed = 0;
            for entry in entries(&folder.join(INCOMING))? {
                let age = SystemTime::now().duration_since(entry.metadata()?.modified()?);
                if age.is_ok_and(|age| age >= older_than) {
                    std::fs::remove_file(entry.path())?;
                    removed += 1;
                }
            }
            Ok(removed)
        });
        Box::pin(watched(&self.watch, Operation::DiskList, walked))
    }
}

/// The next bytes; an error where the file is shorter than it should be, and nothing at the end.
async fn read_part(file: &mut File, left: u64) -> io::Result<Option<Bytes>> {
    if left == 0 {
        return Ok(None);
    }
    let mut part = BytesMut::with_capacity(READ_BYTES.min(usize::try_from(left).unwrap_or(READ_BYTES)));
    file.take(left).read_buf(&mut part).await?;
    if part.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(Some(part.freeze())) }
}

/// A file that is not whole; it goes with this, unless it was renamed.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After a rename there is none. What cannot be removed now is tidied up later.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn make(folder: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Nothing where there is no such folder yet.
fn entries(folder: &Path) -> io::Result<Vec<std::fs::DirEntry>> {
    match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.collect(),
    }
}

#[cfg(test)]
mod tests;
