//! Blobs as objects in a bucket, at Amazon S3 or whoever speaks its protocol.
//!
//! ```text
//! PREFIX NAME.ATTEMPT       whole: S3 shows an object only when it has all of it
//! PREFIX incoming/NAME      put there by a client, past us; taken, it is copied to a name of the first kind
//! ```
//!
//! Whatever S3 does or does not do, every wait is bounded by `storage.s3.wait_seconds`.

mod around;
mod connection;
mod failure;
mod health;
mod options;
mod sending;

use std::ops::Range;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::delete_object::builders::DeleteObjectFluentBuilder;
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use futures_util::stream;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use crate::storage::*;
use failure::{Failure, Named};
use health::Known;
pub use options::{Options, Put, Read};

/// Seconds until it is tried (again) to remove what came of a put that failed, or was given up.
const REMOVED_AFTER: [u64; 4] = [1, 4, 15, 60];
/// A page of a listing, as long as S3 gives one.
const PAGE: i32 = 1_000;

pub struct S3 {
    options: Options,
    named: Named,
    client: Client,
    /// Signs URLs for clients; it sends nothing.
    signer: Client,
    known: Known,
}

impl S3 {
    /// Nothing is asked of S3 yet.
    pub fn open(options: Options) -> Result<S3, StoreError> {
        let named = Named::new(&options);
        let connector = connection::connector(&options)?;
        let client = connection::client(&options, options.endpoint.as_deref(), connector.clone());
        let seen = options.client_endpoint.as_deref().or(options.endpoint.as_deref());
        let signer = connection::client(&options, seen, connector);
        Ok(S3 { options, named, client, signer, known: Known::default() })
    }

    fn key(&self, name: &BlobName) -> String {
        format!("{}{name}", self.options.prefix)
    }

    /// One request, which is answered in time or has failed.
    async fn ask<T, E: ProvideErrorMetadata + std::error::Error + 'static>(
        &self,
        operation: Operation,
        sent: impl Future<Output = Result<T, SdkError<E>>>,
    ) -> Result<T, Failure> {
        self.ask_for(self.options.wait, operation, Instant::now(), sent).await
    }

    /// `begun`: when the request began, which may be on its way for a while.
    async fn ask_for<T, E: ProvideErrorMetadata + std::error::Error + 'static>(
        &self,
        wait: Duration,
        operation: Operation,
        begun: Instant,
        sent: impl Future<Output = Result<T, SdkError<E>>>,
    ) -> Result<T, Failure> {
        let answer = match timeout(wait, sent).await {
            Ok(answer) => answer.map_err(|error| self.named.failure(operation.as_str(), &error)),
            Err(_) => Err(self.named.silent(operation.as_str(), wait)),
        };
        self.ended(operation, begun, answer.as_ref().err());
        answer
    }

    fn ended(&self, operation: Operation, begun: Instant, failure: Option<&Failure>) {
        self.known.heard(failure);
        // That there is no such object is an answer.
        let well = failure.is_none_or(Failure::is_missing);
        self.options.watch.operated(operation, begun.elapsed(), well);
    }

    async fn receive(
        &self,
        name: &BlobName,
        size: u64,
        shown: &Shown,
        content: Content,
    ) -> Result<(), PutError> {
        let begun = Instant::now();
        let (pump, body) = sending::channel(content, size, self.options.wait);
        let put = self.client.put_object().bucket(&self.options.bucket).key(self.key(name));
        let put = put.content_length(size as i64).set_content_type(shown.media_type.clone());
        let put = put.content_disposition(&shown.disposition);
        let put = put.body(ByteStream::new(SdkBody::from_body_1_x(body)));
        let mut sent = Box::pin(put.send());
        // Both go on together: the body is sent while it comes.
        let (pumped, early) = tokio::select! {
            pumped = pump.run() => (pumped, None),
            answer = &mut sent => (sending::Pumped::Refused, Some(answer)),
        };
        match pumped {
            sending::Pumped::Whole | sending::Pumped::Refused => {}
            // The request is dropped with its connection, and S3 keeps nothing of it.
            sending::Pumped::Broken(why) => return Err(PutError::Incomplete(why)),
            sending::Pumped::Stalled => {
                let failure = self.named.silent("put", self.options.wait);
                self.ended(Operation::S3Put, begun, Some(&failure));
                return Err(PutError::Store(failure.error));
            }
        }
        let answer = match early {
            Some(answer) => {
                self.ask_for(self.options.wait, Operation::S3Put, begun, std::future::ready(answer)).await
            }
            None => self.ask_for(self.options.wait, Operation::S3Put, begun, sent).await,
        };
        answer.map(drop).map_err(|failure| PutError::Store(failure.error))
    }

    async fn content(&self, name: &BlobName, range: Range<u64>) -> Result<Option<Content>, StoreError> {
        if range.is_empty() {
            return Ok(Some(Box::pin(stream::empty())));
        }
        let part = format!("bytes={}-{}", range.start, range.end - 1);
        let get = self.client.get_object().bucket(&self.options.bucket).key(self.key(name)).range(part);
        let object = match self.ask(Operation::S3Get, Box::pin(get.send())).await {
            Ok(object) => object,
            Err(failure) if failure.is_missing() => return Ok(None),
            Err(failure) => return Err(failure.error),
        };
        let (left, wait) = (range.end - range.start, self.options.wait);
        let parts = stream::try_unfold((object.body, left), move |(mut body, left)| async move {
            if left == 0 {
                return Ok(None);
            }
            let part = timeout(wait, body.next()).await.map_err(|_| std::io::ErrorKind::TimedOut)?;
            let part = part.ok_or(std::io::ErrorKind::UnexpectedEof)?.map_err(std::io::Error::other)?;
            let left = left.checked_sub(part.len() as u64).ok_or(std::io::ErrorKind::InvalidData)?;
            Ok::<_, std::io::Error>(Some((part, (body, left))))
        });
        Ok(Some(Box::pin(parts)))
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let delete = self.client.delete_object().bucket(&self.options.bucket).key(key);
        match self.ask(Operation::S3Delete, Box::pin(delete.send())).await {
            Err(failure) if !failure.is_missing() => Err(failure.error),
            _ => Ok(()),
        }
    }

    /// What is put under the key is to go, unless it is told otherwise.
    fn unwanted(&self, key: String) -> Unwanted {
        let delete = self.client.delete_object().bucket(&self.options.bucket).key(key);
        Unwanted { delete: Some(delete), wait: self.options.wait }
    }

    /// Keys that begin so, in their order, behind another.
    async fn keys(
        &self,
        beginning: &str,
        after: Option<String>,
        limit: i32,
    ) -> Result<Vec<String>, StoreError> {
        let list = self.client.list_objects_v2().bucket(&self.options.bucket).prefix(beginning);
        let list = list.set_start_after(after).max_keys(limit);
        let listed =
            self.ask(Operation::S3List, Box::pin(list.send())).await.map_err(|failure| failure.error)?;
        Ok(listed.contents.unwrap_or_default().into_iter().filter_map(|object| object.key).collect())
    }
}

