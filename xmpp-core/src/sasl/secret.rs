//! What the server keeps of a password: enough to check a proof, not enough to log in with.

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::jid::prepare_password;
use crate::sasl::ScramHash;

/// Length of a salt in bytes. All salts have it, so that a fake one looks like the others.
pub const SALT_BYTES: usize = 16;

/// The fewest iterations that a server should announce (RFC 5802 section 5.1, RFC 7677 section 3).
pub const MIN_ITERATIONS: u32 = 4096;

/// StoredKey and ServerKey of RFC 5802 section 3, with the salt and the count they were made with.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScramSecret {
    pub hash: ScramHash,
    pub salt: Vec<u8>,
    pub iterations: u32,
    pub stored_key: Vec<u8>,
    pub server_key: Vec<u8>,
}

/// The password has a character that OpaqueString excludes, or none at all (RFC 8265 section 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadPassword;

impl ScramSecret {
    /// Derives the secret of a new password. It takes milliseconds: run it on a bounded pool.
    ///
    /// The password is prepared by the OpaqueString profile (RFC 8265 section 4.2), which replaces
    /// the SASLprep that RFC 5802 names; the two agree on all that NFC and NFKC treat alike.
    pub fn derive(
        hash: ScramHash,
        password: &str,
        salt: &[u8],
        iterations: u32,
    ) -> Result<ScramSecret, BadPassword> {
        let prepared = prepare_password(password).map_err(|_| BadPassword)?;
        let iterations = iterations.max(1);
        let salted = hash.salted_password(prepared.as_bytes(), salt, iterations);
        let client_key = hash.hmac(&salted, b"Client Key");
        Ok(ScramSecret {
            hash,
            salt: salt.to_vec(),
            iterations,
            stored_key: hash.digest(&client_key),
            server_key: hash.hmac(&salted, b"Server Key"),
        })
    }

    /// Is this the password? It takes as long as `derive`, right or wrong.
    pub fn verify_password(&self, password: &str) -> bool {
        match ScramSecret::derive(self.hash, password, &self.salt, self.iterations) {
            Ok(derived) => self.stored_key.ct_eq(&derived.stored_key).into(),
            Err(BadPassword) => false,
        }
    }
}

/// No key in a log line.
impl std::fmt::Debug for ScramSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ScramSecret({}, {} iterations)", self.hash.name(), self.iterations)
    }
}

/// What an account that does not exist answers with: the same salt each time and on each node that
/// shares `server_key`, and keys that no password has, so that neither the challenge nor the work
/// tells that nobody is there (RFC 5802 section 9).
///
/// `account` is the prepared bare JID; `iterations` what existing accounts have.
pub fn fake_secret(server_key: &[u8; 32], account: &str, hash: ScramHash, iterations: u32) -> ScramSecret {
    let part = |label: &str| {
        let text = format!("{label}\0{}\0{account}", hash.name());
        // One HMAC with SHA-512 is long enough for every field, whatever the mechanism's hash is.
        ScramHash::Sha512.hmac(server_key, text.as_bytes())
    };
    let cut = |mut bytes: Vec<u8>, length: usize| {
        bytes.truncate(length);
        bytes
    };
    ScramSecret {
        hash,
        salt: cut(part("salt"), SALT_BYTES),
        iterations: iterations.max(1),
        stored_key: cut(part("stored key"), hash.output_bytes()),
        server_key: cut(part("server key"), hash.output_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(password: &str) -> ScramSecret {
        ScramSecret::derive(ScramHash::Sha256, password, b"salt", 1).expect("a fair password")
    }

    #[test]
    fn the_right_password_alone_is_right() {
        for hash in ScramHash::ALL {
            let secret = ScramSecret::derive(hash, "pencil", b"0123456789abcdef", 10).expect("derives");
            assert!(secret.verify_password("pencil"), "{hash:?}");
            assert!(!secret.verify_password("Pencil"), "{hash:?}");
            assert!(!secret.verify_password(""), "{hash:?}");
            assert_eq!(secret.stored_key.len(), hash.output_bytes());
        }
    }

    /// RFC 8265 section 4.2.2: other spaces become the ASCII space, the rest is NFC; both SASLprep
    /// and OpaqueString say so.
    #[test]
    fn spellings_of_one_password_are_one() {
        assert!(secret("caf\u{e9} noir").verify_password("cafe\u{301}\u{a0}noir"));
        assert!(!secret("caf\u{e9} noir").verify_password("cafe noir"));
    }

    #[test]
    fn what_opaque_string_excludes_is_no_password() {
        for bad in ["", "a\u{7}b", "a\0"] {
            assert_eq!(ScramSecret::derive(ScramHash::Sha1, bad, b"salt", 1), Err(BadPassword), "{bad:?}");
        }
    }

    #[test]
    fn a_damaged_secret_matches_nothing() {
        let mut damaged = secret("pencil");
        damaged.stored_key.truncate(3);
        assert!(!damaged.verify_password("pencil"));
    }

    #[test]
    fn a_fake_is_stable_and_of_one_account() {
        let key = [7; 32];
        for hash in ScramHash::ALL {
            let fake = fake_secret(&key, "nobody@localhost", hash, 4096);
            assert_eq!(fake, fake_secret(&key, "nobody@localhost", hash, 4096));
            assert_ne!(fake.salt, fake_secret(&key, "noone@localhost", hash, 4096).salt);
            assert_ne!(fake.salt, fake_secret(&[8; 32], "nobody@localhost", hash, 4096).salt);
            assert_eq!(fake.salt.len(), SALT_BYTES);
            assert_eq!(fake.stored_key.len(), hash.output_bytes());
        }
        let salts = ScramHash::ALL.map(|hash| fake_secret(&key, "nobody@localhost", hash, 4096).salt);
        assert!(salts[0] != salts[1] && salts[1] != salts[2] && salts[0] != salts[2]);
    }

    #[test]
    fn no_key_is_printed() {
        assert_eq!(format!("{:?}", secret("pencil")), "ScramSecret(SHA-256, 1 iterations)");
    }
}
