//! Streams as they come in, and the frames they must give: whole, byte by byte, and cut at every position.
//!
//! A file in `transcripts/` holds many. `== title` begins one; then come lines of input, and lines that begin
//! with a tab for the frames that are expected. Input lines are joined without their line ends. In the
//! input `\n`, `\r`, `\t`, `\\` and `\xNN` stand for those bytes, and `$H` for an ordinary stream header, whose
//! frame is then expected without being written down. `limits NAME=NUMBER ...` before the input sets limits.
//! Lines that begin with `#` are comments.

use xmpp_core::xml::escape;
use xmpp_core::{Frame, Limits, Scanner, Stanza, StreamHeader};

const HEADER: &str = "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams'>";

macro_rules! transcripts {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            run(include_str!(concat!("transcripts/", stringify!($name), ".txt")));
        })*
    };
}

transcripts! { header frames text namespaces restricted not_well_formed malformed limits }

fn run(file: &str) {
    let transcripts = parse(file);
    assert!(transcripts.len() > 3, "a file without transcripts");
    for transcript in transcripts {
        let whole = pull(&transcript, &[&transcript.input]);
        assert_eq!(whole, transcript.expected, "{}", transcript.title);
        let bytes: Vec<&[u8]> = transcript.input.chunks(1).collect();
        assert_eq!(pull(&transcript, &bytes), whole, "{}, byte by byte", transcript.title);
        for at in 0..=transcript.input.len() {
            let (before, behind) = transcript.input.split_at(at);
            assert_eq!(pull(&transcript, &[before, behind]), whole, "{}, cut at {at}", transcript.title);
        }
    }
}

#[derive(Default)]
struct Transcript {
    title: String,
    limits: Limits,
    input: Vec<u8>,
    expected: Vec<String>,
}

fn parse(file: &str) -> Vec<Transcript> {
    let mut all: Vec<Transcript> = Vec::new();
    for line in file.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        if let Some(title) = line.strip_prefix("== ") {
            all.push(Transcript { title: title.to_owned(), ..Transcript::default() });
            continue;
        }
        let transcript = all.last_mut().expect("a title comes first");
        if let Some(frame) = line.strip_prefix('\t') {
            let frame = String::from_utf8(unescape(frame)).expect("UTF-8");
            transcript.expected.push(frame);
        } else if let Some(limits) = line.strip_prefix("limits ") {
            limits.split(' ').for_each(|limit| set_limit(&mut transcript.limits, limit));
        } else {
            if line.contains("$H") {
                transcript.expected.push("header to=localhost version=1.0".to_owned());
            }
            transcript.input.extend(unescape(&line.replace("$H", HEADER)));
        }
    }
    all
}

fn set_limit(limits: &mut Limits, limit: &str) {
    let (name, number) = limit.split_once('=').expect("NAME=NUMBER");
    let number = number.parse().expect("a number");
    match name {
        "stanza_bytes" => limits.stanza_bytes = number,
        "header_bytes" => limits.header_bytes = number,
        "elements" => limits.elements = number,
        "depth" => limits.depth = number,
        "attributes" => limits.attributes = number,
        _ => panic!("no limit is called {name}"),
    }
}

fn unescape(line: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = line;
    while let Some((before, behind)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let length = if behind.starts_with('x') { 3 } else { 1 };
        let (escaped, behind) = behind.split_at(length);
        bytes.push(match escaped {
            "n" => b'\n',
            "r" => b'\r',
            "t" => b'\t',
            "\\" => b'\\',
            _ => u8::from_str_radix(&escaped[1..], 16).expect("two hexadecimal digits"),
        });
        rest = behind;
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// Feeds the pieces and describes what comes out. What is left at the end is described too.
fn pull(transcript: &Transcript, pieces: &[&[u8]]) -> Vec<String> {
    let mut scanner = Scanner::new(transcript.limits);
    let mut described = Vec::new();
    for piece in pieces {
        scanner.feed(piece);
        loop {
            match scanner.next() {
                Ok(Some(frame)) => described.push(describe(frame)),
                Ok(None) => break,
                Err(error) => {
                    let place = if scanner.header_seen() { "" } else { " before the header" };
                    described.push(format!("error {}{place}", error.condition));
                    assert_eq!(scanner.next().err(), Some(error), "an error stays");
                    assert!(scanner.is_idle(), "an error keeps no memory");
                    return described;
                }
            }
        }
    }
    let idle = scanner.is_idle();
    let rest = scanner.take_rest();
    assert_eq!(idle, rest.is_empty(), "memory is given back when nothing is kept");
    if !rest.is_empty() {
        described.push(format!("kept {}", rest.len()));
    }
    described
}

fn describe(frame: Frame) -> String {
    match frame {
        Frame::Header(header) => format!("header{}", attributes(&header)),
        Frame::Stanza(stanza) => format!("stanza {}", written(&stanza)),
        Frame::Malformed(malformed) => {
            let (fault, condition) = (malformed.fault, malformed.condition.as_str());
            format!("malformed {fault:?} {condition} {}", xml(&malformed.stanza))
        }
        Frame::Element(element) => format!("element {}", element.to_xml()),
        Frame::Close => "close".to_owned(),
    }
}

fn attributes(header: &StreamHeader) -> String {
    let attributes = [
        ("to", &header.to),
        ("from", &header.from),
        ("id", &header.id),
        ("version", &header.version),
        ("lang", &header.lang),
    ];
    attributes.iter().filter_map(|(name, value)| Some(format!(" {name}={}", value.as_ref()?))).collect()
}

/// Canonical bytes read again are the same canonical bytes, whatever they are written in.
fn written(stanza: &Stanza) -> String {
    let xml = xml(stanza);
    let again = Stanza::read(xml.as_bytes()).expect("what was written is read");
    assert_eq!(self::xml(&again), xml, "canonical bytes are stable");
    let mut stored = Vec::new();
    stanza.write_in("jabber:client", &mut stored);
    assert_eq!(self::xml(&Stanza::read(&stored).expect("what was stored is read")), xml);
    let children: Vec<_> = stanza.payload.children().map(|child| child.element()).collect();
    for (child, element) in stanza.payload.children().zip(&children) {
        let mut namespace = Vec::new();
        escape::value(element.ns(), &mut namespace);
        assert_eq!((child.name, child.ns.as_bytes()), (element.name(), &*namespace));
        let mut out = Vec::new();
        element.write("jabber:client", &mut out);
        assert_eq!(out, child.raw(), "a tree is written as canonical bytes");
    }
    xml
}

fn xml(stanza: &Stanza) -> String {
    let mut out = Vec::new();
    stanza.write(&mut out);
    String::from_utf8(out).expect("UTF-8")
}
