//! The operator's commands to the store's database that need no server: `meerkatctl db ...`. They read the
//! configuration that a server would read.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;
use xmpp_core::date::format_utc;

use crate::admin::SOCKET_NAME;
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
    /// Copy everything into an empty database of another kind; run again, it goes on where it was cut off
    Copy {
        /// The store to read: storage.sqlite.path
        #[arg(long)]
        from: From,
        /// The store to fill: storage.postgres.url
        #[arg(long)]
        to: To,
        #[command(flatten)]
        place: Place,
    },
}

/// What can be copied.
#[derive(Clone, Copy, clap::ValueEnum)]
pub enum From {
    Sqlite,
}

/// And where to.
#[derive(Clone, Copy, clap::ValueEnum)]
pub enum To {
    Postgres,
}

/// Which configuration says where the database is.
#[derive(Default, clap::Args)]
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
            DatabaseCommand::Copy { .. } => "copy",
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
        | DatabaseCommand::Check(place)
        | DatabaseCommand::Copy { place, .. }) = &self;
        let (config, data_dir) = place.read()?;
        match self {
            DatabaseCommand::Status(_) => {
                tools::status(&config, &data_dir).await.map(|status| shown(&status))
            }
            DatabaseCommand::Migrate(_) => {
                tools::migrate(&config, &data_dir).await.map(|status| shown(&status))
            }
            DatabaseCommand::Check(_) => tools::check(&config, &data_dir).await.map(found),
            DatabaseCommand::Copy { from: From::Sqlite, to: To::Postgres, .. } => {
                let mut bar = Bar::default();
                let copied = tools::copy(&config, &data_dir, &mut |thousandths| bar.tell(thousandths)).await;
                bar.clear();
                copied.map(|lines| Outcome {
                    result: serde_json::json!({ "copied": lines }),
                    lines,
                    is_bad: false,
                })
            }
        }
        .map_err(|error| error.to_string())
    }
}

impl Place {
    /// What `--config` said.
    pub fn config_option(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// The data folder that a server with this configuration would have.
    pub fn data_dir(&self, config: &Config) -> PathBuf {
        config::data_dir(self.data.as_deref(), &config::environment(), config)
    }

    /// Where a server would have its control socket that is started so; `None` where the options say nothing of it.
    pub fn socket(&self) -> Option<PathBuf> {
        let named = self.config.is_some() || self.data.is_some();
        let environment = config::environment();
        let config = || {
            let file = config::config_file(self.config.as_deref(), &environment);
            config::load(file.as_deref(), &environment).unwrap_or_default()
        };
        named.then(|| self.data_dir(&config()).join(SOCKET_NAME))
    }

    fn read(&self) -> Result<(Config, PathBuf), String> {
        let environment = config::environment();
        let file = config::config_file(self.config.as_deref(), &environment);
        let config = config::load(file.as_deref(), &environment).map_err(|problems| problems.to_string())?;
        let data_dir = config::data_dir(self.data.as_deref(), &environment, &config);
        Ok((config, data_dir))
    }
}

/// How far a copy is, on standard error.
#[derive(Default)]
struct Bar {
    told: Option<Instant>,
}

impl Bar {
    fn tell(&mut self, thousandths: u64) {
        if !std::io::stderr().is_terminal() {
            if self.told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
                eprintln!("{} %", thousandths / 10);
                self.told = Some(Instant::now());
            }
            return;
        }
        let full = (thousandths / 25).min(40) as usize;
        eprint!("\r[{}{}] {:3} %", "#".repeat(full), " ".repeat(40 - full), thousandths / 10);
    }

    fn clear(&self) {
        if std::io::stderr().is_terminal() {
            eprint!("\r\x1b[K");
        }
    }
}

/// Where it is no terminal that is told.
const TELL_EVERY: Duration = Duration::from_secs(5);

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
    let mut lines = vec![
        line("store", &format!("{}, {}", status.store, status.software)),
        line("place", &status.place),
        line("schema", &schema),
        line("size", &format!("{} MB", status.bytes.div_ceil(1 << 20))),
        line("accounts", &status.accounts.to_string()),
        line("messages", &status.messages.to_string()),
        line("waiting", &status.waiting.to_string()),
    ];
    lines.extend(status.unindexed.map(|messages| match messages {
        0 => line("words", "of all messages can be found"),
        _ => line("words", &format!("of {messages} messages cannot be found yet")),
    }));
    lines.extend(status.leases.iter().map(|held| {
        let since = format_utc(held.since);
        line("job", &format!("{}: {} since {since}, epoch {}", held.job, held.holder, held.epoch))
    }));
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
