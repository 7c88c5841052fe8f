//! The places where uploads are: the one that takes new ones, and others that have older ones. What is done there is
//! counted here.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;

use crate::storage::*;
use crate::telemetry::blobs::{BlobDirection, BlobOperation, BlobResult};
use crate::telemetry::metrics::Metrics;

pub struct Places {
    main: Arc<dyn Blobs>,
    others: Vec<Arc<dyn Blobs>>,
}

impl Places {
    /// The first takes what is uploaded from now on.
    pub fn new(main: Arc<dyn Blobs>, others: Vec<Arc<dyn Blobs>>, metrics: &Arc<Metrics>) -> Places {
        let counted = |blobs| Arc::new(Counted { blobs, metrics: metrics.clone() }) as Arc<dyn Blobs>;
        Places { main: counted(main), others: others.into_iter().map(counted).collect() }
    }

    pub fn main(&self) -> &dyn Blobs {
        &*self.main
    }

    pub fn all(&self) -> impl Iterator<Item = &dyn Blobs> {
        [&self.main].into_iter().chain(&self.others).map(|blobs| &**blobs)
    }

    /// Where a stored file's bytes are, and under which name.
    pub fn of(&self, file: &File) -> Result<(&dyn Blobs, BlobName), StoreError> {
        let place = file.place();
        let place = place
            .ok_or_else(|| StoreError::Damaged(format!("no blob is known of the file {}", file.name)))?;
        let blobs = self.all().find(|blobs| blobs.kind() == place.kind);
        let blobs = blobs.ok_or_else(|| {
            let kind = place.kind;
            StoreError::Unavailable(format!("the file {} is kept in {kind}: set storage.{kind}", file.name))
        })?;
        Ok((blobs, place.name))
    }
}

/// A place of which everything is counted.
struct Counted {
    blobs: Arc<dyn Blobs>,
    metrics: Arc<Metrics>,
}

impl Counted {
    fn ended(&self, operation: BlobOperation, result: BlobResult) {
        self.metrics.blobs.ended(self.kind(), operation, result);
    }

    fn counted(&self, content: Content, direction: BlobDirection) -> Content {
        let (kind, metrics) = (self.kind(), self.metrics.clone());
        Box::pin(content.inspect(move |part| {
            if let Ok(part) = part {
                metrics.blobs.bytes(kind, direction, part.len() as u64);
            }
        }))
    }
}

impl Blobs for Counted {
    fn kind(&self) -> BlobKind {
        self.blobs.kind()
    }

    fn place(&self) -> String {
        self.blobs.place()
    }

    fn health<'a>(&'a self) -> StoreFut<'a, ()> {
        self.blobs.health()
    }

    fn put<'a>(
        &'a self,
        name: &'a BlobName,
        size: u64,
        shown: &'a Shown,
        content: Content,
    ) -> Fut<'a, Result<(), PutError>> {
        Box::pin(async move {
            let put = self.blobs.put(name, size, shown, self.counted(content, BlobDirection::In)).await;
            let result = match &put {
                Ok(()) => BlobResult::Done,
                Err(PutError::Incomplete(_)) => BlobResult::Incomplete,
                Err(PutError::Store(_)) => BlobResult::Failed,
            };
            self.ended(BlobOperation::Put, result);
            put
        })
    }

    fn read<'a>(&'a self, name: &'a BlobName, range: Range<u64>) -> StoreFut<'a, Option<Content>> {
        Box::pin(async move {
            let read = self.blobs.read(name, range).await;
            self.ended(BlobOperation::Read, (&read).into());
            Ok(read?.map(|content| self.counted(content, BlobDirection::Out)))
        })
    }

    fn remove<'a>(&'a self, name: &'a BlobName) -> StoreFut<'a, ()> {
        Box::pin(async move {
            let removed = self.blobs.remove(name).await;
            self.ended(BlobOperation::Remove, (&removed).into());
            removed
        })
    }

    fn clear<'a>(&'a self, file: &'a BlobName) -> StoreFut<'a, ()> {
        Box::pin(async move {
            let cleared = self.blobs.clear(file).await;
            self.ended(BlobOperation::Remove, (&cleared).into());
            cleared
        })
    }

    fn tidy<'a>(&'a self, older_than: Duration) -> StoreFut<'a, u64> {
        self.blobs.tidy(older_than)
    }

    fn around(&self) -> Option<&dyn Around> {
        self.blobs.around().map(|_| self as &dyn Around)
    }
}

impl Counted {
    /// It has one: `around` gave it away only then.
    fn inner(&self) -> Result<&dyn Around, StoreError> {
        self.blobs.around().ok_or_else(StoreError::closed)
    }
}

impl Around for Counted {
    fn put_url<'a>(
        &'a self,
        file: &'a BlobName,
        size: u64,
        media_type: Option<&'a str>,
        valid: Duration,
    ) -> StoreFut<'a, Option<String>> {
        Box::pin(async move { self.inner()?.put_url(file, size, media_type, valid).await })
    }

    fn read_url<'a>(
        &'a self,
        name: &'a BlobName,
        shown: &'a Shown,
        valid: Duration,
    ) -> StoreFut<'a, Option<String>> {
        Box::pin(async move { self.inner()?.read_url(name, shown, valid).await })
    }

    fn arrivals<'a>(&'a self, after: Option<&'a BlobName>, limit: usize) -> StoreFut<'a, Vec<BlobName>> {
        Box::pin(async move { self.inner()?.arrivals(after, limit).await })
    }

    fn arrival<'a>(&'a self, file: &'a BlobName) -> StoreFut<'a, Option<Arrival>> {
        Box::pin(async move { self.inner()?.arrival(file).await })
    }

    fn take<'a>(&'a self, arrival: &'a Arrival, blob: &'a BlobName, shown: &'a Shown) -> StoreFut<'a, bool> {
        Box::pin(async move {
            let taken = self.inner()?.take(arrival, blob, shown).await;
            self.ended(BlobOperation::Take, (&taken).into());
            taken
        })
    }

    fn discard<'a>(&'a self, file: &'a BlobName) -> StoreFut<'a, ()> {
        Box::pin(async move { self.inner()?.discard(file).await })
    }
}
