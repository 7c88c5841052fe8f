//! Plays: behaviours of the server, written in a small language that anybody can read who knows what
//! a stanza looks like. `tests/plays/README.md` describes it.
//!
//! `parse.rs` makes a [`Play`] of a file, `step.rs` a [`Step`] of a line; `perform.rs` performs it,
//! `expect.rs` the parts of it that can fail, with `pattern.rs` for what a stanza has to look like.

mod expect;
mod parse;
mod pattern;
mod perform;
mod step;
mod words;

use std::path::Path;

pub use parse::parse;
pub use step::{Act, Block, How, Mode, OnServer, OnStore, Step};

/// A play, ready to be performed.
#[derive(Debug)]
pub struct Play {
    /// As people find it: the path of its file.
    pub file: String,
    pub cast: Vec<Part>,
    /// What the server's configuration says beyond its defaults, TOML, and the line where it begins.
    pub config: (usize, String),
    pub lines: Vec<Line>,
}

/// A name on the stage and who it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    pub name: String,
    /// The bare address of the account, and the resource it asks for. `None`: a client without account.
    pub account: Option<String>,
    pub resource: Option<String>,
}

#[derive(Debug)]
pub struct Line {
    pub number: usize,
    /// As it was written.
    pub text: String,
    pub step: Step,
}

/// Why a play failed, or cannot be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    pub file: String,
    pub line: usize,
    /// The line itself, if it can be performed at all.
    pub text: String,
    pub reason: String,
    /// What was said on the stage until then.
    pub transcript: Vec<String>,
}

/// Reads a file and performs it, on a stage of its own.
pub fn perform_file(path: &Path, name: &str) -> Result<(), Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure {
        file: name.to_owned(),
        line: 0,
        text: String::new(),
        reason: error.to_string(),
        transcript: Vec::new(),
    })?;
    perform_text(&text, name)
}

pub fn perform_text(text: &str, name: &str) -> Result<(), Failure> {
    let play = parse(text, name)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(Box::pin(perform::perform(&play)))
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}:{}: {}", self.file, self.line, self.text)?;
        for line in self.reason.lines() {
            writeln!(f, "    {line}")?;
        }
        if !self.transcript.is_empty() {
            writeln!(f, "  what was said until then:")?;
        }
        for line in &self.transcript {
            writeln!(f, "    {line}")?;
        }
        Ok(())
    }
}
