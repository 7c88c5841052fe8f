//! An actor: a client of the barest kind, that says what it is told and hears what it is sent.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::time::Duration;

use server::c2s::pipe::PipeEnd;

use crate::xml::{Heard, Node, StreamReader};

pub const SM: &str = "urn:xmpp:sm:3";

/// One connection and what has been heard on it.
pub struct Connection {
    pipe: PipeEnd,
    reader: StreamReader,
    /// Heard and put back.
    heard: VecDeque<Heard>,
    ended: bool,
}

/// What a client with stream management (XEP-0198) keeps in mind.
#[derive(Debug, Clone, Default)]
pub struct Managed {
    pub id: Option<String>,
    /// Stanzas sent behind `<enable/>`, and received behind `<enabled/>`, on all connections.
    pub sent: u32,
    pub received: u32,
}

impl Connection {
    pub fn new(pipe: PipeEnd) -> Connection {
        Connection { pipe, reader: StreamReader::default(), heard: VecDeque::new(), ended: false }
    }

    /// A new stream begins on it.
    pub fn restart(&mut self) {
        self.reader = StreamReader::default();
    }

    pub async fn send(&self, mut bytes: &[u8]) -> Result<(), String> {
        while !bytes.is_empty() {
            match self.pipe.try_write(bytes) {
                Ok(taken) => bytes = &bytes[taken..],
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    let ready = tokio::time::timeout(Duration::from_secs(60), self.pipe.writable()).await;
                    ready.map_err(|_| "the server reads no more")?.map_err(|e| e.to_string())?;
                }
                Err(e) => return Err(format!("the connection is gone: {e}")),
            }
        }
        Ok(())
    }

    /// What comes next, or `None` when nothing comes in that time.
    pub async fn next(&mut self, within: Duration) -> Result<Option<Heard>, String> {
        if let Some(heard) = self.heard.pop_front() {
            return Ok(Some(heard));
        }
        match tokio::time::timeout(within, self.read()).await {
            Ok(heard) => heard.map(Some),
            Err(_) => Ok(None),
        }
    }

    pub fn put_back(&mut self, heard: Heard) {
        self.heard.push_front(heard);
    }

    async fn read(&mut self) -> Result<Heard, String> {
        loop {
            let heard = self.reader.poll().map_err(|error| format!("the server wrote bad XML: {error}"))?;
            if let Some(heard) = heard {
                return Ok(heard);
            }
            let mut buffer = [0; 4096];
            match self.pipe.try_read(&mut buffer) {
                Ok(0) if self.ended => std::future::pending().await,
                Ok(0) => {
                    self.ended = true;
                    return Ok(Heard::End);
                }
                Ok(read) => self.reader.feed(&buffer[..read]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.pipe.readable().await.map_err(|e| e.to_string())?;
                }
                Err(e) => return Err(e.to_string()),
            }
        }
    }
}

/// Is it the `<r/>` by which a server asks for an acknowledgement? It may come at any time.
pub fn asks_for_acknowledgement(heard: &Heard) -> bool {
    matches!(heard, Heard::Element(node) if node.is("r", SM))
}

/// Is it presence of somebody who comes or goes? Requests and answers to them are more than that.
pub fn is_presence(node: &Node) -> bool {
    node.is_stanza()
        && node.name == "presence"
        && matches!(node.attribute("type"), None | Some("unavailable"))
}
