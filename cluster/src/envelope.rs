//! What nodes ask of each other, and what they answer, around Raft's own messages.
//!
//! ```text
//! version 1 | kind | ...
//! request: R + Raft's   P + batch   J + node, name, address   L + node (leave)
//! answer:  R + Raft's   Y (done)    N + the leader, if known  T (cannot now)
//! ```

use bytes::Bytes;

use crate::wire::{Malformed, Reader, put_bytes, put_number, put_option, put_text};
use crate::{NodeId, Peer};

const VERSION: u8 = 1;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Put this batch into the log.
    Propose(Bytes),
    /// Take the node in as a learner.
    Join { node: NodeId, peer: Peer },
    /// Take the node out.
    Remove { node: NodeId },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    Done,
    /// Ask the leader, if there is one.
    NotLeader(Option<NodeId>),
    /// It may have been done or not: ask again later.
    NotNow,
}

pub(crate) enum Received {
    /// What follows is Raft's.
    Raft(Reader),
    Ask(Ask),
}

pub(crate) fn raft(put: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut out = vec![VERSION, b'R'];
    put(&mut out);
    out.into()
}

pub(crate) fn read_raft<T>(
    bytes: Bytes,
    read: impl FnOnce(&mut Reader) -> Result<T, Malformed>,
) -> Result<T, Malformed> {
    let mut reader = opened(bytes)?;
    if reader.byte()? != b'R' {
        return Err(Malformed);
    }
    let value = read(&mut reader)?;
    reader.end()?;
    Ok(value)
}

pub(crate) fn read_request(bytes: Bytes) -> Result<Received, Malformed> {
    let mut reader = opened(bytes)?;
    let ask = match reader.byte()? {
        b'R' => return Ok(Received::Raft(reader)),
        b'P' => Ask::Propose(reader.bytes()?),
        b'J' => {
            let node = NodeId(reader.small()?);
            Ask::Join { node, peer: Peer { name: reader.text()?, address: reader.text()? } }
        }
        b'L' => Ask::Remove { node: NodeId(reader.small()?) },
        _ => return Err(Malformed),
    };
    reader.end()?;
    Ok(Received::Ask(ask))
}

impl Ask {
    pub fn encode(&self) -> Bytes {
        let mut out = vec![VERSION];
        match self {
            Ask::Propose(batch) => {
                out.push(b'P');
                put_bytes(&mut out, batch);
            }
            Ask::Join { node, peer } => {
                out.push(b'J');
                put_number(&mut out, u64::from(node.0));
                put_text(&mut out, &peer.name);
                put_text(&mut out, &peer.address);
            }
            Ask::Remove { node } => {
                out.push(b'L');
                put_number(&mut out, u64::from(node.0));
            }
        }
        out.into()
    }
}

impl Told {
    pub fn encode(self) -> Bytes {
        let mut out = vec![VERSION];
        match self {
            Told::Done => out.push(b'Y'),
            Told::NotLeader(leader) => {
                out.push(b'N');
                put_option(&mut out, leader, |out, leader| put_number(out, u64::from(leader.0)));
            }
            Told::NotNow => out.push(b'T'),
        }
        out.into()
    }

    pub fn decode(bytes: Bytes) -> Result<Told, Malformed> {
        let mut reader = opened(bytes)?;
        let told = match reader.byte()? {
            b'Y' => Told::Done,
            b'N' => Told::NotLeader(reader.option(Reader::small)?.map(NodeId)),
            b'T' => Told::NotNow,
            _ => return Err(Malformed),
        };
        reader.end()?;
        Ok(told)
    }
}

fn opened(bytes: Bytes) -> Result<Reader, Malformed> {
    let mut reader = Reader::new(bytes);
    if reader.byte()? == VERSION { Ok(reader) } else { Err(Malformed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_and_told_comes_back() {
        let peer = Peer { name: "meerkat@a".into(), address: "a:4369".into() };
        let asks = [
            Ask::Propose(Bytes::from_static(b"batch")),
            Ask::Join { node: NodeId(4), peer },
            Ask::Remove { node: NodeId(300) },
        ];
        for ask in asks {
            let Ok(Received::Ask(again)) = read_request(ask.encode()) else { panic!("{ask:?}") };
            assert_eq!(again, ask);
        }
        for told in [Told::Done, Told::NotLeader(None), Told::NotLeader(Some(NodeId(3))), Told::NotNow] {
            assert_eq!(Told::decode(told.encode()), Ok(told));
        }
        assert!(read_request(Bytes::from_static(b"\x02P\x00")).is_err(), "a version to come");
    }
}
