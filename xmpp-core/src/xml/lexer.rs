//! Where markup begins and ends, across any cut of the bytes. Knows neither depth nor names.
//!
//! ```text
//!         '<'           name            '>'
//!   Text ----> Opened ---------> Tag ---------> Text      Tag <-- quotes --> Value
//!                | '/'                           ^
//!                |--------> EndTag --------------|
//!                | "![CDATA["           "]]>"    |
//!                |--------> CData ---------------|
//!                | "?xml "               "?>"    |
//!                `--------> Declaration ---------'
//! ```

use memchr::{memchr, memchr2, memchr3};

use super::chars;

/// Which piece of markup the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lexeme {
    Text,
    /// Behind `<`.
    Opened,
    /// Behind so many bytes of `<![CDATA[`.
    Bang(u8),
    /// Behind so many bytes of `<?xml`.
    Question(u8),
    /// In an XML declaration; whether the byte before was `?`.
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
    /// So many `]`, two at most, were the bytes before.
    CData(u8),
}

/// What is behind the bytes that were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    Nothing,
    /// `<?`
    QuestionBegins,
    DeclarationEnds,
    /// A quote that begins an attribute's value.
    ValueBegins,
    StartTagEnds {
        empty: bool,
    },
    /// `</`
    EndTagBegins,
    EndTagEnds,
    CDataBegins,
    /// What RFC 6120 section 11.1 forbids begins.
    Restricted,
    /// What XML has no rule for.
    Malformed,
}

const CDATA: &[u8] = b"<![CDATA[";
const DECLARATION: &[u8] = b"<?xml";

impl Lexeme {
    /// Goes on to the next place that matters, or to the end of the bytes. Says how many bytes that took, at
    /// least one of those given.
    pub fn step(&mut self, bytes: &[u8]) -> (usize, Mark) {
        let Some(&first) = bytes.first() else { return (0, Mark::Nothing) };
        match *self {
            Lexeme::Text => {
                let at = memchr(b'<', bytes);
                if at.is_some() {
                    *self = Lexeme::Opened;
                }
                (at.map_or(bytes.len(), |at| at + 1), Mark::Nothing)
            }
            Lexeme::Opened => (1, self.opened(first)),
            Lexeme::Bang(seen) => (1, self.bang(seen, first)),
            Lexeme::Question(seen) => (1, self.question(seen, first)),
            Lexeme::Declaration { question } => (1, self.declaration(question, first)),
            Lexeme::Tag { slash } => self.tag(slash, bytes),
            Lexeme::Value(quote) => {
                let at = memchr(quote, bytes);
                if at.is_some() {
                    *self = Lexeme::Tag { slash: false };
                }
                (at.map_or(bytes.len(), |at| at + 1), Mark::Nothing)
            }
            Lexeme::EndTag => match memchr(b'>', bytes) {
                Some(at) => {
                    *self = Lexeme::Text;
                    (at + 1, Mark::EndTagEnds)
                }
                None => (bytes.len(), Mark::Nothing),
            },
            Lexeme::CData(brackets) => (self.cdata(brackets, bytes), Mark::Nothing),
        }
    }

    fn opened(&mut self, byte: u8) -> Mark {
        match byte {
            b'/' => {
                *self = Lexeme::EndTag;
                Mark::EndTagBegins
            }
            b'?' => {
                *self = Lexeme::Question(2);
                Mark::QuestionBegins
            }
            b'!' => {
                *self = Lexeme::Bang(2);
                Mark::Nothing
            }
            // Whether a byte beyond ASCII can begin a name is decided when the tag is whole.
            b'A'..=b'Z' | b'a'..=b'z' | b'_' | 0x80.. => {
                *self = Lexeme::Tag { slash: false };
                Mark::Nothing
            }
            _ => Mark::Malformed,
        }
    }

    /// `<!` begins a CDATA section, and nothing else that is allowed.
    fn bang(&mut self, seen: u8, byte: u8) -> Mark {
        if seen == 2 && matches!(byte, b'-' | b'D') {
            return Mark::Restricted;
        }
        if CDATA.get(usize::from(seen)) != Some(&byte) {
            return Mark::Malformed;
        }
        if usize::from(seen) + 1 == CDATA.len() {
            *self = Lexeme::CData(0);
            return Mark::CDataBegins;
        }
        *self = Lexeme::Bang(seen + 1);
        Mark::Nothing
    }

    /// `<?` begins an XML declaration, and nothing else that is allowed.
    fn question(&mut self, seen: u8, byte: u8) -> Mark {
        match DECLARATION.get(usize::from(seen)) {
            Some(expected) if *expected == byte => *self = Lexeme::Question(seen + 1),
            None if chars::is_space(byte) => *self = Lexeme::Declaration { question: false },
            _ => return Mark::Restricted,
        }
        Mark::Nothing
    }

    fn declaration(&mut self, question: bool, byte: u8) -> Mark {
        if question && byte == b'>' {
            *self = Lexeme::Text;
            return Mark::DeclarationEnds;
        }
        *self = Lexeme::Declaration { question: byte == b'?' };
        Mark::Nothing
    }

    fn tag(&mut self, slash: bool, bytes: &[u8]) -> (usize, Mark) {
        let Some(at) = memchr3(b'>', b'\'', b'"', bytes) else {
            *self = Lexeme::Tag { slash: bytes.last() == Some(&b'/') };
            return (bytes.len(), Mark::Nothing);
        };
        let stop = bytes.get(at).copied().unwrap_or_default();
        if stop != b'>' {
            *self = Lexeme::Value(stop);
            return (at + 1, Mark::ValueBegins);
        }
        *self = Lexeme::Text;
        let empty = at.checked_sub(1).map_or(slash, |before| bytes.get(before) == Some(&b'/'));
        (at + 1, Mark::StartTagEnds { empty })
    }

    fn cdata(&mut self, brackets: u8, bytes: &[u8]) -> usize {
        let Some(at) = memchr2(b']', b'>', bytes) else {
            *self = Lexeme::CData(0);
            return bytes.len();
        };
        let brackets = if at == 0 { brackets } else { 0 };
        *self = match bytes.get(at) {
            Some(b']') => Lexeme::CData((brackets + 1).min(2)),
            _ if brackets == 2 => Lexeme::Text,
            _ => Lexeme::CData(0),
        };
        at + 1
    }
}
