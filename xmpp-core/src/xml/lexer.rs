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

use memchr::{memchr, memchr2};

use super::chars;

#[derive(Debug)]
pub struct Lexer {
    lexeme: Lexeme,
    /// Where the last tag began.
    pub tag_at: usize,
    /// Attributes of that tag.
    attributes: usize,
}

/// Which piece of markup the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lexeme {
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
    /// The end of the bytes, and of nothing else.
    Nothing,
    /// `<?`
    QuestionBegins,
    DeclarationEnds,
    StartTagEnds {
        empty: bool,
    },
    /// `</`
    EndTagBegins,
    EndTagEnds,
    CDataBegins,
    /// The value of one attribute more than allowed begins.
    TooManyAttributes,
    /// What RFC 6120 section 11.1 forbids begins.
    Restricted,
    /// What XML has no rule for.
    Malformed,
}

const CDATA: &[u8] = b"<![CDATA[";
const DECLARATION: &[u8] = b"<?xml";

impl Lexer {
    pub fn new() -> Lexer {
        Lexer { lexeme: Lexeme::Text, tag_at: 0, attributes: 0 }
    }

    pub fn in_text(&self) -> bool {
        self.lexeme == Lexeme::Text
    }

    /// Goes on in `bytes` from `at`, which it moves behind what it took: to the next mark or to the end.
    pub fn run(&mut self, bytes: &[u8], at: &mut usize, max_attributes: usize) -> Mark {
        while let Some(rest) = bytes.get(*at..)
            && let Some(&first) = rest.first()
        {
            let (length, mark) = match self.lexeme {
                Lexeme::Text => match memchr(b'<', rest) {
                    Some(length) => {
                        self.tag_at = *at + length;
                        self.lexeme = Lexeme::Opened;
                        (length + 1, Mark::Nothing)
                    }
                    None => (rest.len(), Mark::Nothing),
                },
                Lexeme::Opened => (1, self.opened(first)),
                Lexeme::Tag { slash } => self.tag(slash, rest, max_attributes),
                Lexeme::Value(quote) => self.value(quote, rest),
                Lexeme::EndTag => match memchr(b'>', rest) {
                    Some(length) => {
                        self.lexeme = Lexeme::Text;
                        (length + 1, Mark::EndTagEnds)
                    }
                    None => (rest.len(), Mark::Nothing),
                },
                Lexeme::CData(brackets) => (self.cdata(brackets, rest), Mark::Nothing),
                Lexeme::Bang(seen) => (1, self.bang(seen, first)),
                Lexeme::Question(seen) => (1, self.question(seen, first)),
                Lexeme::Declaration { question } => (1, self.declaration(question, first)),
            };
            *at += length;
            if mark != Mark::Nothing {
                return mark;
            }
        }
        Mark::Nothing
    }

    fn opened(&mut self, byte: u8) -> Mark {
        match byte {
            // Whether a byte beyond ASCII can begin a name is decided when the tag is whole.
            b'A'..=b'Z' | b'a'..=b'z' | b'_' | 0x80.. => {
                self.lexeme = Lexeme::Tag { slash: false };
                self.attributes = 0;
                Mark::Nothing
            }
            b'/' => {
                self.lexeme = Lexeme::EndTag;
                Mark::EndTagBegins
            }
            b'?' => {
                self.lexeme = Lexeme::Question(2);
                Mark::QuestionBegins
            }
            b'!' => {
                self.lexeme = Lexeme::Bang(2);
                Mark::Nothing
            }
            _ => Mark::Malformed,
        }
    }

    /// Goes through names and whole values to the end of the tag, or to what is not whole.
    fn tag(&mut self, mut slash: bool, rest: &[u8], max_attributes: usize) -> (usize, Mark) {
        let mut at = 0;
        while let Some(&byte) = rest.get(at) {
            at += 1;
            match byte {
                b'>' => {
                    self.lexeme = Lexeme::Text;
                    return (at, Mark::StartTagEnds { empty: slash });
                }
                b'\'' | b'"' => {
                    self.attributes += 1;
                    self.lexeme = Lexeme::Value(byte);
                    if self.attributes > max_attributes {
                        return (at, Mark::TooManyAttributes);
                    }
                    let (length, mark) = self.value(byte, rest.get(at..).unwrap_or_default());
                    at += length;
                    if mark != Mark::Nothing || matches!(self.lexeme, Lexeme::Value(_)) {
                        return (at, mark);
                    }
                    slash = false;
                }
                _ => slash = byte == b'/',
            }
        }
        self.lexeme = Lexeme::Tag { slash };
        (at, Mark::Nothing)
    }

    /// A missing quote is found at the next tag, not at the next quote: XML 1.0, production 10.
    fn value(&mut self, quote: u8, rest: &[u8]) -> (usize, Mark) {
        match memchr2(quote, b'<', rest) {
            Some(at) if rest.get(at) == Some(&quote) => {
                self.lexeme = Lexeme::Tag { slash: false };
                (at + 1, Mark::Nothing)
            }
            Some(at) => (at + 1, Mark::Malformed),
            None => (rest.len(), Mark::Nothing),
        }
    }

    fn cdata(&mut self, brackets: u8, rest: &[u8]) -> usize {
        let Some(at) = memchr2(b']', b'>', rest) else {
            self.lexeme = Lexeme::CData(0);
            return rest.len();
        };
        let brackets = if at == 0 { brackets } else { 0 };
        self.lexeme = match rest.get(at) {
            Some(b']') => Lexeme::CData((brackets + 1).min(2)),
            _ if brackets == 2 => Lexeme::Text,
            _ => Lexeme::CData(0),
        };
        at + 1
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
            self.lexeme = Lexeme::CData(0);
            return Mark::CDataBegins;
        }
        self.lexeme = Lexeme::Bang(seen + 1);
        Mark::Nothing
    }

    /// `<?` begins an XML declaration, and nothing else that is allowed.
    fn question(&mut self, seen: u8, byte: u8) -> Mark {
        match DECLARATION.get(usize::from(seen)) {
            Some(expected) if *expected == byte => self.lexeme = Lexeme::Question(seen + 1),
            None if chars::is_space(byte) => self.lexeme = Lexeme::Declaration { question: false },
            _ => return Mark::Restricted,
        }
        Mark::Nothing
    }

    fn declaration(&mut self, question: bool, byte: u8) -> Mark {
        if question && byte == b'>' {
            self.lexeme = Lexeme::Text;
            return Mark::DeclarationEnds;
        }
        self.lexeme = Lexeme::Declaration { question: byte == b'?' };
        Mark::Nothing
    }
}
