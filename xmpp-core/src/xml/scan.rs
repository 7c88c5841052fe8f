//! Finds where the header and each first-level element of a stream ends. Bytes come in cut anywhere; what is
//! incomplete is kept, within the limits, and scanning goes on where it stopped when the rest comes.
//!
//! An element that seems to be there as a whole, as most are, is read at once, and reading finds its end. Only
//! where that fails it is scanned, which alone decides what is an error.

use smallvec::SmallVec;

use super::chars;
use super::header::{self, StreamScope};
use super::inbox::Inbox;
use super::lexer::{Lexer, Mark};
use super::{DEPTH_MAX, Frame, Limits, read};
use crate::ns;
use crate::stream_error::{StreamCondition, StreamError};

/// One per stream: bytes in, frames out.
#[derive(Debug)]
pub struct Scanner {
    limits: Limits,
    /// The content namespace that this side expects.
    content: &'static str,
    phase: Phase,
    header_seen: bool,
    lexer: Lexer,
    inbox: Inbox,
    /// Where in the text the frame begins that is being scanned; before it lies what is done with.
    frame_at: usize,
    /// Up to where the text was scanned.
    scanned: usize,
    /// Where the tags of the elements that are open inside the stream began, from the beginning of the frame.
    open: SmallVec<[u32; 8]>,
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
            frame_at: 0,
            scanned: 0,
            open: SmallVec::new(),
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
            Ok(None) => self.compact(),
            Ok(Some(Frame::Close)) => self.end(Phase::Closed),
            Ok(Some(_)) => {}
            Err(error) => self.end(Phase::Failed(Box::new(error.clone()))),
        }
        result
    }

    /// Takes what lies behind the last frame: bytes that came too early, or that belong to another stream.
    pub fn take_rest(&mut self) -> Vec<u8> {
        self.forget_frame();
        let rest = self.inbox.take_behind(self.frame_at);
        self.release();
        rest
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
        self.inbox.holds_nothing()
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
        while self.scanned < self.inbox.text().len() {
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
        let text = self.inbox.text().get(self.frame_at..)?;
        let allowed = text.as_bytes().get(..self.limits.stanza_bytes).map_or(text, |_| {
            let end = (0..=self.limits.stanza_bytes).rev().find(|end| text.is_char_boundary(*end));
            text.get(..end.unwrap_or_default()).unwrap_or_default()
        });
        let scope = self.scope.scope(self.content).ok()?;
        match read::frame(allowed, scope, self.content, self.limits, &mut self.scratch) {
            Ok(read) => {
                self.scanned += read.length;
                self.work += read.work;
                self.next_frame();
                Some(read.frame)
            }
            Err(_) => {
                self.work += allowed.len() as u64;
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
        let (limit, complaint) = match open {
            true => (self.limits.stanza_bytes, "the stanza is too big"),
            false => (self.limits.header_bytes, "the stream header is too big"),
        };
        let text = self.inbox.text().as_bytes();
        let allowed = limit.saturating_add(self.frame_at).min(text.len());
        let bytes = text.get(self.frame_at..allowed).unwrap_or_default();
        let from = self.scanned - self.frame_at;
        let mut at = from;
        let mark = self.lexer.run(bytes, &mut at, self.limits.attributes);
        // Whoever sends control characters first is no XMPP client and hears so at once, without an end tag.
        let control = |byte: &u8| *byte < b' ' && !chars::is_space(*byte);
        if !open && bytes.get(from..at).unwrap_or_default().iter().any(control) {
            return Err(StreamError::not_well_formed("a control character"));
        }
        self.scanned += at - from;
        self.work += (at - from) as u64;
        if mark == Mark::Nothing && self.scanned < text.len() {
            return Err(StreamError::stanza_too_big(complaint));
        }
        Ok(mark)
    }

    /// Whether `<` is next. White space before it is dropped (RFC 6120 section 11.7), so that a connection
    /// that is kept alive by it holds no memory; before the header it may also be left over from the stream
    /// before.
    fn frame_begins(&mut self) -> Result<bool, StreamError> {
        let text = self.inbox.text().get(self.scanned..).unwrap_or_default();
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
        self.scanned += length;
        self.work += length as u64;
        self.frame_at = self.scanned;
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
            Mark::TooManyAttributes => Err(StreamError::stanza_too_big("too many attributes")),
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
        bounded(self.elements, self.limits.elements, "too many elements")?;
        bounded(self.open.len() + 1, self.limits.depth.min(DEPTH_MAX), "elements are nested too deep")?;
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
        let tag = self.frame().as_bytes().get(self.lexer.tag_at..).unwrap_or_default();
        let name = tag.strip_prefix(b"</").and_then(|rest| rest.strip_suffix(b">")).unwrap_or_default();
        let name = name.trim_ascii_end();
        let opened_as = match self.open.last() {
            Some(at) => tag_name(self.frame().as_bytes().get(*at as usize..).unwrap_or_default(), name.len()),
            None => self.scope.name().as_bytes(),
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
        let tag = self.frame();
        if !tag_name(tag.as_bytes(), 0).ends_with(b"stream") {
            return Ok(());
        }
        match header::is_header(tag, self.scope.scope(self.content)?)? {
            true => {
                Err(StreamError::new(StreamCondition::UnsupportedStanzaType)
                    .with_text("a second stream header"))
            }
            false => Ok(()),
        }
    }

    fn declaration(&mut self) -> Result<Option<Frame>, StreamError> {
        header::check_declaration(self.frame())?;
        self.next_frame();
        self.phase = Phase::Declared;
        Ok(None)
    }

    fn header(&mut self, empty: bool) -> Result<Frame, StreamError> {
        let (header, scope) = header::read(self.frame(), self.content, self.limits)?;
        self.scope = scope;
        self.next_frame();
        self.header_seen = true;
        self.phase = if empty { Phase::OpenedEmpty } else { Phase::Open };
        Ok(Frame::Header(header))
    }

    fn element(&mut self) -> Result<Frame, StreamError> {
        let scope = self.scope.scope(self.content)?;
        let text = self.inbox.text().get(self.frame_at..self.scanned).unwrap_or_default();
        let read = read::frame(text, scope, self.content, self.limits, &mut self.scratch)?;
        if read.length != text.len() {
            return Err(StreamError::not_well_formed("markup that is not well-formed"));
        }
        self.work += read.work;
        self.next_frame();
        Ok(read.frame)
    }

    fn frame(&self) -> &str {
        self.inbox.text().get(self.frame_at..self.scanned).unwrap_or_default()
    }

    fn next_frame(&mut self) {
        self.frame_at = self.scanned;
        self.elements = 0;
    }

    /// What was scanned of an incomplete frame is to be scanned again, as something else.
    fn forget_frame(&mut self) {
        self.scanned = self.frame_at;
        self.lexer = Lexer::new();
        self.open.clear();
        self.elements = 0;
    }

    /// Drops what is done with. An incomplete frame moves to the front, once.
    fn compact(&mut self) {
        if self.frame_at == self.inbox.text().len() {
            return self.release();
        }
        self.inbox.drop_front(self.frame_at);
        self.scanned -= self.frame_at;
        self.frame_at = 0;
    }

    fn release(&mut self) {
        self.inbox.clear_text();
        self.scratch = Vec::new();
        self.open = SmallVec::new();
        self.frame_at = 0;
        self.scanned = 0;
    }

    fn end(&mut self, phase: Phase) {
        self.forget_frame();
        self.release();
        self.inbox = Inbox::default();
        self.phase = phase;
    }
}

/// The name in a start tag: what is behind `<` and not shorter than that.
fn tag_name(tag: &[u8], at_least: usize) -> &[u8] {
    let behind = tag.get(1..).unwrap_or_default();
    let rest = behind.get(at_least..).unwrap_or_default();
    let more = rest.iter().position(|byte| chars::is_space(*byte) || matches!(byte, b'/' | b'>'));
    behind.get(..at_least + more.unwrap_or(rest.len())).unwrap_or_default()
}

fn bounded(count: usize, limit: usize, text: &'static str) -> Result<Option<Frame>, StreamError> {
    if count > limit { Err(StreamError::stanza_too_big(text)) } else { Ok(None) }
}
