//! What a stanza costs on its way: scanned and read once, written once for each recipient.

use std::hint::black_box;

use divan::Bencher;
use xmpp_core::{Element, Frame, Jid, Limits, Scanner, Stanza, StanzaError};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HEADER: &[u8] = b"<?xml version='1.0'?><stream:stream to='montague.example' version='1.0' \
                        xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// 441 bytes, five children: what a chat client sends.
const MESSAGE: &str = "<message to='romeo@montague.example/orchard' id='b4d7a2c1-5e6f-4a3b-9c8d-7e6f5a4b3c2d' \
type='chat' xml:lang='en'><body>Wherefore art thou Romeo? Deny thy father &amp; refuse thy name; oh, Romeo!</body>\
<active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/>\
<markable xmlns='urn:xmpp:chat-markers:0'/>\
<origin-id xmlns='urn:xmpp:sid:0' id='b4d7a2c1-5e6f-4a3b-9c8d-7e6f5a4b3c2d9f0a1b2c3d4e5f6a7b8'/></message>";

fn main() {
    assert_eq!(MESSAGE.len(), 441);
    divan::main();
}

fn open_scanner() -> Scanner {
    let mut scanner = Scanner::new(Limits::default());
    scanner.feed(HEADER);
    scanner.next().expect("a valid header");
    scanner
}

fn message() -> Stanza {
    Stanza::read(MESSAGE.as_bytes()).expect("a valid stanza")
}

/// One stanza in one segment.
#[divan::bench]
fn read(bencher: Bencher) {
    let mut scanner = open_scanner();
    bencher.bench_local(|| {
        scanner.feed(black_box(MESSAGE.as_bytes()));
        let frame = scanner.next();
        assert!(matches!(scanner.next(), Ok(None)));
        frame
    });
}

/// Sixteen stanzas in one segment, per sixteen.
#[divan::bench]
fn read_sixteen(bencher: Bencher) {
    let mut scanner = open_scanner();
    let segment = MESSAGE.repeat(16);
    bencher.bench_local(|| {
        scanner.feed(black_box(segment.as_bytes()));
        while let Ok(Some(frame)) = scanner.next() {
            black_box(frame);
        }
    });
}

/// What comes first of a stanza that is cut: tried to be read, then scanned and kept.
#[divan::bench]
fn read_a_part(bencher: Bencher) {
    let mut scanner = open_scanner();
    let (all, _last) = MESSAGE.as_bytes().split_at(MESSAGE.len() - 1);
    bencher.bench_local(|| {
        scanner.feed(black_box(all));
        let frame = scanner.next();
        scanner.take_rest();
        frame
    });
}

#[divan::bench]
fn write(bencher: Bencher) {
    let stanza = message();
    let mut out = Vec::with_capacity(4096);
    bencher.bench_local(|| {
        out.clear();
        black_box(&stanza).write(&mut out);
        out.len()
    });
}

/// The envelope with another `to`, the payload shared.
#[divan::bench]
fn address_anew(bencher: Bencher) {
    let stanza = message();
    let to: Jid = "juliet@capulet.example/balcony".parse().expect("an address");
    bencher.bench_local(|| Stanza { to: Some(to.clone()), ..black_box(&stanza).clone() });
}

#[divan::bench]
fn find_child(bencher: Bencher) {
    let stanza = message();
    bencher.bench_local(|| black_box(&stanza).payload.has("origin-id", "urn:xmpp:sid:0"));
}

#[divan::bench]
fn parse_child(bencher: Bencher) {
    let stanza = message();
    bencher.bench_local(|| black_box(&stanza).payload.get("origin-id", "urn:xmpp:sid:0"));
}

#[divan::bench]
fn add_child(bencher: Bencher) {
    let stanza = message();
    let id = Element::new("stanza-id", "urn:xmpp:sid:0").attr("by", "romeo@montague.example").attr("id", "1");
    bencher.bench_local(|| black_box(&stanza).payload.with(&id));
}

#[divan::bench]
fn error_reply(bencher: Bencher) {
    let stanza = message();
    bencher.bench_local(|| black_box(&stanza).error_reply(&StanzaError::service_unavailable()));
}

#[divan::bench]
fn jid_prepared() -> Option<Jid> {
    Jid::parse(black_box("romeo@montague.example/orchard")).ok()
}

#[divan::bench]
fn jid_capitals() -> Option<Jid> {
    Jid::parse(black_box("Romeo@Montague.example/orchard")).ok()
}

#[divan::bench]
fn jid_beyond_ascii() -> Option<Jid> {
    Jid::parse(black_box("ромео@монтекки.example/сад")).ok()
}

#[divan::bench]
fn read_sasl_element(bencher: Bencher) {
    let mut scanner = open_scanner();
    let auth = b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>biwsbj1yb21lbyxyPWZ5a28=</auth>";
    bencher.bench_local(|| {
        scanner.feed(black_box(auth));
        let frame = scanner.next();
        assert!(matches!(scanner.next(), Ok(None)));
        matches!(frame, Ok(Some(Frame::Element(_))))
    });
}
