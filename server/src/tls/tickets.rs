//! Session tickets (RFC 8446 section 4.6.1, RFC 5077) that every node can open, before and after a restart: their
//! keys follow from one secret that all nodes share, the certificate, and the time. Nothing is remembered here.
//!
//! | bytes | a ticket |
//! |---|---|
//! | 8 | the period, big-endian, that says which key |
//! | 12 | nonce |
//! | n | the session's state, sealed with AES-256-GCM-SIV, the period as associated data |
//! | 16 | tag |
//!
//! With GCM-SIV a nonce that chance repeats on another node gives no key away.
//!
//! A ticket belongs to a certificate: with another one the handshake is a full one again, so that a client's
//! `tls-server-end-point` is always of the certificate that the server has in hand.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hkdf, rand};
use rustls::server::ProducesTickets;

/// A key seals tickets for one period, and opens them for two.
const PERIOD: Duration = Duration::from_secs(12 * 3600);

/// A session's state is some two hundred bytes; what is much longer is not ours.
const TICKET_MAX_BYTES: usize = 4096;

const PERIOD_BYTES: usize = 8;

/// Seals and opens the tickets of one certificate.
pub struct Tickets {
    keys: hkdf::Prk,
    fingerprint: [u8; 32],
}

impl Tickets {
    pub fn new(secret: &[u8; 32], fingerprint: [u8; 32]) -> Tickets {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"meerkat tls tickets 1");
        Tickets { keys: salt.extract(secret), fingerprint }
    }

    fn seal(&self, now: Duration, state: &[u8]) -> Option<Vec<u8>> {
        let period = period(now).to_be_bytes();
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut sealed = state.to_vec();
        self.key(period)?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(period), &mut sealed)
            .ok()?;
        Some([&period[..], &nonce, &sealed].concat())
    }

    fn open(&self, now: Duration, ticket: &[u8]) -> Option<Vec<u8>> {
        if ticket.len() > TICKET_MAX_BYTES {
            return None;
        }
        let (period_bytes, rest) = ticket.split_first_chunk::<PERIOD_BYTES>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        // The clock of the node that sealed it may be a little ahead.
        let age = period(now).checked_sub(u64::from_be_bytes(*period_bytes).checked_sub(1)?)?;
        if age > 2 {
            return None;
        }
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length =
            self.key(*period_bytes)?.open_in_place(nonce, Aad::from(*period_bytes), &mut sealed).ok()?.len();
        sealed.truncate(length);
        Some(sealed)
    }

    fn key(&self, period: [u8; PERIOD_BYTES]) -> Option<LessSafeKey> {
        let about = [&self.fingerprint[..], &period];
        let key = self.keys.expand(&about, &AES_256_GCM_SIV).ok()?;
        Some(LessSafeKey::new(UnboundKey::from(key)))
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    /// A ticket that is sealed in the last second of a period lives for one more.
    fn lifetime(&self) -> u32 {
        PERIOD.as_secs() as u32
    }

    fn encrypt(&self, state: &[u8]) -> Option<Vec<u8>> {
        self.seal(now(), state)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.open(now(), ticket)
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn period(now: Duration) -> u64 {
    now.as_secs() / PERIOD.as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(1_800_000_000 / PERIOD.as_secs() * PERIOD.as_secs());
    const SECOND: Duration = Duration::from_secs(1);

    fn tickets() -> Tickets {
        Tickets::new(&[7; 32], [1; 32])
    }

    #[test]
    fn another_node_with_the_secret_opens_a_ticket() {
        let ticket = tickets().seal(START, b"state").unwrap();
        assert_eq!(tickets().open(START + SECOND, &ticket).as_deref(), Some(&b"state"[..]));
    }

    #[test]
    fn a_ticket_lives_at_least_as_long_as_it_says_and_at_most_two_periods() {
        let lifetime = Duration::from_secs(tickets().lifetime().into());
        for sealed in [START, START + PERIOD / 2, START + PERIOD - SECOND] {
            let ticket = tickets().seal(sealed, b"state").unwrap();
            assert!(tickets().open(sealed + lifetime, &ticket).is_some());
            assert!(tickets().open(sealed + 2 * PERIOD, &ticket).is_none());
        }
    }

    #[test]
    fn a_node_whose_clock_is_behind_opens_a_ticket_and_one_from_the_far_future_is_refused() {
        let ahead = tickets().seal(START, b"state").unwrap();
        assert!(tickets().open(START - SECOND, &ahead).is_some());
        assert!(tickets().open(START - PERIOD - SECOND, &ahead).is_none());
    }

    #[test]
    fn another_secret_or_certificate_opens_nothing() {
        let ticket = tickets().seal(START, b"state").unwrap();
        assert!(Tickets::new(&[8; 32], [1; 32]).open(START, &ticket).is_none());
        assert!(Tickets::new(&[7; 32], [2; 32]).open(START, &ticket).is_none());
    }

    #[test]
    fn a_changed_or_cut_or_overlong_ticket_is_refused() {
        let ticket = tickets().seal(START, b"state").unwrap();
        for index in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[index] ^= 1;
            assert!(tickets().open(START, &changed).is_none(), "byte {index}");
            assert!(tickets().open(START, &ticket[..index]).is_none(), "{index} bytes");
        }
        let long = tickets().seal(START, &[0; TICKET_MAX_BYTES]).unwrap();
        assert!(tickets().open(START, &long).is_none());
    }

    #[test]
    fn two_tickets_of_one_state_differ() {
        assert_ne!(tickets().seal(START, b"state"), tickets().seal(START, b"state"));
    }
}
