//! Why a login failed: what the client is told, and what we know besides.

use std::fmt;

/// The conditions of RFC 6120 section 6.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SaslFailure {
    Aborted,
    AccountDisabled,
    CredentialsExpired,
    EncryptionRequired,
    IncorrectEncoding,
    InvalidAuthzid,
    InvalidMechanism,
    MalformedRequest,
    MechanismTooWeak,
    NotAuthorized,
    TemporaryAuthFailure,
}

impl SaslFailure {
    /// The name of the element inside `<failure/>`.
    pub fn as_str(self) -> &'static str {
        match self {
            SaslFailure::Aborted => "aborted",
            SaslFailure::AccountDisabled => "account-disabled",
            SaslFailure::CredentialsExpired => "credentials-expired",
            SaslFailure::EncryptionRequired => "encryption-required",
            SaslFailure::IncorrectEncoding => "incorrect-encoding",
            SaslFailure::InvalidAuthzid => "invalid-authzid",
            SaslFailure::InvalidMechanism => "invalid-mechanism",
            SaslFailure::MalformedRequest => "malformed-request",
            SaslFailure::MechanismTooWeak => "mechanism-too-weak",
            SaslFailure::NotAuthorized => "not-authorized",
            SaslFailure::TemporaryAuthFailure => "temporary-auth-failure",
        }
    }
}

/// Why an exchange ended without success. Finer than what the client is told: several of these look
/// the same to it, on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthError {
    /// The client gave up by `<abort/>`, or by another `<auth/>` before this one was over.
    Aborted,
    /// `<auth/>` names no mechanism, or one that this stream does not offer.
    InvalidMechanism,
    /// The mechanism is on, but not on a channel without TLS.
    EncryptionRequired,
    /// The content of the element is not base64 (RFC 6120 section 6.3.5).
    BadEncoding,
    /// The message breaks the mechanism's syntax, is too long, or comes out of turn.
    Malformed,
    /// SCRAM's `m=`, or a mandatory extension that nobody has specified (RFC 5802 section 5.1).
    UnknownExtension,
    /// A channel binding type that this stream does not have. Clients try it where XEP-0440 is
    /// unknown to them, so it is not counted as a failed login.
    UnsupportedBinding,
    /// `y`: the client saw no `-PLUS` although this stream offered one; somebody removed it on the
    /// way (RFC 5802 section 6).
    Downgrade,
    /// `c=` is not what client and channel say it must be (RFC 5802 section 6).
    BindingMismatch,
    /// The nonce is not the one of this exchange: a message was replayed.
    NonceMismatch,
    /// The name cannot be a local part (RFC 7622 section 3.3).
    BadUsername,
    /// The authorization identity is malformed or somebody else's (RFC 6120 section 6.3.8).
    InvalidAuthzid,
    /// There is no such account, or it has no secret for this mechanism.
    UnknownAccount,
    /// The password or the proof made from it is wrong.
    WrongPassword,
    /// The credentials are right, and the account is disabled.
    AccountDisabled,
    /// The credentials are right, and no longer valid.
    CredentialsExpired,
    /// Nobody could say whether the credentials are right.
    Unavailable,
}

impl AuthError {
    /// What the client is told.
    pub fn failure(self) -> SaslFailure {
        match self {
            AuthError::Aborted => SaslFailure::Aborted,
            AuthError::InvalidMechanism => SaslFailure::InvalidMechanism,
            AuthError::EncryptionRequired => SaslFailure::EncryptionRequired,
            AuthError::BadEncoding => SaslFailure::IncorrectEncoding,
            AuthError::Malformed | AuthError::UnknownExtension | AuthError::UnsupportedBinding => {
                SaslFailure::MalformedRequest
            }
            AuthError::InvalidAuthzid => SaslFailure::InvalidAuthzid,
            AuthError::Downgrade
            | AuthError::BindingMismatch
            | AuthError::NonceMismatch
            | AuthError::BadUsername
            | AuthError::UnknownAccount
            | AuthError::WrongPassword => SaslFailure::NotAuthorized,
            AuthError::AccountDisabled => SaslFailure::AccountDisabled,
            AuthError::CredentialsExpired => SaslFailure::CredentialsExpired,
            AuthError::Unavailable => SaslFailure::TemporaryAuthFailure,
        }
    }

    /// Did somebody try to log in and could not show the right? Such failures are what the limits
    /// per address and account count; a slip in the protocol or an outage of ours is none.
    pub fn is_failed_login(self) -> bool {
        match self {
            AuthError::Downgrade
            | AuthError::BindingMismatch
            | AuthError::NonceMismatch
            | AuthError::BadUsername
            | AuthError::InvalidAuthzid
            | AuthError::UnknownAccount
            | AuthError::WrongPassword => true,
            AuthError::Aborted
            | AuthError::InvalidMechanism
            | AuthError::EncryptionRequired
            | AuthError::BadEncoding
            | AuthError::Malformed
            | AuthError::UnknownExtension
            | AuthError::UnsupportedBinding
            | AuthError::AccountDisabled
            | AuthError::CredentialsExpired
            | AuthError::Unavailable => false,
        }
    }
}

/// A word for a log line or a metric's label.
impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AuthError::Aborted => "aborted",
            AuthError::InvalidMechanism => "invalid mechanism",
            AuthError::EncryptionRequired => "encryption required",
            AuthError::BadEncoding => "bad encoding",
            AuthError::Malformed => "malformed",
            AuthError::UnknownExtension => "unknown mandatory extension",
            AuthError::UnsupportedBinding => "unsupported channel binding",
            AuthError::Downgrade => "channel binding was removed from the offer",
            AuthError::BindingMismatch => "channel binding does not match",
            AuthError::NonceMismatch => "nonce does not match",
            AuthError::BadUsername => "bad username",
            AuthError::InvalidAuthzid => "invalid authorization identity",
            AuthError::UnknownAccount => "unknown account",
            AuthError::WrongPassword => "wrong password",
            AuthError::AccountDisabled => "account disabled",
            AuthError::CredentialsExpired => "credentials expired",
            AuthError::Unavailable => "credentials unavailable",
        })
    }
}
