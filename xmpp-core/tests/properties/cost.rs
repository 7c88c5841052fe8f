//! Work stays in proportion to the bytes that came, and memory within the limits, whatever the bytes are.

use proptest::prelude::*;
use xmpp_core::{Limits, Scanner};

use crate::tape::{self, Tape};

const HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// Bytes looked at and names compared, for each byte that came: an element is looked at once when it seems
/// whole, once when it is scanned, once when it is read; names are compared with those in scope.
const WORK_PER_BYTE: u64 = 20;

/// Feeds in pieces and returns the work, having checked the memory after each piece.
fn work(limits: Limits, bytes: &[u8], piece: usize) -> u64 {
    let mut scanner = Scanner::new(limits);
    scanner.feed(HEADER.as_bytes());
    scanner.next().expect("a valid header");
    let before = scanner.work();
    // A vector doubles, and canonical bytes may be as long again.
    let allowed = 2 * (limits.stanza_bytes + piece) * 2 + 1024;
    for piece in bytes.chunks(piece) {
        scanner.feed(piece);
        while let Ok(Some(_)) = scanner.next() {}
        assert!(scanner.memory() <= allowed, "{} bytes kept, {allowed} allowed", scanner.memory());
    }
    scanner.work() - before
}

fn assert_linear(name: &str, bytes: &[u8]) {
    for piece in [1, 7, 1000, 16_384, bytes.len()] {
        let work = work(Limits::default(), bytes, piece);
        let allowed = WORK_PER_BYTE * bytes.len() as u64;
        println!("{name} {piece} {:.2}", work as f64 / bytes.len() as f64);
        assert!(work <= allowed, "{name} in pieces of {piece}: {work} for {} bytes", bytes.len());
    }
}

#[test]
fn a_huge_stanza() {
    let body = "0123456789".repeat(26_000);
    assert_linear("text", format!("<message><body>{body}</body></message>").as_bytes());
    assert_linear("an attribute", format!("<message id='{body}'/>").as_bytes());
    assert_linear("a name", format!("<message><a{body}/></message>").as_bytes());
    assert_linear(
        "a name that ends",
        format!("<message><a{0}></a{0}></message>", &body[..100_000]).as_bytes(),
    );
    assert_linear("CDATA", format!("<message><![CDATA[{body}]]></message>").as_bytes());
    assert_linear("brackets", format!("<message><![CDATA[{}]]></message>", "]".repeat(260_000)).as_bytes());
    assert_linear("references", format!("<message>{}</message>", "&amp;".repeat(40_000)).as_bytes());
    assert_linear("references in a value", format!("<message id='{}'/>", "&amp;".repeat(40_000)).as_bytes());
    assert_linear("ampersands", format!("<message id='{}'/>", "&".repeat(260_000)).as_bytes());
    assert_linear("line ends", format!("<message>{}</message>", "\r\n".repeat(130_000)).as_bytes());
    assert_linear("white space", " \n".repeat(130_000).as_bytes());
    assert_linear("white space in a tag", format!("<message{}/>", " ".repeat(260_000)).as_bytes());
    assert_linear(
        "characters of four bytes",
        format!("<message>{}</message>", "😀".repeat(65_000)).as_bytes(),
    );
}

#[test]
fn many_small_things() {
    assert_linear("elements", format!("<message>{}</message>", "<a/>".repeat(9_999)).as_bytes());
    assert_linear("elements that end", format!("<message>{}</message>", "<a></a>".repeat(9_999)).as_bytes());
    assert_linear("stanzas", "<presence/>".repeat(20_000).as_bytes());
    assert_linear("stanzas that are in error", b"<message to=''/>".repeat(10_000).as_slice());
    assert_linear("depth", format!("{}{}", "<a>".repeat(100), "</a>".repeat(100)).repeat(370).as_bytes());
    let attributes: String = (0..99).map(|number| format!(" a{number}=''")).collect();
    assert_linear(
        "attributes",
        format!("<message>{}</message>", format!("<a{attributes}/>").repeat(300)).as_bytes(),
    );
    let same_length: String = (10..99).map(|number| format!(" a{number}=''")).collect();
    assert_linear("attributes of one length", format!("<a{same_length}/>").repeat(300).as_bytes());
}

#[test]
fn namespaces() {
    let declarations: String = (10..60).map(|number| format!(" xmlns:p{number}='urn:{number}'")).collect();
    let uses = "<p10:a p10:x=''/>".repeat(9_000);
    assert_linear("prefixes", format!("<message{declarations}>{uses}</message>").as_bytes());
    let nested: String = (0..90).map(|number| format!("<a xmlns='urn:{number}'>")).collect();
    assert_linear("nested", format!("{nested}{}{}", "<b/>".repeat(9_000), "</a>".repeat(90)).as_bytes());
    // A long namespace at the top is not copied into each of the elements below.
    let long = "x".repeat(100_000);
    assert_linear("a long one", format!("<a xmlns='{long}'>{}</a>", "<b/>".repeat(9_000)).as_bytes());
    assert_linear(
        "a long one by a prefix",
        format!("<message xmlns:p='{long}'>{}</message>", "<p:b/><c/>".repeat(4_000)).as_bytes(),
    );
}

proptest! {
    #[test]
    fn anything(tape in proptest::collection::vec(any::<u8>(), 0..2000), piece in 1usize..100) {
        let bytes = tape::soup(&mut Tape(&tape));
        let limits = Limits { stanza_bytes: 1000, ..Limits::default() };
        let work = work(limits, &bytes, piece);
        prop_assert!(work <= WORK_PER_BYTE * bytes.len() as u64 + 100, "{work} for {} bytes", bytes.len());
    }
}
