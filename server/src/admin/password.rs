//! A password on its way from the command line to the directory: never shown.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::protocol::{Code, Refusal};

#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Password(String);

impl Password {
    pub fn new(text: String) -> Password {
        Password(text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The tool asks for a password that is not on the command line, so that it is always there.
pub(super) fn given(password: &Option<Password>) -> Result<&str, Refusal> {
    let missing = || Refusal::new(Code::BadRequest, "the password is missing");
    password.as_ref().map(Password::as_str).ok_or_else(missing)
}

impl FromStr for Password {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Password, Infallible> {
        Ok(Password(text.to_owned()))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}
