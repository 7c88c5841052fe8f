//! What can be wrong with a configuration, each fault as a sentence that says where.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Everything that is wrong, in the order of the file, variables last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// In the order of the file, variables last. What a line seems to lack that is no TOML is left out.
    pub(super) fn new(mut problems: Vec<Problem>) -> Problems {
        let is_syntax = |problem: &Problem| matches!(problem.fault, Fault::Syntax { .. });
        let broken: Vec<Origin> = problems
            .iter()
            .filter(|problem| is_syntax(problem))
            .map(|problem| problem.origin.clone())
            .collect();
        problems.retain(|problem| is_syntax(problem) || !broken.contains(&problem.origin));
        problems.sort_by(|one, other| one.origin.cmp(&other.origin));
        Problems(problems)
    }
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

/// One fault, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub origin: Origin,
    /// The key in full, `listen.c2s[1].port` for instance; empty when the fault belongs to none.
    pub key: String,
    pub fault: Fault,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::File { name, line: 0 } => write!(f, "{}: ", name.display())?,
            Origin::File { name, line } => write!(f, "{}:{line}: ", name.display())?,
            Origin::Variable(name) => write!(f, "{name}: ")?,
            Origin::Default => {}
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}", self.fault)
    }
}

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// In a file; line 0 is the file as a whole.
    File { name: Arc<Path>, line: usize },
    /// In this environment variable.
    Variable(String),
    /// Nowhere: it is the default.
    Default,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The file, or the file that a variable names, cannot be read.
    Unreadable { file: String, reason: String },
    /// The text is not TOML.
    Syntax { reason: String },
    /// There is no such key.
    UnknownKey { nearest: String },
    /// Designed, and not built yet.
    NotSupported,
    /// The plugin exists, and this binary was compiled without it.
    NotCompiled { feature: &'static str },
    /// A key that may be absent, but not with another setting.
    Needed { by: &'static str },
    /// A value of another type.
    WrongType { wanted: String, found: &'static str },
    /// The type is right, the text is not.
    Malformed { wanted: &'static str },
    /// A number outside its range.
    OutOfRange { found: String, least: u64, most: u64 },
    /// A word that is none of those allowed.
    UnknownWord { found: String, words: Vec<&'static str>, nearest: &'static str },
    /// A key that its table cannot do without.
    Missing,
    /// A list that may not be empty.
    Empty,
    /// The same thing said twice, first under that key.
    Twice { what: String, first: String },
    /// Two listeners want the same port.
    PortTaken { port: u16, first: String },
    /// A domain that is not served.
    UnknownHost { host: String, nearest: String },
    /// A bound that would make another bound meaningless.
    LessThan { other: &'static str, value: u64 },
    /// An index behind the end of a list.
    NoSuchEntry { entries: usize },
    /// A variable and its `_FILE` form are both there.
    BothForms { other: String },
    /// A password that stands in documentation, to a service that others can reach.
    WellKnownPassword,
    /// The variable's text is not UTF-8.
    NotUnicode,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Unreadable { file, reason } => write!(f, "cannot read {file}: {reason}"),
            Fault::Syntax { reason } => write!(f, "not TOML: {reason}"),
            Fault::UnknownKey { nearest } => write!(f, "unknown key; the nearest known key is {nearest}"),
            Fault::NotSupported => f.write_str("not supported by this version"),
            Fault::NotCompiled { feature } => {
                write!(f, "this binary was built without it; build with `--features {feature}`")
            }
            Fault::Needed { by } => write!(f, "is needed for {by}"),
            Fault::WrongType { wanted, found } => write!(f, "must be {wanted}, not {found}"),
            Fault::Malformed { wanted } => write!(f, "must be {wanted}"),
            Fault::OutOfRange { found, least, most } => {
                write!(f, "must be from {least} to {most}, not {found}")
            }
            Fault::UnknownWord { found, words, nearest } => {
                write!(f, "\"{found}\" is none of \"{}\"; the nearest is \"{nearest}\"", words.join("\", \""))
            }
            Fault::Missing => f.write_str("missing; the table cannot do without it"),
            Fault::Empty => f.write_str("must not be empty"),
            Fault::Twice { what, first } => write!(f, "\"{what}\" is given twice, first at {first}"),
            Fault::PortTaken { port, first } => write!(f, "port {port} is given twice, first at {first}"),
            Fault::UnknownHost { host, nearest } => {
                write!(f, "\"{host}\" is not one of general.hosts; the nearest is \"{nearest}\"")
            }
            Fault::LessThan { other, value } => write!(f, "must not be less than {other}, which is {value}"),
            Fault::NoSuchEntry { entries } => write!(f, "the list has {entries} entries, counted from 0"),
            Fault::BothForms { other } => write!(f, "{other} is set too; only one of them can count"),
            Fault::WellKnownPassword => f.write_str(
                "has a password that everybody knows, to a service that not only this machine can reach: set another; \
                 general.environment = \"development\" allows it",
            ),
            Fault::NotUnicode => f.write_str("is not UTF-8"),
        }
    }
}
