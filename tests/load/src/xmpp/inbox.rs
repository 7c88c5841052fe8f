//! Cuts the bytes of a stream into stanzas, looking at nothing but tags.
//!
//! This is not an XML parser: it trusts the server to be well-formed and only counts depth, so that the
//! tool costs little and the server under test stays the bottleneck.

use std::ops::Range;

use memchr::{memchr, memchr3, memmem};

use crate::error::{LoadError, Result};

/// The buffer of a session that has just begun. It doubles while reads fill it.
const FIRST_BUFFER_BYTES: usize = 4 * 1024;
/// Reads that fill the buffer double it up to this size, so that a busy session needs few of them.
const BUSY_BUFFER_BYTES: usize = 64 * 1024;
/// A stanza that does not fit ends the session.
const LARGEST_BUFFER_BYTES: usize = 4 * 1024 * 1024;
/// Below this much free space the buffer is moved together or grown before a read.
const LEAST_READ_BYTES: usize = 2 * 1024;

/// A piece of the stream, as a range of [`Inbox::bytes`] that is valid until the next read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The stream's start tag.
    Header(Range<usize>),
    /// A complete first-level element.
    Stanza(Range<usize>),
    /// The stream's end tag.
    Closed,
}

/// The bytes that were read and not yet consumed, and how far they have been looked at.
pub struct Inbox {
    buffer: Vec<u8>,
    filled: usize,
    /// Where the piece that is being cut begins.
    start: usize,
    /// The first byte that was not looked at. Always outside of a tag.
    scanned: usize,
    depth: u32,
}

impl Inbox {
    pub fn new() -> Inbox {
        Inbox { buffer: Vec::new(), filled: 0, start: 0, scanned: 0, depth: 0 }
    }

    /// Begins a new stream on the same connection, as after STARTTLS and SASL. Unread bytes stay.
    pub fn restart(&mut self) {
        self.depth = 0;
        self.start = self.scanned;
    }

    pub fn bytes(&self, range: &Range<usize>) -> &[u8] {
        self.buffer.get(range.clone()).unwrap_or_default()
    }

    /// The free space that the next read fills; tell how much it did with [`Inbox::advance`].
    pub fn space(&mut self) -> Result<&mut [u8]> {
        if self.buffer.len() - self.filled < LEAST_READ_BYTES {
            self.make_space()?;
        }
        Ok(&mut self.buffer[self.filled..])
    }

    pub fn advance(&mut self, bytes: usize) {
        self.filled = (self.filled + bytes).min(self.buffer.len());
    }

    /// The next complete piece, or none until more bytes are read.
    pub fn next_frame(&mut self) -> Result<Option<Frame>> {
        loop {
            let unseen = &self.buffer[self.scanned..self.filled];
            let Some(offset) = memchr(b'<', unseen) else {
                self.scanned = self.filled;
                if self.depth <= 1 {
                    self.start = self.filled;
                }
                return Ok(None);
            };
            let begin = self.scanned + offset;
            let Some((length, tag)) = read_tag(&unseen[offset..]) else {
                self.scanned = begin;
                if self.depth <= 1 {
                    self.start = begin;
                }
                return Ok(None);
            };
            self.scanned = begin + length;
            if let Some(frame) = self.take(tag, begin)? {
                return Ok(Some(frame));
            }
        }
    }

    /// Counts one tag that begins at `begin` and ends at `scanned`.
    fn take(&mut self, tag: Tag, begin: usize) -> Result<Option<Frame>> {
        if self.depth <= 1 {
            self.start = begin;
        }
        match tag {
            Tag::Other => return Ok(None),
            Tag::Open => {
                self.depth += 1;
                if self.depth == 1 {
                    return Ok(Some(Frame::Header(begin..self.scanned)));
                }
                return Ok(None);
            }
            Tag::Empty if self.depth == 0 => return Err(LoadError::Framing("an empty stream element")),
            Tag::Empty => {}
            Tag::Close => {
                self.depth = self.depth.checked_sub(1).ok_or(LoadError::Framing("an end tag too many"))?;
                if self.depth == 0 {
                    return Ok(Some(Frame::Closed));
                }
            }
        }
        if self.depth > 1 {
            return Ok(None);
        }
        let stanza = self.start..self.scanned;
        self.start = self.scanned;
        Ok(Some(Frame::Stanza(stanza)))
    }

    fn make_space(&mut self) -> Result<()> {
        let busy = self.filled == self.buffer.len() && self.buffer.len() < BUSY_BUFFER_BYTES;
        self.buffer.copy_within(self.start..self.filled, 0);
        self.filled -= self.start;
        self.scanned -= self.start;
        self.start = 0;
        if busy || self.buffer.len() - self.filled < LEAST_READ_BYTES.max(self.buffer.len() / 2) {
            let larger = (self.buffer.len() * 2).max(FIRST_BUFFER_BYTES);
            if larger > LARGEST_BUFFER_BYTES {
                return Err(LoadError::Framing("a stanza larger than four megabytes"));
            }
            self.buffer.resize(larger, 0);
        }
        Ok(())
    }
}

