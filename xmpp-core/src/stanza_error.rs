//! Stanza errors (RFC 6120 section 8.3).

use crate::jid::Jid;
use crate::ns;
use crate::xml::element::Element;

/// The conditions of RFC 6120 section 8.3.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Condition {
    /// The stanza does not follow the schema or cannot be understood.
    BadRequest,
    /// A resource or session of that name exists already.
    Conflict,
    /// What is asked for is not implemented here.
    FeatureNotImplemented,
    /// The sender lacks the right to do this.
    Forbidden,
    /// The addressee moved for good; `address` may say where.
    Gone,
    /// A fault of the server.
    InternalServerError,
    /// The addressed item does not exist.
    ItemNotFound,
    /// An address breaks the rules of RFC 7622.
    JidMalformed,
    /// The recipient's criteria are not met.
    NotAcceptable,
    /// Nobody may do this.
    NotAllowed,
    /// Credentials are needed first.
    NotAuthorized,
    /// A rule of the service was broken.
    PolicyViolation,
    /// The recipient is away for a while.
    RecipientUnavailable,
    /// The request goes elsewhere for a while; `address` says where.
    Redirect,
    /// Registration is needed first.
    RegistrationRequired,
    /// The domain of the address does not exist.
    RemoteServerNotFound,
    /// The domain of the address cannot be reached.
    RemoteServerTimeout,
    /// The server or recipient lacks what it needs.
    ResourceConstraint,
    /// The service is not offered to the sender, for reasons not told.
    ServiceUnavailable,
    /// A subscription is needed first.
    SubscriptionRequired,
    /// None of the others: an application-specific condition says more.
    UndefinedCondition,
    /// The request came at the wrong moment.
    UnexpectedRequest,
}

/// What the sender can do about it (RFC 6120 section 8.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorType {
    /// Try again with credentials.
    Auth,
    /// Do not try again.
    Cancel,
    /// Go on: it was only a warning.
    Continue,
    /// Try again with other data.
    Modify,
    /// Try again later.
    Wait,
}

#[derive(Debug, Clone, PartialEq)]
pub struct StanzaError {
    pub type_: ErrorType,
    pub condition: Condition,
    /// Where else to go, inside `<gone/>` and `<redirect/>`.
    pub address: Option<String>,
    /// A sentence in English.
    pub text: Option<String>,
    /// An application-specific condition.
    pub extra: Option<Box<Element>>,
    /// Who found the error, where it is not the address in `from`.
    pub by: Option<Jid>,
}

impl Condition {
    /// All conditions, in the RFC's order.
    pub const ALL: [Condition; 22] = [
        Condition::BadRequest,
        Condition::Conflict,
        Condition::FeatureNotImplemented,
        Condition::Forbidden,
        Condition::Gone,
        Condition::InternalServerError,
        Condition::ItemNotFound,
        Condition::JidMalformed,
        Condition::NotAcceptable,
        Condition::NotAllowed,
        Condition::NotAuthorized,
        Condition::PolicyViolation,
        Condition::RecipientUnavailable,
        Condition::Redirect,
        Condition::RegistrationRequired,
        Condition::RemoteServerNotFound,
        Condition::RemoteServerTimeout,
        Condition::ResourceConstraint,
        Condition::ServiceUnavailable,
        Condition::SubscriptionRequired,
        Condition::UndefinedCondition,
        Condition::UnexpectedRequest,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Condition::BadRequest => "bad-request",
            Condition::Conflict => "conflict",
            Condition::FeatureNotImplemented => "feature-not-implemented",
            Condition::Forbidden => "forbidden",
            Condition::Gone => "gone",
            Condition::InternalServerError => "internal-server-error",
            Condition::ItemNotFound => "item-not-found",
            Condition::JidMalformed => "jid-malformed",
            Condition::NotAcceptable => "not-acceptable",
            Condition::NotAllowed => "not-allowed",
            Condition::NotAuthorized => "not-authorized",
            Condition::PolicyViolation => "policy-violation",
            Condition::RecipientUnavailable => "recipient-unavailable",
            Condition::Redirect => "redirect",
            Condition::RegistrationRequired => "registration-required",
            Condition::RemoteServerNotFound => "remote-server-not-found",
            Condition::RemoteServerTimeout => "remote-server-timeout",
            Condition::ResourceConstraint => "resource-constraint",
            Condition::ServiceUnavailable => "service-unavailable",
            Condition::SubscriptionRequired => "subscription-required",
            Condition::UndefinedCondition => "undefined-condition",
            Condition::UnexpectedRequest => "unexpected-request",
        }
    }

    pub fn from_name(name: &str) -> Option<Condition> {
        Condition::ALL.into_iter().find(|condition| condition.as_str() == name)
    }

    /// The type that the RFC names for this condition, the first where it names several.
    pub fn default_type(self) -> ErrorType {
        use Condition::*;
        match self {
            Forbidden | NotAuthorized | RegistrationRequired | SubscriptionRequired => ErrorType::Auth,
            BadRequest | JidMalformed | NotAcceptable | PolicyViolation | Redirect => ErrorType::Modify,
            RecipientUnavailable | RemoteServerTimeout | ResourceConstraint | UnexpectedRequest => {
                ErrorType::Wait
            }
            Conflict
            | FeatureNotImplemented
            | Gone
            | InternalServerError
            | ItemNotFound
            | NotAllowed
            | RemoteServerNotFound
            | ServiceUnavailable
            | UndefinedCondition => ErrorType::Cancel,
        }
    }
}

