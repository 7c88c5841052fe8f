//! Stream management (XEP-0198) as bookkeeping: who has counted what, what is not acknowledged yet, and
//! the elements by which both sides say so. Whoever owns the socket and the session does the rest.

mod elements;
mod id;
mod outgoing;

pub use elements::{
    Enable, Enabled, Resume, failed, parse_a, write_a, write_enabled, write_r, write_resumed,
};
pub use id::SmId;
pub use outgoing::{HandledTooHigh, Outgoing};

/// Stanzas of the peer whose fate is decided (messages.md, rule 2): `h` as we say it. Messages, presence
/// and IQs count, nothing else does (XEP-0198 section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Incoming {
    handled: u32,
}

impl Incoming {
    /// From zero, when `<enable/>` came.
    pub fn new() -> Incoming {
        Incoming::default()
    }

    /// The fate of one more stanza is decided. Behind 2^32 - 1 comes zero.
    pub fn decided(&mut self) {
        self.handled = self.handled.wrapping_add(1);
    }

    pub fn h(&self) -> u32 {
        self.handled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_wraps() {
        let mut incoming = Incoming { handled: u32::MAX - 1 };
        incoming.decided();
        assert_eq!(incoming.h(), u32::MAX);
        incoming.decided();
        assert_eq!(incoming.h(), 0);
    }
}
