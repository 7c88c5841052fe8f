//! PLAIN (RFC 4616): `[authzid] NUL authcid NUL password`.

use crate::sasl::AuthError;

/// A password in the clear, on its way to whoever can check it. It is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    pub fn new(text: impl Into<String>) -> Password {
        Password(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(...)")
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PlainMessage {
    pub authzid: Option<String>,
    pub username: String,
    pub password: Password,
}

impl PlainMessage {
    /// RFC 4616 section 2: all in UTF-8; only the authorization identity may be empty.
    pub(crate) fn parse(message: &[u8]) -> Result<PlainMessage, AuthError> {
        let text = std::str::from_utf8(message).map_err(|_| AuthError::Malformed)?;
        let mut parts = text.split('\0');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(authzid), Some(username), Some(password), None)
                if !username.is_empty() && !password.is_empty() =>
            {
                Ok(PlainMessage {
                    authzid: (!authzid.is_empty()).then(|| authzid.to_owned()),
                    username: username.to_owned(),
                    password: Password::new(password),
                })
            }
            _ => Err(AuthError::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_parts_of_which_the_first_may_be_empty() {
        let message = PlainMessage::parse(b"\0tim\0tanstaaftanstaaf").expect("RFC 4616 section 4");
        assert_eq!((message.authzid, message.username.as_str()), (None, "tim"));
        assert_eq!(message.password.as_str(), "tanstaaftanstaaf");
        let message = PlainMessage::parse(b"Ursel\0Kurt\0xipj3plmq").expect("RFC 4616 section 4");
        assert_eq!((message.authzid.as_deref(), message.username.as_str()), (Some("Ursel"), "Kurt"));
    }

    #[test]
    fn anything_else_is_malformed() {
        for bad in [b"".as_slice(), b"\0", b"\0\0", b"\0a\0", b"\0\0b", b"a\0b", b"\0a\0b\0c", b"\0\xff\0b"] {
            assert_eq!(PlainMessage::parse(bad), Err(AuthError::Malformed), "{bad:?}");
        }
    }
}
