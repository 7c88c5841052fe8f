//! The authenticated stream until it has a resource, or is another one's continuation (RFC 6120 section 7,
//! XEP-0198 section 5).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64_URL;

use crate::jid::Jid;
use crate::ns;
use crate::sm::{self, Resume};
use crate::stanza::{Kind, Stanza, Type};
use crate::stanza_error::{Condition, StanzaError};
use crate::stream::core::Core;
use crate::stream::login::Login;
use crate::stream::{Action, Chance, Established, State, Transition};
use crate::stream_error::{StreamCondition, StreamError};
use crate::xml::Frame;
use crate::xml::element::Element;

/// Chance in a resource that the server makes up: nobody guesses it (RFC 6120 section 7.5).
const RESOURCE_BYTES: usize = 12;

#[derive(Debug)]
pub(super) struct ExpectBind {
    login: Login,
    lang: Option<String>,
}

/// Somebody is asked whether the resource can be had.
#[derive(Debug)]
pub(super) struct WaitBind {
    expect: ExpectBind,
    request: Stanza,
}

impl ExpectBind {
    pub(super) fn new(login: Login, lang: Option<String>) -> ExpectBind {
        ExpectBind { login, lang }
    }

    pub(super) fn frame(self, frame: Frame, core: &mut Core, chance: Chance<'_>) -> Transition {
        match frame {
            Frame::Stanza(stanza) => self.stanza(stanza, core, chance),
            Frame::Malformed(malformed) => {
                core.count_aside()?;
                answer_error(&malformed.stanza, &StanzaError::new(malformed.condition), core);
                Ok(State::ExpectBind(self))
            }
            Frame::Element(element) => self.element(&element, core),
            Frame::Header(_) | Frame::Close => Err(StreamCondition::BadFormat.into()),
        }
    }

    /// `Action::Resume` is answered.
    pub(super) fn resumed(self, core: &mut Core) -> State {
        let account = self.login.account.jid();
        self.establish(account, true, core)
    }

    fn stanza(self, mut stanza: Stanza, core: &mut Core, chance: Chance<'_>) -> Transition {
        // Whatever it says, there is no address yet that it could come from.
        stanza.from = None;
        if !self.is_to_us(&stanza) {
            // RFC 6120 section 7.1.
            return Err(StreamCondition::NotAuthorized.into());
        }
        if stanza.kind == Kind::Iq
            && stanza.type_ == Type::Set
            && let Some(bind) = stanza.payload.get("bind", ns::BIND)
        {
            return self.bind(stanza, &bind, core, chance);
        }
        core.count_aside()?;
        answer_error(&stanza, &StanzaError::unexpected_request(), core);
        Ok(State::ExpectBind(self))
    }

    /// To the server or the client's own account. Presence without an address is to all contacts.
    fn is_to_us(&self, stanza: &Stanza) -> bool {
        match &stanza.to {
            None => stanza.kind != Kind::Presence,
            Some(to) => to.as_str() == self.login.host.name || *to == self.login.account,
        }
    }

    fn bind(self, request: Stanza, bind: &Element, core: &mut Core, chance: Chance<'_>) -> Transition {
        let wanted = bind.find("resource", ns::BIND).map(Element::content).filter(|text| !text.is_empty());
        let by_server = wanted.is_none();
        let resource = wanted.unwrap_or_else(|| {
            let mut bytes = [0; RESOURCE_BYTES];
            chance(&mut bytes);
            BASE64_URL.encode(bytes)
        });
        let wait = WaitBind { request, expect: self };
        match wait.expect.login.account.with_resource(&resource) {
            Ok(jid) => {
                core.act(Action::Bind { jid, by_server });
                Ok(State::WaitBind(wait))
            }
            // Too long, or with a character that no resource has (RFC 6120 section 7.7.2.1).
            Err(_) => wait.refused(&StanzaError::bad_request(), core),
        }
    }

    fn element(self, element: &Element, core: &mut Core) -> Transition {
        match (element.ns(), element.name()) {
            (ns::SM, "resume") => self.resume(element, core),
            // XEP-0198 section 3: not before a resource is bound.
            (ns::SM, "enable" | "r" | "a") => {
                refuse(Condition::UnexpectedRequest, core)?;
                Ok(State::ExpectBind(self))
            }
            // XEP-0352: nothing is held yet, and a bound session begins as active.
            (ns::CSI, "active" | "inactive") => {
                core.count_aside()?;
                Ok(State::ExpectBind(self))
            }
            _ => Err(StreamCondition::UnsupportedStanzaType.into()),
        }
    }

    fn resume(self, element: &Element, core: &mut Core) -> Transition {
        let condition = match Resume::parse(element) {
            None => Condition::BadRequest,
            Some(_) if !core.settings.resumption => Condition::FeatureNotImplemented,
            Some(resume) => {
                core.count_aside()?;
                core.act(Action::Resume { account: self.login.account.clone(), resume });
                return Ok(State::WaitResume(self));
            }
        };
        refuse(condition, core)?;
        Ok(State::ExpectBind(self))
    }

    fn establish(self, jid: Jid, resumed: bool, core: &mut Core) -> State {
        let Login { host, mechanism, .. } = self.login;
        core.act(Action::Established(Established { jid, host, mechanism, lang: self.lang, resumed }));
        State::Established
    }
}

impl WaitBind {
    pub(super) fn bound(self, jid: &Jid, core: &mut Core) -> State {
        let text = Element::new("jid", ns::BIND).text(jid.as_str());
        core.send_stanza(&self.request.result_with(&Element::new("bind", ns::BIND).child(text)));
        self.expect.establish(jid.clone(), false, core)
    }

    pub(super) fn refused(self, error: &StanzaError, core: &mut Core) -> Transition {
        answer_error(&self.request, error, core);
        core.count_bind()?;
        Ok(State::ExpectBind(self.expect))
    }
}

fn answer_error(stanza: &Stanza, error: &StanzaError, core: &mut Core) {
    if let Some(reply) = stanza.error_reply(error) {
        core.send_stanza(&reply);
    }
}

fn refuse(condition: Condition, core: &mut Core) -> Result<(), StreamError> {
    core.count_aside()?;
    core.send(sm::failed(condition, None));
    Ok(())
}
