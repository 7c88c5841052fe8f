//! One line of a play, and what it means.

use std::net::IpAddr;
use std::time::Duration;

use server::config::TlsMode;
use server::storage::{StoreError, Subscription};

use crate::xml::{self, Node};

/// The indented lines below a line, without the indentation.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    pub line: usize,
    pub text: String,
}

#[derive(Debug)]
pub enum Step {
    Act {
        who: Vec<String>,
        act: Act,
    },
    /// Rosters that are there before anybody looks: `owner` has `contact` with this subscription.
    Know {
        owner: String,
        contact: String,
        subscription: Subscription,
    },
    Friends(Vec<String>),
    Time(Duration),
    Store(OnStore),
    Server(OnServer),
}

#[derive(Debug)]
pub enum Act {
    OpenConnection {
        port: TlsMode,
        from: Option<IpAddr>,
    },
    OpenStream {
        to: Option<String>,
    },
    /// A header of his own words, on the connection that he has; nothing is received.
    RestartStream {
        block: Block,
        how: How,
    },
    /// A stream, PLAIN, and the stream behind it with its features.
    Authenticate,
    /// That, and a resource; no presence.
    Connect,
    /// That, and presence; what it brought of others' presence is passed over.
    BeOnline {
        priority: Option<i8>,
    },
    EnableManagement {
        resume: bool,
    },
    EnableCarbons,
    FetchRoster,
    FetchBlockList,
    Send {
        block: Block,
        how: How,
    },
    Receive {
        patterns: Vec<Node>,
        mode: Mode,
    },
    ReceiveNothing,
    /// The header of the server's stream, as an element.
    ReceiveHeader {
        pattern: Node,
    },
    /// Everything that comes is passed over.
    Disregard,
    /// From now on presence is passed over.
    IgnorePresence,
    Cut,
    CloseStream,
    /// Closes the stream and waits for the end, whatever comes until then.
    LogOut,
    Resume {
        h: Option<u32>,
    },
    Acknowledge {
        h: Option<u32>,
    },
    StreamEnds {
        with: Option<String>,
    },
    ConnectionEnds,
    /// The same, whatever comes before it.
    BeDisconnected,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum How {
    AsItStands,
    /// So many times, `{n}` counting from 1.
    Times(u32),
    ByteByByte,
    /// The lines joined, `\x04` and the like being bytes.
    Raw,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mode {
    InOrder,
    /// Nothing may be there that is not listed.
    Exactly,
    InAnyOrder,
    /// One stanza that matches any of the patterns.
    OneOf,
    /// As many as come of those that match any of them, none too.
    MayBe,
    /// Again and again, `{n}` counting from 1.
    Times(u32),
}

#[derive(Debug)]
pub enum OnStore {
    FailWrites(StoreError),
    FailReads(StoreError),
    Take(Duration),
    TakeToRead(Duration),
    Heal,
    Holds(usize),
}

#[derive(Debug)]
pub enum OnServer {
    Stop,
    StartAgain,
    Reload(Block),
    /// Each line a series of `/metrics` and its value.
    Counts(Block),
}

/// What a line means. `Err` is a sentence for the author.
pub fn step(line: &str, block: Option<Block>) -> Result<Step, String> {
    let line = line.trim_end_matches(':').trim_end();
    let mut block = block;
    let step = match line.split_once(' ').ok_or("a line says who does what")? {
        ("time", rest) => {
            let time = rest.strip_prefix("passes:").ok_or("write `time passes: 30s`")?;
            Step::Time(duration(time.trim())?)
        }
        ("the", rest) => match rest.split_once(' ') {
            Some(("store", rest)) => Step::Store(on_store(rest)?),
            Some(("server", rest)) => Step::Server(on_server(rest, &mut block)?),
            _ => return Err("write `the store ..` or `the server ..`".into()),
        },
        _ => people(line, &mut block)?,
    };
    match block {
        Some(block) => Err(format!("nothing is done with the indented text of line {}", block.line)),
        None => Ok(step),
    }
}

fn people(line: &str, block: &mut Option<Block>) -> Result<Step, String> {
    let (who, phrase) = subjects(line)?;
    if phrase == "are friends" && who.len() > 1 {
        return Ok(Step::Friends(who));
    }
    for (verb, subscription) in [("sees ", Subscription::To), ("lists ", Subscription::None)] {
        if let (Some(contact), [owner]) = (phrase.strip_prefix(verb), who.as_slice()) {
            return Ok(Step::Know { owner: owner.clone(), contact: contact.into(), subscription });
        }
    }
    Ok(Step::Act { who, act: act(&phrase, block)? })
}

/// `romeo, juliet and nurse` and what they do. `romeo's stream` is romeo's too.
fn subjects(line: &str) -> Result<(Vec<String>, String), String> {
    let mut who = Vec::new();
    let mut rest = line;
    loop {
        let (name, behind) = rest.split_once(' ').ok_or("a line says who does what")?;
        let listed = name.strip_suffix(',');
        let owner = name.strip_suffix("'s");
        who.push(listed.or(owner).unwrap_or(name).to_owned());
        rest = behind;
        if listed.is_some() {
            continue;
        }
        match rest.strip_prefix("and ") {
            Some(behind) if owner.is_none() => rest = behind,
            _ => return Ok((who, rest.to_owned())),
        }
    }
}

fn act(phrase: &str, block: &mut Option<Block>) -> Result<Act, String> {
    let (verb, rest) = phrase.split_once(' ').unwrap_or((phrase, ""));
    match (singular(verb), rest) {
        ("opens", "a stream") => Ok(Act::OpenStream { to: None }),
        ("opens", _) if rest.starts_with("a stream to ") => {
            Ok(Act::OpenStream { to: Some(rest["a stream to ".len()..].to_owned()) })
        }
        ("opens", _) if rest.starts_with("a new stream") => {
            let how = send_how(rest["a new stream".len()..].trim_start())?;
            Ok(Act::RestartStream { block: taken(block)?, how })
        }
        ("opens", _) if rest.starts_with("a connection") => open_connection(rest),
        ("authenticates", "") => Ok(Act::Authenticate),
        ("connects", "") => Ok(Act::Connect),
        ("is", "online") => Ok(Act::BeOnline { priority: None }),
        ("is", _) if rest.starts_with("online with priority ") => {
            let priority = rest["online with priority ".len()..].parse();
            Ok(Act::BeOnline { priority: Some(priority.map_err(|_| "a priority is -128 to 127")?) })
        }
        ("is", "disconnected") => Ok(Act::BeDisconnected),
        ("enables", "stream management") => Ok(Act::EnableManagement { resume: false }),
        ("enables", "resumption") => Ok(Act::EnableManagement { resume: true }),
        ("enables", "carbons") => Ok(Act::EnableCarbons),
        ("fetches", "the roster") => Ok(Act::FetchRoster),
        ("fetches", "the block list") => Ok(Act::FetchBlockList),
        ("sends", how) => Ok(Act::Send { how: send_how(how)?, block: taken(block)? }),
        ("receives", how) => receive(how, block),
        ("may", "receive") => receive("maybe", block),
        ("disregards", "the rest") => Ok(Act::Disregard),
        ("ignores", "presence") => Ok(Act::IgnorePresence),
        ("cuts", "the connection") => Ok(Act::Cut),
        ("closes", "the stream") => Ok(Act::CloseStream),
        ("logs", "out") => Ok(Act::LogOut),
        ("resumes", h) => Ok(Act::Resume { h: with_h(h)? }),
        ("acknowledges", h) => Ok(Act::Acknowledge { h: with_h(h)? }),
        ("stream", "ends") => Ok(Act::StreamEnds { with: None }),
        ("stream", _) if rest.starts_with("ends with ") => {
            Ok(Act::StreamEnds { with: Some(rest["ends with ".len()..].to_owned()) })
        }
        ("connection", "ends") => Ok(Act::ConnectionEnds),
        _ => Err(format!("nobody knows how to `{phrase}`: tests/plays/README.md says what can be done")),
    }
}

fn singular(verb: &str) -> &str {
    const PLURALS: &[(&str, &str)] = &[
        ("open", "opens"),
        ("authenticate", "authenticates"),
        ("connect", "connects"),
        ("are", "is"),
        ("enable", "enables"),
        ("fetch", "fetches"),
        ("send", "sends"),
        ("receive", "receives"),
        ("disregard", "disregards"),
        ("ignore", "ignores"),
        ("cut", "cuts"),
        ("close", "closes"),
        ("log", "logs"),
        ("resume", "resumes"),
        ("acknowledge", "acknowledges"),
    ];
    PLURALS.iter().find(|(plural, _)| *plural == verb).map_or(verb, |(_, singular)| singular)
}

/// `a connection [to the starttls port] [from ADDRESS]`.
fn open_connection(phrase: &str) -> Result<Act, String> {
    let mut rest = phrase.strip_prefix("a connection").unwrap_or(phrase);
    let mut port = TlsMode::None;
    if let Some(behind) = rest.strip_prefix(" to the starttls port") {
        (port, rest) = (TlsMode::Starttls, behind);
    }
    let from = match rest.strip_prefix(" from ") {
        Some(address) => Some(address.parse().map_err(|_| format!("{address} is no address"))?),
        None if rest.is_empty() => None,
        None => return Err("write `opens a connection [to the starttls port] [from ADDRESS]`".into()),
    };
    Ok(Act::OpenConnection { port, from })
}

fn taken(block: &mut Option<Block>) -> Result<Block, String> {
    block.take().ok_or_else(|| "indented text must follow".into())
}

fn send_how(how: &str) -> Result<How, String> {
    match how {
        "" => Ok(How::AsItStands),
        "byte by byte" => Ok(How::ByteByByte),
        "raw" => Ok(How::Raw),
        _ => times(how).map(How::Times).ok_or_else(|| "write `sends [N times | byte by byte | raw]`".into()),
    }
}

fn receive(how: &str, block: &mut Option<Block>) -> Result<Act, String> {
    if how == "nothing" {
        return Ok(Act::ReceiveNothing);
    }
    let mode = match how {
        "" | "a header" => Mode::InOrder,
        "exactly" => Mode::Exactly,
        "in any order" => Mode::InAnyOrder,
        "one of" => Mode::OneOf,
        "maybe" => Mode::MayBe,
        _ => times(how)
            .map(Mode::Times)
            .ok_or("write `receives [nothing | a header | exactly | in any order | one of | N times]`")?,
    };
    let block = taken(block)?;
    let mut patterns = xml::elements(&block.text).map_err(|error| format!("line {}: {error}", block.line))?;
    if patterns.is_empty() {
        return Err("the indented text has no element".into());
    }
    match (how, patterns.len()) {
        ("a header", 1) => Ok(Act::ReceiveHeader { pattern: patterns.remove(0) }),
        ("a header", _) => Err("a header is one element, closed by `/>`".into()),
        _ => Ok(Act::Receive { patterns, mode }),
    }
}

fn times(text: &str) -> Option<u32> {
    text.strip_suffix(" times")?.parse().ok()
}

fn with_h(text: &str) -> Result<Option<u32>, String> {
    match text.strip_prefix("with h ") {
        Some(h) => h.parse().map(Some).map_err(|_| format!("{h} is not a number")),
        None if text.is_empty() => Ok(None),
        None => Err("write `with h N` or nothing".into()),
    }
}

fn on_store(phrase: &str) -> Result<OnStore, String> {
    let error = |kind: &str| match kind {
        "unavailable" => Ok(StoreError::Unavailable("as the play wants it".into())),
        "full" => Ok(StoreError::Full("as the play wants it".into())),
        "damaged" => Ok(StoreError::Damaged("as the play wants it".into())),
        other => Err(format!("a store fails as `unavailable`, `full` or `damaged`, not as `{other}`")),
    };
    if let Some(kind) = phrase.strip_prefix("fails: ") {
        return error(kind).map(OnStore::FailWrites);
    }
    if let Some(kind) = phrase.strip_prefix("cannot be read: ") {
        return error(kind).map(OnStore::FailReads);
    }
    if let Some(time) = phrase.strip_prefix("takes ").and_then(|rest| rest.strip_suffix(" to read")) {
        return duration(time).map(OnStore::TakeToRead);
    }
    if let Some(time) = phrase.strip_prefix("takes ") {
        return duration(time).map(OnStore::Take);
    }
    if let Some(count) = phrase.strip_prefix("holds ").and_then(|rest| rest.split(' ').next()) {
        let count = if count == "no" { Some(0) } else { count.parse().ok() };
        return count.map(OnStore::Holds).ok_or_else(|| "write `the store holds N messages`".into());
    }
    match phrase {
        "heals" => Ok(OnStore::Heal),
        _ => Err(format!("the store does not know how to `{phrase}`")),
    }
}

fn on_server(phrase: &str, block: &mut Option<Block>) -> Result<OnServer, String> {
    match phrase {
        "stops" => Ok(OnServer::Stop),
        "starts again" => Ok(OnServer::StartAgain),
        "reloads" => Ok(OnServer::Reload(taken(block)?)),
        "counts" => Ok(OnServer::Counts(taken(block)?)),
        _ => Err(format!("the server does not know how to `{phrase}`")),
    }
}

/// `300ms`, `30s`, `10min`, `2h`.
fn duration(text: &str) -> Result<Duration, String> {
    let unit = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: Option<u64> = text[..unit].parse().ok();
    let wrong = || format!("`{text}` is no time: write 300ms, 30s, 10min or 2h");
    let number = number.ok_or_else(wrong)?;
    match text[unit..].trim() {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "min" => Ok(Duration::from_secs(number * 60)),
        "h" => Ok(Duration::from_secs(number * 3600)),
        _ => Err(wrong()),
    }
}
