//! `meerkatctl doctor`: the server that runs examines itself; where none does, this tool looks at what one would find.

use std::io::{self, Write};
use std::path::Path as FilePath;
use std::process::ExitCode;
use std::time::Duration;

use serde::Deserialize;

use super::connection::Connection;
use super::failure::{self, Failure};
use super::json::{self, Path};
use crate::admin::Command;
use crate::admin::protocol::{Code, Line, Refusal};
use crate::admin::server::ServerCommand;
use crate::database::Place;
use crate::doctor::{self, Report};

/// A database, a name server and a port that all hang.
const PATIENCE: Duration = Duration::from_secs(90);

pub fn run(
    place: &Place,
    socket: &FilePath,
    as_json: bool,
    path: &Path,
    out: &mut impl Write,
) -> Result<ExitCode, Failure> {
    let report = match ask(socket) {
        Err(Failure::NoServer { error, .. }) if is_absent(&error) => doctor::of_configuration(place)
            .map_err(|why| Failure::Refused(Refusal::new(Code::Unavailable, why)))?,
        asked => asked?,
    };
    match as_json {
        true => json::done(out, path, &serde_json::to_value(&report).unwrap_or_default()),
        false => report.lines().iter().try_for_each(|line| writeln!(out, "{line}")),
    }
    .map_err(Failure::Output)?;
    Ok(if report.failed > 0 { failure::REFUSED.into() } else { ExitCode::SUCCESS })
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

fn ask(socket: &FilePath) -> Result<Report, Failure> {
    let mut connection = Connection::open(socket)?;
    connection.set_patience(PATIENCE);
    connection.send(&Command::Server(ServerCommand::Doctor {}))?;
    match connection.next()? {
        Line::Done(value) => Report::deserialize(&value)
            .map_err(|_| Failure::Silence("the server's findings are of another version".to_owned())),
        Line::Refused(refusal) => Err(Failure::Refused(refusal)),
        Line::Item(_) | Line::End(_) => {
            Err(Failure::Silence("the server answered something else than it was asked".to_owned()))
        }
    }
}
