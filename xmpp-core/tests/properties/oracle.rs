//! rxml, a strict parser of restricted XML that was made for XMPP, agrees on what is well-formed and on what
//! it means.
//!
//! Differences that are meant:
//! * We refuse elements with the prefix `xml`: nothing has any, and in canonical form they would need it.
//! * We take the names that both editions of XML 1.0 allow which are in use, rxml those of the newer alone.
//! * We bound attributes, declarations, elements and depth; the inputs here stay below the bounds.
//!
//! Differences where rxml 0.14 is wrong:
//! * It takes white space, or nothing, in CDATA or by reference around the element (XML 1.0 section 2.8: before and
//!   behind its element a document has comments, processing instructions and plain white space).
//! * It takes no character reference of more than eight characters, zeros in front included.
//! * It takes a default namespace that one tag declares twice (XML 1.0 section 3.1: unique attributes).
//! * It loses carriage returns that no line feed follows, and behind a bracket in CDATA keeps those that one
//!   follows (XML 1.0 section 2.11), so the inputs here have none; the transcripts have.

use proptest::prelude::*;
use xmpp_core::{Element, Frame, Limits, Scanner, Stanza};

use crate::rxml::{declares_twice, read as oracle, tree};
use crate::tape::{self, Tape};

const HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

proptest! {
    #![proptest_config(crate::cases(3000))]

    #[test]
    fn elements_agree(tape in proptest::collection::vec(any::<u8>(), 0..300)) {
        let document = tape::element(&mut Tape(&tape));
        compare(&document)?;
    }

    #[test]
    fn soup_agrees(tape in proptest::collection::vec(any::<u8>(), 0..30)) {
        let soup = tape::soup(&mut Tape(&tape));
        let document = String::from_utf8_lossy(&soup);
        compare(&format!("<a>{document}</a>"))?;
        if document.starts_with('<') && !document.starts_with("<?xml") {
            compare(&document)?;
        }
    }

    /// What travels on means what came in, wherever it goes.
    #[test]
    fn canonical_bytes_mean_the_same(tape in proptest::collection::vec(any::<u8>(), 0..300)) {
        let content = with_line_feeds(&tape::content(&mut Tape(&tape)));
        let original = format!("<message xmlns:p='urn:p' xmlns:q='urn:q' xmlns:x='urn:x'>{content}</message>");
        let Some(stanza) = read(&original) else {
            let meant = oracle(&format!("{HEADER}{original}</stream:stream>"));
            prop_assert!(meant.is_none() || declares_twice(&original), "{original:?}");
            return Ok(());
        };
        let mut canonical = Vec::new();
        stanza.write(&mut canonical);
        let canonical = String::from_utf8(canonical).expect("UTF-8");
        for header in [HEADER, "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' xmlns:p='urn:other'>"] {
            let meant = oracle(&format!("{HEADER}{original}</stream:stream>"));
            prop_assert_eq!(&meant, &oracle(&format!("{header}{canonical}</stream:stream>")), "{:?}", original);
        }
        let again = Stanza::read(canonical.as_bytes()).expect("what was written is read");
        prop_assert_eq!(&again.payload, &stanza.payload);
        let elements: Vec<Element> = again.payload.children().map(|child| child.element()).collect();
        for (element, child) in elements.iter().zip(again.payload.children()) {
            let mut written = Vec::new();
            element.write("jabber:client", &mut written);
            prop_assert_eq!(&written, child.raw());
        }
    }
}

fn with_line_feeds(document: &str) -> String {
    document.replace("\r\n", "\n").replace('\r', "\n")
}

fn compare(document: &str) -> Result<(), TestCaseError> {
    let document = &with_line_feeds(document);
    let ours = Element::parse(document.as_bytes());
    let theirs = oracle(document);
    match (ours, theirs) {
        (Ok(ours), Some(theirs)) => prop_assert_eq!(vec![tree(&ours)], theirs, "{:?}", document),
        (Err(_), None) => {}
        (Err(_), Some(_)) if document.contains("<xml:") || declares_twice(document) => {}
        (Ok(_), None) => prop_assert!(false, "we accept, rxml refuses: {document:?}"),
        (Err(error), Some(_)) => prop_assert!(false, "rxml accepts, we refuse: {document:?}: {error}"),
    }
    Ok(())
}

fn read(stanza: &str) -> Option<Stanza> {
    let mut scanner = Scanner::new(Limits::default());
    scanner.feed(HEADER.as_bytes());
    scanner.next().expect("a valid header");
    scanner.feed(stanza.as_bytes());
    match scanner.next() {
        Ok(Some(Frame::Stanza(stanza))) => Some(stanza),
        _ => None,
    }
}
