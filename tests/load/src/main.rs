//! A load tool for any XMPP server: it drives a server with one kind of work at a time, accounts for every
//! stanza, and reads from `/proc` what the work cost the server. README.md beside this package says how to
//! read its figures.

mod echo_server;
mod error;
mod flow;
mod mark;
mod measure;
mod options;
mod scenarios;
mod xmpp;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use error::{LoadError, Result};
use measure::report::Report;
use options::Output;
use scenarios::{archive, chat, idle, login, many_to_one, offline, presence, register, roster};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Something was lost, came twice or out of order, or bounced.
const EXIT_FAULTS: u8 = 1;
/// The scenario could not be carried out. (2 is wrong usage, from clap.)
const EXIT_FAILED: u8 = 3;

/// Drives an XMPP server and measures what it does and costs.
#[derive(Parser)]
#[command(name = "meerkat-load", version)]
struct Arguments {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Subcommand)]
enum Scenario {
    /// Make the accounts that the other scenarios use (XEP-0077), or print them as CSV.
    Register(register::Register),
    /// Make accounts contacts of each other.
    Roster(roster::Roster),
    /// Pairs of sessions write to each other.
    Chat(chat::Chat),
    /// Many sessions write to one.
    ManyToOne(many_to_one::ManyToOne),
    /// Log in and out again, on a new connection each time.
    Login(login::Login),
    /// Users change their presence, and their contacts are told.
    Presence(presence::Presence),
    /// Store messages for absent accounts, then collect them.
    Offline(offline::Offline),
    /// Fill archives, then read them page by page (XEP-0313).
    Archive(archive::Archive),
    /// Hold idle sessions and read the server's memory.
    Idle(idle::Idle),
    /// A stub that forwards stanzas unseen, to measure this tool itself.
    #[command(hide = true)]
    EchoServer(echo_server::EchoServer),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match start(&arguments.scenario) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(EXIT_FAULTS),
        Err(error) => {
            eprintln!("meerkat-load: {error}");
            ExitCode::from(EXIT_FAILED)
        }
    }
}

/// Whether all went well.
fn start(scenario: &Scenario) -> Result<bool> {
    let Some(output) = scenario.output() else {
        runtime(1)?.block_on(scenario.run())?;
        return Ok(true);
    };
    let limit = Duration::from_secs(output.time_limit);
    let runtime = runtime(output.threads)?;
    let report = runtime.block_on(async { timeout(limit, scenario.run()).await });
    runtime.shutdown_background();
    let Some(report) = report.map_err(|_| LoadError::Timeout("--time-limit"))?? else { return Ok(true) };
    if output.json {
        let json = serde_json::to_string(&report).map_err(|error| LoadError::File(error.to_string()))?;
        println!("{json}");
    } else {
        print!("{report}");
    }
    Ok(report.faults.none())
}

fn runtime(threads: usize) -> Result<Runtime> {
    let mut builder = match threads {
        0 | 1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    Ok(builder.worker_threads(threads.max(1)).enable_all().build()?)
}

impl Scenario {
    fn output(&self) -> Option<&Output> {
        match self {
            Scenario::Register(options) => Some(&options.output),
            Scenario::Roster(options) => Some(&options.output),
            Scenario::Chat(options) => Some(&options.output),
            Scenario::ManyToOne(options) => Some(&options.output),
            Scenario::Login(options) => Some(&options.output),
            Scenario::Presence(options) => Some(&options.output),
            Scenario::Offline(options) => Some(&options.output),
            Scenario::Archive(options) => Some(&options.output),
            Scenario::Idle(options) => Some(&options.output),
            Scenario::EchoServer(_) => None,
        }
    }

    async fn run(&self) -> Result<Option<Report>> {
        match self {
            Scenario::Register(options) => register::run(options).await,
            Scenario::Roster(options) => roster::run(options).await.map(Some),
            Scenario::Chat(options) => chat::run(options).await.map(Some),
            Scenario::ManyToOne(options) => many_to_one::run(options).await.map(Some),
            Scenario::Login(options) => login::run(options).await.map(Some),
            Scenario::Presence(options) => presence::run(options).await.map(Some),
            Scenario::Offline(options) => offline::run(options).await.map(Some),
            Scenario::Archive(options) => archive::run(options).await.map(Some),
            Scenario::Idle(options) => idle::run(options).await.map(Some),
            Scenario::EchoServer(options) => echo_server::run(options).await.map(|()| None),
        }
    }
}
