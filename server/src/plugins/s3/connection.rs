//! The client of S3: rustls on aws-lc, the configured key, and no waiting of its own beside ours.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Config, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_smithy_async::time::TimeSource;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::Options;
use crate::storage::StoreError;

/// Connections that nobody uses are closed before S3 closes them, so that none is used that is being closed.
const IDLE: Duration = Duration::from_secs(4);

pub fn connector(options: &Options) -> Result<SharedHttpClient, StoreError> {
    let mut trusted = TrustStore::default();
    if let Some(authorities) = &options.authorities {
        check(authorities)?;
        trusted = trusted.with_pem_certificate(authorities.as_slice());
    }
    let unusable = |error| StoreError::Unavailable(format!("TLS to S3 cannot be set up: {error}"));
    let tls = TlsContext::builder().with_trust_store(trusted).build().map_err(unusable)?;
    let builder = Builder::new().pool_idle_timeout(IDLE).tls_provider(Provider::rustls(CryptoMode::AwsLc));
    Ok(builder.tls_context(tls).build_with_resolver(Resolver))
}

/// The client itself would panic.
fn check(authorities: &[u8]) -> Result<(), StoreError> {
    let refused =
        |why: String| StoreError::Unavailable(format!("storage.s3.ca names no certificates: {why}"));
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authorities) {
        let certificate = certificate.map_err(|error| refused(error.to_string()))?;
        roots.add(certificate).map_err(|error| refused(error.to_string()))?;
    }
    if roots.is_empty() { Err(refused("there is none in it".to_owned())) } else { Ok(()) }
}

pub fn client(options: &Options, endpoint: Option<&str>, connector: SharedHttpClient) -> Client {
    let credentials =
        Credentials::new(&options.access_key, &options.secret_key, None, None, "storage.s3.access_key");
    let mut config = Config::builder();
    config.set_endpoint_url(endpoint.map(str::to_owned));
    let config = config
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(options.region.clone()))
        .credentials_provider(credentials)
        .force_path_style(options.path_style)
        .http_client(connector)
        .time_source(Clock(options.clock))
        // We bound each wait ourselves, also that for a body, which comes as slowly as its client sends it.
        .timeout_config(TimeoutConfig::builder().connect_timeout(options.wait).build())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .retry_config(RetryConfig::standard().with_max_attempts(2))
        // Trailers with sums are more than many servers understand.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    Client::from_conf(config.build())
}

#[derive(Debug)]
struct Clock(fn() -> SystemTime);

impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        self.0()
    }
}

/// The system's, except that names under `localhost` are this host (RFC 6761 section 6.3), so that the buckets of a
/// server at hand have names: not every system does that.
#[derive(Debug, Clone)]
struct Resolver;

impl ResolveDns for Resolver {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        let bare = name.trim_end_matches('.').to_ascii_lowercase();
        if bare == "localhost" || bare.ends_with(".localhost") {
            return DnsFuture::ready(Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]));
        }
        DnsFuture::new(async move {
            let found = tokio::net::lookup_host((name, 0)).await.map_err(ResolveDnsError::new)?;
            Ok(found.map(|address| address.ip()).collect::<Vec<IpAddr>>())
        })
    }
}
