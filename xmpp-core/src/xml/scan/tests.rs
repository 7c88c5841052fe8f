use super::*;
use crate::Element;
use crate::stanza::Kind;

const HEADER: &[u8] =
    b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

fn open() -> Scanner {
    let mut scanner = Scanner::new(Limits::default());
    scanner.feed(HEADER);
    assert!(matches!(scanner.next(), Ok(Some(Frame::Header(_)))));
    scanner
}

fn is_element(frame: Result<Option<Frame>, StreamError>, name: &str) -> bool {
    matches!(frame, Ok(Some(Frame::Element(element))) if element.name() == name)
}

/// A whole login in one segment: what is behind `<auth/>` belongs to the new stream (RFC 6120 section 6.4.6).
#[test]
fn a_new_stream_in_the_same_bytes() {
    let mut scanner = open();
    let mut bytes = b"<auth/>\n<?xml version='1.0'?>".to_vec();
    bytes.extend_from_slice(HEADER);
    bytes.extend_from_slice(b"<presence/>");
    scanner.feed(&bytes);
    assert!(is_element(scanner.next(), "auth"));
    assert!(scanner.header_seen());
    scanner.reset();
    assert!(!scanner.header_seen());
    assert!(matches!(scanner.next(), Ok(Some(Frame::Header(_)))));
    assert!(matches!(scanner.next(), Ok(Some(Frame::Stanza(stanza))) if stanza.kind == Kind::Presence));
    assert!(matches!(scanner.next(), Ok(None)) && scanner.is_idle());
}

/// What an incomplete frame was scanned as is forgotten with its stream.
#[test]
fn a_new_stream_cut_in_the_middle() {
    let mut scanner = open();
    scanner.feed(b"<auth/><stream:str");
    assert!(is_element(scanner.next(), "auth"));
    assert!(matches!(scanner.next(), Ok(None)));
    scanner.reset();
    scanner.feed(HEADER.strip_prefix(b"<stream:str").unwrap());
    assert!(matches!(scanner.next(), Ok(Some(Frame::Header(_)))));
}

/// RFC 6120 section 5.4.3.3: bytes behind `<starttls/>` are seen, whatever they are, and never read.
#[test]
fn bytes_behind_starttls() {
    for behind in [&b"<presence/>"[..], b"\x16\x03\x01\xff\xfe", b"\xc3", b"\n", b""] {
        let mut scanner = open();
        scanner.feed(&[b"<starttls/>", behind].concat());
        assert!(is_element(scanner.next(), "starttls"));
        assert_eq!(scanner.take_rest(), behind);
        assert!(scanner.is_idle());
    }
    let mut scanner = open();
    scanner.feed(b"<starttls/><presence ");
    assert!(is_element(scanner.next(), "starttls"));
    assert!(matches!(scanner.next(), Ok(None)));
    assert_eq!(scanner.take_rest(), b"<presence ");
    scanner.feed(b"<presence/>");
    assert!(matches!(scanner.next(), Ok(Some(Frame::Stanza(_)))));
}

#[test]
fn nothing_is_kept_between_stanzas() {
    let mut scanner = open();
    for bytes in [&b" "[..], b"\n\n", b"<presence/>", b"<presence/> ", b"<a>b</a>"] {
        scanner.feed(bytes);
        while let Ok(Some(_)) = scanner.next() {}
        assert_eq!(scanner.memory(), 0);
    }
    scanner.feed(b"<presence");
    assert!(matches!(scanner.next(), Ok(None)));
    assert!(!scanner.is_idle());
}

/// Somebody who sends a stanza and one byte more keeps that byte, not a whole segment's memory.
#[test]
fn little_is_kept_of_a_large_segment() {
    let mut scanner = open();
    scanner.feed(format!("<message><body>{}</body></message><", "x".repeat(16_000)).as_bytes());
    while let Ok(Some(_)) = scanner.next() {}
    assert!(!scanner.is_idle() && scanner.memory() < 100, "{}", scanner.memory());
}

#[test]
fn nothing_is_kept_behind_the_end() {
    let mut scanner = open();
    scanner.feed(b"</stream:stream><presence/>");
    assert!(matches!(scanner.next(), Ok(Some(Frame::Close))));
    scanner.feed(b"<presence/>");
    assert!(matches!(scanner.next(), Ok(None)));
    assert_eq!((scanner.memory(), scanner.take_rest()), (0, Vec::new()));
    let mut scanner = open();
    scanner.feed(b"&");
    assert!(scanner.next().is_err());
    scanner.feed(&[b'x'; 100_000]);
    assert!(scanner.next().is_err() && scanner.is_idle());
}

#[test]
fn limits_change() {
    let mut scanner = Scanner::new(Limits { stanza_bytes: 20, ..Limits::default() });
    scanner.feed(HEADER);
    assert!(matches!(scanner.next(), Ok(Some(_))));
    scanner.set_limits(Limits::default());
    scanner.feed(b"<presence><show>away</show></presence>");
    assert!(matches!(scanner.next(), Ok(Some(Frame::Stanza(_)))));
    scanner.set_limits(Limits { stanza_bytes: 20, ..Limits::default() });
    scanner.feed(b"<presence><show>away</show></presence>");
    assert_eq!(scanner.next().map_err(|error| error.condition).err(), Some(StreamCondition::PolicyViolation));
}

#[test]
fn other_content_namespaces() {
    let mut scanner = Scanner::with_content(Limits::default(), ns::SERVER);
    scanner.feed(b"<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback'>");
    scanner
        .feed(b"<message from='a' to='b'><body>x</body></message><db:result from='a' to='b'>y</db:result>");
    assert!(matches!(scanner.next(), Ok(Some(Frame::Header(header))) if header.content_ns == ns::SERVER));
    let Ok(Some(Frame::Stanza(stanza))) = scanner.next() else { panic!("a stanza") };
    // What inherits the namespace of a server's stream inherits that of a client's.
    assert_eq!(stanza.payload.get("body", ns::CLIENT), Some(Element::new("body", ns::CLIENT).text("x")));
    assert!(is_element(scanner.next(), "result"));
}

/// A session that sends nothing keeps this much besides the connection.
#[test]
fn small_when_idle() {
    assert!(size_of::<Scanner>() <= 320, "{}", size_of::<Scanner>());
    assert!(size_of::<crate::Stanza>() <= 104, "{}", size_of::<crate::Stanza>());
}
