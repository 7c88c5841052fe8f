//! Client connections: listeners, TLS, negotiation, and the two tasks of a bound session.

pub mod pipe;
pub mod socket;
mod hold;
mod buffers;
