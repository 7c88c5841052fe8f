//! Finds where the header and each first-level element of a stream ends. Bytes come in cut anywhere; what is
//! incomplete is kept, within the limits, and scanning goes on where it stopped when the rest comes.
//!
//! An element that seems to be there as a whole, as most are, is read at once, and reading finds its end. Only
//! where that fails it is scanned, which alone decides what is an error.

use std::fmt;

use super::chars;
use super::header::{self, StreamScope};
use super::inbox::Inbox;
use super::lexer::{Lexer, Mark};
use super::tag::tag_name;
use super::{DEPTH_MAX, Frame, Limits, read};
use crate::ns;
use crate::stream_error::{Exceeded, StreamCondition, StreamError};

/// One per stream: bytes in, frames out.
pub struct Scanner {
    limits: Limits,
    /// The content namespace that this side expects.
    content: &'static str,
    phase: Phase,
    header_seen: bool,
    lexer: Lexer,
    inbox: Inbox,
    /// Where the tags of the elements that are open inside the stream began, from the beginning of the frame.
    open: Vec<u32>,
    /// Elements that began since the last frame.
    elements: usize,
    /// What the stream header declared.
    scope: StreamScope,
    /// Where canonical bytes are written before they are copied to their exact size.
    scratch: Vec<u8>,
    work: u64,
}

/// Where in a stream the next frame is.
#[derive(Debug, Clone, PartialEq)]
enum Phase {
    /// Before the header; whether nothing came at all, not even space.
    Start {
        fresh: bool,
    },
    /// Behind the XML declaration.
    Declared,
    /// Inside the stream.
    Open,
    /// The header was `<stream:stream/>`.
    OpenedEmpty,
    /// Behind the closing tag.
    Closed,
    Failed(Box<StreamError>),
}

const BYTE_ORDER_MARK: char = '\u{FEFF}';

impl Scanner {
    /// For a stream of clients.
    pub fn new(limits: Limits) -> Scanner {
        Scanner::with_content(limits, ns::CLIENT)
    }

    /// For a stream of another content namespace: `jabber:server`, `jabber:component:accept`.
    pub fn with_content(limits: Limits, content: &'static str) -> Scanner {
        Scanner {
            limits,
            content,
            phase: Phase::Start { fresh: true },
            header_seen: false,
            lexer: Lexer::new(),
            inbox: Inbox::default(),
            open: Vec::new(),
            elements: 0,
            scope: StreamScope::default(),
            scratch: Vec::new(),
            work: 0,
        }
    }

    /// Takes bytes. Pull frames until there are none before feeding again: what is fed is kept whole.
    pub fn feed(&mut self, bytes: &[u8]) {
        if !matches!(self.phase, Phase::Closed | Phase::Failed(_)) {
            self.inbox.push(bytes);
        }
    }

