//! A stanza is an envelope with a sealed letter: the header is parsed, the children are canonical bytes with
//! an index of the first level.

pub mod payload;

use std::sync::Arc;

use crate::jid::Jid;
use crate::ns;
use crate::stanza_error::StanzaError;
use crate::stream_error::StreamError;
use crate::xml::element::Element;
use crate::xml::escape;

pub use payload::{ChildRef, Payload};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Message,
    Presence,
    Iq,
}

/// The `type` attribute of all three kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Type {
    /// No `type` (or one that a message may not have): a normal message, or available presence.
    None,
    Normal,
    Chat,
    Groupchat,
    Headline,
    Unavailable,
    Subscribe,
    Subscribed,
    Unsubscribe,
    Unsubscribed,
    Probe,
    Get,
    Set,
    Result,
    Error,
}

#[derive(Debug, Clone)]
pub struct Stanza {
    pub kind: Kind,
    pub type_: Type,
    pub from: Option<Jid>,
    pub to: Option<Jid>,
    pub id: Option<Arc<str>>,
    pub lang: Option<Arc<str>>,
    pub payload: Payload,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Message => "message",
            Kind::Presence => "presence",
            Kind::Iq => "iq",
        }
    }
}

impl Type {
    /// As written; nothing for `Type::None`.
    pub fn as_str(self) -> Option<&'static str> {
        Some(match self {
            Type::None => return None,
            Type::Normal => "normal",
            Type::Chat => "chat",
            Type::Groupchat => "groupchat",
            Type::Headline => "headline",
            Type::Unavailable => "unavailable",
            Type::Subscribe => "subscribe",
            Type::Subscribed => "subscribed",
            Type::Unsubscribe => "unsubscribe",
            Type::Unsubscribed => "unsubscribed",
            Type::Probe => "probe",
            Type::Get => "get",
            Type::Set => "set",
            Type::Result => "result",
            Type::Error => "error",
        })
    }

    /// None where this kind of stanza has no such type.
    pub fn of(kind: Kind, name: &str) -> Option<Type> {
        Some(match (kind, name) {
            (_, "error") => Type::Error,
            (Kind::Message, "normal") => Type::Normal,
            (Kind::Message, "chat") => Type::Chat,
            (Kind::Message, "groupchat") => Type::Groupchat,
            (Kind::Message, "headline") => Type::Headline,
            (Kind::Presence, "unavailable") => Type::Unavailable,
            (Kind::Presence, "subscribe") => Type::Subscribe,
            (Kind::Presence, "subscribed") => Type::Subscribed,
            (Kind::Presence, "unsubscribe") => Type::Unsubscribe,
            (Kind::Presence, "unsubscribed") => Type::Unsubscribed,
            (Kind::Presence, "probe") => Type::Probe,
            (Kind::Iq, "get") => Type::Get,
            (Kind::Iq, "set") => Type::Set,
            (Kind::Iq, "result") => Type::Result,
            _ => return None,
        })
    }
}

/// Building.
impl Stanza {
    pub fn new(kind: Kind, type_: Type) -> Stanza {
        Stanza { kind, type_, from: None, to: None, id: None, lang: None, payload: Payload::empty() }
    }

    pub fn message(type_: Type) -> Stanza {
        Stanza::new(Kind::Message, type_)
    }

    pub fn presence(type_: Type) -> Stanza {
        Stanza::new(Kind::Presence, type_)
    }

    pub fn iq(type_: Type, id: &str) -> Stanza {
        Stanza::new(Kind::Iq, type_).with_id(id)
    }

    pub fn with_to(self, to: Jid) -> Stanza {
        Stanza { to: Some(to), ..self }
    }

    pub fn with_from(self, from: Jid) -> Stanza {
        Stanza { from: Some(from), ..self }
    }

    pub fn with_id(self, id: &str) -> Stanza {
        Stanza { id: Some(id.into()), ..self }
    }

