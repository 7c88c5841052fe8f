//! Finds where the header and each first-level element of a stream ends. Bytes come in cut anywhere; each is
//! looked at once, and what is incomplete is kept, within the limits, until the rest comes.

use super::chars;
use super::header::{self, StreamScope};
use super::lexer::{Lexeme, Mark};
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
    lexeme: Lexeme,
    buffer: Vec<u8>,
    /// Where in the buffer the frame begins that is being scanned; before it lies what is done with.
    frame_at: usize,
    /// Up to where the buffer was scanned.
    scanned: usize,
    /// Elements that are open inside the stream.
    depth: usize,
    /// Elements that began since the last frame.
    elements: usize,
    /// Attributes of the tag that is being scanned.
    attributes: usize,
    /// What the stream header declared.
    scope: StreamScope,
    /// Where canonical bytes are written before they are copied to their exact size.
    scratch: Vec<u8>,
    work: u64,
}

/// Where in a stream the next frame is.
#[derive(Debug, Clone, PartialEq)]
enum Phase {
    /// Nothing came but space, or so many bytes of a byte order mark.
    Start {
        mark: usize,
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

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

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
            phase: Phase::Start { mark: 0 },
            lexeme: Lexeme::Text,
            buffer: Vec::new(),
            frame_at: 0,
            scanned: 0,
            depth: 0,
            elements: 0,
            attributes: 0,
            scope: StreamScope::default(),
            scratch: Vec::new(),
            work: 0,
        }
    }

    /// Takes bytes. Pull frames until there are none before feeding again: what is fed is kept whole.
    pub fn feed(&mut self, bytes: &[u8]) {
        if !matches!(self.phase, Phase::Closed | Phase::Failed(_)) {
            self.buffer.extend_from_slice(bytes);
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
        let rest = self.buffer.split_off(self.frame_at);
        self.release();
        rest
    }

    /// Another stream begins behind the last frame, as after SASL: its header is expected next, and what lies
    /// there already is part of it. Pull no frame between the element that ended the old stream and this:
    /// the new stream's bytes would be read as the old one's.
    pub fn reset(&mut self) {
        self.forget_frame();
        self.phase = Phase::Start { mark: 0 };
        self.scope = StreamScope::default();
    }

    /// Nothing is kept, not even an empty buffer's memory.
    pub fn is_idle(&self) -> bool {
        self.buffer.capacity() == 0
    }

    /// Whether a valid stream header came: an error before it is told in another way than one behind it.
    pub fn header_seen(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::OpenedEmpty | Phase::Closed)
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
        while self.scanned < self.buffer.len() {
            if self.depth == 0 && self.lexeme == Lexeme::Text {
                self.between_frames()?;
                continue;
            }
            let bytes = self.buffer.get(self.scanned..).unwrap_or_default();
            let (length, mark) = self.lexeme.step(bytes);
            self.advance(length)?;
            if let Some(frame) = self.pass(mark)? {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// White space is dropped (RFC 6120 section 11.7), so that a connection that is kept alive by it holds
    /// no memory. Before the header it may also follow the last element of the stream before.
    fn between_frames(&mut self) -> Result<(), StreamError> {
        let bytes = self.buffer.get(self.scanned..).unwrap_or_default();
        let spaces = bytes.iter().take_while(|byte| chars::is_space(**byte)).count();
        let next = bytes.get(spaces).copied();
        self.scanned += spaces;
        self.work += spaces as u64;
        self.frame_at = self.scanned;
        match (next, &self.phase) {
            (None, _) => Ok(()),
            (Some(b'<'), Phase::Start { mark: 0 | 3 } | Phase::Declared | Phase::Open) => {
                self.lexeme = Lexeme::Opened;
                self.advance(1)
            }
            (Some(byte), Phase::Start { mark })
                if spaces == 0 && BYTE_ORDER_MARK.get(*mark) == Some(&byte) =>
            {
                self.phase = Phase::Start { mark: mark + 1 };
                self.scanned += 1;
                self.frame_at = self.scanned;
                Ok(())
            }
            // The byte order mark of UTF-16, either way.
            (Some(0xFE | 0xFF), Phase::Start { mark: 0 }) => Err(StreamCondition::UnsupportedEncoding.into()),
            _ => Err(self.text_between_frames()),
        }
    }

    /// RFC 6120 has no condition of its own for text between stanzas; before the header it is no XML.
    fn text_between_frames(&self) -> StreamError {
        match self.phase {
            Phase::Open => StreamError::new(StreamCondition::BadFormat).with_text("text between stanzas"),
            _ => StreamError::not_well_formed("no stream header"),
        }
    }

    /// Goes on behind bytes that were scanned. The limit is checked before anything that they mean, so that
    /// the same bytes give the same error however they are cut.
    fn advance(&mut self, length: usize) -> Result<(), StreamError> {
        let bytes = self.buffer.get(self.scanned..self.scanned + length).unwrap_or_default();
        let open = self.phase == Phase::Open;
        // Whoever sends such bytes is no XMPP client and hears so at once, without an end tag.
        if !open && bytes.iter().any(|byte| *byte < b' ' && !chars::is_space(*byte)) {
            return Err(StreamError::not_well_formed("a control character"));
        }
        self.scanned += length;
        self.work += length as u64;
        let (limit, text) = match open {
            true => (self.limits.stanza_bytes, "the stanza is too big"),
            false => (self.limits.header_bytes, "the stream header is too big"),
        };
        match self.scanned - self.frame_at > limit {
            true => Err(StreamError::stanza_too_big(text)),
            false => Ok(()),
        }
    }

    fn pass(&mut self, mark: Mark) -> Result<Option<Frame>, StreamError> {
        match mark {
            Mark::Nothing => Ok(None),
            Mark::ValueBegins => {
                self.attributes += 1;
                bounded(self.attributes, self.limits.attributes, "too many attributes")
            }
            Mark::StartTagEnds { empty } if self.phase == Phase::Open => self.start_tag(empty),
            Mark::StartTagEnds { empty } => self.header(empty).map(Some),
            Mark::EndTagBegins if self.phase == Phase::Open => Ok(None),
            Mark::EndTagEnds => self.end_tag(),
            Mark::CDataBegins if self.depth > 0 => Ok(None),
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
        self.attributes = 0;
        self.elements += 1;
        bounded(self.elements, self.limits.elements, "too many elements")?;
        bounded(self.depth + 1, self.limits.depth.min(DEPTH_MAX), "elements are nested too deep")?;
        if empty && self.depth == 0 {
            return self.element().map(Some);
        }
        if self.depth == 0 {
            self.refuse_second_header()?;
        }
        self.depth += usize::from(!empty);
        Ok(None)
    }

    fn end_tag(&mut self) -> Result<Option<Frame>, StreamError> {
        match self.depth {
            0 => return self.close().map(Some),
            1 => {}
            _ => {
                self.depth -= 1;
                return Ok(None);
            }
        }
        self.depth = 0;
        self.element().map(Some)
    }

    /// A first-level `<stream:stream>` would go on for ever, so its opening tag is looked at alone.
    fn refuse_second_header(&self) -> Result<(), StreamError> {
        let tag = self.buffer.get(self.frame_at..self.scanned).unwrap_or_default();
        let name_end = tag.iter().position(|byte| chars::is_space(*byte) || *byte == b'>');
        if !tag.get(..name_end.unwrap_or_default()).unwrap_or_default().ends_with(b"stream") {
            return Ok(());
        }
        match header::is_header(read::utf8(tag)?, self.scope.scope(self.content)?)? {
            true => {
                Err(StreamError::new(StreamCondition::UnsupportedStanzaType)
                    .with_text("a second stream header"))
            }
            false => Ok(()),
        }
    }

    fn declaration(&mut self) -> Result<Option<Frame>, StreamError> {
        header::check_declaration(read::utf8(self.frame())?)?;
        self.next_frame();
        self.phase = Phase::Declared;
        Ok(None)
    }

    fn header(&mut self, empty: bool) -> Result<Frame, StreamError> {
        let (header, scope) = header::read(read::utf8(self.frame())?, self.content, self.limits)?;
        self.scope = scope;
        self.next_frame();
        self.phase = if empty { Phase::OpenedEmpty } else { Phase::Open };
        Ok(Frame::Header(header))
    }

    fn element(&mut self) -> Result<Frame, StreamError> {
        let bytes = self.buffer.get(self.frame_at..self.scanned).unwrap_or_default();
        let scope = self.scope.scope(self.content)?;
        let text = read::utf8(bytes)?;
        let (frame, work) = read::frame(text, scope, self.content, self.limits, &mut self.scratch)?;
        self.work += work;
        self.next_frame();
        Ok(frame)
    }

    fn close(&mut self) -> Result<Frame, StreamError> {
        let name = self.frame().strip_prefix(b"</").and_then(|rest| rest.strip_suffix(b">"));
        match name.map(<[u8]>::trim_ascii_end) == Some(self.scope.name().as_bytes()) {
            true => Ok(Frame::Close),
            false => Err(StreamError::not_well_formed("an end tag without its start tag")),
        }
    }

    fn frame(&self) -> &[u8] {
        self.buffer.get(self.frame_at..self.scanned).unwrap_or_default()
    }

    fn next_frame(&mut self) {
        self.frame_at = self.scanned;
        self.elements = 0;
        self.attributes = 0;
    }

    /// What was scanned of an incomplete frame is to be scanned again, as something else.
    fn forget_frame(&mut self) {
        self.scanned = self.frame_at;
        self.lexeme = Lexeme::Text;
        self.depth = 0;
        self.elements = 0;
        self.attributes = 0;
    }

    /// Drops what is done with. An incomplete frame moves to the front, once.
    fn compact(&mut self) {
        if self.frame_at == self.buffer.len() {
            return self.release();
        }
        self.buffer.drain(..self.frame_at);
        self.scanned -= self.frame_at;
        self.frame_at = 0;
    }

    fn release(&mut self) {
        self.buffer = Vec::new();
        self.scratch = Vec::new();
        self.frame_at = 0;
        self.scanned = 0;
    }

    fn end(&mut self, phase: Phase) {
        self.forget_frame();
        self.release();
        self.phase = phase;
    }
}

fn bounded(count: usize, limit: usize, text: &'static str) -> Result<Option<Frame>, StreamError> {
    if count > limit { Err(StreamError::stanza_too_big(text)) } else { Ok(None) }
}