    /// The next frame; None when more bytes are needed. An error ends the stream: it comes again when asked
    /// again, and bytes that are fed then are dropped.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Frame>, StreamError> {
        let result = match &self.phase {
            Phase::Failed(error) => return Err(StreamError::clone(error)),
            Phase::OpenedEmpty => Ok(Some(Frame::Close)),
            _ => self.scan(),
        };
        match &result {
            Ok(None) => {
                self.inbox.compact();
                self.scratch = Vec::new();
            }
            Ok(Some(Frame::Close)) => self.end(Phase::Closed),
            Ok(Some(_)) => {}
            Err(error) => self.end(Phase::Failed(Box::new(error.clone()))),
        }
        result
    }

    /// Takes what lies behind the last frame: bytes that came too early, or that belong to another stream.
    pub fn take_rest(&mut self) -> Vec<u8> {
        self.forget_frame();
        self.inbox.take_rest()
    }

    /// Another stream begins behind the last frame, as after SASL: its header is expected next, and what lies
    /// there already is part of it. Pull no frame between the element that ended the old stream and this:
    /// the new stream's bytes would be read as the old one's.
    pub fn reset(&mut self) {
        self.forget_frame();
        self.phase = Phase::Start { fresh: true };
        self.header_seen = false;
        self.scope = StreamScope::default();
    }

    /// Nothing is kept, not even an empty buffer's memory.
    pub fn is_idle(&self) -> bool {
        self.memory() == 0
    }

    /// Bytes of memory that are kept for what is incomplete.
    pub fn memory(&self) -> usize {
        self.inbox.memory() + self.scratch.capacity() + self.open.capacity() * size_of::<u32>()
    }

    /// Whether a valid header of this stream came: an error before it is told in another way than one behind
    /// it.
    pub fn header_seen(&self) -> bool {
        self.header_seen
    }

    /// Other limits from now on, as after authentication.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Work so far, to compare with the bytes that came: bytes looked at, and comparisons of names.
    pub fn work(&self) -> u64 {
        self.work
    }

    fn scan(&mut self) -> Result<Option<Frame>, StreamError> {
        while !self.inbox.all_is_scanned() {
            if self.is_between_frames() {
                if !self.frame_begins()? {
                    continue;
                }
                if let Some(frame) = self.read_whole() {
                    return Ok(Some(frame));
                }
            }
            let mark = self.lex()?;
            if let Some(frame) = self.pass(mark)? {
                return Ok(Some(frame));
            }
        }
        self.check_tail().map(|()| None)
    }

    fn is_between_frames(&self) -> bool {
        self.open.is_empty() && self.lexer.in_text()
    }

    /// Reads an element whose `<` is next. Nothing when it is not whole, or is in error.
    fn read_whole(&mut self) -> Option<Frame> {
        if self.phase != Phase::Open {
            return None;
        }
        let text = self.inbox.frame_on(self.limits.stanza_bytes);
        let scope = self.scope.scope(self.content).ok()?;
        match read::frame(text, scope, self.content, self.limits, &mut self.scratch) {
            Ok(read) => {
                self.inbox.scan(read.length);
                self.work += read.work;
                self.next_frame();
                Some(read.frame)
            }
            Err(_) => {
                self.work += text.len() as u64;
                None
            }
        }
    }

    /// What follows the text: an incomplete character, or bytes that are no UTF-8.
    fn check_tail(&self) -> Result<(), StreamError> {
        if self.header_seen || !self.is_between_frames() {
            return self.inbox.broken().cloned().map_or(Ok(()), Err);
        }
        match self.inbox.tail().first() {
            // The beginning of a byte order mark.
            None | Some(0xEF) if self.inbox.broken().is_none() => Ok(()),
            // That of UTF-16, either way.
            Some(0xFE | 0xFF) if self.phase == Phase::Start { fresh: true } => {
                Err(StreamCondition::UnsupportedEncoding.into())
            }
            _ => Err(self.text_between_frames()),
        }
    }

    /// Goes on to the next mark. What lies past the limit is not looked at, so that the same bytes give the
    /// same error however they are cut.
    fn lex(&mut self) -> Result<Mark, StreamError> {
        let open = self.phase == Phase::Open;
        let limit = if open { self.limits.stanza_bytes } else { self.limits.header_bytes };
        let bytes = self.inbox.frame_on(limit).as_bytes();
        let from = self.inbox.frame().len();
        let mut at = from;
        let mark = self.lexer.run(bytes, &mut at, self.limits.attributes);
        // Whoever sends control characters first is no XMPP client and hears so at once, without an end tag.
        let control = |byte: &u8| *byte < b' ' && !chars::is_space(*byte);
        if !open && bytes.get(from..at).unwrap_or_default().iter().any(control) {
            return Err(StreamError::not_well_formed("a control character"));
        }
        self.inbox.scan(at - from);
        self.work += (at - from) as u64;
        if mark == Mark::Nothing && !self.inbox.all_is_scanned() {
            return Err(match open {
                true => StreamError::exceeded(Exceeded::Bytes),
                false => StreamError::stanza_too_big("the stream header is too big"),
            });
        }
        Ok(mark)
    }

    /// Whether `<` is next. White space before it is dropped (RFC 6120 section 11.7), so that a connection
    /// that is kept alive by it holds no memory; before the header it may also be left over from the stream
    /// before.
    fn frame_begins(&mut self) -> Result<bool, StreamError> {
        let text = self.inbox.unscanned();
        let spaces = text.bytes().take_while(|byte| chars::is_space(*byte)).count();
        let next = text.as_bytes().get(spaces).copied();
        // A byte order mark is one only as the very first character.
        let mark = if text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len_utf8() } else { 0 };
        if let Phase::Start { fresh } = &mut self.phase
            && std::mem::take(fresh)
            && mark > 0
        {
            self.skip(mark);
            return Ok(false);
        }
        self.skip(spaces);
        match next {
            Some(b'<') => Ok(true),
            None => Ok(false),
            Some(_) => Err(self.text_between_frames()),
        }
    }

    fn skip(&mut self, length: usize) {
        self.inbox.scan(length);
        self.inbox.end_frame();
        self.work += length as u64;
    }

    /// RFC 6120 has no condition of its own for text between stanzas; before the header it is no XML.
    fn text_between_frames(&self) -> StreamError {
        match self.phase {
            Phase::Open => StreamError::new(StreamCondition::BadFormat).with_text("text between stanzas"),
            _ => StreamError::not_well_formed("no stream header"),
        }
    }

    fn pass(&mut self, mark: Mark) -> Result<Option<Frame>, StreamError> {
        match mark {
            Mark::Nothing => Ok(None),
            Mark::TooManyAttributes => Err(StreamError::exceeded(Exceeded::Attributes)),
            Mark::StartTagEnds { empty } if self.phase == Phase::Open => self.start_tag(empty),
            Mark::StartTagEnds { empty } => self.header(empty).map(Some),
            Mark::EndTagBegins if self.phase == Phase::Open => Ok(None),
            Mark::EndTagEnds => self.end_tag(),
            Mark::CDataBegins if !self.open.is_empty() => Ok(None),
            Mark::CDataBegins => Err(self.text_between_frames()),
            Mark::QuestionBegins if matches!(self.phase, Phase::Start { .. }) => Ok(None),
            Mark::DeclarationEnds => self.declaration(),
            Mark::QuestionBegins | Mark::Restricted => {
                Err(StreamError::restricted_xml("comments, processing instructions and DTDs are not allowed"))
            }
            Mark::EndTagBegins | Mark::Malformed => Err(StreamError::not_well_formed("markup that is none")),
        }
    }

    fn start_tag(&mut self, empty: bool) -> Result<Option<Frame>, StreamError> {
        self.elements += 1;
        if self.elements > self.limits.elements {
            return Err(StreamError::exceeded(Exceeded::Elements));
        }
        if self.open.len() >= self.limits.depth.min(DEPTH_MAX) {
            return Err(StreamError::exceeded(Exceeded::Depth));
        }
        match (empty, self.open.is_empty()) {
            (true, true) => return self.element().map(Some),
            (true, false) => return Ok(None),
            (false, true) => self.refuse_second_header()?,
            (false, false) => {}
        }
        self.open.push(self.lexer.tag_at as u32);
        Ok(None)
    }

    /// The name is compared at once. A missing end tag would otherwise only be found when the stream ends.
    fn end_tag(&mut self) -> Result<Option<Frame>, StreamError> {
        let frame = self.inbox.frame();
        let tag = frame.get(self.lexer.tag_at..).unwrap_or_default();
        let name = tag.strip_prefix("</").and_then(|rest| rest.strip_suffix('>')).unwrap_or_default();
        let name = name.trim_end_matches(chars::SPACE);
        let opened_as = match self.open.last() {
            Some(at) => tag_name(frame.get(*at as usize..).unwrap_or_default(), name.len()),
            None => self.scope.name(),
        };
        if name != opened_as {
            return Err(StreamError::not_well_formed("an end tag without its start tag"));
        }
        self.work += name.len() as u64;
        match self.open.pop() {
            None => Ok(Some(Frame::Close)),
            Some(_) if self.open.is_empty() => self.element().map(Some),
            Some(_) => Ok(None),
        }
    }

    /// A first-level `<stream:stream>` would go on for ever, so its opening tag is looked at alone.
    fn refuse_second_header(&self) -> Result<(), StreamError> {
        let tag = self.inbox.frame();
        if !tag_name(tag, 0).ends_with("stream") {
            return Ok(());
        }
        match header::is_header(tag, self.scope.scope(self.content)?)? {
            true => Err(read::second_header()),
            false => Ok(()),
        }
    }

    fn declaration(&mut self) -> Result<Option<Frame>, StreamError> {
        header::check_declaration(self.inbox.frame())?;
        self.next_frame();
        self.phase = Phase::Declared;
        Ok(None)
    }

    fn header(&mut self, empty: bool) -> Result<Frame, StreamError> {
        let (header, scope) = header::read(self.inbox.frame(), self.content, self.limits)?;
        self.scope = scope;
        self.next_frame();
        self.header_seen = true;
        self.phase = if empty { Phase::OpenedEmpty } else { Phase::Open };
        Ok(Frame::Header(header))
    }

    fn element(&mut self) -> Result<Frame, StreamError> {
        let scope = self.scope.scope(self.content)?;
        let text = self.inbox.frame();
        let read = read::frame(text, scope, self.content, self.limits, &mut self.scratch)?;
        if read.length != text.len() {
            return Err(StreamError::not_well_formed("markup that is not well-formed"));
        }
        self.work += read.work;
        self.next_frame();
        Ok(read.frame)
    }

    fn next_frame(&mut self) {
        self.inbox.end_frame();
        self.open = Vec::new();
        self.elements = 0;
    }

    /// What was scanned of an incomplete frame is to be scanned again, as something else.
    fn forget_frame(&mut self) {
        self.inbox.rewind();
        self.next_frame();
        self.lexer = Lexer::new();
        self.scratch = Vec::new();
    }

    fn end(&mut self, phase: Phase) {
        self.forget_frame();
        self.inbox = Inbox::default();
        self.phase = phase;
    }
}

/// Passwords and messages pass through here and shall not come into a log.
impl fmt::Debug for Scanner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scanner")
            .field("phase", &self.phase)
            .field("memory", &self.memory())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
