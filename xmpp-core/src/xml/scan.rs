//! Finds where the header and each first-level element of a stream ends. Bytes come in cut anywhere; each is
//! looked at once, and what is incomplete is kept, within the limits, until the rest comes.
//!
//! ```text
//!            '<'           name            '>'
//!   Outside ----> Opened ---------> Tag ---------> Outside      Tag <-- quotes --> Value
//!                   | '/'                           ^
//!                   |--------> EndTag --------------|
//!                   | "![CDATA["           "]]>"    |
//!                   |--------> CData ---------------|
//!                   | "?xml" (only first)  "?>"     |
//!                   `--------> Declaration ---------'
//! ```

use memchr::{memchr, memchr2, memchr3};

use super::chars;
use super::header::{self, StreamScope};
use super::{Frame, Limits, read};
use crate::ns;
use crate::stream_error::{StreamCondition, StreamError};

/// One per stream: bytes in, frames out.
#[derive(Debug)]
pub struct Scanner {
    limits: Limits,
    /// The content namespace that this side expects.
    content: &'static str,
    buffer: Vec<u8>,
    /// Where the frame that is being scanned begins in the buffer; before it lies what is done with.
    frame_at: usize,
    /// Up to where the buffer was scanned.
    scanned: usize,
    lexeme: Lexeme,
    phase: Phase,
    /// Inside a first-level element: elements that are open.
    depth: usize,
    /// Inside a first-level element: elements that began.
    elements: usize,
    /// Of the tag that is being scanned.
    attributes: usize,
    scope: StreamScope,
    /// Where canonical bytes are written before they are copied to their exact size.
    scratch: Vec<u8>,
    /// Bytes that were looked at, ever: tests compare it with the bytes that came.
    work: u64,
}

/// Where in a stream the next frame is.
#[derive(Debug, Clone, PartialEq)]
enum Phase {
    /// Before the first byte that counts; so many bytes of a byte order mark were seen.
    Start {
        mark: usize,
    },
    /// Behind the XML declaration.
    Header,
    /// Inside the stream.
    Open,
    /// The header was `<stream:stream/>`.
    EmptyStream,
    /// Behind the closing tag.
    Closed,
    Failed(StreamError),
}

/// Which piece of markup the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Lexeme {
    Outside,
    /// Behind `<`.
    Opened,
    /// Behind so many bytes of `<![CDATA[`.
    Bang(usize),
    /// Behind so many bytes of `<?xml`.
    Question(usize),
    /// In the XML declaration; whether the byte before was `?`.
    Declaration {
        question: bool,
    },
    /// In a start tag; whether the byte before was `/`.
    Tag {
        slash: bool,
    },
    /// In an attribute value between these quotes.
    Value(u8),
    EndTag,
    /// So many `]` (at most two) were the last bytes.
    CData(usize),
}

