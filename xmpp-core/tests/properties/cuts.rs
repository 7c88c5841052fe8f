//! A stream gives the same frames and the same error however its bytes are cut.

use proptest::prelude::*;
use xmpp_core::{Frame, Limits, Scanner};

use crate::tape::{self, Tape};

const HEADER: &[u8] =
    b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

proptest! {
    #![proptest_config(crate::cases(3000))]

    #[test]
    fn any_cut_gives_the_same(
        tape in proptest::collection::vec(any::<u8>(), 0..60),
        cuts in proptest::collection::vec(1usize..20, 1..20),
        kind in 0..4,
        small in any::<bool>(),
    ) {
        let mut stream = Vec::new();
        if kind > 0 {
            stream.extend_from_slice(HEADER);
        }
        match kind {
            0 | 1 => stream.extend(tape::soup(&mut Tape(&tape))),
            _ => {
                let mut tape = Tape(&tape);
                for _ in 0..3 {
                    let element = tape::element(&mut tape);
                    stream.extend_from_slice(element.as_bytes());
                    stream.extend_from_slice(b"\n ");
                    stream.extend(format!("<message>{}</message>", tape::content(&mut tape)).into_bytes());
                }
            }
        }
        let limits = match small {
            true => Limits { stanza_bytes: 60, header_bytes: 100, elements: 5, depth: 3, attributes: 3 },
            false => Limits::default(),
        };
        let whole = frames(limits, std::iter::once(&*stream));
        prop_assert_eq!(&frames(limits, stream.chunks(1)), &whole, "byte by byte");
        let mut rest = &*stream;
        let pieces = cuts.iter().cycle().map_while(|length| {
            let (piece, behind) = rest.split_at((*length).min(rest.len()));
            rest = behind;
            (!piece.is_empty()).then_some(piece)
        });
        prop_assert_eq!(&frames(limits, pieces), &whole, "cut");
    }
}

fn frames<'a>(limits: Limits, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let mut scanner = Scanner::new(limits);
    let mut frames = Vec::new();
    for piece in pieces {
        scanner.feed(piece);
        loop {
            match scanner.next() {
                Ok(Some(frame)) => frames.push(describe(&frame, limits)),
                Ok(None) => break,
                Err(error) => {
                    frames.push(error.to_string());
                    return frames;
                }
            }
        }
    }
    frames.push(format!("kept {}", scanner.take_rest().len()));
    frames
}

fn describe(frame: &Frame, limits: Limits) -> String {
    if let Frame::Stanza(stanza) = frame {
        assert!(stanza.payload.len_bytes() <= limits.stanza_bytes, "canonical bytes keep the limit");
    }
    format!("{frame:?}")
}