impl ErrorType {
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorType::Auth => "auth",
            ErrorType::Cancel => "cancel",
            ErrorType::Continue => "continue",
            ErrorType::Modify => "modify",
            ErrorType::Wait => "wait",
        }
    }

    pub fn from_name(name: &str) -> Option<ErrorType> {
        use ErrorType::*;
        [Auth, Cancel, Continue, Modify, Wait].into_iter().find(|type_| type_.as_str() == name)
    }
}

impl StanzaError {
    /// With the condition's own type.
    pub fn new(condition: Condition) -> StanzaError {
        let type_ = condition.default_type();
        StanzaError { type_, condition, address: None, text: None, extra: None, by: None }
    }

    pub fn with_type(mut self, type_: ErrorType) -> StanzaError {
        self.type_ = type_;
        self
    }

    pub fn with_text(mut self, text: impl Into<String>) -> StanzaError {
        self.text = Some(text.into());
        self
    }

    pub fn with_extra(mut self, extra: Element) -> StanzaError {
        self.extra = Some(Box::new(extra));
        self
    }

    pub fn with_by(mut self, by: Jid) -> StanzaError {
        self.by = Some(by);
        self
    }

    /// Where else to go, for `gone` and `redirect`.
    pub fn with_address(mut self, address: impl Into<String>) -> StanzaError {
        self.address = Some(address.into());
        self
    }

    pub fn bad_request() -> StanzaError {
        StanzaError::new(Condition::BadRequest)
    }

    pub fn conflict() -> StanzaError {
        StanzaError::new(Condition::Conflict)
    }

    pub fn feature_not_implemented() -> StanzaError {
        StanzaError::new(Condition::FeatureNotImplemented)
    }

    pub fn forbidden() -> StanzaError {
        StanzaError::new(Condition::Forbidden)
    }

    pub fn internal_server_error() -> StanzaError {
        StanzaError::new(Condition::InternalServerError)
    }

    pub fn item_not_found() -> StanzaError {
        StanzaError::new(Condition::ItemNotFound)
    }

    pub fn jid_malformed() -> StanzaError {
        StanzaError::new(Condition::JidMalformed)
    }

    pub fn not_acceptable() -> StanzaError {
        StanzaError::new(Condition::NotAcceptable)
    }

    pub fn not_allowed() -> StanzaError {
        StanzaError::new(Condition::NotAllowed)
    }

    pub fn not_authorized() -> StanzaError {
        StanzaError::new(Condition::NotAuthorized)
    }

    pub fn policy_violation() -> StanzaError {
        StanzaError::new(Condition::PolicyViolation)
    }

