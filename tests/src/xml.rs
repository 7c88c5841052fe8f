//! XML as the actors see it: small trees, read by a strict parser that is not the server's own, so
//! that what the server writes is checked by somebody else.

use std::fmt::{self, Write};

use rxml::error::EndOrError;
use rxml::{Event, Options, Parse, Parser, WithOptions};

pub const CLIENT: &str = "jabber:client";
pub const STREAM: &str = "http://etherx.jabber.org/streams";

#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub name: String,
    pub ns: String,
    pub attributes: Vec<Attribute>,
    pub children: Vec<Child>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Attribute {
    pub ns: String,
    pub name: String,
    pub value: String,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Child {
    Element(Node),
    Text(String),
}

/// What comes out of a stream.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// `<stream:stream>`.
    Header(Node),
    /// A stanza, or any other element of the stream's.
    Element(Node),
    /// `</stream:stream>`.
    Close,
    /// The connection is closed.
    End,
}

impl Node {
    pub fn is(&self, name: &str, ns: &str) -> bool {
        self.name == name && self.ns == ns
    }

    pub fn is_stanza(&self) -> bool {
        self.ns == CLIENT && matches!(self.name.as_str(), "message" | "presence" | "iq")
    }

    pub fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|a| a.ns.is_empty() && a.name == name);
        found.map(|a| a.value.as_str())
    }

    pub fn elements(&self) -> impl Iterator<Item = &Node> {
        self.children.iter().filter_map(|child| match child {
            Child::Element(node) => Some(node),
            Child::Text(_) => None,
        })
    }

    pub fn find(&self, name: &str, ns: &str) -> Option<&Node> {
        self.elements().find(|node| node.is(name, ns))
    }

    /// The text directly inside, without the white space around it.
    pub fn text(&self) -> String {
        let texts = self.children.iter().filter_map(|child| match child {
            Child::Text(text) => Some(text.as_str()),
            Child::Element(_) => None,
        });
        texts.collect::<String>().trim().to_owned()
    }

    fn write(&self, parent_ns: &str, out: &mut String) -> fmt::Result {
        let prefix = if self.ns == STREAM { "stream:" } else { "" };
        write!(out, "<{prefix}{}", self.name)?;
        if prefix.is_empty() && self.ns != parent_ns {
            write!(out, " xmlns='{}'", self.ns)?;
        }
        for attribute in &self.attributes {
            let prefix = match attribute.ns.as_str() {
                "" => String::new(),
                rxml::XMLNS_XML => "xml:".to_owned(),
                other => format!("{{{other}}}"),
            };
            write!(out, " {prefix}{}='{}'", attribute.name, escaped(&attribute.value))?;
        }
        if self.children.is_empty() {
            return out.write_str("/>");
        }
        out.write_char('>')?;
        let inherited = if prefix.is_empty() { &self.ns } else { CLIENT };
        for child in &self.children {
            match child {
                Child::Element(node) => node.write(inherited, out)?,
                Child::Text(text) => out.write_str(&escaped(text))?,
            }
        }
        write!(out, "</{prefix}{}>", self.name)
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('\'', "&apos;")
}

/// As it would stand in a client's stream.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        self.write(CLIENT, &mut out)?;
        f.write_str(&out)
    }
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Heard::Header(node) | Heard::Element(node) => node.fmt(f),
            Heard::Close => f.write_str("</stream:stream>"),
            Heard::End => f.write_str("the end of the connection"),
        }
    }
}

/// Reads one stream.
pub struct StreamReader {
    parser: Parser,
    bytes: Vec<u8>,
    /// The elements that are open, the stream's own first.
    open: Vec<Node>,
}

impl Default for StreamReader {
    fn default() -> StreamReader {
        let options = Options { max_token_length: 16 << 20, ..Options::default() };
        StreamReader { parser: Parser::with_options(options), bytes: Vec::new(), open: Vec::new() }
    }
}

impl StreamReader {
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next header, first-level element or close; `None` when there is not a whole one yet.
    pub fn poll(&mut self) -> Result<Option<Heard>, String> {
        loop {
            let mut rest = self.bytes.as_slice();
            let event = self.parser.parse(&mut rest, false);
            let consumed = self.bytes.len() - rest.len();
            self.bytes.drain(..consumed);
            match event {
                Ok(Some(event)) => {
                    if let Some(heard) = self.take(event) {
                        return Ok(Some(heard));
                    }
                }
                Ok(None) | Err(EndOrError::NeedMoreData) => return Ok(None),
                Err(EndOrError::Error(error)) => return Err(error.to_string()),
            }
        }
    }

    fn take(&mut self, event: Event) -> Option<Heard> {
        match event {
            Event::XmlDeclaration(..) => None,
            Event::StartElement(_, (ns, name), attributes) => {
                let attributes = attributes.iter().map(|((ns, name), value)| Attribute {
                    ns: ns.to_string(),
                    name: name.to_string(),
                    value: value.clone(),
                });
                let mut attributes: Vec<Attribute> = attributes.collect();
                attributes.sort_by(|a, b| (&a.ns, &a.name).cmp(&(&b.ns, &b.name)));
                let node =
                    Node { name: name.to_string(), ns: ns.to_string(), attributes, children: Vec::new() };
                let header = self.open.is_empty().then(|| Heard::Header(node.clone()));
                self.open.push(node);
                header
            }
            Event::Text(_, text) => {
                // White space between stanzas is no news.
                if self.open.len() > 1 {
                    self.open.last_mut()?.children.push(Child::Text(text));
                }
                None
            }
            Event::EndElement(_) => {
                let node = self.open.pop()?;
                match self.open.len() {
                    0 => Some(Heard::Close),
                    1 => Some(Heard::Element(node)),
                    _ => {
                        self.open.last_mut()?.children.push(Child::Element(node));
                        None
                    }
                }
            }
        }
    }
}

/// The elements of a piece of a stream, as a play writes them.
pub fn elements(text: &str) -> Result<Vec<Node>, String> {
    let mut reader = StreamReader::default();
    reader.feed(format!("<block xmlns='{CLIENT}' xmlns:stream='{STREAM}'>").as_bytes());
    reader.feed(text.as_bytes());
    reader.feed(b"</block>");
    let mut elements = Vec::new();
    loop {
        match reader.poll()? {
            Some(Heard::Element(node)) => elements.push(node),
            Some(Heard::Header(_)) => {}
            Some(Heard::Close | Heard::End) => return Ok(elements),
            None => return Err("an element is not closed".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_read_as_it_comes() {
        let stream = format!(
            "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='{STREAM}' id='1'> \
             <message><body>a &amp; b</body></message></stream:stream>"
        );
        let mut reader = StreamReader::default();
        let mut heard = Vec::new();
        for byte in stream.as_bytes() {
            reader.feed(&[*byte]);
            while let Some(next) = reader.poll().expect("good XML") {
                heard.push(next.to_string());
            }
        }
        let expected =
            ["<stream:stream id='1'/>", "<message><body>a &amp; b</body></message>", "</stream:stream>"];
        assert_eq!(heard, expected);
    }

    #[test]
    fn bad_xml_is_noticed() {
        let mut reader = StreamReader::default();
        reader.feed(b"<a><b></a>");
        assert!(matches!(reader.poll(), Ok(Some(Heard::Header(_)))));
        assert!(reader.poll().is_err());
    }
}