    pub fn with_lang(self, lang: &str) -> Stanza {
        Stanza { lang: Some(lang.into()), ..self }
    }

    pub fn with_child(mut self, child: &Element) -> Stanza {
        self.payload.push(child);
        self
    }

    /// The IQ result without content, back to the sender.
    pub fn result(&self) -> Stanza {
        self.reply(Type::Result)
    }

    pub fn result_with(&self, child: &Element) -> Stanza {
        self.result().with_child(child)
    }

    /// RFC 6120 section 8.3: back to the sender, with the same `id`. Nothing for what must not be answered
    /// with an error: an error, or the result of an IQ. What the sender sent is not echoed.
    pub fn error_reply(&self, error: &StanzaError) -> Option<Stanza> {
        match self.type_ {
            Type::Error | Type::Result => None,
            _ => Some(self.reply(Type::Error).with_child(&error.to_element())),
        }
    }

    fn reply(&self, type_: Type) -> Stanza {
        Stanza {
            from: self.to.clone(),
            to: self.from.clone(),
            id: self.id.clone(),
            ..Stanza::new(self.kind, type_)
        }
    }
}

/// Reading.
impl Stanza {
    pub fn is_error(&self) -> bool {
        self.type_ == Type::Error
    }

    /// The `<error/>` of a stanza of type error.
    pub fn error(&self) -> Option<StanzaError> {
        let error = self.is_error().then(|| self.payload.get("error", ns::CLIENT))?;
        StanzaError::from_element(&error?)
    }

    /// Reads one whole stanza element, with or without `xmlns='jabber:client'`: from storage, a command line,
    /// a test. Checks everything but the size; a fault that a stream would answer with a stanza error is an
    /// error here.
    pub fn read(xml: &[u8]) -> Result<Stanza, StreamError> {
        crate::xml::read_stanza(xml)
    }
}

/// Writing.
impl Stanza {
    /// As in a stream whose content namespace is declared.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_with(None, out);
    }

    /// With `xmlns` on the stanza: for `<forwarded/>` and for storage.
    pub fn write_in(&self, content_ns: &str, out: &mut Vec<u8>) {
        self.write_with(Some(content_ns), out);
    }

    fn write_with(&self, namespace: Option<&str>, out: &mut Vec<u8>) {
        let name = self.kind.as_str();
        // Room for the addresses, the id and the type of an ordinary stanza besides.
        out.reserve(self.payload.len_bytes() + 256);
        out.push(b'<');
        out.extend_from_slice(name.as_bytes());
        if let Some(namespace) = namespace {
            escape::attribute("xmlns", namespace, out);
        }
        if let Some(from) = &self.from {
            write_address(b" from='", from, out);
        }
        if let Some(to) = &self.to {
            write_address(b" to='", to, out);
        }
        if let Some(id) = &self.id {
            escape::attribute("id", id, out);
        }
        if let Some(type_) = self.type_.as_str() {
            out.extend_from_slice(b" type='");
            out.extend_from_slice(type_.as_bytes());
            out.push(b'\'');
        }
        if let Some(lang) = &self.lang {
            escape::attribute("xml:lang", lang, out);
        }
        if self.payload.is_empty() {
            out.extend_from_slice(b"/>");
            return;
        }
        out.push(b'>');
        out.extend_from_slice(self.payload.bytes());
        out.extend_from_slice(b"</");
        out.extend_from_slice(name.as_bytes());
        out.push(b'>');
    }
}

