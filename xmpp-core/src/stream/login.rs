//! The SASL exchange on a stream (RFC 6120 section 6.4).

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::jid::BareJid;
use crate::ns;
use crate::sasl::{AuthError, Credentials, Exchange, Mechanism, ScramHash, ScramSecret, Step, fake_secret};
use crate::stream::before_auth::{ExpectAuth, ExpectHeader, sasl_failure};
use crate::stream::core::Core;
use crate::stream::{Action, Chance, Host, Lookup, State, Transition, Verdict};
use crate::stream_error::StreamCondition;
use crate::xml::Frame;
use crate::xml::element::Element;

/// A login that succeeded.
#[derive(Debug)]
pub(super) struct Login {
    pub account: BareJid,
    pub host: Arc<Host>,
    pub mechanism: Mechanism,
}

/// A login under way.
#[derive(Debug)]
pub(super) struct Attempt {
    /// What the stream goes back to when it fails.
    auth: ExpectAuth,
    exchange: Exchange,
    /// Known once the client has said who it is.
    account: Option<BareJid>,
    /// Decided before the exchange is over, and told behind its end, so that nobody learns it sooner or
    /// faster than that a password is wrong.
    refusal: Option<AuthError>,
}

impl ExpectAuth {
    /// An element of SASL while no exchange is under way.
    pub(super) fn sasl(self, element: &Element, core: &mut Core) -> Transition {
        match element.name() {
            "auth" => self.begin(element, core),
            "abort" => self.refuse(AuthError::Aborted, core),
            _ => self.refuse(AuthError::Malformed, core),
        }
    }

    fn begin(self, auth: &Element, core: &mut Core) -> Transition {
        let mechanism = match self.offer.find(auth.attribute("mechanism").unwrap_or_default()) {
            Ok(mechanism) => mechanism,
            Err(error) => return self.refuse(error, core),
        };
        let exchange = Exchange::new(mechanism);
        let attempt = Attempt { auth: self, exchange, account: None, refusal: None };
        match decode(auth) {
            // The client speaks first in all our mechanisms: without an initial response it is asked to
            // by an empty challenge (RFC 4422 section 3.3).
            Ok(None) => attempt.step(Step::Challenge(Vec::new()), core),
            Ok(Some(message)) => attempt.respond(&message, core),
            Err(error) => attempt.fail(error, core),
        }
    }

    /// A failure before there is an exchange.
    fn refuse(self, error: AuthError, core: &mut Core) -> Transition {
        core.act(Action::AuthFailed { account: None, mechanism: None, error });
        core.send_element(&sasl_failure(error.failure().as_str()));
        core.count_login(error)?;
        Ok(State::ExpectAuth(self))
    }
}

impl Attempt {
    pub(super) fn frame(self, frame: Frame, core: &mut Core) -> Transition {
        let element = match frame {
            Frame::Element(element) => element,
            Frame::Stanza(_) | Frame::Malformed(_) => return Err(StreamCondition::NotAuthorized.into()),
            Frame::Header(_) | Frame::Close => return Err(StreamCondition::BadFormat.into()),
        };
        match (element.ns(), element.name()) {
            (ns::SASL, "response") => match decode(&element) {
                Ok(message) => self.respond(&message.unwrap_or_default(), core),
                Err(error) => self.fail(error, core),
            },
            (ns::SASL, "abort") => self.fail(AuthError::Aborted, core),
            // RFC 6120 section 6.4.2: the exchange so far is discarded.
            (ns::SASL, "auth") => {
                core.count_login(AuthError::Aborted)?;
                self.auth.begin(&element, core)
            }
            _ => Err(StreamCondition::UnsupportedStanzaType.into()),
        }
    }

    /// `Action::Secret` is answered.
    pub(super) fn found(mut self, lookup: Lookup, core: &mut Core, chance: Chance<'_>) -> Transition {
        let secret = match lookup {
            Lookup::Found(secret) if self.serves(&secret) => Some(secret),
            Lookup::Refused { secret, error } if self.serves(&secret) => {
                self.refusal = Some(error);
                Some(secret)
            }
            Lookup::Found(_) | Lookup::Refused { .. } | Lookup::Missing => None,
            Lookup::Unavailable => return self.fail(AuthError::Unavailable, core),
        };
        // Made in any case, so that it takes no time that tells.
        let fake = self.fake(core);
        let secret = secret.unwrap_or_else(|| {
            self.refusal = Some(AuthError::UnknownAccount);
            fake
        });
        let step = self.exchange.answer(secret, &self.auth.offer, chance);
        self.step(step, core)
    }

