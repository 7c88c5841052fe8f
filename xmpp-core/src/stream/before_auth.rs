//! The states before a login: a header, then TLS, then an offer of mechanisms.

use std::sync::Arc;

use crate::jid::{BareJid, Jid, prepare_domain};
use crate::ns;
use crate::sasl::{Channel, Offer};
use crate::stanza::{Kind, Stanza, Type};
use crate::stanza_error::{Condition, StanzaError};
use crate::stream::bind::ExpectBind;
use crate::stream::core::Core;
use crate::stream::header::{ResponseHeader, is_supported_version, language_tag};
use crate::stream::login::Login;
use crate::stream::{Action, Chance, Host, StartTls, State, Transition, features};
use crate::stream_error::{StreamCondition, StreamError};
use crate::xml::element::Element;
use crate::xml::{Frame, StreamHeader};

/// Waits for a stream header: the first, or one that replaces a stream.
#[derive(Debug)]
pub(super) struct ExpectHeader {
    login: Option<Login>,
}

/// TLS is required, and not there.
#[derive(Debug)]
pub(super) struct ExpectTls {
    host: Arc<Host>,
}

/// Mechanisms are offered.
#[derive(Debug)]
pub(super) struct ExpectAuth {
    pub host: Arc<Host>,
    pub offer: Offer,
    /// Who the client says it is in a header that TLS protected (RFC 6120 section 6.4.6).
    pub claimed: Option<BareJid>,
}

impl ExpectHeader {
    pub(super) fn first() -> ExpectHeader {
        ExpectHeader { login: None }
    }

    pub(super) fn after(login: Login) -> ExpectHeader {
        ExpectHeader { login: Some(login) }
    }

    pub(super) fn frame(self, frame: Frame, core: &mut Core, chance: Chance<'_>) -> Transition {
        let Frame::Header(header) = frame else {
            return Err(StreamCondition::BadFormat.into());
        };
        core.header_seen = true;
        let claimed = header.from.as_deref().map(Jid::parse);
        core.greeting = ResponseHeader::of(&core.settings.hosts.default().name);
        core.greeting.to = claimed.as_ref().and_then(|from| from.as_ref().ok()).map(Jid::bare);
        let lang = language_tag(header.lang.as_deref());
        core.greeting.set_lang(lang);
        let host = self.find_host(&header, core)?;
        core.greeting.from.clone_from(&host.name);
        if !is_supported_version(header.version.as_deref()) {
            return Err(StreamCondition::UnsupportedVersion.into());
        }
        match self.login {
            Some(login) => {
                if login.host.name != host.name {
                    let error = StreamError::new(StreamCondition::NotAuthorized);
                    return Err(error.with_text("authenticated for another domain"));
                }
                // RFC 6120 section 4.9.3.9.
                if claimed.is_some_and(|from| from.map(|from| from.bare()) != Ok(login.account.clone())) {
                    return Err(StreamCondition::InvalidFrom.into());
                }
                core.open(&features::after_auth(&core.settings.clone(), &host), chance);
                Ok(State::ExpectBind(ExpectBind::new(login, lang.map(str::to_owned))))
            }
            None => Ok(offer(host, claimed.and_then(Result::ok), core, chance)),
        }
    }

    /// RFC 6120 section 4.9.3.6; a client that names no domain gets the default one (section 4.7.2).
    fn find_host(&self, header: &StreamHeader, core: &Core) -> Result<Arc<Host>, StreamError> {
        let hosts = &core.settings.hosts;
        let host = match (&header.to, &self.login) {
            (None, Some(login)) => Some(&login.host),
            (None, None) => Some(hosts.default()),
            (Some(to), _) => prepare_domain(to).ok().and_then(|name| hosts.find(&name)),
        };
        host.cloned().ok_or_else(|| StreamCondition::HostUnknown.into())
    }
}

fn offer(host: Arc<Host>, claimed: Option<Jid>, core: &mut Core, chance: Chance<'_>) -> State {
    let settings = core.settings.clone();
    let start_tls = core.tls.is_none() && settings.start_tls != StartTls::Off;
    if start_tls && settings.start_tls == StartTls::Required {
        core.open(&features::tls_only(), chance);
        return State::ExpectTls(ExpectTls { host });
    }
    let channel = Channel { tls: core.tls.as_ref(), plain_without_tls: settings.plain_without_tls };
    let offer = Offer::new(&host.mechanisms, &host.credentials, channel);
    core.open(&features::before_auth(&settings, &host, &offer, start_tls), chance);
    // Only an address with a local part can be anybody's.
    let claimed = claimed.map(|from| from.bare()).filter(|from| core.tls.is_some() && !from.is_domain());
    State::ExpectAuth(ExpectAuth { host, offer, claimed })
}

