//! The operator's commands to the store's database that need no server: `meerkatctl db ...`. They read the
//! configuration that a server would read.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use crate::config::{self, Config};
use crate::plugins::tools::{self, Status};

#[derive(clap::Subcommand)]
pub enum DatabaseCommand {
    /// What the database is, where, its schema, and how much is in it
    Status(Place),
    /// Bring its schema up to date, as a starting server does
    Migrate(Place),
    /// Look for what contradicts itself: 0 when there is nothing, 1 with what was found
    Check(Place),
}

/// Which configuration says where the database is.
#[derive(clap::Args)]
pub struct Place {
    /// The configuration file [default: the one that a server would read]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data folder [default: the one that a server would use]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// What came of it: for machines, for people, and whether it is bad news.
pub struct Outcome {
    pub result: Value,
    pub lines: Vec<String>,
    pub is_bad: bool,
}

impl DatabaseCommand {
    pub fn name(&self) -> &'static str {
        match self {
            DatabaseCommand::Status(_) => "status",
            DatabaseCommand::Migrate(_) => "migrate",
            DatabaseCommand::Check(_) => "check",
        }
    }

    /// The error is a sentence.
    pub fn run(self) -> Result<Outcome, String> {
        // The one TLS provider; whoever asks for the default gets this one.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|error| error.to_string())?.block_on(self.perform())
    }

    async fn perform(self) -> Result<Outcome, String> {
        let (DatabaseCommand::Status(place)
        | DatabaseCommand::Migrate(place)
        | DatabaseCommand::Check(place)) = &self;
        let (config, data_dir) = place.read()?;
        match self {
            DatabaseCommand::Status(_) => {
                tools::status(&config, &data_dir).await.map(|status| shown(&status))
            }
            DatabaseCommand::Migrate(_) => {
                tools::migrate(&config, &data_dir).await.map(|status| shown(&status))
            }
            DatabaseCommand::Check(_) => tools::check(&config, &data_dir).await.map(found),
        }
        .map_err(|error| error.to_string())
    }
}

impl Place {
    fn read(&self) -> Result<(Config, PathBuf), String> {
        let environment = config::environment();
        let file = config::config_file(self.config.as_deref(), &environment);
        let config = config::load(file.as_deref(), &environment).map_err(|problems| problems.to_string())?;
        let data_dir = config::data_dir(self.data.as_deref(), &environment, &config);
        Ok((config, data_dir))
    }
}

fn shown(status: &Status) -> Outcome {
    let schema = match (status.schema, status.newest_schema) {
        (0, newest) => {
            format!("none yet: `meerkatctl db migrate`, or a starting server, makes schema {newest}")
        }
        (found, newest) if found < newest => format!("{found}; {newest} is the newest"),
        (found, newest) if found > newest => format!("{found}, of a newer Meerkat; this one knows {newest}"),
        (found, _) => format!("{found}, the newest"),
    };
    let line = |name: &str, value: &str| format!("{name:<10}{value}");
    let lines = vec![
        line("store", &format!("{}, {}", status.store, status.software)),
        line("place", &status.place),
        line("schema", &schema),
        line("size", &format!("{} MB", status.bytes.div_ceil(1 << 20))),
        line("accounts", &status.accounts.to_string()),
        line("messages", &status.messages.to_string()),
        line("waiting", &status.waiting.to_string()),
    ];
    Outcome { result: json(status), lines, is_bad: false }
}

fn found(findings: Vec<String>) -> Outcome {
    let is_bad = !findings.is_empty();
    let lines = if is_bad { findings.clone() } else { vec!["nothing contradicts itself".to_owned()] };
    Outcome { result: serde_json::json!({ "findings": findings }), lines, is_bad }
}

fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}