enum Tag {
    Open,
    Close,
    Empty,
    /// A declaration, comment, processing instruction or CDATA section.
    Other,
}

/// The length and kind of the tag at the beginning of `bytes`, or none if it is not complete.
fn read_tag(bytes: &[u8]) -> Option<(usize, Tag)> {
    match bytes.get(1)? {
        b'/' => Some((memchr(b'>', bytes)? + 1, Tag::Close)),
        b'?' => Some((memmem::find(bytes, b"?>")? + 2, Tag::Other)),
        b'!' if bytes.starts_with(b"<![CDATA[") => Some((memmem::find(bytes, b"]]>")? + 3, Tag::Other)),
        // The beginning of a CDATA section may be cut; a comment never begins like this.
        b'!' if b"<![CDATA[".starts_with(bytes) => None,
        b'!' => Some((memmem::find(bytes, b"-->")? + 3, Tag::Other)),
        _ => {
            let end = tag_end(bytes)?;
            let empty = bytes.get(end.wrapping_sub(1)) == Some(&b'/');
            Some((end + 1, if empty { Tag::Empty } else { Tag::Open }))
        }
    }
}

/// Where the start tag at the beginning of `bytes` ends. A `>` is legal inside of an attribute's value.
pub fn tag_end(bytes: &[u8]) -> Option<usize> {
    let mut position = 0;
    loop {
        position += memchr3(b'>', b'\'', b'"', bytes.get(position..)?)?;
        let found = bytes[position];
        if found == b'>' {
            return Some(position);
        }
        position += 1;
        position += memchr(found, bytes.get(position..)?)? + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "<?xml version='1.0'?><stream:stream id='1>2' from=\"a\">\
        <stream:features><bind xmlns='b'/><x a='>'/></stream:features> \n\
        <message from='a&gt;'><body>1 &lt; 2</body></message><r xmlns='urn:xmpp:sm:3'/>\
        <message><body><![CDATA[<not><a tag]]></body></message></stream:stream>";

    fn expected() -> Vec<String> {
        [
            "H<stream:stream id='1>2' from=\"a\">",
            "S<stream:features><bind xmlns='b'/><x a='>'/></stream:features>",
            "S<message from='a&gt;'><body>1 &lt; 2</body></message>",
            "S<r xmlns='urn:xmpp:sm:3'/>",
            "S<message><body><![CDATA[<not><a tag]]></body></message>",
            "C",
        ]
        .map(String::from)
        .to_vec()
    }

    /// What the inbox cuts out of the stream when it arrives in pieces of this size.
    fn cut(piece: usize) -> Vec<String> {
        let mut inbox = Inbox::new();
        let mut frames = Vec::new();
        for chunk in STREAM.as_bytes().chunks(piece) {
            inbox.space().unwrap()[..chunk.len()].copy_from_slice(chunk);
            inbox.advance(chunk.len());
            while let Some(frame) = inbox.next_frame().unwrap() {
                let (letter, range) = match frame {
                    Frame::Header(range) => ("H", range),
                    Frame::Stanza(range) => ("S", range),
                    Frame::Closed => ("C", 0..0),
                };
                frames.push(format!("{letter}{}", std::str::from_utf8(inbox.bytes(&range)).unwrap()));
            }
        }
        frames
    }

    #[test]
    fn the_pieces_are_the_same_however_the_bytes_arrive() {
        for piece in 1..=STREAM.len() {
            assert_eq!(cut(piece), expected(), "in pieces of {piece}");
        }
    }

    #[test]
    fn a_long_run_of_stanzas_keeps_the_buffer_small() {
        let mut inbox = Inbox::new();
        let stanza = b"<message><body>hello</body></message>";
        let mut seen = 0;
        for piece in std::iter::once(&b"<stream>"[..]).chain(std::iter::repeat_n(&stanza[..], 10_000)) {
            inbox.space().unwrap()[..piece.len()].copy_from_slice(piece);
            inbox.advance(piece.len());
            while let Some(Frame::Header(_) | Frame::Stanza(_)) = inbox.next_frame().unwrap() {
                seen += 1;
            }
        }
        assert_eq!(seen, 10_001);
        assert_eq!(inbox.buffer.len(), FIRST_BUFFER_BYTES);
    }

    #[test]
    fn an_endless_stanza_is_refused() {
        let mut inbox = Inbox::new();
        let refused = (0..10_000).find_map(|_| match inbox.space() {
            Ok(space) => {
                space.fill(b'x');
                let bytes = space.len();
                inbox.advance(bytes);
                // A tag that never ends keeps everything from its first byte on.
                inbox.buffer[0] = b'<';
                inbox.next_frame().unwrap();
                None
            }
            Err(error) => Some(error),
        });
        assert!(matches!(refused, Some(LoadError::Framing(_))));
    }
}
