//! `meerkatctl server ...`, and `status`, `version` and `stop`, which need no category.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::protocol::{Code, Refusal};
use super::{Admin, Answer, done};
use crate::config::LogLevel;
use crate::doctor;

#[derive(Serialize, Deserialize, clap::Subcommand)]
#[serde(rename_all = "camelCase")]
#[command(rename_all = "camelCase")]
pub enum ServerCommand {
    /// What the server serves, where, and how it is
    Status {},
    /// The server's version
    Version {},
    /// The least important log lines that are written
    GetLoglevel {},
    /// Write other log lines from now on, until a restart or a reload
    SetLoglevel(SetLoglevel),
    /// Read the configuration again, and say what was applied and what needs a restart
    Reload {},
    /// Look at all that the server needs, and say what to do
    Doctor {},
    /// Stop gracefully: end each stream, write out what is due
    Stop {},
}

#[derive(Serialize, Deserialize, clap::Args)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetLoglevel {
    /// none, error, warning, info, debug or all
    #[arg(long, value_parser = parse_level)]
    #[serde(with = "as_word")]
    pub level: LogLevel,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// `RUNNING`, or `STOPPING` once it was told to.
    pub status_code: String,
    pub message: String,
    pub version: String,
    pub node: String,
    pub pid: u32,
    /// In seconds.
    pub uptime: u64,
    pub hosts: Vec<String>,
    pub data_dir: String,
    pub clients: Vec<Listener>,
    #[serde(default)]
    pub http: Vec<Listener>,
    pub metrics: Vec<String>,
    pub sessions: usize,
    /// Whether all of `conditions` are good.
    pub ready: bool,
    /// What makes it ready or not: a line each, `store: good`.
    pub conditions: Vec<String>,
}

#[derive(Serialize, Deserialize)]
pub struct Listener {
    pub address: String,
    /// As `listen.c2s.tls` or `listen.http.tls`.
    pub tls: String,
}

#[derive(Serialize, Deserialize)]
pub struct Version {
    pub version: String,
}

/// What a reload came to.
#[derive(Serialize, Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub struct Reloaded {
    pub applied: Vec<Changed>,
    /// Applied to connections and sessions from now on.
    pub new_connections: Vec<Changed>,
    pub need_restart: Vec<Changed>,
    /// What could not be taken up, a sentence each. What was in use stays.
    pub refused: Vec<String>,
}

#[derive(Serialize, Deserialize)]
pub struct Changed {
    /// `general.log_level` for instance.
    pub key: String,
    /// As TOML; nothing where the key is absent.
    pub old: Option<String>,
    pub new: Option<String>,
}

impl ServerCommand {
    pub(super) async fn run(self, admin: &Arc<Admin>) -> Answer {
        match self {
            ServerCommand::Status {} => done(status(admin)),
            ServerCommand::Version {} => done(Version { version: env!("CARGO_PKG_VERSION").to_owned() }),
            ServerCommand::GetLoglevel {} => done(word(admin.logging.level())),
            ServerCommand::SetLoglevel(SetLoglevel { level }) => {
                admin.logging.set_level(level);
                tracing::info!(%level, "an operator set the log level");
                done(format!("The log level is {level}"))
            }
            ServerCommand::Reload {} => match admin.reload().await {
                Ok(reloaded) => done(reloaded),
                Err(problems) => Err(Refusal::new(Code::BadConfiguration, problems.to_string())),
            },
            ServerCommand::Doctor {} => {
                let (node, option) = (&admin.node, admin.config_option.as_deref());
                done(doctor::of_server(&node.config(), &node.data_dir, &admin.listening, option).await)
            }
            // The connection asks the node to stop once this is said.
            ServerCommand::Stop {} => done("The server stops"),
        }
    }
}

fn status(admin: &Admin) -> Status {
    let node = &admin.node;
    let stopping = node.is_stopping();
    let name = node_name();
    let state = if stopping { "stops" } else { "is running" };
    let clients = admin.listening.c2s.iter();
    let http = admin.listening.http.iter();
    let data_dir = std::path::absolute(&node.data_dir).unwrap_or_else(|_| node.data_dir.clone());
    Status {
        status_code: if stopping { "STOPPING" } else { "RUNNING" }.to_owned(),
        message: format!("The server {name} {state}"),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        node: name,
        pid: std::process::id(),
        uptime: node.started.elapsed().as_secs(),
        hosts: node.config().general.hosts.iter().map(|host| host.as_str().to_owned()).collect(),
        data_dir: data_dir.display().to_string(),
        clients: clients
            .map(|(address, tls)| Listener { address: address.to_string(), tls: tls.to_string() })
            .collect(),
        http: http
            .map(|(address, tls)| Listener { address: address.to_string(), tls: tls.to_string() })
            .collect(),
        metrics: admin.listening.metrics.iter().map(|address| address.to_string()).collect(),
        sessions: node.router.sessions.len(),
        ready: node.health.is_ready(),
        conditions: node.health.report().lines().map(str::to_owned).collect(),
    }
}

/// As the cluster will know this node: `meerkat@` and the host's short name.
pub(super) fn node_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let short = host.trim().split('.').next().filter(|host| !host.is_empty()).unwrap_or("localhost");
    format!("meerkat@{short}")
}

/// Levels in the words of MongooseIM's tool, which scripts compare.
fn word(level: LogLevel) -> &'static str {
    match level {
        LogLevel::None => "NONE",
        LogLevel::Error => "ERROR",
        LogLevel::Warn => "WARNING",
        LogLevel::Info => "INFO",
        LogLevel::Debug => "DEBUG",
        LogLevel::Trace => "ALL",
    }
}

/// The configuration's words, and MongooseIM's. Those of its levels that are none here are the next less
/// important one.
pub fn parse_level(text: &str) -> Result<LogLevel, String> {
    let level = match text.to_ascii_lowercase().as_str() {
        "none" => LogLevel::None,
        "emergency" | "alert" | "critical" | "error" => LogLevel::Error,
        "warning" | "warn" => LogLevel::Warn,
        "notice" | "info" => LogLevel::Info,
        "debug" => LogLevel::Debug,
        "all" | "trace" => LogLevel::Trace,
        _ => return Err("the levels are none, error, warning, info, debug and all".to_owned()),
    };
    Ok(level)
}

mod as_word {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::{LogLevel, parse_level, word};

    pub fn serialize<S: Serializer>(level: &LogLevel, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(word(*level))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<LogLevel, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_level(&text).map_err(serde::de::Error::custom)
    }
}
