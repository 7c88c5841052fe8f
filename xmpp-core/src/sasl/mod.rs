//! The server's side of SASL (RFC 6120 section 6): SCRAM with its `-PLUS` variants, and PLAIN.
//!
//! An [`Exchange`] takes what the client says and answers with a [`Step`]: it asks for the account's
//! secret, challenges, is done, or has failed. It looks nothing up, and nonces are given to it. What
//! may be offered on a stream is an [`Offer`].

mod channel;
mod error;
mod exchange;
mod hash;
mod in_hand;
mod offer;
mod plain;
mod scram;
mod scram_message;
mod secret;

pub use channel::{BindingType, TlsInfo};
pub use error::{AuthError, SaslFailure};
pub use exchange::{Exchange, PasswordCheck, Step};
pub use hash::ScramHash;
pub use in_hand::InHand;
pub use offer::{Channel, Credentials, Offer};
pub use plain::Password;
pub use secret::{BadPassword, MIN_ITERATIONS, SALT_BYTES, ScramSecret, fake_secret};

/// A SASL mechanism that this server can speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// RFC 5802, RFC 7677; `plus` binds the login to the TLS channel.
    Scram { hash: ScramHash, plus: bool },
    /// RFC 4616.
    Plain,
}

impl Mechanism {
    /// All of them in the order in which a server prefers them.
    pub const ALL: [Mechanism; 7] = [
        Mechanism::Scram { hash: ScramHash::Sha512, plus: true },
        Mechanism::Scram { hash: ScramHash::Sha256, plus: true },
        Mechanism::Scram { hash: ScramHash::Sha1, plus: true },
        Mechanism::Scram { hash: ScramHash::Sha512, plus: false },
        Mechanism::Scram { hash: ScramHash::Sha256, plus: false },
        Mechanism::Scram { hash: ScramHash::Sha1, plus: false },
        Mechanism::Plain,
    ];

    /// The registered name, as in `<mechanism/>` and in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Scram { hash: ScramHash::Sha512, plus: true } => "SCRAM-SHA-512-PLUS",
            Mechanism::Scram { hash: ScramHash::Sha256, plus: true } => "SCRAM-SHA-256-PLUS",
            Mechanism::Scram { hash: ScramHash::Sha1, plus: true } => "SCRAM-SHA-1-PLUS",
            Mechanism::Scram { hash: ScramHash::Sha512, plus: false } => "SCRAM-SHA-512",
            Mechanism::Scram { hash: ScramHash::Sha256, plus: false } => "SCRAM-SHA-256",
            Mechanism::Scram { hash: ScramHash::Sha1, plus: false } => "SCRAM-SHA-1",
            Mechanism::Plain => "PLAIN",
        }
    }

    pub fn from_name(name: &str) -> Option<Mechanism> {
        Mechanism::ALL.into_iter().find(|mechanism| mechanism.name() == name)
    }

    /// The hash that the account's secret must have; `None` where any secret serves.
    pub fn hash(self) -> Option<ScramHash> {
        match self {
            Mechanism::Scram { hash, .. } => Some(hash),
            Mechanism::Plain => None,
        }
    }

    pub fn is_plus(self) -> bool {
        matches!(self, Mechanism::Scram { plus: true, .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_mechanisms() {
        for mechanism in Mechanism::ALL {
            assert_eq!(Mechanism::from_name(mechanism.name()), Some(mechanism));
            assert_eq!(mechanism.name().ends_with("-PLUS"), mechanism.is_plus());
            assert!(mechanism.hash().is_none_or(|hash| mechanism.name().contains(hash.name())));
        }
        assert_eq!(Mechanism::from_name("scram-sha-1"), None);
        assert_eq!(Mechanism::from_name("DIGEST-MD5"), None);
    }
}
