//! What may happen to the session table, and how it is written into the log.

use bytes::Bytes;
use xmpp_core::Jid;

use crate::wire::{Malformed, Reader, put_number, put_text};
use crate::{Boot, Entry, First, NodeId, Opened, Presence, SessionId};

/// What may happen to the table. In a cluster these are what the log's entries are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Open {
        jid: Jid,
        session: SessionId,
    },
    Presence {
        jid: Jid,
        session: SessionId,
        presence: Presence,
    },
    Close {
        jid: Jid,
        session: SessionId,
    },
    /// A session of a node that was declared down while it lived. Unlike `Open` it replaces nobody:
    /// whoever took the address meanwhile keeps it.
    Reopen {
        jid: Jid,
        session: SessionId,
        presence: Presence,
    },
    /// A node starts, or comes back after it was declared down. `start` grows with each time, so that
    /// one that is repeated changes nothing, and one that comes late is refused.
    NodeUp {
        node: NodeId,
        start: u64,
    },
    /// Only if it is this boot that is up: what came back meanwhile stays.
    NodeDown {
        node: NodeId,
        boot: Boot,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Opened(Opened),
    Presence(First),
    Closed {
        next_willing: Option<SessionId>,
    },
    Reopened(First),
    /// `Reopen` found another session under its address.
    Taken,
    /// Sessions of an earlier boot of the node went with its coming.
    NodeUp {
        boot: Boot,
        gone: Vec<Gone>,
    },
    NodeDown {
        gone: Vec<Gone>,
    },
    /// The command spoke of a session, a boot or a node that is not there.
    Unknown,
}

/// A session that went with its node, and who is to be given what waits if it was the first willing one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    pub entry: Entry,
    pub next_willing: Option<SessionId>,
}

/// Commands of one node that are applied together or not at all.
///
/// ```text
/// version 1 | node | boot | number | count | count x command
/// command: tag | number of the session (O P C R) | presence (P R) | jid (O P C R)
///          tag | start (U)      tag | node | boot (D)
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    pub node: NodeId,
    pub boot: Boot,
    /// Grows with each batch of this boot: one that was sent twice is applied once, and one that
    /// its node gave up cannot come after the next. Zero is outside this order (a node's coming and going).
    pub number: u64,
    pub commands: Vec<Command>,
}

/// An entry of the log holds at most so many commands, and a batch of bytes at most so many of them.
pub const BATCH_MAX_COMMANDS: usize = 512;
const VERSION: u8 = 1;

impl Batch {
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(32 + 64 * self.commands.len());
        out.push(VERSION);
        put_number(&mut out, u64::from(self.node.0));
        put_number(&mut out, self.boot.0);
        put_number(&mut out, self.number);
        put_number(&mut out, self.commands.len() as u64);
        for command in &self.commands {
            put_command(&mut out, command);
        }
        out.into()
    }

    pub fn decode(bytes: Bytes) -> Result<Batch, Malformed> {
        let mut reader = Reader::new(bytes);
        if reader.byte()? != VERSION {
            return Err(Malformed);
        }
        let node = NodeId(reader.small()?);
        let boot = Boot(reader.number()?);
        let number = reader.number()?;
        let count = reader.count()?;
        if count > BATCH_MAX_COMMANDS {
            return Err(Malformed);
        }
        let commands = (0..count).map(|_| read_command(&mut reader, node, boot)).collect::<Result<_, _>>()?;
        reader.end()?;
        Ok(Batch { node, boot, number, commands })
    }
}

fn put_command(out: &mut Vec<u8>, command: &Command) {
    let mut put = |tag: u8, session: &SessionId, presence: Option<Presence>, jid: &Jid| {
        out.push(tag);
        put_number(out, session.number);
        out.extend(presence.map(presence_byte));
        put_text(out, jid.as_str());
    };
    match command {
        Command::Open { jid, session } => put(b'O', session, None, jid),
        Command::Presence { jid, session, presence } => put(b'P', session, Some(*presence), jid),
        Command::Close { jid, session } => put(b'C', session, None, jid),
        Command::Reopen { jid, session, presence } => put(b'R', session, Some(*presence), jid),
        Command::NodeUp { start, .. } => {
            out.push(b'U');
            put_number(out, *start);
        }
        Command::NodeDown { node, boot } => {
            out.push(b'D');
            put_number(out, u64::from(node.0));
            put_number(out, boot.0);
        }
    }
}

/// A session in a batch is one of the batch's node and boot: nobody can speak for another's.
fn read_command(reader: &mut Reader, node: NodeId, boot: Boot) -> Result<Command, Malformed> {
    let tag = reader.byte()?;
    match tag {
        b'U' => return Ok(Command::NodeUp { node, start: reader.number()? }),
        b'D' => {
            return Ok(Command::NodeDown { node: NodeId(reader.small()?), boot: Boot(reader.number()?) });
        }
        _ => {}
    }
    let session = SessionId { node, boot, number: reader.number()? };
    match tag {
        b'O' => Ok(Command::Open { session, jid: reader.jid()? }),
        b'C' => Ok(Command::Close { session, jid: reader.jid()? }),
        b'P' => Ok(Command::Presence { session, presence: read_presence(reader)?, jid: reader.jid()? }),
        b'R' => Ok(Command::Reopen { session, presence: read_presence(reader)?, jid: reader.jid()? }),
        _ => Err(Malformed),
    }
}

pub(crate) fn presence_byte(presence: Presence) -> u8 {
    match presence {
        Presence::None => 0,
        Presence::Present => 1,
        Presence::Willing => 2,
    }
}

pub(crate) fn read_presence(reader: &mut Reader) -> Result<Presence, Malformed> {
    match reader.byte()? {
        0 => Ok(Presence::None),
        1 => Ok(Presence::Present),
        2 => Ok(Presence::Willing),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_comes_back_and_no_prefix_of_it_is_one() {
        let (node, boot) = (NodeId(7), Boot(1_700_000_000_000_000));
        let session = |number| SessionId { node, boot, number };
        let jid = Jid::parse("romeo@montague.example/orchard").unwrap();
        let commands = vec![
            Command::Open { jid: jid.clone(), session: session(1) },
            Command::Presence { jid: jid.clone(), session: session(1), presence: Presence::Willing },
            Command::Close { jid: jid.clone(), session: session(1) },
            Command::Reopen { jid, session: session(300), presence: Presence::Present },
            Command::NodeUp { node, start: 12 },
            Command::NodeDown { node: NodeId(9), boot: Boot(5) },
        ];
        let batch = Batch { node, boot, number: 3, commands };
        let bytes = batch.encode();
        assert_eq!(Batch::decode(bytes.clone()), Ok(batch));
        for cut in 0..bytes.len() {
            assert_eq!(Batch::decode(bytes.slice(..cut)), Err(Malformed));
        }
        // Version 1 as it was first written: what is on disks and links must be read for ever.
        let first = Batch {
            node: NodeId(2),
            boot: Boot(5),
            number: 1,
            commands: vec![Command::Close {
                jid: Jid::parse("a@b/c").unwrap(),
                session: SessionId { node: NodeId(2), boot: Boot(5), number: 9 },
            }],
        };
        assert_eq!(&first.encode()[..], b"\x01\x02\x05\x01\x01C\x09\x05a@b/c");
    }
}
