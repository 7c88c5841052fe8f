//! What an S3 store is opened with.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::config::{self, S3Get, S3Put};
use crate::storage::{StoreError, Unwatched, Watch};

pub struct Options {
    /// Nothing: Amazon's of the region.
    pub endpoint: Option<String>,
    /// As clients reach it, if that is elsewhere.
    pub client_endpoint: Option<String>,
    pub bucket: String,
    pub region: String,
    pub access_key: String,
    pub secret_key: String,
    pub path_style: bool,
    pub prefix: String,
    /// Certificate authorities beside the system's, PEM.
    pub authorities: Option<Vec<u8>>,
    pub put: Put,
    pub read: Read,
    /// The longest silence of S3.
    pub wait: Duration,
    /// By which requests are signed.
    pub clock: fn() -> SystemTime,
    /// Told of each request.
    pub watch: Arc<dyn Watch>,
}

/// How clients put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    Through,
    Direct,
}

/// How clients read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    Through,
    /// At signed URLs.
    Signed,
    /// At URLs that begin so; nothing: the bucket's own.
    Public(Option<String>),
}

impl Options {
    /// The configuration's check has seen to it that nothing is missing.
    pub fn configured(settings: &config::S3) -> Result<Options, StoreError> {
        let needed = |key: &str, value: Option<&str>| {
            let unset = || StoreError::Unavailable(format!("storage.s3.{key} is not set"));
            value.map(str::to_owned).ok_or_else(unset)
        };
        let authorities = settings.ca.as_ref().map(|file| {
            let refused = |error| {
                let file = file.display();
                StoreError::Unavailable(format!("{file} (storage.s3.ca) cannot be read: {error}"))
            };
            std::fs::read(file).map_err(refused)
        });
        let url =
            |uri: &Option<config::Uri>| uri.as_ref().map(|uri| uri.as_str().trim_end_matches('/').to_owned());
        Ok(Options {
            endpoint: url(&settings.endpoint),
            client_endpoint: url(&settings.client_endpoint),
            bucket: needed("bucket", settings.bucket.as_deref())?,
            region: settings.region.clone(),
            access_key: needed("access_key", settings.access_key.as_deref())?,
            secret_key: needed("secret_key", settings.secret_key.as_ref().map(config::Secret::reveal))?,
            path_style: settings.path_style,
            prefix: settings.prefix.clone(),
            authorities: authorities.transpose()?,
            put: match settings.put {
                S3Put::Through => Put::Through,
                S3Put::Direct => Put::Direct,
            },
            read: match settings.get {
                S3Get::Through => Read::Through,
                S3Get::Redirect => Read::Signed,
                S3Get::Public => Read::Public(url(&settings.public_url)),
            },
            wait: Duration::from_secs(settings.wait_seconds.into()),
            clock: SystemTime::now,
            watch: Arc::new(Unwatched),
        })
    }
}