    pub fn recipient_unavailable() -> StanzaError {
        StanzaError::new(Condition::RecipientUnavailable)
    }

    pub fn registration_required() -> StanzaError {
        StanzaError::new(Condition::RegistrationRequired)
    }

    pub fn remote_server_not_found() -> StanzaError {
        StanzaError::new(Condition::RemoteServerNotFound)
    }

    pub fn remote_server_timeout() -> StanzaError {
        StanzaError::new(Condition::RemoteServerTimeout)
    }

    pub fn service_unavailable() -> StanzaError {
        StanzaError::new(Condition::ServiceUnavailable)
    }

    pub fn unexpected_request() -> StanzaError {
        StanzaError::new(Condition::UnexpectedRequest)
    }

    /// `resource-constraint`: what the store or a bound cannot take now, it may take later.
    pub fn resource_constraint_wait() -> StanzaError {
        StanzaError::new(Condition::ResourceConstraint)
    }

    /// `<error/>`, in the namespace of the stanza that it goes into.
    pub fn to_element(&self) -> Element {
        let mut condition = Element::new(self.condition.as_str(), ns::STANZAS);
        if let Some(address) = &self.address {
            condition.push_text(address);
        }
        let mut error = Element::new("error", ns::CLIENT)
            .attr("type", self.type_.as_str())
            .attr_opt("by", self.by.as_ref())
            .child(condition);
        if let Some(text) = &self.text {
            error.push(Element::new("text", ns::STANZAS).attr("xml:lang", "en").text(text));
        }
        if let Some(extra) = &self.extra {
            error.push(extra.as_ref().clone());
        }
        error
    }

    /// Reads `<error/>` as tolerantly as RFC 6120 section 8.3.2 wants it: an unknown condition becomes
    /// `undefined-condition`, a missing or unknown type the condition's own.
    pub fn from_element(element: &Element) -> Option<StanzaError> {
        if element.name() != "error" {
            return None;
        }
        let mut error = StanzaError::new(Condition::UndefinedCondition);
        for child in element.elements() {
            if child.ns() != ns::STANZAS {
                error.extra.get_or_insert_with(|| Box::new(child.clone()));
            } else if child.name() == "text" {
                error.text.get_or_insert_with(|| child.content());
            } else if let Some(condition) = Condition::from_name(child.name()) {
                error.condition = condition;
                error.address = Some(child.content()).filter(|address| !address.is_empty());
            }
        }
        error.type_ = element
            .attribute("type")
            .and_then(ErrorType::from_name)
            .unwrap_or_else(|| error.condition.default_type());
        error.by = element.attribute("by").and_then(|by| Jid::parse(by).ok());
        Some(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read() {
        let mut names = std::collections::HashSet::new();
        for condition in Condition::ALL {
            assert!(names.insert(condition.as_str()));
            let error = StanzaError::new(condition);
            assert_eq!(StanzaError::from_element(&error.to_element()), Some(error));
        }
        let error = StanzaError::new(Condition::Gone)
            .with_type(ErrorType::Modify)
            .with_address("xmpp:a@b")
            .with_text("moved & gone")
            .with_extra(Element::new("x", "urn:x"))
            .with_by("b".parse().unwrap());
        assert_eq!(StanzaError::from_element(&error.to_element()), Some(error.clone()));
        assert_eq!(
            error.to_element().to_xml(),
            "<error xmlns='jabber:client' type='modify' by='b'>\
             <gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>xmpp:a@b</gone>\
             <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>moved &amp; gone</text><x xmlns='urn:x'/></error>"
        );
    }

    #[test]
    fn read_tolerantly() {
        let read = |xml: &str| StanzaError::from_element(&Element::parse(xml.as_bytes()).unwrap());
        let nothing = read("<error/>").unwrap();
        assert_eq!((nothing.condition, nothing.type_), (Condition::UndefinedCondition, ErrorType::Cancel));
        let unknown =
            read("<error type='strange' by='@'><new xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>");
        assert_eq!(unknown, read("<error/>"));
        assert_eq!(read("<problem/>"), None);
    }
}
