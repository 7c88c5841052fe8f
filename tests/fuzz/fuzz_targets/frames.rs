#![no_main]
//! Bytes of a stream: the same frames however they are cut, canonical bytes that stay as they are, and work
//! and memory in proportion.
//!
//! The first byte chooses limits and whether a valid header goes before; the second where to cut.

use libfuzzer_sys::fuzz_target;
use xmpp_core::{Frame, Limits, Scanner, Stanza};

const HEADER: &[u8] =
    b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

fuzz_target!(|data: &[u8]| {
    let [choice, cut, rest @ ..] = data else { return };
    let limits = match choice & 2 {
        0 => Limits::default(),
        _ => Limits { stanza_bytes: 100, header_bytes: 150, elements: 6, depth: 4, attributes: 4 },
    };
    let header = if choice & 1 == 0 { HEADER } else { b"" };
    let stream = [header, rest].concat();
    let whole = frames(limits, &stream, stream.len().max(1));
    assert_eq!(frames(limits, &stream, 1), whole, "byte by byte");
    assert_eq!(frames(limits, &stream, usize::from(*cut).max(2)), whole, "cut");
});

fn frames(limits: Limits, stream: &[u8], piece: usize) -> Vec<String> {
    let mut scanner = Scanner::new(limits);
    let mut described = Vec::new();
    'stream: for piece in stream.chunks(piece) {
        scanner.feed(piece);
        loop {
            match scanner.next() {
                Ok(Some(frame)) => described.push(describe(&frame, limits)),
                Ok(None) => break,
                Err(error) => {
                    described.push(error.to_string());
                    break 'stream;
                }
            }
        }
        assert!(scanner.memory() <= 4 * (limits.stanza_bytes.max(limits.header_bytes) + piece.len()) + 2048);
    }
    assert!(scanner.work() <= 20 * stream.len() as u64 + 1000);
    described.push(format!("{} kept", scanner.take_rest().len()));
    described
}

fn describe(frame: &Frame, limits: Limits) -> String {
    if let Frame::Stanza(stanza) = frame {
        assert!(stanza.payload.len_bytes() <= limits.stanza_bytes);
        let written = write(stanza);
        let again = Stanza::read(&written).expect("what was written is read");
        assert_eq!(write(&again), written, "canonical bytes are stable");
        for child in stanza.payload.children() {
            assert!(stanza.payload.has(child.name, child.ns));
            let mut element = Vec::new();
            child.element().write("jabber:client", &mut element);
            assert_eq!(element, child.raw(), "a tree is written as canonical bytes");
        }
    }
    format!("{frame:?}")
}

fn write(stanza: &Stanza) -> Vec<u8> {
    let mut written = Vec::new();
    stanza.write(&mut written);
    written
}
