//! The bytes of a stream that are not done with, as text, and how far they were looked at. UTF-8 is checked
//! once, when bytes come in, wherever they were cut.

use crate::stream_error::{StreamCondition, StreamError};

#[derive(Default)]
pub struct Inbox {
    text: String,
    /// Where the frame begins that is being scanned; before it lies what is done with.
    frame_at: usize,
    /// Up to where the text was scanned.
    scanned: usize,
    /// The beginning of a character that is not complete, or, behind an error, all that came since.
    tail: Vec<u8>,
    /// Why nothing can be added to the text.
    broken: Option<Box<StreamError>>,
}

/// What there is.
impl Inbox {
    /// The frame up to where it was scanned.
    pub fn frame(&self) -> &str {
        self.text.get(self.frame_at..self.scanned).unwrap_or_default()
    }

    /// The frame and what is behind it, but no more bytes than that.
    pub fn frame_on(&self, max: usize) -> &str {
        let text = self.text.get(self.frame_at..).unwrap_or_default();
        if text.len() <= max {
            return text;
        }
        let end = (0..=max).rev().find(|end| text.is_char_boundary(*end));
        text.get(..end.unwrap_or_default()).unwrap_or_default()
    }

    pub fn unscanned(&self) -> &str {
        self.text.get(self.scanned..).unwrap_or_default()
    }

    pub fn all_is_scanned(&self) -> bool {
        self.scanned == self.text.len()
    }

    /// What is behind the text: an incomplete character, or bytes that are no UTF-8.
    pub fn tail(&self) -> &[u8] {
        &self.tail
    }

    /// Whether bytes that are no UTF-8 follow the text.
    pub fn broken(&self) -> Option<&StreamError> {
        self.broken.as_deref()
    }

    /// Bytes of memory that are kept.
    pub fn memory(&self) -> usize {
        self.text.capacity() + self.tail.capacity()
    }
}

/// What happens to it.
impl Inbox {
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

    pub fn scan(&mut self, length: usize) {
        self.scanned += length;
    }

    /// The next frame begins where scanning stands.
    pub fn end_frame(&mut self) {
        self.frame_at = self.scanned;
    }

    /// What was scanned of the frame is to be scanned again.
    pub fn rewind(&mut self) {
        self.scanned = self.frame_at;
    }

    /// Drops what is done with: an incomplete frame moves to the front, once, and the memory that it does not
    /// need is given back.
    pub fn compact(&mut self) {
        if self.frame_at == self.text.len() {
            self.text = String::new();
        } else if self.frame_at > 0 {
            self.text = self.text.split_off(self.frame_at);
        }
        self.scanned -= self.frame_at;
        self.frame_at = 0;
    }

    /// Gives everything away from the frame on.
    pub fn take_rest(&mut self) -> Vec<u8> {
        let mut rest = self.text.split_off(self.frame_at).into_bytes();
        rest.append(&mut self.tail);
        *self = Inbox::default();
        rest
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
