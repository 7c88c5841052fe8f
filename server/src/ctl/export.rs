//! `account exportData`: one document is made of the parts as they come, so that an archive of any size
//! passes through.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path as FilePath;
use std::process::ExitCode;

use serde::Deserialize;
use serde_json::{Value, json};

use super::connection::Connection;
use super::failure::Failure;
use super::json::{self, Path};
use crate::admin::Command;
use crate::admin::account::{AccountCommand, ExportData};
use crate::admin::export::Exported;
use crate::admin::protocol::Line;

pub fn export(
    arguments: ExportData,
    socket: &FilePath,
    json: bool,
    path: &Path,
    out: &mut impl Write,
) -> Result<ExitCode, Failure> {
    let mut connection = Connection::open(socket)?;
    let (file, user) = (arguments.filename.clone(), arguments.user.clone());
    let command = Command::Account(AccountCommand::ExportData(arguments));
    connection.send(&command)?;
    // A refusal leaves no file.
    let first = connection.next()?;
    if let Line::Refused(refusal) = first {
        return Err(Failure::Refused(refusal));
    }
    if file == FilePath::new("-") {
        let mut document = Document::new(&mut *out, if json { path.open() } else { String::new() });
        document.read(&mut connection, first)?;
        writeln!(out, "{}", if json { "}}}" } else { "" }).map_err(Failure::Output)?;
        return Ok(ExitCode::SUCCESS);
    }
    let written = create(&file).and_then(|created| {
        let mut document = Document::new(BufWriter::new(created), String::new());
        document.read(&mut connection, first)?;
        let finished = document.out.write_all(b"\n").and_then(|()| document.out.flush());
        finished.map_err(Failure::Output)
    });
    written.inspect_err(|failure| {
        if !matches!(failure, Failure::Usage(_)) {
            // Half of it is worse than nothing; where it cannot be removed, the failure is told.
            let _ = std::fs::remove_file(&file);
        }
    })?;
    let message = format!("The data of {user} are in {}", file.display());
    let told = match json {
        true => json::done(out, path, &json!({ "filename": file, "message": message })),
        false => writeln!(out, "{message}"),
    };
    told.map_err(Failure::Output)?;
    Ok(ExitCode::SUCCESS)
}

/// For nobody else's eyes, and over nothing that is there.
fn create(file: &FilePath) -> Result<File, Failure> {
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    created.map_err(|error| Failure::Usage(format!("{} cannot be made: {error}", file.display())))
}

/// `{"account":{...},"roster":[...],...}`
struct Document<W: Write> {
    out: W,
    before: String,
    /// Between its parts: in JSON of the tool's, which is one line, nothing.
    between: &'static str,
    part: Option<String>,
    items: u64,
}

impl<W: Write> Document<W> {
    fn new(out: W, before: String) -> Document<W> {
        let between = if before.is_empty() { "\n" } else { "" };
        Document { out, before, between, part: None, items: 0 }
    }

    fn read(&mut self, connection: &mut Connection, first: Line) -> Result<(), Failure> {
        let mut line = first;
        loop {
            match line {
                Line::Item(item) => self.take(&item)?,
                Line::End(_) => return self.end().map_err(Failure::Output),
                Line::Refused(refusal) => return Err(Failure::Interrupted(refusal.message)),
                Line::Done(_) => return Err(other()),
            }
            line = connection.next()?;
        }
    }

    fn take(&mut self, item: &Value) -> Result<(), Failure> {
        let Exported { part, value } = Exported::deserialize(item).map_err(|_| other())?;
        if self.part.as_ref() != Some(&part) {
            self.begin(part).map_err(Failure::Output)?;
        }
        value.map_or(Ok(()), |value| self.put(&value)).map_err(Failure::Output)
    }

    fn begin(&mut self, part: String) -> io::Result<()> {
        match self.part {
            None => write!(self.out, "{}{{", self.before)?,
            Some(_) => {
                self.close()?;
                write!(self.out, ",")?;
            }
        }
        write!(self.out, "{}{}:", self.between, json!(part))?;
        // There is one account.
        if part != "account" {
            write!(self.out, "[")?;
        }
        (self.part, self.items) = (Some(part), 0);
        Ok(())
    }

    fn put(&mut self, value: &Value) -> io::Result<()> {
        if self.items > 0 {
            write!(self.out, ",")?;
        }
        self.items += 1;
        write!(self.out, "{}{value}", self.between)
    }

    fn close(&mut self) -> io::Result<()> {
        if self.part.as_deref() == Some("account") { Ok(()) } else { write!(self.out, "]") }
    }

    fn end(&mut self) -> io::Result<()> {
        self.close()?;
        write!(self.out, "}}")
    }
}

fn other() -> Failure {
    Failure::Silence("the server answered something else than it was asked".to_owned())
}
