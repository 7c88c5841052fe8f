//! One SASL exchange, whatever its mechanism, from `<auth/>` to success or failure.
//!
//! ```text
//!              respond            answer             respond
//! ExpectFirst ---------> Asked -----------> ExpectProof -----> Over      SCRAM
//!                          |  answer, or take_password
//!                          '--------------> Checking --------> Over      PLAIN
//!                                                     checked
//! ```

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64_URL;

use crate::sasl::plain::PlainMessage;
use crate::sasl::{AuthError, Mechanism, Offer, Password, ScramSecret, scram};

/// The server adds this much chance to the client's nonce.
const NONCE_BYTES: usize = 24;

/// Two names of 1023 bytes with each byte escaped, and room for a nonce: no message needs more.
pub(crate) const MAX_MESSAGE_BYTES: usize = 8_192;

/// What is to be done next.
#[derive(Debug)]
pub enum Step {
    /// Find the secret of this account and `answer` with it, with a fake one if there is none. The
    /// names are as the client sent them: unprepared, and the second not yet checked.
    Ask { username: String, authzid: Option<String> },
    /// Send this and `respond` to what comes back.
    Challenge(Vec<u8>),
    /// Run this where it may take milliseconds, and tell `checked`.
    Check(PasswordCheck),
    /// The client has shown that it is the one it said; send this with the success.
    Done(Vec<u8>),
    /// The exchange is over.
    Failed(AuthError),
}

/// Compares a password with a secret: pure, and as slow as the secret's iterations make it.
#[derive(Debug)]
pub struct PasswordCheck {
    secret: ScramSecret,
    password: Password,
}

impl PasswordCheck {
    pub fn run(&self) -> bool {
        self.secret.verify_password(self.password.as_str())
    }
}

#[derive(Debug)]
pub struct Exchange {
    mechanism: Mechanism,
    state: State,
}

#[derive(Debug)]
enum State {
    ExpectFirst,
    AskedScram(scram::Asked),
    ExpectProof(scram::ExpectProof),
    AskedPlain(Password),
    Checking,
    Over,
}

impl Exchange {
    pub fn new(mechanism: Mechanism) -> Exchange {
        Exchange { mechanism, state: State::ExpectFirst }
    }

    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// Takes a message of the client: the initial response, or the answer to a challenge. `offer` is
    /// what this stream announced.
    pub fn respond(&mut self, message: &[u8], offer: &Offer) -> Step {
        if message.len() > MAX_MESSAGE_BYTES {
            self.state = State::Over;
            return Step::Failed(AuthError::Malformed);
        }
        match std::mem::replace(&mut self.state, State::Over) {
            State::ExpectFirst => self.first(message, offer).unwrap_or_else(Step::Failed),
            State::ExpectProof(expect_proof) => match expect_proof.finish(message) {
                Ok(server_final) => Step::Done(server_final.into_bytes()),
                Err(error) => Step::Failed(error),
            },
            _ => Step::Failed(AuthError::Malformed),
        }
    }

    /// Gives the secret that was asked for. `chance` fills its argument with random bytes.
    pub fn answer(&mut self, secret: ScramSecret, offer: &Offer, chance: &mut dyn FnMut(&mut [u8])) -> Step {
        let mut bytes = [0; NONCE_BYTES];
        chance(&mut bytes);
        let protection = self.mechanism.hash().map(|hash| offer.downgrade_protection(hash));
        self.answer_with(secret, &BASE64_URL.encode(bytes), protection.as_deref())
    }

    /// Takes the password away, for somebody who keeps no secrets but can check it. `None` where the
    /// client has shown none.
    pub fn take_password(&mut self) -> Option<Password> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::AskedPlain(password) => {
                self.state = State::Checking;
                Some(password)
            }
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Tells whether the password was right.
    pub fn checked(&mut self, right: bool) -> Step {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Checking if right => Step::Done(Vec::new()),
            State::Checking => Step::Failed(AuthError::WrongPassword),
            _ => Step::Failed(AuthError::Malformed),
        }
    }

    fn first(&mut self, message: &[u8], offer: &Offer) -> Result<Step, AuthError> {
        let (username, authzid);
        match self.mechanism {
            Mechanism::Scram { hash, plus } => {
                let asked = scram::Asked::parse(hash, plus, offer, message)?;
                (username, authzid) = (asked.username.clone(), asked.authzid.clone());
                self.state = State::AskedScram(asked);
            }
            Mechanism::Plain => {
                let message = PlainMessage::parse(message)?;
                (username, authzid) = (message.username, message.authzid);
                self.state = State::AskedPlain(message.password);
            }
        }
        Ok(Step::Ask { username, authzid })
    }

    fn answer_with(&mut self, secret: ScramSecret, nonce: &str, protection: Option<&str>) -> Step {
        match std::mem::replace(&mut self.state, State::Over) {
            State::AskedScram(asked) => {
                let (expect_proof, server_first) = asked.challenge(secret, nonce, protection);
                self.state = State::ExpectProof(expect_proof);
                Step::Challenge(server_first.into_bytes())
            }
            State::AskedPlain(password) => {
                self.state = State::Checking;
                Step::Check(PasswordCheck { secret, password })
            }
            _ => Step::Failed(AuthError::Malformed),
        }
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
