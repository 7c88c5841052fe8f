//! The bytes of a stream that are not done with, as text: UTF-8 is checked once, when bytes come in, wherever
//! they were cut.

use crate::stream_error::{StreamCondition, StreamError};

#[derive(Debug, Default)]
pub struct Inbox {
    text: String,
    /// The beginning of a character that is not complete, or, behind an error, all that came since.
    tail: Vec<u8>,
    /// Why nothing can be added to the text.
    broken: Option<Box<StreamError>>,
}

impl Inbox {
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What is behind the text: an incomplete character, or bytes that are no UTF-8.
    pub fn tail(&self) -> &[u8] {
        &self.tail
    }

    /// Whether bytes that are no UTF-8 follow the text.
    pub fn broken(&self) -> Option<&StreamError> {
        self.broken.as_deref()
    }

    pub fn push(&mut self, bytes: &[u8]) {
        if self.tail.is_empty() {
            return self.append(bytes);
        }
        self.tail.extend_from_slice(bytes);
        if self.broken.is_none() {
            let tail = std::mem::take(&mut self.tail);
            self.append(&tail);
        }
    }

    /// Drops so many bytes of text, at the end of a character.
    pub fn drop_front(&mut self, length: usize) {
        self.text.drain(..length);
    }

    /// Gives everything away that is behind so many bytes of text.
    pub fn take_behind(&mut self, length: usize) -> Vec<u8> {
        let mut rest = self.text.split_off(length).into_bytes();
        rest.append(&mut self.tail);
        *self = Inbox::default();
        rest
    }

    /// Gives the memory of text back that is done with.
    pub fn clear_text(&mut self) {
        self.text = String::new();
    }

    pub fn holds_nothing(&self) -> bool {
        self.text.capacity() == 0 && self.tail.capacity() == 0
    }

    fn append(&mut self, bytes: &[u8]) {
        let error = match str::from_utf8(bytes) {
            Ok(text) => return self.text.push_str(text),
            Err(error) => error,
        };
        let (valid, rest) = bytes.split_at(error.valid_up_to());
        self.text.push_str(str::from_utf8(valid).unwrap_or_default());
        self.tail = rest.to_vec();
        self.broken = error.error_len().map(|_| Box::new(not_utf8(rest)));
    }
}

/// RFC 6120 section 4.9.3.22 calls broken UTF-8 an unsupported encoding. Surrogates are characters that XML
/// excludes, written where UTF-8 has none: they count as not well-formed.
pub fn not_utf8(rest: &[u8]) -> StreamError {
    match rest {
        [0xED, 0xA0..=0xBF, ..] => StreamError::not_well_formed("a surrogate"),
        _ => StreamError::new(StreamCondition::UnsupportedEncoding).with_text("this is not UTF-8"),
    }
}
