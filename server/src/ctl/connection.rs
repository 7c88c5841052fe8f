//! The tool's end of the control socket.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::failure::Failure;
use crate::admin::Command;
use crate::admin::protocol::{Line, MAX_LINE_BYTES, VERSION};

/// The longest line of an answer.
const MAX_ANSWER_BYTES: u64 = 64 << 20;

pub struct Connection {
    socket: PathBuf,
    stream: BufReader<UnixStream>,
}

#[derive(Serialize)]
struct Request<'a> {
    version: u32,
    command: &'a Command,
}

impl Connection {
    pub fn open(socket: &Path) -> Result<Connection, Failure> {
        let stream = UnixStream::connect(socket)
            .map_err(|error| Failure::NoServer { socket: socket.to_owned(), error })?;
        Ok(Connection { socket: socket.to_owned(), stream: BufReader::new(stream) })
    }

    /// Waits no longer for a line than this.
    pub fn set_patience(&self, patience: Duration) {
        // Only a patience of zero is refused.
        let _ = self.stream.get_ref().set_read_timeout(Some(patience));
    }

    pub fn send(&mut self, command: &Command) -> Result<(), Failure> {
        let request = encode(command)
            .ok_or_else(|| Failure::Usage(format!("a command has at most {MAX_LINE_BYTES} bytes")))?;
        match self.stream.get_mut().write_all(&request) {
            Ok(()) => Ok(()),
            // It may have said why before it left; that is read next.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) =>
            {
                Ok(())
            }
            Err(error) => Err(self.gone(error)),
        }
    }

    /// The next line of the answer.
    pub fn next(&mut self) -> Result<Line, Failure> {
        let mut line = Vec::new();
        let read = (&mut self.stream).take(MAX_ANSWER_BYTES).read_until(b'\n', &mut line);
        match read {
            Ok(_) if line.ends_with(b"\n") => serde_json::from_slice(&line).map_err(|_| {
                Failure::Silence("the server's answer is of another version than this tool".to_owned())
            }),
            Ok(_) => Err(self.gone(io::ErrorKind::UnexpectedEof.into())),
            Err(error) => Err(self.gone(error)),
        }
    }

    /// Waits until the server closes the connection.
    pub fn until_closed(mut self) {
        // However it ends, it has ended.
        let _ = io::copy(&mut self.stream, &mut io::sink());
    }

    fn gone(&self, error: io::Error) -> Failure {
        let socket = self.socket.display();
        Failure::Silence(match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
                format!("the server on {socket} left without an answer")
            }
            _ => format!("the server on {socket} does not answer: {error}"),
        })
    }
}

/// A request, with its line break; nothing when it is longer than a request may be.
pub fn encode(command: &Command) -> Option<Vec<u8>> {
    let mut request = serde_json::to_vec(&Request { version: VERSION, command }).ok()?;
    request.push(b'\n');
    (request.len() <= MAX_LINE_BYTES).then_some(request)
}