impl ExpectTls {
    pub(super) fn frame(self, frame: Frame, core: &mut Core) -> Transition {
        match sort(frame, &self.host)? {
            Early::StartTls => Ok(start_tls(core)),
            Early::Sasl(_) => {
                core.count_aside()?;
                core.send_element(&sasl_failure("encryption-required"));
                Ok(State::ExpectTls(self))
            }
            // A password would cross in the clear.
            Early::Registration(request) => {
                let error = StanzaError::policy_violation().with_text("TLS is required.");
                answer_registration(&request, &error, &self.host, core)?;
                Ok(State::ExpectTls(self))
            }
            Early::StreamManagement => {
                refuse_stream_management(core)?;
                Ok(State::ExpectTls(self))
            }
        }
    }
}

impl ExpectAuth {
    pub(super) fn frame(self, frame: Frame, core: &mut Core) -> Transition {
        match sort(frame, &self.host)? {
            Early::StartTls if core.tls.is_none() && core.settings.start_tls != StartTls::Off => {
                Ok(start_tls(core))
            }
            Early::StartTls => Ok(refuse_tls(core)),
            Early::Sasl(element) => self.sasl(&element, core),
            Early::Registration(request) if self.host.registration => {
                core.count_aside()?;
                core.act(Action::Register { host: self.host.clone(), request });
                Ok(State::WaitRegister(self))
            }
            Early::Registration(request) => {
                answer_registration(&request, &StanzaError::service_unavailable(), &self.host, core)?;
                Ok(State::ExpectAuth(self))
            }
            Early::StreamManagement => {
                refuse_stream_management(core)?;
                Ok(State::ExpectAuth(self))
            }
        }
    }
}

/// What may come before authentication.
enum Early {
    StartTls,
    Sasl(Element),
    Registration(Stanza),
    StreamManagement,
}

fn sort(frame: Frame, host: &Host) -> Result<Early, StreamError> {
    match frame {
        Frame::Element(element) => match (element.ns(), element.name()) {
            (ns::TLS, "starttls") => Ok(Early::StartTls),
            (ns::SASL, "auth" | "response" | "abort") => Ok(Early::Sasl(element)),
            (ns::SM, "enable" | "resume" | "r" | "a") => Ok(Early::StreamManagement),
            _ => Err(StreamCondition::UnsupportedStanzaType.into()),
        },
        Frame::Stanza(stanza) if is_registration(&stanza, host) => Ok(Early::Registration(stanza)),
        // RFC 6120 section 4.9.3.12.
        Frame::Stanza(_) | Frame::Malformed(_) => Err(StreamCondition::NotAuthorized.into()),
        Frame::Header(_) | Frame::Close => Err(StreamCondition::BadFormat.into()),
    }
}

/// The one stanza that may come before a login (XEP-0077 section 3.1).
fn is_registration(stanza: &Stanza, host: &Host) -> bool {
    let to_host = stanza.to.as_ref().is_none_or(|to| to.as_str() == host.name);
    stanza.kind == Kind::Iq
        && matches!(stanza.type_, Type::Get | Type::Set)
        && to_host
        && stanza.payload.has("query", ns::REGISTER)
}

fn answer_registration(
    request: &Stanza,
    error: &StanzaError,
    host: &Host,
    core: &mut Core,
) -> Result<(), StreamError> {
    core.count_aside()?;
    if let Some(mut reply) = request.error_reply(error) {
        reply.from = Jid::new(None, &host.name, None).ok();
        core.send_stanza(&reply);
    }
    Ok(())
}

/// XEP-0198 section 3: not before authentication.
fn refuse_stream_management(core: &mut Core) -> Result<(), StreamError> {
    core.count_aside()?;
    core.send(crate::sm::failed(Condition::UnexpectedRequest, None));
    Ok(())
}

fn start_tls(core: &mut Core) -> State {
    core.act(Action::StartTls { proceed: b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>" });
    State::WaitTls
}

/// RFC 6120 section 5.4.2.2: the failure ends the stream.
fn refuse_tls(core: &mut Core) -> State {
    core.send_element(&Element::new("failure", ns::TLS));
    core.end()
}

pub(super) fn sasl_failure(condition: &str) -> Element {
    Element::new("failure", ns::SASL).child(Element::new(condition, ns::SASL))
}