/// What scanning came upon.
enum Found {
    Nothing,
    Declaration,
    Header {
        empty: bool,
    },
    /// The first tag of a first-level element, which goes on.
    Element,
    Close,
}

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
const CDATA: &[u8] = b"<![CDATA[";
const DECLARATION: &[u8] = b"<?xml";

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
            buffer: Vec::new(),
            frame_at: 0,
            scanned: 0,
            lexeme: Lexeme::Outside,
            phase: Phase::Start { mark: 0 },
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

    /// The next frame; None when more bytes are needed. An error ends the stream and comes again if asked.
    pub fn next(&mut self) -> Result<Option<Frame>, StreamError> {
        if let Phase::Failed(error) = &self.phase {
            return Err(error.clone());
        }
        let result = self.scan();
        match &result {
            Ok(Some(Frame::Close)) => self.end(Phase::Closed),
            Ok(None) => self.compact(),
            Ok(Some(_)) => {}
            Err(error) => self.end(Phase::Failed(error.clone())),
        }
        result
    }

    /// Takes what lies behind the last frame: bytes that came too early, or that belong to a new stream.
    pub fn take_rest(&mut self) -> Vec<u8> {
        let rest = self.buffer.split_off(self.frame_at.min(self.buffer.len()));
        self.release();
        self.lexeme = Lexeme::Outside;
        rest
    }

    /// A new stream begins behind the last frame, as after SASL: its header is expected next.
    pub fn reset(&mut self) {
        self.scanned = self.frame_at;
        self.lexeme = Lexeme::Outside;
        self.phase = Phase::Start { mark: 0 };
        self.scope = StreamScope::default();
    }

    /// Nothing is kept, not even an empty buffer's memory.
    pub fn is_idle(&self) -> bool {
        self.buffer.capacity() == 0
    }

    /// Whether the stream's header came and was a valid one: operations before it are answered differently.
    pub fn header_seen(&self) -> bool {
        !matches!(self.phase, Phase::Start { .. } | Phase::Header)
    }

    /// Other limits from the next byte on, as after authentication.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Bytes that were looked at since the beginning, to compare with the bytes that came.
    pub fn work(&self) -> u64 {
        self.work
    }

    fn scan(&mut self) -> Result<Option<Frame>, StreamError> {
        if self.phase == Phase::EmptyStream {
            return Ok(Some(Frame::Close));
        }
        while self.scanned < self.buffer.len() && self.phase != Phase::Closed {
            let found = self.step()?;
            self.check_size()?;
            match found {
                Found::Nothing => {}
                Found::Declaration => {
                    let declaration = read::utf8(self.take_frame())?.to_owned();
                    let inside = declaration.strip_prefix("<?xml").and_then(|it| it.strip_suffix("?>"));
                    header::check_declaration(inside.unwrap_or_default())?;
                    self.phase = Phase::Header;
                }
                Found::Header { empty } => return self.header(empty).map(Some),
                Found::Element => return self.element().map(Some),
                Found::Close => {
                    let name = self.scope.name().to_owned();
                    let tag = self.take_frame();
                    let inside =
                        tag.strip_prefix(b"</").and_then(|it| it.strip_suffix(b">")).unwrap_or_default();
                    if inside.trim_ascii_end() != name.as_bytes() {
                        return Err(StreamError::not_well_formed("an end tag without its start tag"));
                    }
                    return Ok(Some(Frame::Close));
                }
            }
        }
        Ok(None)
    }

    /// Goes on by one piece of markup, or to the end of the buffer.
    fn step(&mut self) -> Result<Found, StreamError> {
        let rest = self.buffer.get(self.scanned..).unwrap_or_default();
        let Some(&first) = rest.first() else { return Ok(Found::Nothing) };
        let (looked_at, found) = match self.lexeme {
            Lexeme::Outside => return self.outside(),
            Lexeme::Opened => (1, self.opened(first)?),
            Lexeme::Bang(seen) => (1, self.bang(seen, first)?),
            Lexeme::Question(seen) => (1, self.question(seen, first)?),
            Lexeme::Declaration { question } => {
                let end = question && first == b'>';
                self.lexeme = match end {
                    true => Lexeme::Outside,
                    false => Lexeme::Declaration { question: first == b'?' },
                };
                (1, if end { Found::Declaration } else { Found::Nothing })
            }
            Lexeme::Tag { slash } => match memchr3(b'>', b'\'', b'"', rest) {
                Some(at) => {
                    let slash = if at == 0 { slash } else { rest.get(at - 1) == Some(&b'/') };
                    let stop = rest.get(at).copied().unwrap_or_default();
                    (at + 1, self.in_tag(stop, slash)?)
                }
                None => {
                    self.lexeme = Lexeme::Tag { slash: rest.last() == Some(&b'/') };
                    (rest.len(), Found::Nothing)
                }
            },
            Lexeme::Value(quote) => match memchr(quote, rest) {
                Some(at) => {
                    self.lexeme = Lexeme::Tag { slash: false };
                    (at + 1, Found::Nothing)
                }
                None => (rest.len(), Found::Nothing),
            },
            Lexeme::EndTag => match memchr(b'>', rest) {
                Some(at) => (at + 1, self.end_tag()?),
                None => (rest.len(), Found::Nothing),
            },
            Lexeme::CData(brackets) => match memchr2(b']', b'>', rest) {
                Some(at) => {
                    let brackets = if at == 0 { brackets } else { 0 };
                    self.lexeme = match rest.get(at) {
                        Some(b']') => Lexeme::CData((brackets + 1).min(2)),
                        _ if brackets == 2 => Lexeme::Outside,
                        _ => Lexeme::CData(0),
                    };
                    (at + 1, Found::Nothing)
                }
                None => {
                    self.lexeme = Lexeme::CData(0);
                    (rest.len(), Found::Nothing)
                }
            },
        };
        self.advance(looked_at);
        Ok(found)
    }

    /// Text inside an element; between frames white space, which is dropped.
    fn outside(&mut self) -> Result<Found, StreamError> {
        let rest = self.buffer.get(self.scanned..).unwrap_or_default();
        if self.depth > 0 {
            let length = memchr(b'<', rest).map_or(rest.len(), |at| at + 1);
            if rest.get(length - 1) == Some(&b'<') {
                self.lexeme = Lexeme::Opened;
            }
            self.advance(length);
            return Ok(Found::Nothing);
        }
        let spaces = rest.iter().take_while(|byte| chars::is_space(**byte)).count();
        let next = rest.get(spaces).copied();
        self.advance(spaces);
        self.frame_at = self.scanned;
        match (next, &self.phase) {
            (None, _) => {}
            (Some(b'<'), Phase::Start { mark: 0 | 3 } | Phase::Header | Phase::Open) => {
                self.lexeme = Lexeme::Opened;
                self.advance(1);
            }
            (Some(byte), Phase::Start { mark })
                if spaces == 0 && BYTE_ORDER_MARK.get(*mark) == Some(&byte) =>
            {
                self.phase = Phase::Start { mark: mark + 1 };
                self.advance(1);
                self.frame_at = self.scanned;
            }
            // The byte order mark of UTF-16.
            (Some(0xFE | 0xFF), Phase::Start { mark: 0 }) => {
                return Err(StreamCondition::UnsupportedEncoding.into());
            }
            _ => return Err(self.text_between()),
        }
        Ok(Found::Nothing)
    }

    /// RFC 6120 has no condition of its own for text between stanzas; before the header it is no XML.
    fn text_between(&self) -> StreamError {
        match self.phase {
            Phase::Open => StreamError::new(StreamCondition::BadFormat).with_text("text between stanzas"),
            _ => StreamError::not_well_formed("no stream header"),
        }
    }

    /// Behind `<`.
    fn opened(&mut self, byte: u8) -> Result<Found, StreamError> {
        match byte {
            b'/' if self.phase == Phase::Open => self.lexeme = Lexeme::EndTag,
            b'!' => self.lexeme = Lexeme::Bang(2),
            b'?' => self.lexeme = Lexeme::Question(2),
            b'>' | b'\'' | b'"' | b'/' | b'<' | b'=' | b'&' | 0..=b' ' => {
                return Err(StreamError::not_well_formed("a tag without a name"));
            }
            _ => {
                self.attributes = 0;
                self.lexeme = Lexeme::Tag { slash: false };
            }
        }
        Ok(Found::Nothing)
    }

    /// `<!` begins a CDATA section inside an element, and nothing else that is allowed.
    fn bang(&mut self, seen: usize, byte: u8) -> Result<Found, StreamError> {
        if seen == 2 && matches!(byte, b'-' | b'D') {
            return Err(StreamError::restricted_xml("comments and DTDs are not allowed"));
        }
        if CDATA.get(seen) != Some(&byte) {
            return Err(StreamError::not_well_formed("markup that is none"));
        }
        if self.depth == 0 {
            return Err(self.text_between());
        }
        self.lexeme = match seen + 1 == CDATA.len() {
            true => Lexeme::CData(0),
            false => Lexeme::Bang(seen + 1),
        };
        Ok(Found::Nothing)
    }

    /// `<?` begins the XML declaration at the start of the stream, and nothing else that is allowed.
    fn question(&mut self, seen: usize, byte: u8) -> Result<Found, StreamError> {
        let expected = match DECLARATION.get(seen) {
            Some(expected) => byte == *expected,
            None => chars::is_space(byte),
        };
        if !expected || !matches!(self.phase, Phase::Start { .. }) {
            return Err(StreamError::restricted_xml("processing instructions are not allowed"));
        }
        self.lexeme = match seen == DECLARATION.len() {
            true => Lexeme::Declaration { question: false },
            false => Lexeme::Question(seen + 1),
        };
        Ok(Found::Nothing)
    }

    /// At a quote or at the end of a start tag.
    fn in_tag(&mut self, stop: u8, slash: bool) -> Result<Found, StreamError> {
        if stop != b'>' {
            self.attributes += 1;
            if self.attributes > self.limits.attributes {
                return Err(StreamError::stanza_too_big("too many attributes"));
            }
            self.lexeme = Lexeme::Value(stop);
            return Ok(Found::Nothing);
        }
        self.lexeme = Lexeme::Outside;
        if self.phase != Phase::Open {
            return Ok(Found::Header { empty: slash });
        }
        self.elements += 1;
        if self.elements > self.limits.elements {
            return Err(StreamError::stanza_too_big("too many elements"));
        }
        if self.depth >= self.limits.depth.min(super::DEPTH_MAX) {
            return Err(StreamError::stanza_too_big("elements are nested too deep"));
        }
        self.depth += usize::from(!slash);
        Ok(if self.depth == 0 { Found::Element } else { Found::Nothing })
    }

    fn end_tag(&mut self) -> Result<Found, StreamError> {
        self.lexeme = Lexeme::Outside;
        match self.depth {
            0 => return Ok(Found::Close),
            1 => self.depth = 0,
            _ => {
                self.depth -= 1;
                return Ok(Found::Nothing);
            }
        }
        Ok(Found::Element)
    }

    fn header(&mut self, empty: bool) -> Result<Frame, StreamError> {
        let (from, to) = self.take_range();
        let tag = read::utf8(self.buffer.get(from..to).unwrap_or_default())?;
        let (header, scope) = header::read(tag, self.content, self.limits)?;
        self.scope = scope;
        self.phase = if empty { Phase::EmptyStream } else { Phase::Open };
        Ok(Frame::Header(header))
    }

    fn element(&mut self) -> Result<Frame, StreamError> {
        self.elements = 0;
        let (from, to) = self.take_range();
        let element = read::utf8(self.buffer.get(from..to).unwrap_or_default())?;
        let scope = self.scope.scope(self.content)?;
        read::frame(element, scope, self.content, self.limits, &mut self.scratch)
    }

    fn check_size(&self) -> Result<(), StreamError> {
        let length = self.scanned - self.frame_at;
        let (max, what) = match self.phase {
            Phase::Open => (self.limits.stanza_bytes, "the stanza is too big"),
            _ => (self.limits.header_bytes, "the stream header is too big"),
        };
        if length <= max { Ok(()) } else { Err(StreamError::stanza_too_big(what)) }
    }

    fn advance(&mut self, bytes: usize) {
        self.scanned += bytes;
        self.work += bytes as u64;
    }

    fn take_range(&mut self) -> (usize, usize) {
        let from = std::mem::replace(&mut self.frame_at, self.scanned);
        (from, self.scanned)
    }

    fn take_frame(&mut self) -> &[u8] {
        let (from, to) = self.take_range();
        self.buffer.get(from..to).unwrap_or_default()
    }

    /// Drops what is done with. An incomplete frame moves to the front once.
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
        (self.frame_at, self.scanned) = (0, 0);
    }

    fn end(&mut self, phase: Phase) {
        self.phase = phase;
        self.release();
    }
}
