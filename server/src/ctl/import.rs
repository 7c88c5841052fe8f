//! `account importUsers`: the file is read and cut here, so that no request is long and progress shows.

use std::io::{self, IsTerminal, Read, Write};
use std::path::Path as FilePath;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;

use super::connection::{Connection, encode};
use super::failure::{Failure, REFUSED};
use super::json::{self, Path};
use crate::admin::Command;
use crate::admin::account::{AccountCommand, ImportUsers, Imported, RefusedRow};
use crate::admin::protocol::Line;
use crate::directory;

/// Text that is sent at one time.
const PART_BYTES: usize = 16 * 1024;
/// How often progress is told where it is not seen on a terminal.
const TELL_EVERY: Duration = Duration::from_secs(60);

pub fn import(
    file: &FilePath,
    socket: &FilePath,
    json: bool,
    path: &Path,
    out: &mut impl Write,
) -> Result<ExitCode, Failure> {
    let csv = read(file)?;
    let mut connection = Connection::open(socket)?;
    let mut progress = Progress::new(csv.len());
    let mut imported = Imported::default();
    for (first_line, part) in directory::parts(&csv, PART_BYTES) {
        let arguments = ImportUsers { filename: file.to_owned(), csv: part.to_owned(), first_line };
        let command = Command::Account(AccountCommand::ImportUsers(arguments));
        if encode(&command).is_none() {
            let message = "this row is too long".to_owned();
            imported.refused.push(RefusedRow { line: first_line, message });
            continue;
        }
        let done = send(&mut connection, &command).inspect_err(|_| {
            progress.clear();
            eprintln!("behind line {} nothing is known: {} accounts were made", first_line, imported.created);
        })?;
        imported.created += done.created;
        imported.refused.extend(done.refused);
        progress.tell(part.len(), &imported);
    }
    progress.clear();
    finish(&imported, json, path, out)
}

fn finish(imported: &Imported, json: bool, path: &Path, out: &mut impl Write) -> Result<ExitCode, Failure> {
    let status = match imported.refused.is_empty() {
        true => "Completed",
        false => "Completed with errors",
    };
    let printed = match json {
        true => {
            let refused = serde_json::to_value(&imported.refused).unwrap_or_default();
            let result = json!({ "status": status, "created": imported.created, "refused": refused });
            json::done(out, path, &result)
        }
        false => writeln!(out, "{}", counted(imported.created, "account was made", "accounts were made")),
    };
    printed.and_then(|()| out.flush()).map_err(Failure::Output)?;
    if imported.refused.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    for RefusedRow { line, message } in &imported.refused {
        eprintln!("line {line}: {message}");
    }
    eprintln!("{}", counted(imported.refused.len(), "line was refused", "lines were refused"));
    Ok(REFUSED.into())
}

fn send(connection: &mut Connection, command: &Command) -> Result<Imported, Failure> {
    connection.send(command)?;
    let other = || Failure::Silence("the server answered something else than it was asked".to_owned());
    match connection.next()? {
        Line::Done(value) => Imported::deserialize(&value).map_err(|_| other()),
        Line::Refused(refusal) => Err(Failure::Refused(refusal)),
        Line::Item(_) | Line::End(_) => Err(other()),
    }
}

fn read(file: &FilePath) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let is_stdin = file == FilePath::new("-");
    if is_stdin && io::stdin().is_terminal() {
        eprintln!("Lines of user,domain,password or jid,password, up to Ctrl-D:");
    }
    let read = match is_stdin {
        true => io::stdin().lock().read_to_end(&mut bytes).map(drop),
        false => std::fs::read(file).map(|text| bytes = text),
    };
    read.map_err(|error| Failure::Usage(format!("{} cannot be read: {error}", file.display())))?;
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        Failure::Usage(format!("line {line} is not UTF-8; nothing was imported"))
    })
}

/// Says how far it is, on standard error.
struct Progress {
    all: usize,
    done: usize,
    on_terminal: bool,
    told: Instant,
}

impl Progress {
    fn new(all: usize) -> Progress {
        let on_terminal = io::stderr().is_terminal();
        Progress { all, done: 0, on_terminal, told: Instant::now() }
    }

    fn tell(&mut self, bytes: usize, imported: &Imported) {
        self.done += bytes;
        let percent = self.done * 100 / self.all.max(1);
        let accounts = counted(imported.created, "account", "accounts");
        if self.on_terminal {
            eprint!("\r{percent:3} %  {accounts}");
        } else if self.told.elapsed() >= TELL_EVERY {
            eprintln!("{percent} %, {accounts}");
            self.told = Instant::now();
        }
    }

    fn clear(&self) {
        if self.on_terminal {
            eprint!("\r\x1b[K");
        }
    }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
