//! What no single key can know: whether the keys go together.

mod s3;

use std::net::IpAddr;

use super::MainStore;
use super::credentials;
use super::error::{Fault, Problem};
use super::nearest::nearest_word;
use super::redis_url::RedisUrl;
use super::source::Node;
use super::values::Secret;
use super::{ColdStore, Config};

/// Everything in `config` that contradicts itself; `tree` says where it was written.
pub(super) fn check(config: &Config, tree: &Node) -> Vec<Problem> {
    let mut check = Check { tree, problems: Vec::new() };
    check.hosts(config);
    check.ports(config);
    check.auth(config);
    check.limits(config);
    check.storage(config);
    check.kafka(config);
    check.redis(config);
    check.upload(config);
    check.s3(config);
    check.cold(config);
    for key in credentials::refused(config) {
        check.fault(key.into(), Fault::WellKnownPassword);
    }
    check.problems
}

struct Check<'a> {
    tree: &'a Node,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn fault(&mut self, key: String, fault: Fault) {
        self.problems.push(Problem { origin: self.tree.origin_of(&key), key, fault });
    }

    fn hosts(&mut self, config: &Config) {
        if config.general.hosts.is_empty() {
            self.fault("general.hosts".into(), Fault::Empty);
        }
        let hosts = config.general.hosts.iter().enumerate();
        self.unique(hosts.map(|(index, host)| (format!("general.hosts[{index}]"), host.as_str())));
        let domains = config.domain.iter().enumerate();
        self.unique(domains.map(|(index, domain)| (format!("domain[{index}].name"), domain.name.as_str())));

        for (index, domain) in config.domain.iter().enumerate() {
            self.served(config, &domain.name, format!("domain[{index}].name"));
        }
        for (index, certificate) in config.tls.certificates.iter().enumerate() {
            for (place, host) in certificate.hosts.iter().flatten().enumerate() {
                self.served(config, host, format!("tls.certificates[{index}].hosts[{place}]"));
            }
        }
    }

    fn unique<'b>(&mut self, values: impl Iterator<Item = (String, &'b str)>) {
        let mut seen: Vec<(String, &str)> = Vec::new();
        for (key, value) in values {
            match seen.iter().find(|(_, other)| *other == value) {
                Some((first, _)) => {
                    let fault = Fault::Twice { what: value.to_owned(), first: first.clone() };
                    self.fault(key, fault);
                }
                None => seen.push((key, value)),
            }
        }
    }

    fn served(&mut self, config: &Config, host: &str, key: String) {
        let hosts = || config.general.hosts.iter().map(|host| host.as_str());
        if hosts().all(|served| served != host)
            && let Some(nearest) = nearest_word(host, hosts())
        {
            self.fault(key, Fault::UnknownHost { host: host.to_owned(), nearest: nearest.to_owned() });
        }
    }

    fn ports(&mut self, config: &Config) {
        let c2s = config.listen.c2s.iter().map(|listener| (listener.ip, listener.port)).enumerate();
        let metrics = config.listen.metrics.iter().map(|listener| (listener.ip, listener.port)).enumerate();
        let http = config.listen.http.iter().map(|listener| (listener.ip, listener.port)).enumerate();
        let all = c2s
            .map(|(index, socket)| (format!("listen.c2s[{index}].port"), socket))
            .chain(http.map(|(index, socket)| (format!("listen.http[{index}].port"), socket)))
            .chain(metrics.map(|(index, socket)| (format!("listen.metrics[{index}].port"), socket)));
        let mut seen: Vec<(String, (IpAddr, u16))> = Vec::new();
        for (key, socket) in all {
            match seen.iter().find(|(_, other)| overlap(socket, *other)) {
                Some((first, _)) => {
                    let fault = Fault::PortTaken { port: socket.1, first: first.clone() };
                    self.fault(key, fault);
                }
                None => seen.push((key, socket)),
            }
        }
    }

    fn auth(&mut self, config: &Config) {
        if config.auth.mechanisms.is_empty() {
            self.fault("auth.mechanisms".into(), Fault::Empty);
        }
        for (index, domain) in config.domain.iter().enumerate() {
            if domain.auth.mechanisms.as_ref().is_some_and(Vec::is_empty) {
                self.fault(format!("domain[{index}].auth.mechanisms"), Fault::Empty);
            }
        }
    }

    /// A queue that cannot hold the largest stanza would refuse it forever.
    fn limits(&mut self, config: &Config) {
        let limits = &config.limits;
        let queues = [
            ("limits.mailbox_bytes", limits.mailbox_bytes),
            ("limits.unacknowledged_bytes", limits.unacknowledged_bytes),
            ("limits.pending_commit_bytes", limits.pending_commit_bytes),
        ];
        for (key, bytes) in queues {
            if bytes < limits.stanza_bytes {
                let value = limits.stanza_bytes.into();
                self.fault(key.into(), Fault::LessThan { other: "limits.stanza_bytes", value });
            }
        }
    }

    fn storage(&mut self, config: &Config) {
        let (compiled, feature) = match config.storage.main {
            MainStore::Sqlite => (cfg!(feature = "sqlite"), "sqlite"),
            MainStore::Postgres => (cfg!(feature = "postgres"), "postgres"),
            MainStore::Memory => return,
        };
        if !compiled {
            self.fault("storage.main".into(), Fault::NotCompiled { feature });
        }
        let url = config.storage.postgres.url.as_ref().map(Secret::reveal);
        let is_postgres = |url: &str| url.starts_with("postgres://") || url.starts_with("postgresql://");
        let fault = match url {
            Some(url) if is_postgres(url) => return,
            Some(_) => {
                Fault::Malformed { wanted: "a URL, as \"postgres://USER:PASSWORD@HOST:PORT/DATABASE\"" }
            }
            None if config.storage.main == MainStore::Postgres => {
                Fault::Needed { by: "storage.main = \"postgres\"" }
            }
            None => return,
        };
        self.fault("storage.postgres.url".into(), fault);
    }

    fn cold(&mut self, config: &Config) {
        let cold = &config.modules.mam.cold;
        if cold.store.is_none() && cold.after_days.at_most().is_some() {
            self.fault("modules.mam.cold.store".into(), Fault::Needed { by: "modules.mam.cold.after_days" });
        }
        if cold.store == Some(ColdStore::S3) && cold.prefix == config.storage.s3.prefix {
            let wanted = "another prefix than storage.s3.prefix, under which uploads are";
            self.fault("modules.mam.cold.prefix".into(), Fault::Malformed { wanted });
        }
    }

    fn kafka(&mut self, config: &Config) {
        let kafka = &config.storage.kafka;
        if kafka.brokers.is_empty() {
            return;
        }
        if !cfg!(feature = "kafka") {
            self.fault("storage.kafka.brokers".into(), Fault::NotCompiled { feature: "kafka" });
        }
        if kafka.sasl.is_some() && kafka.username.is_empty() {
            self.fault("storage.kafka.username".into(), Fault::Needed { by: "storage.kafka.sasl" });
        }
        if kafka.sasl.is_some() && kafka.password.is_none() {
            self.fault("storage.kafka.password".into(), Fault::Needed { by: "storage.kafka.sasl" });
        }
        let topics = kafka.topics.all().into_iter().filter_map(|(topic, name)| {
            Some((format!("storage.kafka.topics.{}", topic.word().replace('.', "_")), name.name()?))
        });
        self.unique(topics);
    }

    fn redis(&mut self, config: &Config) {
        let redis = &config.storage.redis;
        let Some(url) = redis.url.as_ref().map(Secret::reveal) else { return };
        if !cfg!(feature = "redis") {
            self.fault("storage.redis.url".into(), Fault::NotCompiled { feature: "redis" });
        }
        let wanted = match RedisUrl::parse(url) {
            None => "a URL, as \"redis://USER:PASSWORD@HOST:PORT/DATABASE\"",
            Some(url) if url.servers.len() > 1 && !redis.cluster => {
                "the URL of one server, or storage.redis.cluster = true with it"
            }
            Some(url) if url.database != 0 && redis.cluster => {
                "a URL without a database: a Redis Cluster has only one"
            }
            Some(_) => return,
        };
        self.fault("storage.redis.url".into(), Fault::Malformed { wanted });
    }

    /// It is the beginning of URLs: nothing can stand behind a query.
    fn upload(&mut self, config: &Config) {
        let Some(base) = &config.modules.upload.base_url else { return };
        if !is_base(base.as_str()) {
            let wanted = "an http or https URL, as \"https://files.example.com\"";
            self.fault("modules.upload.base_url".into(), Fault::Malformed { wanted });
        }
    }
}

/// Can a path stand behind it?
fn is_base(url: &str) -> bool {
    ["https://", "http://"].iter().any(|scheme| url.starts_with(scheme)) && !url.contains(['?', '#'])
}

/// Whether two listeners would take connections to the same address. "::" takes IPv4 too.
fn overlap(one: (IpAddr, u16), other: (IpAddr, u16)) -> bool {
    let covers = |wide: IpAddr, narrow: IpAddr| match wide {
        IpAddr::V6(address) => address.is_unspecified(),
        IpAddr::V4(address) => address.is_unspecified() && narrow.is_ipv4(),
    };
    one.1 == other.1 && one.1 != 0 && (one.0 == other.0 || covers(one.0, other.0) || covers(other.0, one.0))
}
