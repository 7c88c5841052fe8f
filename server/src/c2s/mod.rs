//! Client connections: listeners, TLS, negotiation, and the two tasks of a bound session.

pub mod pipe;
pub mod socket;

mod bind;
mod buffers;
mod finish;
mod hold;

mod reader;
mod resume;
mod sleep;
mod task;

/// The system's source of chance, as xmpp-core takes it.
pub fn chance(bytes: &mut [u8]) {
    rand::Rng::fill(&mut rand::rng(), bytes);
}
