//! `started` and `stop`: commands that wait for what becomes of the server.

use std::io::Write;
use std::path::Path as FilePath;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

use super::connection::Connection;
use super::failure::Failure;
use super::json::{self, Path};
use crate::admin::Command;
use crate::admin::protocol::{Code, Line, Refusal};
use crate::admin::server::{ServerCommand, Status};

/// How often a server that starts or stops is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Between a server's last word and its end.
const END_TIME: Duration = Duration::from_secs(10);

/// Waits until the server is ready.
pub fn started(
    socket: &FilePath,
    seconds: u64,
    json: bool,
    path: &Path,
    out: &mut impl Write,
) -> Result<ExitCode, Failure> {
    let until = Instant::now() + Duration::from_secs(seconds);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let failure = match status(socket, left.max(LOOK_EVERY)) {
            Ok((status, value)) if status.ready => {
                let printed = match json {
                    true => json::done(out, path, &value),
                    false => writeln!(out, "The server {} is ready", status.node),
                };
                return printed.map(|()| ExitCode::SUCCESS).map_err(Failure::Output);
            }
            Ok((status, _)) => {
                let why = format!("the server is not ready: {}", status.conditions.join(", "));
                Failure::Refused(Refusal::new(Code::Unavailable, why))
            }
            Err(failure) => failure,
        };
        if until <= Instant::now() {
            return Err(failure);
        }
        sleep(LOOK_EVERY.min(left));
    }
}

/// Tells the server to stop, and waits until it has.
pub fn stop(
    socket: &FilePath,
    no_wait: bool,
    json: bool,
    path: &Path,
    out: &mut impl Write,
) -> Result<ExitCode, Failure> {
    let mut connection = Connection::open(socket)?;
    let message = match (ask(&mut connection, ServerCommand::Stop {})?, no_wait) {
        (message, true) => message,
        (_, false) => {
            connection.until_closed();
            until_gone(socket)?;
            Value::from("The server has stopped")
        }
    };
    let printed = match json {
        true => json::done(out, path, &message),
        false => writeln!(out, "{}", message.as_str().unwrap_or_default()),
    };
    printed.map(|()| ExitCode::SUCCESS).map_err(Failure::Output)
}

fn until_gone(socket: &FilePath) -> Result<(), Failure> {
    let until = Instant::now() + END_TIME;
    while Connection::open(socket).is_ok() {
        if until <= Instant::now() {
            let why = "the server was told to stop, and still answers";
            return Err(Failure::Refused(Refusal::new(Code::Unavailable, why)));
        }
        sleep(LOOK_EVERY);
    }
    Ok(())
}

fn status(socket: &FilePath, patience: Duration) -> Result<(Status, Value), Failure> {
    let mut connection = Connection::open(socket)?;
    connection.set_patience(patience);
    let value = ask(&mut connection, ServerCommand::Status {})?;
    let status = Status::deserialize(&value)
        .map_err(|_| Failure::Silence("the server's status is of another version".to_owned()))?;
    Ok((status, value))
}

fn ask(connection: &mut Connection, command: ServerCommand) -> Result<Value, Failure> {
    connection.send(&Command::Server(command))?;
    match connection.next()? {
        Line::Done(value) => Ok(value),
        Line::Refused(refusal) => Err(Failure::Refused(refusal)),
        Line::Item(_) | Line::End(_) => {
            Err(Failure::Silence("the server answered something else than it was asked".to_owned()))
        }
    }
}
