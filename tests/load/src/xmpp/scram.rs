//! The client's side of SCRAM (RFC 5802, RFC 7677), without channel binding.
//!
//! The expensive part, PBKDF2, depends on the account, salt and iteration count only; [`Keys`] keeps its
//! result so that a thousand logins of one account cost the tool one derivation.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::error::{LoadError, Result};

/// A server that asks for more is refused: it would stop the tool for seconds.
const MOST_ITERATIONS: u32 = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    Sha1,
    Sha256,
}

/// What a password becomes with one salt and iteration count.
#[derive(Clone)]
pub struct Keys {
    salt: String,
    iterations: u32,
    client: Vec<u8>,
    server: Vec<u8>,
}

/// An exchange whose first message was sent.
pub struct Exchange {
    algorithm: Algorithm,
    first_bare: String,
    nonce: String,
}

/// An exchange whose proof was sent.
pub struct Proven {
    server_signature: String,
}

impl Exchange {
    /// The exchange and its first message. `nonce` must be printable and without commas.
    pub fn begin(algorithm: Algorithm, username: &str, nonce: &str) -> (Exchange, String) {
        let name = username.replace('=', "=3D").replace(',', "=2C");
        let first_bare = format!("n={name},r={nonce}");
        let first = format!("n,,{first_bare}");
        (Exchange { algorithm, first_bare, nonce: nonce.to_string() }, first)
    }

    /// Answers the server's challenge. `keys` are taken when they fit its salt, and are replaced when they do
    /// not.
    pub fn prove(self, challenge: &str, password: &str, keys: &mut Option<Keys>) -> Result<(Proven, String)> {
        let value = |name: &str| challenge.split(',').find_map(|part| part.strip_prefix(name));
        let nonce = value("r=").ok_or(LoadError::Scram("the challenge has no nonce"))?;
        let salt = value("s=").ok_or(LoadError::Scram("the challenge has no salt"))?;
        let iterations = value("i=").and_then(|text| text.parse().ok()).unwrap_or(0);
        if !nonce.starts_with(&self.nonce) {
            return Err(LoadError::Scram("the server's nonce does not begin with ours"));
        }
        if !(1..=MOST_ITERATIONS).contains(&iterations) {
            return Err(LoadError::Scram("the iteration count is out of bounds"));
        }
        if !keys.as_ref().is_some_and(|keys| keys.salt == salt && keys.iterations == iterations) {
            *keys = Some(derive(self.algorithm, password, salt, iterations)?);
        }
        let Some(keys) = keys.as_ref() else { return Err(LoadError::Scram("no keys")) };

        // "biws" is "n,," in base64: no channel binding (RFC 5802, section 6).
        let without_proof = format!("c=biws,r={nonce}");
        let signed = format!("{},{challenge},{without_proof}", self.first_bare);
        let stored = self.algorithm.hash(&keys.client);
        let signature = self.algorithm.hmac(&stored, signed.as_bytes());
        let proof: Vec<u8> = keys.client.iter().zip(&signature).map(|(key, mask)| key ^ mask).collect();
        let server_signature = BASE64.encode(self.algorithm.hmac(&keys.server, signed.as_bytes()));
        Ok((Proven { server_signature }, format!("{without_proof},p={}", BASE64.encode(proof))))
    }
}

impl Proven {
    /// Whether the server, too, knows the password.
    pub fn verify(&self, last: &str) -> Result<()> {
        let signature = last.split(',').find_map(|part| part.strip_prefix("v="));
        if signature == Some(self.server_signature.as_str()) {
            return Ok(());
        }
        Err(LoadError::Scram("the server's signature is wrong"))
    }
}

impl Algorithm {
    fn hash(self, data: &[u8]) -> Vec<u8> {
        match self {
            Algorithm::Sha1 => Sha1::digest(data).to_vec(),
            Algorithm::Sha256 => Sha256::digest(data).to_vec(),
        }
    }

    fn hmac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        match self {
            Algorithm::Sha1 => keyed::<Hmac<Sha1>>(key, data),
            Algorithm::Sha256 => keyed::<Hmac<Sha256>>(key, data),
        }
    }
}

fn keyed<M: Mac + KeyInit>(key: &[u8], data: &[u8]) -> Vec<u8> {
    match <M as KeyInit>::new_from_slice(key) {
        Ok(mac) => mac.chain_update(data).finalize().into_bytes().to_vec(),
        // HMAC takes keys of any length.
        Err(_) => Vec::new(),
    }
}

fn derive(algorithm: Algorithm, password: &str, salt: &str, iterations: u32) -> Result<Keys> {
    let raw = BASE64.decode(salt).map_err(|_| LoadError::Scram("the salt is not base64"))?;
    let salted = match algorithm {
        Algorithm::Sha1 => {
            pbkdf2::pbkdf2_hmac_array::<Sha1, 20>(password.as_bytes(), &raw, iterations).to_vec()
        }
        Algorithm::Sha256 => {
            pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password.as_bytes(), &raw, iterations).to_vec()
        }
    };
    Ok(Keys {
        salt: salt.to_string(),
        iterations,
        client: algorithm.hmac(&salted, b"Client Key"),
        server: algorithm.hmac(&salted, b"Server Key"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Vector {
        algorithm: Algorithm,
        nonce: &'static str,
        challenge: &'static str,
        proof: &'static str,
        last: &'static str,
    }

    /// RFC 5802, section 5, and RFC 7677, section 3: user "user", password "pencil".
    const VECTORS: [Vector; 2] = [
        Vector {
            algorithm: Algorithm::Sha1,
            nonce: "fyko+d2lbbFgONRv9qkxdawL",
            challenge: "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
            proof: "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            last: "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        },
        Vector {
            algorithm: Algorithm::Sha256,
            nonce: "rOprNGfwEbeRWgbNEkqO",
            challenge: "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            proof: "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                    p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            last: "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        },
    ];

    #[test]
    fn the_vectors_of_the_rfcs() {
        for vector in VECTORS {
            let (exchange, first) = Exchange::begin(vector.algorithm, "user", vector.nonce);
            assert_eq!(first, format!("n,,n=user,r={}", vector.nonce));
            let (proven, proof) = exchange.prove(vector.challenge, "pencil", &mut None).unwrap();
            assert_eq!(proof, vector.proof);
            proven.verify(vector.last).unwrap();
            assert!(proven.verify("v=AAAA").is_err());
        }
    }

    #[test]
    fn kept_keys_are_replaced_when_the_salt_changes() {
        let [vector, _] = VECTORS;
        let mut keys = Some(derive(vector.algorithm, "pencil", "AAAA", 4096).unwrap());
        let (exchange, _) = Exchange::begin(vector.algorithm, "user", vector.nonce);
        let (_, proof) = exchange.prove(vector.challenge, "pencil", &mut keys).unwrap();
        assert_eq!(proof, vector.proof);
    }

    #[test]
    fn a_foreign_nonce_is_refused() {
        let (exchange, _) = Exchange::begin(Algorithm::Sha1, "user", "mine");
        assert!(exchange.prove("r=other,s=QSXC,i=4096", "pencil", &mut None).is_err());
    }
}
