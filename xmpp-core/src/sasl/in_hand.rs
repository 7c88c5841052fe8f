//! Our exchange behind the `sasl` crate's trait, for callers that have every secret at hand: its
//! `respond` cannot ask and wait.

use sasl::common::Identity;
use sasl::server::{Mechanism, MechanismError, ProviderError, Response, ValidatorError};

use crate::sasl::{AuthError, Exchange, Offer, ScramSecret, Step};

/// An exchange with the answers in hand. `lookup` finds the secret of a username, or a fake one.
pub struct InHand<L, C> {
    exchange: Exchange,
    offer: Offer,
    username: String,
    lookup: L,
    chance: C,
}

impl<L, C> InHand<L, C>
where
    L: FnMut(&str) -> ScramSecret,
    C: FnMut(&mut [u8]),
{
    pub fn new(exchange: Exchange, offer: Offer, lookup: L, chance: C) -> InHand<L, C> {
        InHand { exchange, offer, username: String::new(), lookup, chance }
    }

    fn finish(&mut self, mut step: Step) -> Result<Response, MechanismError> {
        loop {
            step = match step {
                // The trait has no place for somebody else's name.
                Step::Ask { authzid: Some(_), .. } => return Err(mechanism_error(AuthError::InvalidAuthzid)),
                Step::Ask { username, authzid: None } => {
                    let secret = (self.lookup)(&username);
                    self.username = username;
                    self.exchange.answer(secret, &self.offer, &mut self.chance)
                }
                Step::Check(check) => self.exchange.checked(check.run()),
                Step::Challenge(data) => return Ok(Response::Proceed(data)),
                Step::Done(data) => {
                    let identity = Identity::Username(std::mem::take(&mut self.username));
                    return Ok(Response::Success(identity, data));
                }
                Step::Failed(error) => return Err(mechanism_error(error)),
            }
        }
    }
}

impl<L, C> Mechanism for InHand<L, C>
where
    L: FnMut(&str) -> ScramSecret,
    C: FnMut(&mut [u8]),
{
    fn name(&self) -> &str {
        self.exchange.mechanism().name()
    }

    /// Costs what `ScramSecret::verify_password` costs where the mechanism is PLAIN.
    fn respond(&mut self, payload: &[u8]) -> Result<Response, MechanismError> {
        let step = self.exchange.respond(payload, &self.offer);
        self.finish(step)
    }
}

/// The nearest word that the crate has.
fn mechanism_error(error: AuthError) -> MechanismError {
    match error {
        AuthError::BadEncoding | AuthError::Malformed | AuthError::UnknownExtension => {
            MechanismError::FailedToDecodeMessage
        }
        AuthError::UnsupportedBinding => MechanismError::ChannelBindingMechanismIncorrect,
        AuthError::Downgrade => MechanismError::ChannelBindingIsSupported,
        AuthError::UnknownAccount | AuthError::Unavailable => {
            MechanismError::ProviderError(ProviderError::AuthenticationFailed)
        }
        AuthError::InvalidAuthzid | AuthError::BadUsername => {
            MechanismError::ValidatorError(ValidatorError::AuthenticationFailed)
        }
        _ => MechanismError::AuthenticationFailed,
    }
}
