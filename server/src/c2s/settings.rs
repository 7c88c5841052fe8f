//! What the configuration means to streams and sessions, worked out once and again at a reload.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use xmpp_core::sasl::{Credentials, Mechanism, ScramHash};
use xmpp_core::stream::{self, Announced, Fakes, Host, Hosts, StartTls};
use xmpp_core::xml::Limits;

use super::reader::ReaderSettings;
use super::task::TaskSettings;
use crate::config::{Config, TlsMode};
use crate::router::Router;
use crate::storage::Authentication;

pub struct Settings {
    pub config: Arc<Config>,
    pub limits: Limits,
    pub task: Arc<TaskSettings>,
    pub reader: Arc<ReaderSettings>,
    required: Arc<stream::Settings>,
    optional: Arc<stream::Settings>,
    off: Arc<stream::Settings>,
}

impl Settings {
    pub fn new(config: Arc<Config>, router: &Router, fake_key: [u8; 32]) -> Settings {
        let stream = |start_tls| Arc::new(stream_settings(&config, router, fake_key, start_tls));
        Settings {
            limits: limits(&config),
            task: Arc::new(task_settings(&config)),
            reader: Arc::new(reader_settings(&config)),
            required: stream(StartTls::Required),
            optional: stream(StartTls::Optional),
            off: stream(StartTls::Off),
            config,
        }
    }

    /// When a connection that begins now must have become a session.
    pub fn unauthenticated_until(&self) -> Instant {
        Instant::now() + Duration::from_secs(self.config.limits.unauthenticated_seconds.into())
    }

    pub fn stream(&self, mode: TlsMode) -> Arc<stream::Settings> {
        match mode {
            TlsMode::Starttls => self.required.clone(),
            TlsMode::StarttlsOptional => self.optional.clone(),
            TlsMode::Direct | TlsMode::None => self.off.clone(),
        }
    }
}

fn limits(config: &Config) -> Limits {
    let limits = &config.limits;
    Limits {
        stanza_bytes: limits.stanza_bytes as usize,
        elements: limits.stanza_elements as usize,
        depth: limits.stanza_depth as usize,
        attributes: limits.stanza_attributes as usize,
        ..Limits::default()
    }
}

fn task_settings(config: &Config) -> TaskSettings {
    let seconds = |n: u32| Duration::from_secs(n.into());
    TaskSettings {
        // Half a century is as good as never.
        ping_after: config
            .c2s
            .ping_after_seconds
            .at_most()
            .map_or(Duration::from_secs(50 * 31_536_000), Duration::from_secs),
        ping_timeout: seconds(config.c2s.ping_timeout_seconds),
        write_timeout: seconds(config.c2s.write_timeout_seconds),
        unacknowledged_stanzas: config.limits.unacknowledged_stanzas as usize,
        unacknowledged_bytes: config.limits.unacknowledged_bytes as usize,
        held_stanzas: config.modules.csi.held_stanzas as usize,
        held_bytes: config.modules.csi.held_bytes as usize,
    }
}

fn reader_settings(config: &Config) -> ReaderSettings {
    let rate = config.limits.bytes_per_second.at_most();
    let resume = config.c2s.resume_seconds;
    ReaderSettings {
        rate: rate.map(|rate| (rate, config.limits.burst_bytes)),
        pending_stanzas: config.limits.pending_commit_stanzas as usize,
        pending_bytes: config.limits.pending_commit_bytes as usize,
        resume_seconds: Some(resume).filter(|seconds| *seconds > 0),
        csi: config.modules.csi.enabled,
    }
}

fn stream_settings(
    config: &Config,
    router: &Router,
    fake_key: [u8; 32],
    start_tls: StartTls,
) -> stream::Settings {
    let mut hosts = config.general.hosts.iter().map(|host| stream_host(config, router, host.as_str()));
    // A configuration without a host is refused when it is read.
    let default = hosts.next().unwrap_or_else(|| stream_host(config, router, "localhost"));
    stream::Settings {
        hosts: Hosts::new(default, hosts),
        start_tls,
        // A client that could have had TLS shows no password without it.
        plain_without_tls: config.auth.plain_without_tls && start_tls == StartTls::Off,
        login_attempts: config.auth.attempts_per_stream,
        fakes: Fakes { key: fake_key, iterations: config.auth.scram_iterations },
        limits_before_login: Announced {
            max_bytes: Some(config.limits.stanza_bytes.min(config.limits.unauthenticated_bytes).into()),
            idle_seconds: Some(config.limits.unauthenticated_seconds.into()),
        },
        limits: Announced {
            max_bytes: Some(config.limits.stanza_bytes.into()),
            idle_seconds: config.c2s.ping_after_seconds.at_most(),
        },
        resumption: config.c2s.resume_seconds > 0,
        rfc3920_error_name: config.c2s.rfc3920_error_names,
    }
}

fn stream_host(config: &Config, router: &Router, name: &str) -> Host {
    let mechanisms = config.mechanisms(name).into_iter();
    let credentials = match router.store.authentication(name) {
        Authentication::Secrets => {
            Credentials::Secrets(vec![ScramHash::Sha256, ScramHash::Sha512, ScramHash::Sha1])
        }
        Authentication::Verify => Credentials::Verify,
    };
    let host = router.host();
    Host {
        name: name.to_owned(),
        mechanisms: mechanisms.filter_map(|mechanism| Mechanism::from_name(mechanism.as_str())).collect(),
        credentials,
        registration: host.register.is_some(),
        features: host.features_after_login(),
    }
}
