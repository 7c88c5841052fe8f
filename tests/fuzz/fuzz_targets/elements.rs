#![no_main]
//! An element in bytes of its own: accepted where rxml accepts it, with the same meaning.

use libfuzzer_sys::fuzz_target;
use meerkat_fuzz::oracle;
use xmpp_core::Element;

fuzz_target!(|document: &str| {
    let ours = Element::parse(document.as_bytes());
    if let Ok(element) = &ours {
        let written = element.to_xml();
        let again = Element::parse(written.as_bytes()).expect("what was written is read");
        assert_eq!(again.to_xml(), written, "canonical bytes are stable");
        assert_eq!(oracle::read(&written), Some(vec![oracle::tree(element)]), "rxml reads what we write");
    }
    // What differs on purpose, or because rxml errs: see the list in xmpp-core/tests/properties/oracle.rs.
    let trimmed = document.trim_matches([' ', '\t', '\n', '\r']);
    let differs = trimmed.starts_with("<?xml") || trimmed.contains("<xml:") || trimmed.contains('\r');
    if differs || oracle::declares_twice(trimmed) || oracle::has_long_reference(trimmed) {
        return;
    }
    match (&ours, oracle::read(trimmed)) {
        (Ok(ours), theirs) => assert_eq!(Some(vec![oracle::tree(ours)]), theirs),
        (Err(_), None) => {}
        (Err(error), Some(_)) => {
            let bounded = error.condition == xmpp_core::StreamCondition::PolicyViolation;
            // White space around the element, however it is written.
            let behind = error.to_string().ends_with("something behind the element");
            let before = trimmed.starts_with("<![CDATA[") || trimmed.starts_with("&#");
            let meant = bounded || behind || before || oracle::has_names_beyond_ascii(trimmed);
            assert!(meant, "rxml accepts what we refuse: {error}");
        }
    }
});
