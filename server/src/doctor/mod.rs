//! `meerkatctl doctor`: looks at everything that a server needs, and says of each thing what was seen and what to do
//! about it.
//!
//! A server that runs examines itself, with its own limits and its own ports; where none runs, the tool does it from the
//! configuration that a server would read. Stores and services are examined by their plugins (`plugins::examine`).

mod credentials;
mod dns;
mod listeners;
mod machine;
mod settings;
mod talk;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use crate::config::{self, Config};
use crate::database::Place;
use crate::node::Listening;
use crate::plugins;
use crate::storage::{Finding, Level};
use crate::tls;

/// What one examination of a service may take, whatever bounds it has itself.
const SERVICE_LIMIT: Duration = Duration::from_secs(30);

/// What was found, in the order in which it is read.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    pub findings: Vec<Finding>,
    pub ok: usize,
    pub warnings: usize,
    pub failed: usize,
}

/// What is examined.
struct Subject<'a> {
    config: &'a Config,
    data_dir: &'a Path,
    /// The ports of the server that runs.
    listening: Option<&'a Listening>,
}

/// Examined by the server itself.
pub async fn of_server(
    config: &Config,
    data_dir: &Path,
    listening: &Listening,
    config_option: Option<&Path>,
) -> Report {
    let mut findings = settings::of_server(config, config_option);
    findings.extend(examine(&Subject { config, data_dir, listening: Some(listening) }).await);
    Report::new(findings)
}

/// Examined by the tool, because no server answers.
pub fn of_configuration(place: &Place) -> Result<Report, String> {
    // The one TLS provider; whoever asks for the default gets this one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let (config, mut findings) = settings::of_file(place);
    if let Some(config) = config {
        let data_dir: PathBuf = place.data_dir(&config);
        let mut config = config;
        config.settle(data_dir.clone());
        let subject = Subject { config: &config, data_dir: &data_dir, listening: None };
        findings.extend(runtime.block_on(examine(&subject)));
    }
    Ok(Report::new(findings))
}

async fn examine(subject: &Subject<'_>) -> Vec<Finding> {
    let Subject { config, data_dir, listening } = subject;
    let services = plugins::examine::all(config, data_dir).into_iter().map(|service| async {
        let limited = tokio::time::timeout(SERVICE_LIMIT, service).await;
        limited.unwrap_or_else(|_| {
            let seen =
                format!("a service did not let itself be examined within {} s", SERVICE_LIMIT.as_secs());
            vec![Finding::failed("service", seen, "look whether it hangs")]
        })
    });
    let (names, ports, services) =
        tokio::join!(dns::examine(config), listeners::examine(config, *listening), join_all(services));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut findings = credentials::examine(config);
    findings.extend(names);
    findings.extend(tls::examine(&config.tls, &config.general.hosts, data_dir, now));
    findings.extend(ports);
    findings.extend(services.into_iter().flatten());
    findings.extend(machine::examine(config, data_dir, listening.is_some()));
    findings
}

impl Report {
    fn new(findings: Vec<Finding>) -> Report {
        let count = |level| findings.iter().filter(|finding| finding.level == level).count();
        Report {
            ok: count(Level::Ok),
            warnings: count(Level::Warning),
            failed: count(Level::Failed),
            findings,
        }
    }

    /// For a person.
    pub fn lines(&self) -> Vec<String> {
        let width = self.findings.iter().map(|finding| finding.check.chars().count()).max().unwrap_or(0);
        let mut lines = Vec::new();
        for Finding { check, level, seen, advice } in &self.findings {
            let level = match level {
                Level::Ok => "ok",
                Level::Warning => "warning",
                Level::Failed => "FAILED",
            };
            lines.push(format!("{level:<8} {check:<width$}  {seen}"));
            lines.extend(advice.iter().map(|advice| format!("{:<8} {:<width$}  -> {advice}", "", "")));
        }
        lines.push(format!("{} ok, {} with a warning, {} failed", self.ok, self.warnings, self.failed));
        lines
    }
}

/// The configuration as a server here would read it.
fn read(option: Option<&Path>) -> (Option<PathBuf>, Result<Config, config::Problems>) {
    let environment = config::environment();
    let file = config::config_file(option, &environment);
    let config = config::load(file.as_deref(), &environment);
    (file, config)
}
