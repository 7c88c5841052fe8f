//! Why a command was not done, and the exit code that says so.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::admin::protocol::Refusal;

pub const REFUSED: u8 = 1;
const WRONG_USAGE: u8 = 2;
const NO_SERVER: u8 = 3;

pub enum Failure {
    /// The server refused.
    Refused(Refusal),
    /// A list broke off; what is printed of it is not all.
    Interrupted(String),
    /// The command line or what came on standard input is not what is wanted.
    Usage(String),
    /// Nobody answers on the socket.
    NoServer { socket: PathBuf, error: io::Error },
    /// The server answered something that this tool does not understand, or nothing.
    Silence(String),
    /// What was to be printed could not be.
    Output(io::Error),
}

impl Failure {
    /// Says it on standard error.
    pub fn tell(self) -> ExitCode {
        if let Failure::Output(error) = &self
            && error.kind() == io::ErrorKind::BrokenPipe
        {
            // Whoever read the output has read enough.
            return ExitCode::SUCCESS;
        }
        eprintln!("{}", self.message());
        self.code().into()
    }

    pub fn message(&self) -> String {
        match self {
            Failure::Refused(refusal) => refusal.message.clone(),
            Failure::Interrupted(why) => format!("the list is not complete: {why}"),
            Failure::Usage(what) => what.clone(),
            Failure::NoServer { socket, error } => match error.kind() {
                io::ErrorKind::PermissionDenied => {
                    format!("{} belongs to another user, who alone may command this server", socket.display())
                }
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => format!(
                    "no server answers on {}: start one, or name another socket by --socket",
                    socket.display()
                ),
                _ => format!("no server answers on {}: {error}", socket.display()),
            },
            Failure::Silence(what) => what.clone(),
            Failure::Output(error) => format!("the answer cannot be printed: {error}"),
        }
    }

    /// For scripts, as the server's own.
    pub fn word(&self) -> String {
        let word = match self {
            Failure::Refused(refusal) => {
                let code = serde_json::to_value(refusal.code).unwrap_or_default();
                return code.as_str().unwrap_or_default().to_owned();
            }
            Failure::Interrupted(_) | Failure::Output(_) => "interrupted",
            Failure::Usage(_) => "usage",
            Failure::NoServer { .. } | Failure::Silence(_) => "noServer",
        };
        word.to_owned()
    }

    fn code(&self) -> u8 {
        match self {
            Failure::Refused(_) | Failure::Interrupted(_) | Failure::Output(_) => REFUSED,
            Failure::Usage(_) => WRONG_USAGE,
            Failure::NoServer { .. } | Failure::Silence(_) => NO_SERVER,
        }
    }
}
