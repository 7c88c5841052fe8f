//! Plays: behaviours of the server, written in a small language that anybody can read who knows what
//! a stanza looks like. `tests/plays/README.md` describes it.
//!
//! `parse.rs` makes a [`Play`] of a file, `step.rs` a [`Step`] of a line; `perform.rs` performs it:
//! `enter.rs` who comes and goes, `expect.rs` what is heard, by `pattern.rs`, which says what a stanza
//! has to look like.

mod enter;
mod expect;
mod parse;
mod pattern;
mod perform;
mod step;
mod words;

use std::cell::RefCell;
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
#[derive(Debug, Clone, Default, PartialEq)]
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
        reason: error.to_string(),
        ..Failure::default()
    })?;
    perform_text(&text, name)
}

pub fn perform_text(text: &str, name: &str) -> Result<(), Failure> {
    let play = parse(text, name)?;
    PANICS.with_borrow_mut(Vec::clear);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let performed = runtime.expect("a runtime").block_on(Box::pin(perform::perform(&play)));
    // A task that panics takes no other with it: without this nobody would notice.
    let panics = PANICS.with_borrow_mut(std::mem::take);
    match (performed, panics.is_empty()) {
        (Ok(()), true) => Ok(()),
        (Ok(()), false) => {
            Err(Failure { file: name.to_owned(), reason: panics.join("\n"), ..Failure::default() })
        }
        (Err(failure), _) => {
            Err(Failure { reason: [vec![failure.reason], panics].concat().join("\n"), ..failure })
        }
    }
}

thread_local! {
    /// What has panicked on this thread, where the server of the play runs too.
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// From now on a panic of the server's tasks is a failure of the play that they belong to.
pub fn notice_panics() {
    std::panic::set_hook(Box::new(|panic| {
        PANICS.with_borrow_mut(|panics| panics.push(format!("the server panicked: {panic}")));
    }));
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
