//! DNS: do clients and servers find each served domain (RFC 6120 section 3.2, XEP-0368)?

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};

use crate::config::{Config, Environment, TlsMode};
use crate::storage::{Finding, Level};

const PATIENCE: Duration = Duration::from_secs(3);
/// RFC 6120 section 3.2.2: where there is no SRV record.
const USUAL_PORT: u16 = 5222;

/// What SRV records say of a service.
enum Service {
    /// There are none.
    Unsaid,
    /// `.` for a target: it is not offered here.
    Denied,
    At(Vec<(String, u16)>),
}

struct Names<'a> {
    resolver: TokioResolver,
    config: &'a Config,
}

pub async fn examine(config: &Config) -> Vec<Finding> {
    let resolver = match resolver(&config.general.name_servers) {
        Ok(resolver) => resolver,
        Err(error) => {
            let advice = "look at /etc/resolv.conf, or name servers by general.name_servers";
            return vec![Finding::failed("dns", format!("there is no resolver: {error}"), advice)];
        }
    };
    let names = Names { resolver, config };
    let mut findings = Vec::new();
    for host in &config.general.hosts {
        findings.extend(names.domain(host.as_str()).await);
    }
    findings
}

fn resolver(name_servers: &[SocketAddr]) -> Result<TokioResolver, NetError> {
    let mut builder = if name_servers.is_empty() {
        TokioResolver::builder_tokio()?
    } else {
        let server = |address: &SocketAddr| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = address.port();
                connection
            });
            NameServerConfig::new(address.ip(), true, connections.to_vec())
        };
        let servers = name_servers.iter().map(server).collect();
        TokioResolver::builder_with_config(
            ResolverConfig::from_name_servers(servers),
            TokioRuntimeProvider::default(),
        )
    };
    builder.options_mut().timeout = PATIENCE;
    builder.options_mut().attempts = 1;
    builder.build()
}

