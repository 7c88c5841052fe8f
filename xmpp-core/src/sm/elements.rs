//! The elements of XEP-0198, read and written. None of them is a stanza, so none is counted.
//!
//! ```text
//! client  <enable resume='true' max='300'/>       server  <enabled id='...' resume='true' max='...' location='...'/>
//!         <resume previd='...' h='7'/>                    <resumed previd='...' h='9'/>
//!                                                         <failed h='9'> condition </failed>
//! both    <r/>  <a h='7'/>
//! ```

use crate::ns;
use crate::stanza_error::Condition;
use crate::xml::element::Element;
use crate::xml::escape;

/// `<enable/>`: what the client wishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enable {
    pub resume: bool,
    /// For how many seconds it would like to be able to resume.
    pub max: Option<u32>,
}

/// `<enabled/>`: what the client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Enabled<'a> {
    /// The id to resume by; without it the stream cannot be resumed.
    pub id: Option<&'a str>,
    /// For how many seconds it can.
    pub max: Option<u32>,
    /// Where to connect to first: `host:port`, an IPv6 address in brackets (XEP-0198 section 3).
    pub location: Option<&'a str>,
}

/// `<resume/>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    pub previd: String,
    /// What the client has handled.
    pub h: u32,
}

impl Enable {
    /// An attribute that makes no sense is taken for one that is not there.
    pub fn parse(element: &Element) -> Enable {
        let resume = element.attribute("resume").is_some_and(|value| matches!(value.trim(), "true" | "1"));
        let max = element.attribute("max").and_then(parse_number).filter(|max| *max > 0);
        Enable { resume, max }
    }
}

impl Resume {
    /// `None` without both attributes.
    pub fn parse(element: &Element) -> Option<Resume> {
        let previd = element.attribute("previd").filter(|previd| !previd.is_empty())?;
        let h = element.attribute("h").and_then(parse_number)?;
        Some(Resume { previd: previd.to_owned(), h })
    }
}

/// The `h` of an `<a/>`.
pub fn parse_a(element: &Element) -> Option<u32> {
    element.attribute("h").and_then(parse_number)
}

pub fn write_r(out: &mut Vec<u8>) {
    out.extend_from_slice(b"<r xmlns='urn:xmpp:sm:3'/>");
}

pub fn write_a(h: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(b"<a xmlns='urn:xmpp:sm:3'");
    escape::attribute("h", &h.to_string(), out);
    out.extend_from_slice(b"/>");
}

pub fn write_enabled(enabled: Enabled<'_>, out: &mut Vec<u8>) {
    let max = enabled.max.map(|max| max.to_string());
    out.extend_from_slice(b"<enabled xmlns='urn:xmpp:sm:3'");
    for (name, value) in [
        ("id", enabled.id),
        ("resume", enabled.id.map(|_| "true")),
        ("max", max.as_deref()),
        ("location", enabled.location),
    ] {
        if let Some(value) = value {
            escape::attribute(name, value, out);
        }
    }
    out.extend_from_slice(b"/>");
}

pub fn write_resumed(previd: &str, h: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(b"<resumed xmlns='urn:xmpp:sm:3'");
    escape::attribute("previd", previd, out);
    escape::attribute("h", &h.to_string(), out);
    out.extend_from_slice(b"/>");
}

/// The answer to an `<enable/>` or `<resume/>` that cannot be had. `h`: what was handled of a session that
/// is over, where that is known.
pub fn failed(condition: Condition, h: Option<u32>) -> Vec<u8> {
    let mut out = Vec::new();
    Element::new("failed", ns::SM)
        .attr_opt("h", h.map(|h| h.to_string()))
        .child(Element::new(condition.as_str(), ns::STANZAS))
        .write(ns::CLIENT, &mut out);
    out
}

/// `xs:unsignedInt`, with the white space around it that the type allows.
fn parse_number(text: &str) -> Option<u32> {
    text.trim_matches([' ', '\t', '\r', '\n']).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(xml: &str) -> Element {
        Element::parse(xml.as_bytes()).expect("well-formed")
    }

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn enable_is_read_kindly() {
        let enable = |attributes: &str| {
            Enable::parse(&element(&format!("<enable xmlns='urn:xmpp:sm:3' {attributes}/>")))
        };
        assert_eq!(enable(""), Enable { resume: false, max: None });
        assert_eq!(enable("resume='true' max='300'"), Enable { resume: true, max: Some(300) });
        assert_eq!(enable("resume='1' max='0'"), Enable { resume: true, max: None });
        assert_eq!(enable("resume='yes' max='-1'"), Enable { resume: false, max: None });
    }

    #[test]
    fn resume_needs_both_attributes() {
        let resume = |attributes: &str| {
            Resume::parse(&element(&format!("<resume xmlns='urn:xmpp:sm:3' {attributes}/>")))
        };
        assert_eq!(resume("previd='x' h='4294967295'"), Some(Resume { previd: "x".to_owned(), h: u32::MAX }));
        for bad in
            ["", "previd='x'", "h='1'", "previd='' h='1'", "previd='x' h='-1'", "previd='x' h='4294967296'"]
        {
            assert_eq!(resume(bad), None, "{bad}");
        }
    }

    #[test]
    fn acknowledgements() {
        assert_eq!(parse_a(&element("<a xmlns='urn:xmpp:sm:3' h=' 12 '/>")), Some(12));
        assert_eq!(parse_a(&element("<a xmlns='urn:xmpp:sm:3'/>")), None);
        assert_eq!(text(|out| write_a(7, out)), "<a xmlns='urn:xmpp:sm:3' h='7'/>");
        assert_eq!(text(write_r), "<r xmlns='urn:xmpp:sm:3'/>");
    }

    #[test]
    fn answers() {
        assert_eq!(text(|out| write_enabled(Enabled::default(), out)), "<enabled xmlns='urn:xmpp:sm:3'/>");
        let enabled = Enabled { id: Some("a'b"), max: Some(60), location: Some("[::1]:5222") };
        assert_eq!(
            text(|out| write_enabled(enabled, out)),
            "<enabled xmlns='urn:xmpp:sm:3' id='a&apos;b' resume='true' max='60' location='[::1]:5222'/>"
        );
        assert_eq!(
            text(|out| write_resumed("x", 9, out)),
            "<resumed xmlns='urn:xmpp:sm:3' previd='x' h='9'/>"
        );
        assert_eq!(
            String::from_utf8(failed(Condition::ItemNotFound, Some(3))).expect("text"),
            "<failed xmlns='urn:xmpp:sm:3' h='3'>\
             <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"
        );
    }
}