    /// `Action::CheckPassword` or `Action::VerifyPassword` is answered.
    pub(super) fn checked(mut self, verdict: Verdict, core: &mut Core) -> Transition {
        match verdict {
            Verdict::Right | Verdict::Wrong => {
                let step = self.exchange.checked(verdict == Verdict::Right);
                self.step(step, core)
            }
            Verdict::Refused(error) => self.fail(error, core),
            Verdict::Unavailable => self.fail(AuthError::Unavailable, core),
        }
    }

    fn respond(mut self, message: &[u8], core: &mut Core) -> Transition {
        let step = self.exchange.respond(message, &self.auth.offer);
        self.step(step, core)
    }

    fn step(self, step: Step, core: &mut Core) -> Transition {
        match step {
            Step::Ask { username, authzid } => self.asked(&username, authzid.as_deref(), core),
            Step::Challenge(data) => {
                core.send_element(&with_data("challenge", &data));
                Ok(State::ExpectSaslReply(self))
            }
            Step::Check(check) => {
                core.act(Action::CheckPassword(check));
                Ok(State::WaitCheck(self))
            }
            Step::Done(data) => match (self.refusal, self.account.clone()) {
                (None, Some(account)) => Ok(self.succeed(account, &data, core)),
                (refusal, _) => self.fail(refusal.unwrap_or(AuthError::UnknownAccount), core),
            },
            // For the log; the client is told the same.
            Step::Failed(AuthError::WrongPassword) if self.refusal == Some(AuthError::UnknownAccount) => {
                self.fail(AuthError::UnknownAccount, core)
            }
            Step::Failed(error) => self.fail(error, core),
        }
    }

    fn asked(mut self, username: &str, authzid: Option<&str>, core: &mut Core) -> Transition {
        let Ok(account) = BareJid::new(Some(username), &self.auth.host.name) else {
            return self.fail(AuthError::BadUsername, core);
        };
        self.account = Some(account.clone());
        // RFC 6120 sections 6.3.8 and 6.4.6: nobody acts for another here.
        let is_own = authzid.is_none_or(|authzid| BareJid::parse(authzid).as_ref() == Ok(&account));
        if !is_own || self.auth.claimed.as_ref().is_some_and(|claimed| *claimed != account) {
            return self.fail(AuthError::InvalidAuthzid, core);
        }
        match self.auth.host.credentials {
            Credentials::Secrets(_) => {
                core.act(Action::Secret { account, mechanism: self.exchange.mechanism() });
                Ok(State::WaitSecret(self))
            }
            Credentials::Verify => match self.exchange.take_password() {
                Some(password) => {
                    core.act(Action::VerifyPassword { account, password });
                    Ok(State::WaitCheck(self))
                }
                // Nothing but PLAIN is offered there.
                None => self.fail(AuthError::InvalidMechanism, core),
            },
        }
    }

    fn succeed(self, account: BareJid, data: &[u8], core: &mut Core) -> State {
        let mechanism = self.exchange.mechanism();
        core.act(Action::Authenticated { account: account.clone(), mechanism });
        core.send_element(&with_data("success", data));
        core.act(Action::NewStream);
        core.restart();
        State::ExpectHeader(ExpectHeader::after(Login { account, host: self.auth.host, mechanism }))
    }

    fn fail(self, error: AuthError, core: &mut Core) -> Transition {
        let mechanism = Some(self.exchange.mechanism());
        core.act(Action::AuthFailed { account: self.account, mechanism, error });
        core.send_element(&sasl_failure(error.failure().as_str()));
        core.count_login(error)?;
        Ok(State::ExpectAuth(self.auth))
    }

    fn serves(&self, secret: &ScramSecret) -> bool {
        self.exchange.mechanism().hash().is_none_or(|hash| hash == secret.hash)
    }

    fn fake(&self, core: &Core) -> ScramSecret {
        let usual = match &self.auth.host.credentials {
            Credentials::Secrets(hashes) => hashes.first().copied(),
            Credentials::Verify => None,
        };
        let hash = self.exchange.mechanism().hash().or(usual).unwrap_or(ScramHash::Sha256);
        let account = self.account.as_ref().map(BareJid::as_str).unwrap_or_default();
        let fakes = &core.settings.fakes;
        fake_secret(&fakes.key, account, hash, fakes.iterations)
    }
}

/// The element's content: nothing, `=` for data of no length (RFC 6120 section 6.4.2), or base64, in which
/// nothing else may stand (section 13.9.1).
fn decode(element: &Element) -> Result<Option<Vec<u8>>, AuthError> {
    match element.content().as_str() {
        "" => Ok(None),
        "=" => Ok(Some(Vec::new())),
        text => BASE64.decode(text).map(Some).map_err(|_| AuthError::BadEncoding),
    }
}

fn with_data(name: &str, data: &[u8]) -> Element {
    Element::new(name, ns::SASL).text(&BASE64.encode(data))
}
