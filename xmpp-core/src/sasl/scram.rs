//! The server's side of SCRAM (RFC 5802 section 3) as states that consume themselves.
//!
//! ```text
//! client-first -> Asked { username } -- challenge(secret, nonce) --> ExpectProof -- finish(client-final) --> v=...
//! ```

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use subtle::ConstantTimeEq;

use crate::sasl::scram_message::{BindingFlag, ClientFinal, ClientFirst};
use crate::sasl::{AuthError, Offer, ScramHash, ScramSecret};

/// The client has said who it is; its secret is wanted.
#[derive(Debug)]
pub(crate) struct Asked {
    pub username: String,
    pub authzid: Option<String>,
    hash: ScramHash,
    client_nonce: String,
    client_first_bare: String,
    /// The GS2 header and the channel's data: what `c=` must be.
    channel_binding: Vec<u8>,
}

/// The challenge is out; the client must prove that it has the password.
#[derive(Debug)]
pub(crate) struct ExpectProof {
    hash: ScramHash,
    secret: ScramSecret,
    channel_binding: Vec<u8>,
    nonce: String,
    /// `client-first-message-bare "," server-first-message`.
    signed: String,
}

impl Asked {
    pub(crate) fn parse(
        hash: ScramHash,
        plus: bool,
        offer: &Offer,
        client_first: &[u8],
    ) -> Result<Asked, AuthError> {
        let message = ClientFirst::parse(client_first)?;
        let mut channel_binding = message.gs2_header.as_bytes().to_vec();
        match (plus, message.flag) {
            (true, BindingFlag::Bound(name)) => {
                let data = offer.binding_data(name).ok_or(AuthError::UnsupportedBinding)?;
                channel_binding.extend_from_slice(data);
            }
            // The mechanism's name and the flag must agree (RFC 5801 section 5).
            (true, _) | (false, BindingFlag::Bound(_)) => return Err(AuthError::Malformed),
            (false, BindingFlag::NotOffered) if offer.has_plus() => return Err(AuthError::Downgrade),
            (false, BindingFlag::NotOffered | BindingFlag::No) => {}
        }
        Ok(Asked {
            username: message.username,
            authzid: message.authzid,
            hash,
            client_nonce: message.nonce.to_owned(),
            client_first_bare: message.bare.to_owned(),
            channel_binding,
        })
    }

    /// The server-first-message. `server_nonce` is printable, without a comma, and never used before.
    pub(crate) fn challenge(
        self,
        secret: ScramSecret,
        server_nonce: &str,
        downgrade_protection: Option<&str>,
    ) -> (ExpectProof, String) {
        let nonce = self.client_nonce + server_nonce;
        let mut server_first = format!("r={nonce},s={},i={}", BASE64.encode(&secret.salt), secret.iterations);
        if let Some(hash) = downgrade_protection {
            server_first.push_str(",h=");
            server_first.push_str(hash);
        }
        let signed = format!("{},{server_first}", self.client_first_bare);
        let channel_binding = self.channel_binding;
        (ExpectProof { hash: self.hash, secret, channel_binding, nonce, signed }, server_first)
    }
}

impl ExpectProof {
    /// Checks the client-final-message and gives the server-final-message.
    pub(crate) fn finish(self, client_final: &[u8]) -> Result<String, AuthError> {
        let message = ClientFinal::parse(client_final)?;
        if !bool::from(message.channel_binding.ct_eq(&self.channel_binding)) {
            return Err(AuthError::BindingMismatch);
        }
        if !bool::from(message.nonce.as_bytes().ct_eq(self.nonce.as_bytes())) {
            return Err(AuthError::NonceMismatch);
        }
        let signed = format!("{},{}", self.signed, message.without_proof);
        let client_signature = self.hash.hmac(&self.secret.stored_key, signed.as_bytes());
        if message.proof.len() != client_signature.len() {
            return Err(AuthError::WrongPassword);
        }
        let client_key: Vec<u8> =
            message.proof.iter().zip(&client_signature).map(|(proof, signature)| proof ^ signature).collect();
        if !bool::from(self.hash.digest(&client_key).ct_eq(&self.secret.stored_key)) {
            return Err(AuthError::WrongPassword);
        }
        let server_signature = self.hash.hmac(&self.secret.server_key, signed.as_bytes());
        Ok(format!("v={}", BASE64.encode(server_signature)))
    }
}