/// RFC 7622 section 3.3.1 keeps all that would need escaping out of a local part, and no domain has it.
fn write_address(attribute: &[u8], address: &Jid, out: &mut Vec<u8>) {
    out.extend_from_slice(attribute);
    out.extend_from_slice(address.bare_str().as_bytes());
    if let Some(resource) = address.resource() {
        out.push(b'/');
        escape::value(resource, out);
    }
    out.push(b'\'');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(stanza: &Stanza) -> String {
        let mut out = Vec::new();
        stanza.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn read(xml: &str) -> Stanza {
        Stanza::read(xml.as_bytes()).unwrap()
    }

    #[test]
    fn built_and_written() {
        let stanza = Stanza::message(Type::Chat)
            .with_from("a@b/'<&".parse().unwrap())
            .with_to("c@d".parse().unwrap())
            .with_id("1\n'")
            .with_lang("en")
            .with_child(&Element::new("body", ns::CLIENT).text("x"));
        let xml = "<message from='a@b/&apos;&lt;&amp;' to='c@d' id='1&#xA;&apos;' type='chat' xml:lang='en'><body>x</body></message>";
        assert_eq!(written(&stanza), xml);
        assert_eq!(written(&read(xml)), xml);
        let mut stored = Vec::new();
        stanza.write_in(ns::SERVER, &mut stored);
        assert!(stored.starts_with(b"<message xmlns='jabber:server' from="));
        assert_eq!(written(&Stanza::presence(Type::None)), "<presence/>");
        assert_eq!(written(&Stanza::iq(Type::Get, "1")), "<iq id='1' type='get'/>");
    }

    #[test]
    fn every_type_is_read_back() {
        for kind in [Kind::Message, Kind::Presence, Kind::Iq] {
            for name in [
                "normal",
                "chat",
                "groupchat",
                "headline",
                "unavailable",
                "subscribe",
                "subscribed",
                "unsubscribe",
                "unsubscribed",
                "probe",
                "get",
                "set",
                "result",
                "error",
            ] {
                if let Some(type_) = Type::of(kind, name) {
                    assert_eq!(type_.as_str(), Some(name));
                }
            }
            assert_eq!(Type::of(kind, "error"), Some(Type::Error));
            assert_eq!(
                (Type::of(kind, ""), Type::of(kind, "available"), Type::None.as_str()),
                (None, None, None)
            );
        }
    }

    /// RFC 6120 sections 8.2.3 and 8.3.1.
    #[test]
    fn replies() {
        let get = read("<iq from='a@b/c' to='d' id='1' type='get'><query xmlns='urn:x'/></iq>");
        assert_eq!(written(&get.result()), "<iq from='d' to='a@b/c' id='1' type='result'/>");
        let found = get.result_with(&Element::new("query", "urn:x"));
        assert_eq!(
            written(&found),
            "<iq from='d' to='a@b/c' id='1' type='result'><query xmlns='urn:x'/></iq>"
        );
        let error = get.error_reply(&StanzaError::service_unavailable()).unwrap();
        assert_eq!(
            written(&error),
            "<iq from='d' to='a@b/c' id='1' type='error'><error type='cancel'>\
             <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
        );
        assert_eq!(error.error(), Some(StanzaError::service_unavailable()));
        assert!(error.is_error() && !get.is_error() && get.error().is_none());
        assert!(error.error_reply(&StanzaError::bad_request()).is_none());
        assert!(get.result().error_reply(&StanzaError::bad_request()).is_none());
    }

    #[test]
    fn read_alone() {
        for xml in ["<message xmlns='jabber:client'/>", " <message/>\n", "<message></message>"] {
            assert_eq!(written(&read(xml)), "<message/>");
        }
        for xml in [
            "",
            "x",
            "<message>",
            "<message/><message/>",
            "<message/>x",
            "<?xml version='1.0'?><message/>",
            "<foo/>",
            "<!----><message/>",
            "<message xmlns='jabber:server'/>",
            "<message to='@'/>",
            "<iq type='get' id='1'/>",
            "<message/><!-- -->",
            "\u{feff}<message/>",
        ] {
            assert!(Stanza::read(xml.as_bytes()).is_err(), "{xml}");
        }
        assert!(Stanza::read(b"<message><body>\xff</body></message>").is_err());
    }
}
