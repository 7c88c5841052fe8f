//! One connection of the control socket: requests in, answers out, each with a bound in bytes and time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::protocol::{Code, Line, MAX_LINE_BYTES, Refusal, Request, VERSION, Versioned};
use super::{Admin, Answer};

/// How long a connection may be silent before its next request is whole.
const REQUEST_TIME: Duration = Duration::from_secs(60);
/// How long the other side may take none of an answer. A person may page through a list.
const ANSWER_TIME: Duration = Duration::from_secs(600);
/// Lines are gathered up to this size before they are written.
const GATHERED_BYTES: usize = 16 * 1024;

/// Where a command's answer goes while it runs.
pub struct Output {
    stream: OwnedWriteHalf,
    gathered: Vec<u8>,
    items: u64,
}

/// Serves a connection until it ends or breaks the protocol.
pub async fn serve(admin: Arc<Admin>, stream: UnixStream) -> io::Result<()> {
    let (reading, stream) = stream.into_split();
    let mut reading = BufReader::new(reading);
    let mut output = Output::new(stream);
    let mut line = Vec::new();
    loop {
        let request = match timeout(REQUEST_TIME, read_line(&mut reading, &mut line)).await {
            Ok(Ok(true)) => parse(&line),
            Ok(Ok(false)) | Err(_) => return Ok(()),
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                Err(Refusal::new(Code::BadRequest, format!("a request has at most {MAX_LINE_BYTES} bytes")))
            }
            Ok(Err(error)) => return Err(error),
        };
        match request {
            Ok(Request { command, .. }) => {
                let stops = command.stops_server();
                let answer = command.run(&admin, &mut output).await;
                output.finish(answer).await?;
                if stops {
                    admin.node.ask_to_stop();
                    // The connection ends with the process: that is what the other side waits for.
                    std::future::pending::<()>().await;
                }
            }
            // What follows cannot be told apart from the rest of this one.
            Err(refusal) => return output.finish(Err(refusal)).await,
        }
    }
}

/// Tells somebody who came while too many were there.
pub async fn refuse(stream: UnixStream) -> io::Result<()> {
    let (_, stream) = stream.into_split();
    let busy = Refusal::new(Code::Busy, "too many commands are under way; try again");
    Output::new(stream).finish(Err(busy)).await
}

/// False at the end of the stream. An unfinished last line is not a line.
async fn read_line(reading: &mut BufReader<OwnedReadHalf>, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let mut limited = reading.take(MAX_LINE_BYTES as u64);
    limited.read_until(b'\n', line).await?;
    match line.last() {
        Some(b'\n') => Ok(true),
        _ if line.len() >= MAX_LINE_BYTES => Err(io::ErrorKind::InvalidData.into()),
        _ => Ok(false),
    }
}

fn parse(line: &[u8]) -> Result<Request, Refusal> {
    // Serde's own words may repeat an argument, and an argument may be a password: its place must do.
    let bad = |error: serde_json::Error| {
        let what = format!("not a request of version {VERSION} (column {})", error.column());
        Refusal::new(Code::BadRequest, what)
    };
    let Versioned { version } = serde_json::from_slice(line).map_err(bad)?;
    if version != VERSION {
        let what = format!("this server speaks version {VERSION} of the control protocol, not {version}");
        return Err(Refusal::new(Code::BadVersion, what));
    }
    serde_json::from_slice(line).map_err(bad)
}

impl Output {
    fn new(stream: OwnedWriteHalf) -> Output {
        Output { stream, gathered: Vec::new(), items: 0 }
    }

    /// One item of a list. Fails when nobody reads any more; then the command has no further use.
    pub async fn item(&mut self, item: impl Serialize) -> Result<(), Refusal> {
        let gone = |_| Refusal::new(Code::Unavailable, "nobody reads the answer");
        let item =
            serde_json::to_value(item).map_err(|error| Refusal::new(Code::Unavailable, error.to_string()))?;
        self.items += 1;
        self.line(&Line::Item(item));
        if self.gathered.len() >= GATHERED_BYTES { self.flush().await.map_err(gone) } else { Ok(()) }
    }

    async fn finish(&mut self, answer: Answer) -> io::Result<()> {
        let items = std::mem::take(&mut self.items);
        self.line(&match answer {
            Ok(Some(result)) => Line::Done(result),
            Ok(None) => Line::End(items),
            Err(refusal) => Line::Refused(refusal),
        });
        self.flush().await
    }

    fn line(&mut self, line: &Line) {
        // A line is made of values, numbers and texts: there is nothing in it that JSON cannot say.
        let text = serde_json::to_vec(line).unwrap_or_else(|_| Value::Null.to_string().into_bytes());
        self.gathered.extend_from_slice(&text);
        self.gathered.push(b'\n');
    }

    async fn flush(&mut self) -> io::Result<()> {
        let gathered = std::mem::take(&mut self.gathered);
        for part in gathered.chunks(GATHERED_BYTES) {
            match timeout(ANSWER_TIME, self.stream.write_all(part)).await {
                Ok(written) => written?,
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
        Ok(())
    }
}
