//! `meerkatctl`: the operator's tool. It turns a command line into a command of `admin`, asks the server of
//! this machine through its control socket, and prints the answer for a person or as JSON.

mod connection;
mod database;
mod doctor;
mod export;
mod failure;
mod import;
mod json;
mod lifecycle;
mod locate;
mod password;
mod print;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use serde_json::Value;

use crate::admin::Command;
use crate::admin::account::AccountCommand;
use crate::admin::protocol::{Line, Refusal};
use crate::admin::server::ServerCommand;
use crate::database::{DatabaseCommand, Place};
use connection::Connection;
use failure::Failure;
use json::Path;

/// Asks the Meerkat server of this machine, and tells it what to do.
#[derive(Parser)]
#[command(name = "meerkatctl", version, after_help = AFTER_HELP, arg_required_else_help = true)]
pub struct Arguments {
    /// The server's control socket [default: ctl.sock in the data folder]
    #[arg(long, global = true, value_name = "PATH", env = "MEERKAT_CTL", display_order = 1000)]
    socket: Option<PathBuf>,
    /// Print JSON: {"data":{CATEGORY:{COMMAND:RESULT}}}, or {"errors":[...]}
    #[arg(long, global = true, display_order = 1001)]
    json: bool,
    #[command(subcommand)]
    task: Task,
}

const AFTER_HELP: &str = "\
Exit codes: 0 done; 1 refused, the reason on standard error; 2 wrong usage; 3 no server there.
Passwords need not be on the command line: they are asked for, or read from standard input.";

#[derive(Subcommand)]
enum Task {
    #[command(flatten)]
    Ask(Command),
    /// The store's database, without a server: status, schema, check, copy
    #[command(subcommand)]
    Db(DatabaseCommand),
    /// Look at all that a server needs, and say what to do: configuration, DNS, certificates, ports, services, machine
    Doctor(Place),
    /// Wait until the server is ready
    Started {
        /// How long
        #[arg(long, value_name = "SECONDS", default_value_t = 60)]
        timeout: u64,
    },
    /// What the server serves, where, and how it is
    Status,
    /// Stop the server gracefully, and wait until it has stopped
    Stop {
        /// Do not wait
        #[arg(long)]
        no_wait: bool,
    },
    /// The versions of this tool and of the server
    Version,
    /// Print a shell's completions: source them, or save them where the shell looks for them
    Completions { shell: Shell },
}

/// The whole program.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            if error.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
                // Where nothing can be printed, the exit code is left.
                let _ = json::usage(&mut io::stdout().lock(), &error.to_string());
            }
            error.exit()
        }
    };
    let socket = arguments.socket.clone().or_else(|| arguments.task.socket()).unwrap_or_else(locate::socket);
    let path = arguments.task.path();
    let mut out = io::BufWriter::new(io::stdout().lock());
    let outcome = perform(arguments.task, &socket, arguments.json, &mut out);
    let outcome = outcome.and_then(|code| out.flush().map(|()| code).map_err(Failure::Output));
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            if arguments.json {
                // Where nothing can be printed, the exit code is left.
                let _ = json::failure(&mut out, &path, &failure).and_then(|()| out.flush());
            }
            failure.tell()
        }
    }
}

fn perform(
    task: Task,
    socket: &std::path::Path,
    json: bool,
    out: &mut impl Write,
) -> Result<ExitCode, Failure> {
    let path = task.path();
    match task {
        Task::Started { timeout } => lifecycle::started(socket, timeout, json, &path, out),
        Task::Stop { no_wait } => lifecycle::stop(socket, no_wait, json, &path, out),
        Task::Status => ask(Command::Server(ServerCommand::Status {}), socket, json, out),
        Task::Version => {
            if !json {
                writeln!(out, "meerkatctl {}", env!("CARGO_PKG_VERSION")).map_err(Failure::Output)?;
                out.flush().map_err(Failure::Output)?;
            }
            ask(Command::Server(ServerCommand::Version {}), socket, json, out)
        }
        Task::Ask(Command::Account(AccountCommand::ImportUsers(arguments))) => {
            import::import(&arguments.filename, socket, json, &path, out)
        }
        Task::Ask(Command::Account(AccountCommand::ExportData(arguments))) => {
            export::export(arguments, socket, json, &path, out)
        }
        Task::Ask(Command::Server(ServerCommand::Stop {})) => {
            lifecycle::stop(socket, false, json, &path, out)
        }
        Task::Ask(Command::Server(ServerCommand::Doctor {})) => {
            doctor::run(&Place::default(), socket, json, &path, out)
        }
        Task::Ask(command) => ask(command, socket, json, out),
        Task::Db(command) => database::run(command, json, &path, out),
        Task::Doctor(place) => doctor::run(&place, socket, json, &path, out),
        Task::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "meerkatctl", &mut text);
            out.write_all(&text).map_err(Failure::Output)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// One command, its answer printed as it comes.
fn ask(
    mut command: Command,
    socket: &std::path::Path,
    json: bool,
    out: &mut impl Write,
) -> Result<ExitCode, Failure> {
    // A person is asked for a password only where somebody will take it.
    let mut connection = Connection::open(socket)?;
    password::fill(&mut command)?;
    let path = json::path(&command);
    connection.send(&command)?;
    let mut items = 0u64;
    loop {
        match connection.next()? {
            Line::Item(item) => {
                match json {
                    true => json::item(out, &path, items, &item),
                    false => print::item(out, &command, &item),
                }
                .map_err(Failure::Output)?;
                items += 1;
            }
            Line::End(_) => {
                if json {
                    json::end(out, &path, items).map_err(Failure::Output)?;
                }
                return Ok(ExitCode::SUCCESS);
            }
            Line::Done(result) => return finish(&command, &path, result, json, out),
            Line::Refused(refusal) => return Err(Failure::refused(refusal, items > 0)),
        }
    }
}

fn finish(
    command: &Command,
    path: &Path,
    result: Value,
    json: bool,
    out: &mut impl Write,
) -> Result<ExitCode, Failure> {
    let no = print::says_no(command, &result);
    match json {
        true => json::done(out, path, &result).map_err(Failure::Output)?,
        false if no.is_none() || print::says_both(command) => {
            print::done(out, command, &result).map_err(Failure::Output)?;
        }
        false => {}
    }
    match no {
        None => Ok(ExitCode::SUCCESS),
        Some(reason) => {
            out.flush().map_err(Failure::Output)?;
            eprintln!("{reason}");
            Ok(failure::REFUSED.into())
        }
    }
}

impl Task {
    /// The socket of the server that the options describe.
    fn socket(&self) -> Option<PathBuf> {
        match self {
            Task::Doctor(place) => place.socket(),
            _ => None,
        }
    }

    /// Where the JSON has the result.
    fn path(&self) -> Path {
        match self {
            Task::Ask(command) => json::path(command),
            Task::Db(command) => Path::new("db", command.name()),
            Task::Doctor(_) => Path::new("server", "doctor"),
            Task::Started { .. } => Path::new("server", "started"),
            Task::Status => Path::new("server", "status"),
            Task::Stop { .. } => Path::new("server", "stop"),
            Task::Version => Path::new("server", "version"),
            Task::Completions { .. } => Path::new("server", "completions"),
        }
    }
}

impl Failure {
    /// A refusal; behind items that have been printed the JSON is not to be begun anew.
    fn refused(refusal: Refusal, behind_items: bool) -> Failure {
        match behind_items {
            false => Failure::Refused(refusal),
            true => Failure::Interrupted(refusal.message),
        }
    }
}

#[cfg(test)]
mod tests;
