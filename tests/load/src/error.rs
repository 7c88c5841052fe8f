//! What can go wrong while the tool talks to a server or reads its options.

use std::fmt;
use std::io;

/// Everything that ends a session, a step or the whole run.
#[derive(Debug)]
pub enum LoadError {
    /// A socket could not be opened, read or written.
    Socket(io::Error),
    /// The server closed the stream although nobody asked it to.
    Closed,
    /// The named step took longer than its time.
    Timeout(&'static str),
    /// The server ended the stream with this `<stream:error/>`.
    Stream(String),
    /// The bytes that arrived cannot be cut into stanzas, for this reason.
    Framing(&'static str),
    /// The server answered the named step with a refusal.
    Refused { step: &'static str, answer: String },
    /// The server does not offer what the options ask for.
    NotOffered(String),
    /// The server's side of the SCRAM exchange is wrong, for this reason.
    Scram(&'static str),
    /// The options cannot be carried out, for this reason.
    Options(String),
    /// The named file or `/proc` entry cannot be read.
    File(String),
}

pub type Result<T> = std::result::Result<T, LoadError>;

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Socket(error) => write!(f, "socket: {error}"),
            LoadError::Closed => f.write_str("the server closed the stream"),
            LoadError::Timeout(step) => write!(f, "no answer in time: {step}"),
            LoadError::Stream(text) => write!(f, "stream error: {text}"),
            LoadError::Framing(reason) => write!(f, "not a stream of stanzas: {reason}"),
            LoadError::Refused { step, answer } => write!(f, "{step} refused: {answer}"),
            LoadError::NotOffered(what) => write!(f, "the server does not offer {what}"),
            LoadError::Scram(reason) => write!(f, "SCRAM: {reason}"),
            LoadError::Options(reason) => write!(f, "options: {reason}"),
            LoadError::File(reason) => write!(f, "file: {reason}"),
        }
    }
}

impl From<io::Error> for LoadError {
    fn from(error: io::Error) -> Self {
        LoadError::Socket(error)
    }
}
