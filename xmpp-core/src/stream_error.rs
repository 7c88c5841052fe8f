//! Stream errors (RFC 6120 section 4.9): each ends its stream.

use std::borrow::Cow;
use std::fmt;

use crate::ns;
use crate::xml::element::Element;

/// The conditions of RFC 6120 section 4.9.3, and one older name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamCondition {
    /// XML that cannot be processed, where no other condition is more exact.
    BadFormat,
    /// A namespace prefix that is not supported.
    BadNamespacePrefix,
    /// A new stream of the same full address replaces this one.
    Conflict,
    /// The other side was silent for too long.
    ConnectionTimeout,
    /// The host in `to` is served here no longer.
    HostGone,
    /// The host in `to` is not served here.
    HostUnknown,
    /// A stanza between servers lacks `to` or `from`.
    ImproperAddressing,
    /// A misconfiguration or other fault of this server.
    InternalServerError,
    /// The `from` of a stanza is not one that this stream was authenticated for.
    InvalidFrom,
    /// The stream namespace or the content namespace is a wrong one.
    InvalidNamespace,
    /// XML that a validating server finds invalid.
    InvalidXml,
    /// Data before authentication, or without a right to it.
    NotAuthorized,
    /// XML that breaks the rules of XML or of its namespaces.
    NotWellFormed,
    /// A rule of this service was broken, such as the size of a stanza.
    PolicyViolation,
    /// Another server that is needed cannot be reached.
    RemoteConnectionFailed,
    /// The stream must be negotiated anew.
    Reset,
    /// This server lacks what it needs to serve the stream.
    ResourceConstraint,
    /// A comment, processing instruction, DTD or foreign entity (RFC 6120 section 11.1).
    RestrictedXml,
    /// The client shall connect to another host: `StreamError::see_other_host`.
    SeeOtherHost,
    /// This server stops.
    SystemShutdown,
    /// None of the others: an application-specific condition says more.
    UndefinedCondition,
    /// The stream is not UTF-8.
    UnsupportedEncoding,
    /// A mandatory feature is not supported by the other side.
    UnsupportedFeature,
    /// A first-level element that is not understood.
    UnsupportedStanzaType,
    /// A version of XMPP that is not supported.
    UnsupportedVersion,
    /// RFC 3920's name of `NotWellFormed`, which health checks look for before any stream header.
    XmlNotWellFormed,
}

impl StreamCondition {
    /// All conditions of RFC 6120, in its order.
    pub const ALL: [StreamCondition; 25] = [
        StreamCondition::BadFormat,
        StreamCondition::BadNamespacePrefix,
        StreamCondition::Conflict,
        StreamCondition::ConnectionTimeout,
        StreamCondition::HostGone,
        StreamCondition::HostUnknown,
        StreamCondition::ImproperAddressing,
        StreamCondition::InternalServerError,
        StreamCondition::InvalidFrom,
        StreamCondition::InvalidNamespace,
        StreamCondition::InvalidXml,
        StreamCondition::NotAuthorized,
        StreamCondition::NotWellFormed,
        StreamCondition::PolicyViolation,
        StreamCondition::RemoteConnectionFailed,
        StreamCondition::Reset,
        StreamCondition::ResourceConstraint,
        StreamCondition::RestrictedXml,
        StreamCondition::SeeOtherHost,
        StreamCondition::SystemShutdown,
        StreamCondition::UndefinedCondition,
        StreamCondition::UnsupportedEncoding,
        StreamCondition::UnsupportedFeature,
        StreamCondition::UnsupportedStanzaType,
        StreamCondition::UnsupportedVersion,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            StreamCondition::BadFormat => "bad-format",
            StreamCondition::BadNamespacePrefix => "bad-namespace-prefix",
            StreamCondition::Conflict => "conflict",
            StreamCondition::ConnectionTimeout => "connection-timeout",
            StreamCondition::HostGone => "host-gone",
            StreamCondition::HostUnknown => "host-unknown",
            StreamCondition::ImproperAddressing => "improper-addressing",
            StreamCondition::InternalServerError => "internal-server-error",
            StreamCondition::InvalidFrom => "invalid-from",
            StreamCondition::InvalidNamespace => "invalid-namespace",
            StreamCondition::InvalidXml => "invalid-xml",
            StreamCondition::NotAuthorized => "not-authorized",
            StreamCondition::NotWellFormed => "not-well-formed",
            StreamCondition::PolicyViolation => "policy-violation",
            StreamCondition::RemoteConnectionFailed => "remote-connection-failed",
            StreamCondition::Reset => "reset",
            StreamCondition::ResourceConstraint => "resource-constraint",
            StreamCondition::RestrictedXml => "restricted-xml",
            StreamCondition::SeeOtherHost => "see-other-host",
            StreamCondition::SystemShutdown => "system-shutdown",
            StreamCondition::UndefinedCondition => "undefined-condition",
            StreamCondition::UnsupportedEncoding => "unsupported-encoding",
            StreamCondition::UnsupportedFeature => "unsupported-feature",
            StreamCondition::UnsupportedStanzaType => "unsupported-stanza-type",
            StreamCondition::UnsupportedVersion => "unsupported-version",
            StreamCondition::XmlNotWellFormed => "xml-not-well-formed",
        }
    }
}

