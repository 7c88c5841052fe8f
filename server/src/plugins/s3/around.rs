//! Clients at S3 itself: signed URLs, and what arrived by them.

use std::time::Duration;

use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::types::MetadataDirective;
use tokio::time::Instant;

use super::{Put, Read, S3};
use crate::storage::*;

const INCOMING: &str = "incoming/";
/// A copy within S3 takes longer than other requests: so many times.
const COPY_WAITS: u32 = 6;

impl S3 {
    fn incoming(&self, file: &BlobName) -> String {
        format!("{}{INCOMING}{}", self.options.prefix, file.file())
    }

    fn signed_for(&self, valid: Duration) -> Result<PresigningConfig, StoreError> {
        let config = PresigningConfig::builder().start_time((self.options.clock)());
        let config = config.expires_in(valid.max(Duration::from_secs(1))).build();
        config.map_err(|error| StoreError::Unavailable(format!("a URL of S3 cannot be signed: {error}")))
    }

    /// What a bucket that everybody may read is read at.
    fn public_url(&self, base: Option<&str>, name: &BlobName) -> Result<String, StoreError> {
        // Digits need no escape; the prefix may.
        let key: Vec<String> = self.key(name).split('/').map(escaped).collect();
        let key = key.join("/");
        if let Some(base) = base {
            return Ok(format!("{base}/{key}"));
        }
        let (bucket, region) = (&self.options.bucket, &self.options.region);
        let amazon = format!("https://s3.{region}.amazonaws.com");
        let endpoint =
            self.options.client_endpoint.as_ref().or(self.options.endpoint.as_ref()).unwrap_or(&amazon);
        match endpoint.split_once("://") {
            _ if self.options.path_style => Ok(format!("{endpoint}/{bucket}/{key}")),
            Some((scheme, host)) => Ok(format!("{scheme}://{bucket}.{host}/{key}")),
            None => Err(StoreError::Unavailable(format!("{endpoint} is no URL (storage.s3.endpoint)"))),
        }
    }
}

impl Around for S3 {
    fn put_url<'a>(
        &'a self,
        file: &'a BlobName,
        size: u64,
        media_type: Option<&'a str>,
        valid: Duration,
    ) -> StoreFut<'a, Option<String>> {
        Box::pin(async move {
            if self.options.put != Put::Direct {
                return Ok(None);
            }
            // Both are signed headers: S3 takes no other length, and no other type where there is one.
            let put = self.signer.put_object().bucket(&self.options.bucket).key(self.incoming(file));
            let put = put.content_length(size as i64).set_content_type(media_type.map(str::to_owned));
            let signed = put.presigned(self.signed_for(valid)?).await;
            let signed = signed.map_err(|error| self.named.failure("sign", &error).error)?;
            Ok(Some(signed.uri().to_owned()))
        })
    }

    fn read_url<'a>(
        &'a self,
        name: &'a BlobName,
        shown: &'a Shown,
        valid: Duration,
    ) -> StoreFut<'a, Option<String>> {
        Box::pin(async move {
            match &self.options.read {
                Read::Through => Ok(None),
                Read::Public(base) => self.public_url(base.as_deref(), name).map(Some),
                Read::Signed => {
                    let get = self.signer.get_object().bucket(&self.options.bucket).key(self.key(name));
                    let media_type = shown.media_type.as_deref().unwrap_or("application/octet-stream");
                    let get = get.response_content_type(media_type);
                    let get = get.response_content_disposition(&shown.disposition);
                    let signed = get.presigned(self.signed_for(valid)?).await;
                    let signed = signed.map_err(|error| self.named.failure("sign", &error).error)?;
                    Ok(Some(signed.uri().to_owned()))
                }
            }
        })
    }

    fn arrivals<'a>(&'a self, after: Option<&'a BlobName>, limit: usize) -> StoreFut<'a, Vec<BlobName>> {
        Box::pin(async move {
            if self.options.put != Put::Direct {
                return Ok(Vec::new());
            }
            let beginning = format!("{}{INCOMING}", self.options.prefix);
            let after = after.map(|after| self.incoming(after));
            let limit = i32::try_from(limit).unwrap_or(super::PAGE).min(super::PAGE);
            let keys = self.keys(&beginning, after, limit).await?;
            let names = keys.iter().filter_map(|key| key.strip_prefix(&beginning));
            Ok(names.filter_map(BlobName::parse).collect())
        })
    }

    fn arrival<'a>(&'a self, file: &'a BlobName) -> StoreFut<'a, Option<Arrival>> {
        Box::pin(async move {
            if self.options.put != Put::Direct {
                return Ok(None);
            }
            let head = self.client.head_object().bucket(&self.options.bucket).key(self.incoming(file));
            match self.ask(Operation::S3Head, Box::pin(head.send())).await {
                Ok(found) => Ok(Some(Arrival {
                    file: file.clone(),
                    size: found.content_length.and_then(|size| size.try_into().ok()).unwrap_or_default(),
                    media_type: found.content_type,
                    version: found.e_tag.unwrap_or_default(),
                })),
                Err(failure) if failure.is_missing() => Ok(None),
                Err(failure) => Err(failure.error),
            }
        })
    }

    fn take<'a>(&'a self, arrival: &'a Arrival, blob: &'a BlobName, shown: &'a Shown) -> StoreFut<'a, bool> {
        Box::pin(async move {
            let bucket = &self.options.bucket;
            let from: Vec<String> = self.incoming(&arrival.file).split('/').map(escaped).collect();
            let copy = self.client.copy_object().bucket(bucket).key(self.key(blob));
            let copy = copy
                .copy_source(format!("{bucket}/{}", from.join("/")))
                .copy_source_if_match(&arrival.version)
                .metadata_directive(MetadataDirective::Replace)
                .set_content_type(shown.media_type.clone())
                .content_disposition(&shown.disposition);
            let (wait, begun) = (self.options.wait * COPY_WAITS, Instant::now());
            match self.ask_for(wait, Operation::S3Copy, begun, Box::pin(copy.send())).await {
                Ok(_) => Ok(true),
                Err(failure) if failure.is_missing() || failure.is_changed() => Ok(false),
                Err(failure) => Err(failure.error),
            }
        })
    }

    fn discard<'a>(&'a self, file: &'a BlobName) -> StoreFut<'a, ()> {
        Box::pin(async move {
            match self.options.put {
                Put::Through => Ok(()),
                Put::Direct => self.delete(&self.incoming(file)).await,
            }
        })
    }
}

/// RFC 3986 section 2.3: all but unreserved characters in percent-encoding.
fn escaped(segment: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let mut escaped = String::new();
    for byte in segment.bytes() {
        match is_plain(byte) {
            true => escaped.push(byte.into()),
            false => escaped.push_str(&format!("%{}", hex::encode_upper([byte]))),
        }
    }
    escaped
}
