//! What went wrong, in a sentence that names the place and the key of the configuration that helps.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use super::Options;
use crate::storage::StoreError;

/// The bucket and where it is.
pub struct Named {
    endpoint: String,
    bucket: String,
    region: String,
}

/// Why a request was not done.
pub struct Failure {
    /// Of S3's answer, if there was one.
    status: Option<u16>,
    code: Option<String>,
    pub error: StoreError,
}

impl Failure {
    /// There is no such object.
    pub fn is_missing(&self) -> bool {
        self.status == Some(404) && self.code.as_deref() != Some("NoSuchBucket")
    }

    /// It is not what the request said it should be.
    pub fn is_changed(&self) -> bool {
        self.status == Some(412)
    }

    /// It says something about S3, and not about the request.
    pub fn is_away(&self) -> bool {
        self.status.is_none_or(|status| status >= 500)
    }
}

impl Named {
    pub fn new(options: &Options) -> Named {
        let usual = || format!("https://s3.{}.amazonaws.com", options.region);
        Named {
            endpoint: options.endpoint.clone().unwrap_or_else(usual),
            bucket: options.bucket.clone(),
            region: options.region.clone(),
        }
    }

    /// It said nothing for too long.
    pub fn silent(&self, doing: &str, wait: Duration) -> Failure {
        let why = format!("nothing was heard for {} s (storage.s3.wait_seconds)", wait.as_secs());
        Failure { status: None, code: None, error: self.unavailable(doing, &why) }
    }

    pub fn failure<E>(&self, doing: &str, error: &SdkError<E>) -> Failure
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let raw = error.raw_response();
        let status = raw.map(|answer| answer.status().as_u16());
        let code = error.as_service_error().and_then(|error| error.code()).map(str::to_owned);
        let said = error.as_service_error().and_then(|error| error.message()).unwrap_or_default();
        let error = match status {
            None => self.unreachable(doing, &last(error)),
            Some(status) => self.refusal(doing, status, code.as_deref().unwrap_or_default(), said),
        };
        Failure { status, code, error }
    }

    fn unreachable(&self, doing: &str, why: &str) -> StoreError {
        let help = match why.contains("certificate") || why.contains("UnknownIssuer") {
            true => "storage.s3.ca names the authority of its certificate",
            false => "is storage.s3.endpoint right, and is it running?",
        };
        self.unavailable(doing, &format!("it cannot be reached: {why}; {help}"))
    }

    fn refusal(&self, doing: &str, status: u16, code: &str, said: &str) -> StoreError {
        let (bucket, region) = (&self.bucket, &self.region);
        let why = match code {
            "NoSuchBucket" => format!("there is no bucket {bucket}; make it, or correct storage.s3.bucket"),
            "InvalidBucketName" => format!("{bucket} is no name of a bucket; correct storage.s3.bucket"),
            "InvalidAccessKeyId" => "it does not know the key; correct storage.s3.access_key".to_owned(),
            "SignatureDoesNotMatch" => {
                "the signature is wrong; correct storage.s3.secret_key (or the region, storage.s3.region)"
                    .to_owned()
            }
            "RequestTimeTooSkewed" => {
                "this server's clock and its clock differ too much; set them by NTP".to_owned()
            }
            "AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException" => {
                format!("the bucket is in another region than {region}; correct storage.s3.region")
            }
            "AccessDenied" | "" if status == 403 => format!(
                "the key of storage.s3.access_key may not do that; allow it PutObject, GetObject, DeleteObject and \
                 ListBucket in {bucket}"
            ),
            "" if status == 301 => {
                format!("the bucket is in another region than {region}; correct storage.s3.region")
            }
            "QuotaExceeded" | "XMinioStorageFull" | "EntityTooLarge" | "InsufficientCapacity" => {
                return StoreError::Full(format!("{self}: {doing}: {code}: {said}"));
            }
            _ if status == 507 => return StoreError::Full(format!("{self}: {doing}: {code}: {said}")),
            _ => format!("{status} {code}: {said}"),
        };
        self.unavailable(doing, &why)
    }

    fn unavailable(&self, doing: &str, why: &str) -> StoreError {
        StoreError::Unavailable(format!("{self}: {doing}: {why}"))
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the bucket {} of S3 at {} (storage.s3)", self.bucket, self.endpoint)
    }
}

/// The innermost reason says the most.
fn last(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