/// Why a stream ends.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamError {
    pub condition: StreamCondition,
    /// The content of `<see-other-host/>`; nothing for other conditions.
    pub host: Option<Box<str>>,
    /// A sentence in English for whoever reads the log at the other end.
    pub text: Option<Cow<'static, str>>,
    /// An application-specific condition.
    pub extra: Option<Box<Element>>,
    /// The configured bound that was exceeded, if that is why. For who counts; it is not written.
    pub exceeded: Option<Exceeded>,
}

/// A bound of a stream that ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exceeded {
    /// Bytes of a first-level element.
    Bytes,
    /// Elements in a first-level element.
    Elements,
    /// Elements within one another.
    Depth,
    /// Attributes of an element.
    Attributes,
    /// Failed logins on one stream.
    Logins,
}

impl StreamError {
    pub fn new(condition: StreamCondition) -> StreamError {
        StreamError { condition, host: None, text: None, extra: None, exceeded: None }
    }

    pub fn with_text(mut self, text: impl Into<Cow<'static, str>>) -> StreamError {
        self.text = Some(text.into());
        self
    }

    pub fn with_extra(mut self, extra: Element) -> StreamError {
        self.extra = Some(Box::new(extra));
        self
    }

    /// A configured bound is exceeded: XEP-0205 section 3, RFC 6120 sections 4.9.3.14 and 6.4.5.
    pub(crate) fn exceeded(bound: Exceeded) -> StreamError {
        let error = match bound {
            Exceeded::Bytes => StreamError::stanza_too_big("the stanza is too big"),
            Exceeded::Elements => StreamError::stanza_too_big("too many elements"),
            Exceeded::Depth => StreamError::stanza_too_big("elements are nested too deep"),
            Exceeded::Attributes => StreamError::stanza_too_big("too many attributes"),
            Exceeded::Logins => {
                StreamError::new(StreamCondition::PolicyViolation).with_text("too many failed logins")
            }
        };
        StreamError { exceeded: Some(bound), ..error }
    }

    /// RFC 6120 section 4.9.3.19; `address` is a host name or IP address, with or without port.
    pub fn see_other_host(address: &str) -> StreamError {
        StreamError { host: Some(address.into()), ..StreamError::new(StreamCondition::SeeOtherHost) }
    }

    /// XEP-0205 section 3, RFC 6120 section 4.9.3.14: over a limit of bytes, elements, depth or attributes.
    pub fn stanza_too_big(text: impl Into<Cow<'static, str>>) -> StreamError {
        StreamError::new(StreamCondition::PolicyViolation)
            .with_text(text)
            .with_extra(Element::new("stanza-too-big", ns::ERRORS))
    }

    pub fn not_well_formed(text: impl Into<Cow<'static, str>>) -> StreamError {
        StreamError::new(StreamCondition::NotWellFormed).with_text(text)
    }

    pub fn restricted_xml(text: impl Into<Cow<'static, str>>) -> StreamError {
        StreamError::new(StreamCondition::RestrictedXml).with_text(text)
    }

    /// The whole `<stream:error/>`, for a stream that has declared the prefix `stream`.
    pub fn to_xml(&self) -> Vec<u8> {
        let mut condition = Element::new(self.condition.as_str(), ns::STREAMS);
        if let Some(host) = &self.host {
            condition.push_text(host);
        }
        let mut out = b"<stream:error>".to_vec();
        condition.write(ns::CLIENT, &mut out);
        if let Some(text) = &self.text {
            Element::new("text", ns::STREAMS).attr("xml:lang", "en").text(text).write(ns::CLIENT, &mut out);
        }
        if let Some(extra) = &self.extra {
            extra.write(ns::CLIENT, &mut out);
        }
        out.extend_from_slice(b"</stream:error>");
        out
    }
}

impl From<StreamCondition> for StreamError {
    fn from(condition: StreamCondition) -> StreamError {
        StreamError::new(condition)
    }
}

impl fmt::Display for StreamCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.condition.as_str())?;
        match &self.text {
            Some(text) => write!(f, ": {text}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for StreamError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written() {
        let written = |error: StreamError| String::from_utf8(error.to_xml()).unwrap();
        assert_eq!(
            written(StreamCondition::NotWellFormed.into()),
            "<stream:error><not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
        );
        assert_eq!(
            written(StreamError::stanza_too_big("more than 10 bytes")),
            "<stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
             <text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>more than 10 bytes</text>\
             <stanza-too-big xmlns='urn:xmpp:errors'/></stream:error>"
        );
        assert_eq!(
            written(StreamError::see_other_host("[2001:db8::1]:5222")),
            "<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>[2001:db8::1]:5222\
             </see-other-host></stream:error>"
        );
    }

    #[test]
    fn every_condition_has_its_own_name() {
        let names: std::collections::HashSet<_> = StreamCondition::ALL.iter().map(|it| it.as_str()).collect();
        assert_eq!(names.len(), StreamCondition::ALL.len());
        assert!(!names.contains(StreamCondition::XmlNotWellFormed.as_str()));
    }
}
