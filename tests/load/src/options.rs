//! The options that several scenarios share.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// The server under test and how to log in there.
#[derive(Args, Clone, Debug)]
pub struct Target {
    /// Name or address of the server.
    #[arg(long, default_value = "127.0.0.1")]
    pub host: String,
    #[arg(long, default_value_t = 5222)]
    pub port: u16,
    /// The served domain.
    #[arg(long, default_value = "localhost")]
    pub domain: String,
    #[arg(long, value_enum, default_value_t = TlsMode::None)]
    pub tls: TlsMode,
    /// Believe certificates signed by the authorities in this PEM file.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Believe any certificate.
    #[arg(long)]
    pub insecure: bool,
    /// Resume TLS sessions where the server allows it.
    #[arg(long)]
    pub tls_resume: bool,
    #[arg(long, value_enum, default_value_t = Mechanism::Auto)]
    pub mechanism: Mechanism,
    /// Accounts are PREFIX0, PREFIX1, ... and all have the same password.
    #[arg(long, default_value = "load")]
    pub prefix: String,
    #[arg(long, env = "MEERKAT_LOAD_PASSWORD", default_value = "load-secret")]
    pub password: String,
    /// Number of the first account to use.
    #[arg(long, default_value_t = 0)]
    pub first: usize,
    /// Connect from so many addresses, 127.0.0.2 onwards [default: as many as the sessions need].
    #[arg(long)]
    pub sources: Option<u32>,
    /// Seconds that a step of a login may take.
    #[arg(long, default_value_t = 30)]
    pub step_timeout: u64,
    /// How many sessions log in at the same time while a scenario is set up.
    #[arg(long, default_value_t = 16)]
    pub setup_concurrency: usize,
}

/// What is read besides, and how it is told.
#[derive(Args, Clone, Debug)]
pub struct Output {
    /// Process of the server, whose CPU time and memory are read from /proc, with its descendants.
    #[arg(long)]
    pub pid: Option<u32>,
    /// Process of the server's database, whose CPU time is told apart.
    #[arg(long, requires = "pid")]
    pub database_pid: Option<u32>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
    /// The whole run ends after so many seconds, come what may.
    #[arg(long, default_value_t = 900)]
    pub time_limit: u64,
    /// Threads of the tool that move bytes.
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
}

/// When to measure.
#[derive(Args, Clone, Debug)]
pub struct Period {
    /// Seconds before the measured interval.
    #[arg(long, default_value_t = 3.0)]
    pub warmup: f64,
    /// Seconds of the measured interval.
    #[arg(long, default_value_t = 10.0)]
    pub duration: f64,
    /// Seconds to wait afterwards for what is still under way.
    #[arg(long, default_value_t = 30.0)]
    pub drain: f64,
}

/// XEP-0198.
#[derive(Args, Clone, Debug)]
pub struct Acknowledgement {
    /// Enable XEP-0198 on every session.
    #[arg(long)]
    pub sm: bool,
    /// Ask for an acknowledgement after so many stanzas.
    #[arg(long, default_value_t = 5)]
    pub ack_every: u64,
}

impl Acknowledgement {
    pub fn every(&self) -> Option<u64> {
        self.sm.then_some(self.ack_every)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TlsMode {
    /// No encryption.
    None,
    /// STARTTLS (RFC 6120, section 5).
    #[value(name = "starttls")]
    StartTls,
    /// TLS from the first byte (XEP-0368).
    Direct,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mechanism {
    /// The first that is offered of SCRAM-SHA-256, SCRAM-SHA-1, PLAIN.
    Auto,
    #[value(name = "scram-sha-256")]
    ScramSha256,
    #[value(name = "scram-sha-1")]
    ScramSha1,
    Plain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Address {
    /// To the account, as clients do that do not lock on to a resource.
    Bare,
    /// To the session.
    Full,
}
