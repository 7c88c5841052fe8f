//! XML made from a tape of bytes: documents that are mostly well-formed, and soup that mostly is not.

/// Choices, read from the front; zeros when it ends, which make everything come to an end.
pub struct Tape<'a>(pub &'a [u8]);

impl Tape<'_> {
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn choose<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.byte()) % choices.len()]
    }
}

/// One element, with all that XML can do and a stray mistake now and then.
pub fn element(tape: &mut Tape) -> String {
    let mut out = String::new();
    write_element(tape, &mut out, 0);
    out
}

/// What an element may contain: text, references, CDATA, elements.
pub fn content(tape: &mut Tape) -> String {
    let mut out = String::new();
    write_content(tape, &mut out, 0);
    out
}

/// Pieces of markup in any order.
pub fn soup(tape: &mut Tape) -> Vec<u8> {
    let mut out = Vec::new();
    while !tape.0.is_empty() {
        out.extend_from_slice(tape.choose(PIECES));
    }
    out
}

const NAMES: &[&str] = &["a", "b", "body", "p:a", "q:b", "é", "_-.1", "message", "x:ü"];
const URIS: &[&str] =
    &["urn:1", "urn:2", "jabber:client", "", "urn:a&amp;b", "urn:'", "http://etherx.jabber.org/streams"];
const TEXTS: &[&str] = &[
    "text",
    "é日😀",
    " ",
    "\n",
    "\r\n",
    "\r",
    "\t",
    "'",
    "\"",
    ">",
    "]]",
    "&amp;",
    "&lt;",
    "&gt;",
    "&apos;",
    "&quot;",
    "&#10;",
    "&#xD;",
    "&#x1F600;",
    "\u{7f}",
    "\u{feff}",
    "\u{fffd}",
];
/// What may stand in text and values but seldom should.
const MISTAKES: &[&str] =
    &["]]>", "<", "&", "&foo;", "&#0;", "\u{1}", "\u{ffff}", "&#xD800;", "&#;", "<!---->", "<?p?>"];

fn write_element(tape: &mut Tape, out: &mut String, depth: usize) {
    let name = tape.choose(NAMES);
    out.push('<');
    out.push_str(name);
    for _ in 0..tape.byte() % 5 {
        write_attribute(tape, out);
    }
    // Prefixes of names are declared where they are used, most of the time.
    if let Some((prefix, _)) = name.split_once(':')
        && tape.byte() % 8 != 1
    {
        out.push_str(&format!(" xmlns:{prefix}='urn:{}'", tape.byte() % 3));
    }
    if tape.byte() % 4 == 1 {
        out.push_str(tape.choose(&["/>", " />", "\n/>"]));
        return;
    }
    out.push('>');
    write_content(tape, out, depth + 1);
    out.push_str("</");
    out.push_str(name);
    out.push_str(tape.choose(&[">", ">", ">", " >"]));
}

fn write_content(tape: &mut Tape, out: &mut String, depth: usize) {
    for _ in 0..tape.byte() % 6 {
        match tape.byte() % 8 {
            0..=2 if depth < 8 => write_element(tape, out, depth),
            3 => {
                out.push_str("<![CDATA[");
                write_text(tape, out, &["<", "&", "&amp;", "]", "]]", ">", "x", "\r\n", "é"]);
                out.push_str("]]>");
            }
            4 if tape.byte() % 16 == 1 => out.push_str(tape.choose(MISTAKES)),
            _ => write_text(tape, out, TEXTS),
        }
    }
}

fn write_attribute(tape: &mut Tape, out: &mut String) {
    out.push_str(tape.choose(&[" ", " ", " ", "\n", "  "]));
    match tape.byte() % 4 {
        0 => out.push_str(tape.choose(&["xmlns", "xmlns:p", "xmlns:q", "xmlns:x"])),
        1 => out.push_str(tape.choose(&["xml:lang", "xml:space", "p:x", "q:x", "p:y", "x:x"])),
        _ => out.push_str(tape.choose(&["x", "y", "id", "to", "from", "type", "é"])),
    }
    out.push_str(tape.choose(&["=", "=", " = "]));
    let quote = tape.choose(&["'", "\""]);
    out.push_str(quote);
    match tape.byte() % 4 {
        0 | 1 => out.push_str(tape.choose(URIS)),
        2 if tape.byte() % 16 == 1 => out.push_str(tape.choose(MISTAKES)),
        _ => {
            let mut value = String::new();
            write_text(tape, &mut value, TEXTS);
            out.push_str(&value.replace(quote, ""));
        }
    }
    out.push_str(quote);
}

fn write_text(tape: &mut Tape, out: &mut String, texts: &[&str]) {
    for _ in 0..tape.byte() % 4 {
        out.push_str(tape.choose(texts));
    }
}

const PIECES: &[&[u8]] = &[
    b"<",
    b">",
    b"/",
    b"</",
    b"/>",
    b"=",
    b"'",
    b"\"",
    b" ",
    b"\n",
    b"\r",
    b"a",
    b"b",
    b":",
    b"<a>",
    b"</a>",
    b"<a/>",
    b"<message>",
    b"</message>",
    b"<iq type='get' id='1'>",
    b"</iq>",
    b"<presence/>",
    b" x='1'",
    b" y=\"2\"",
    b" xmlns='urn:1'",
    b" xmlns:p='urn:2'",
    b"p:",
    b"xml:",
    b"xmlns",
    b"<p:a",
    b"</p:a>",
    b"&",
    b";",
    b"&amp;",
    b"&lt;",
    b"&#65;",
    b"&#x",
    b"&#0;",
    b"&foo;",
    b"<![CDATA[",
    b"]]>",
    b"]",
    b"]]",
    b"<!--",
    b"-->",
    b"<?",
    b"?>",
    b"<?xml",
    b" version='1.0'",
    b"<!DOCTYPE",
    b"\xC3\xA9",
    b"\xC3",
    b"\xA9",
    b"\xF0\x9F\x98\x80",
    b"\xF0\x9F",
    b"\xED\xA0\x80",
    b"\xEF\xBF\xBF",
    b"\xEF\xBB\xBF",
    b"\x00",
    b"\x04",
    b"\x7F",
    b"\xFF",
    b"text",
    b"</stream:stream>",
    b"<stream:stream>",
    b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
];