/// Amazon keeps nothing of a request whose body broke off; others do, under a name that nobody serves. It goes when this
/// is dropped, a little later, or else with its file's row.
struct Unwanted {
    delete: Option<DeleteObjectFluentBuilder>,
    wait: Duration,
}

impl Unwanted {
    fn disarm(mut self) {
        self.delete = None;
    }
}

impl Drop for Unwanted {
    fn drop(&mut self) {
        // Where nothing runs any more, nothing can be asked.
        let (Some(delete), Ok(runtime)) = (self.delete.take(), Handle::try_current()) else { return };
        let wait = self.wait;
        runtime.spawn(async move {
            for seconds in REMOVED_AFTER {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                if timeout(wait, delete.clone().send()).await.is_ok_and(|deleted| deleted.is_ok()) {
                    return;
                }
            }
        });
    }
}

impl Blobs for S3 {
    fn kind(&self) -> BlobKind {
        BlobKind::S3
    }

    fn place(&self) -> String {
        self.named.to_string()
    }

    fn health<'a>(&'a self) -> StoreFut<'a, ()> {
        Box::pin(self.known.or_probe(|| async {
            let list = self.client.list_objects_v2().bucket(&self.options.bucket);
            let list = list.prefix(&self.options.prefix).max_keys(1);
            let (wait, begun) = (self.options.wait.min(health::PROBE), Instant::now());
            let listed = self.ask_for(wait, Operation::S3List, begun, Box::pin(list.send())).await;
            listed.map(drop).map_err(|failure| failure.error)
        }))
    }

    fn put<'a>(
        &'a self,
        name: &'a BlobName,
        size: u64,
        shown: &'a Shown,
        content: Content,
    ) -> Fut<'a, Result<(), PutError>> {
        Box::pin(async move {
            let unwanted = self.unwanted(self.key(name));
            let put = self.receive(name, size, shown, content).await;
            if put.is_ok() {
                unwanted.disarm();
            }
            put
        })
    }

    fn read<'a>(&'a self, name: &'a BlobName, range: Range<u64>) -> StoreFut<'a, Option<Content>> {
        Box::pin(self.content(name, range))
    }

    fn remove<'a>(&'a self, name: &'a BlobName) -> StoreFut<'a, ()> {
        Box::pin(async move { self.delete(&self.key(name)).await })
    }

    fn clear<'a>(&'a self, file: &'a BlobName) -> StoreFut<'a, ()> {
        Box::pin(async move {
            self.discard(file).await?;
            loop {
                let beginning = format!("{}{}", self.options.prefix, file.file());
                let keys = self.keys(&beginning, None, PAGE).await?;
                for key in &keys {
                    self.delete(key).await?;
                }
                if keys.len() < PAGE as usize {
                    return Ok(());
                }
            }
        })
    }

    /// What a put that broke off left goes by itself (`Unwanted`).
    fn tidy<'a>(&'a self, _: Duration) -> StoreFut<'a, u64> {
        Box::pin(std::future::ready(Ok(0)))
    }

    fn around(&self) -> Option<&dyn Around> {
        let is_used = self.options.put == Put::Direct || self.options.read != Read::Through;
        is_used.then_some(self as &dyn Around)
    }
}
