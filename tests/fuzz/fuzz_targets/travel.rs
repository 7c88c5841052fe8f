#![no_main]
//! What a message contains means the same when it travels on, whatever the header of the next stream says.
//!
//! The bytes are a tape that documents are made from.

use libfuzzer_sys::fuzz_target;
use meerkat_fuzz::{oracle, tape};
use xmpp_core::{Frame, Limits, Scanner};

const HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
const OTHER_HEADER: &str =
    "<s:stream xmlns='jabber:client' xmlns:s='http://etherx.jabber.org/streams' xmlns:p='urn:o'>";

fuzz_target!(|data: &[u8]| {
    let content = tape::content(&mut tape::Tape(data));
    // rxml errs with carriage returns: see xmpp-core/tests/properties/oracle.rs.
    let content = content.replace('\r', "\n");
    let original = format!("<message xmlns:p='urn:p' xmlns:q='urn:q' xmlns:x='urn:x'>{content}</message>");
    let mut scanner = Scanner::new(Limits::default());
    scanner.feed(HEADER.as_bytes());
    assert!(matches!(scanner.next(), Ok(Some(Frame::Header(_)))));
    scanner.feed(original.as_bytes());
    let meant = oracle::read(&format!("{HEADER}{original}</stream:stream>"));
    match scanner.next() {
        Ok(Some(Frame::Stanza(stanza))) => {
            let mut canonical = Vec::new();
            stanza.write(&mut canonical);
            let canonical = String::from_utf8(canonical).expect("canonical bytes are UTF-8");
            assert_eq!(oracle::read(&format!("{HEADER}{canonical}</stream:stream>")), meant);
            assert_eq!(oracle::read(&format!("{OTHER_HEADER}{canonical}</s:stream>")), meant);
        }
        Err(error) => {
            let bounded = error.condition == xmpp_core::StreamCondition::PolicyViolation;
            assert!(
                bounded || meant.is_none() || oracle::declares_twice(&original),
                "we refuse {original:?}: {error}"
            );
        }
        Ok(None) => assert!(meant.is_none(), "we wait for more of {original:?}"),
        other => panic!("{original:?} gave {other:?}"),
    }
});