impl Names<'_> {
    async fn domain(&self, host: &str) -> Vec<Finding> {
        let check = format!("dns {host}");
        // RFC 6761 section 6.3.
        let own = host == "localhost"
            || host.ends_with(".localhost")
            || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
        if own {
            return vec![Finding::ok(check, "nobody asks DNS for it")];
        }
        let ascii = idna::domain_to_ascii(host).unwrap_or_else(|_| host.to_owned());
        let mut findings = match self.examine(&check, &ascii).await {
            Ok(findings) => findings,
            Err(error) => vec![Finding::failed(
                check.as_str(),
                format!("the name servers do not say: {error}"),
                "look whether they can be reached (general.name_servers, else /etc/resolv.conf), and at the domain's delegation",
            )],
        };
        // A domain that is tried out need not be anybody's.
        if self.config.general.environment == Environment::Development {
            findings.iter_mut().for_each(|finding| finding.level = finding.level.min(Level::Warning));
        }
        findings
    }

    async fn examine(&self, check: &str, host: &str) -> Result<Vec<Finding>, NetError> {
        let starttls = self.ports(|mode| matches!(mode, TlsMode::Starttls | TlsMode::StarttlsOptional));
        let direct = self.ports(|mode| mode == TlsMode::Direct);
        let own = self.addresses(host).await?;
        let mut findings = Vec::new();
        match self.service("_xmpp-client", host).await? {
            Service::Unsaid if own.is_empty() => findings.push(Finding::failed(
                check,
                "no client finds it: no SRV record, and no address",
                format!("add to the zone: _xmpp-client._tcp.{host}. 3600 IN SRV 0 5 {USUAL_PORT} THIS-MACHINE."),
            )),
            Service::Unsaid if starttls.contains(&USUAL_PORT) => {
                findings.push(Finding::ok(check, format!("no SRV record for clients: they go to its own address {}, port {USUAL_PORT}", own.join(", "))));
            }
            Service::Unsaid => findings.push(Finding::failed(
                check,
                format!("no SRV record for clients: they go to {}, port {USUAL_PORT}, where this server does not listen", own.join(", ")),
                format!("add to the zone: _xmpp-client._tcp.{host}. 3600 IN SRV 0 5 PORT THIS-MACHINE."),
            )),
            Service::Denied => findings.push(Finding::failed(
                check,
                format!("_xmpp-client._tcp.{host} says that there is no such service (target \".\")"),
                "let it name this machine",
            )),
            Service::At(targets) => findings.extend(self.targets(check, "clients", &targets, &starttls).await?),
        }
        match self.service("_xmpps-client", host).await? {
            Service::At(targets) => findings.extend(
                self.targets(check, "clients with TLS from the first byte", &targets, &direct).await?,
            ),
            Service::Unsaid | Service::Denied => {
                if let Some(port) = direct.first() {
                    findings.push(Finding::warning(
                        check,
                        format!("no SRV record leads to port {port}, where TLS begins with the first byte (XEP-0368)"),
                        format!("add to the zone: _xmpps-client._tcp.{host}. 3600 IN SRV 0 5 {port} THIS-MACHINE."),
                    ));
                }
            }
        }
        if let Service::At(targets) = self.service("_xmpp-server", host).await? {
            findings.push(Finding::warning(
                check,
                format!(
                    "other servers are sent to {}, and this server does not listen for servers",
                    list(&targets)
                ),
                format!("take _xmpp-server._tcp.{host} out of the zone"),
            ));
        }
        Ok(findings)
    }

    /// Has each target an address, and is its port one of ours?
    async fn targets(
        &self,
        check: &str,
        whom: &str,
        targets: &[(String, u16)],
        ports: &[u16],
    ) -> Result<Vec<Finding>, NetError> {
        let mut findings = Vec::new();
        for (target, port) in targets {
            let addresses = self.addresses(target).await?;
            if addresses.is_empty() {
                findings.push(Finding::failed(
                    check,
                    format!("{whom} are sent to {target}:{port}, and {target} has no address"),
                    format!("give {target} an A or AAAA record"),
                ));
            } else if !ports.contains(port) {
                findings.push(Finding::warning(
                    check,
                    format!("{whom} are sent to {target}:{port}, and this server does not listen for them on port {port}"),
                    "correct the record or listen.c2s; where something between passes it on, all is well",
                ));
            } else {
                findings.push(Finding::ok(
                    check,
                    format!("{whom} are sent to {target}:{port} ({})", addresses.join(", ")),
                ));
            }
        }
        Ok(findings)
    }

    async fn service(&self, service: &str, host: &str) -> Result<Service, NetError> {
        let found = match self.resolver.srv_lookup(format!("{service}._tcp.{host}.")).await {
            Ok(found) => found,
            Err(error) if error.is_no_records_found() => return Ok(Service::Unsaid),
            Err(error) => return Err(error),
        };
        let mut targets: Vec<(u16, String, u16)> = Vec::new();
        for record in found.answers() {
            if let RData::SRV(srv) = &record.data {
                let target = srv.target.to_ascii();
                targets.push((srv.priority, target.trim_end_matches('.').to_owned(), srv.port));
            }
        }
        targets.sort();
        // RFC 2782: a single record with the target ".".
        if targets.iter().all(|(_, target, _)| target.is_empty()) {
            return Ok(if targets.is_empty() { Service::Unsaid } else { Service::Denied });
        }
        Ok(Service::At(targets.into_iter().map(|(_, target, port)| (target, port)).collect()))
    }

    async fn addresses(&self, host: &str) -> Result<Vec<String>, NetError> {
        let mut addresses = Vec::new();
        for kind in [RecordType::A, RecordType::AAAA] {
            let found = match self.resolver.lookup(format!("{host}."), kind).await {
                Ok(found) => found,
                Err(error) if error.is_no_records_found() => continue,
                Err(error) => return Err(error),
            };
            for record in found.answers() {
                match &record.data {
                    RData::A(address) => addresses.push(address.to_string()),
                    RData::AAAA(address) => addresses.push(address.to_string()),
                    _ => {}
                }
            }
        }
        Ok(addresses)
    }

    fn ports(&self, wanted: impl Fn(TlsMode) -> bool) -> Vec<u16> {
        self.config
            .listen
            .c2s
            .iter()
            .filter(|listener| wanted(listener.tls))
            .map(|listener| listener.port)
            .collect()
    }
}

fn list(targets: &[(String, u16)]) -> String {
    targets.iter().map(|(target, port)| format!("{target}:{port}")).collect::<Vec<_>>().join(", ")
}
