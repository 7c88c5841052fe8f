//! The id by which a client resumes a stream. Opaque to the client, it tells the server where to look, and
//! cannot be guessed (messages.md, rule 16).
//!
//! ```text
//! base64url of   node: 4 bytes | boot: 8 | session number: 8 | random: 16      big endian, 48 characters
//! ```

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64_URL;
use subtle::ConstantTimeEq;

const RANDOM_BYTES: usize = 16;
const BYTES: usize = 4 + 8 + 8 + RANDOM_BYTES;

/// Names a session of one start of one node. Compare the one that a client shows with the one that the
/// session has by `==`, which takes the same time wherever the two differ.
#[derive(Clone, Copy, Eq)]
pub struct SmId {
    bytes: [u8; BYTES],
}

impl SmId {
    /// `chance` fills its argument with random bytes.
    pub fn new(node: u32, boot: u64, number: u64, chance: &mut dyn FnMut(&mut [u8])) -> SmId {
        let mut bytes = [0; BYTES];
        let (place, random) = bytes.split_at_mut(BYTES - RANDOM_BYTES);
        chance(random);
        let fields = node.to_be_bytes().into_iter().chain(boot.to_be_bytes()).chain(number.to_be_bytes());
        for (byte, field) in place.iter_mut().zip(fields) {
            *byte = field;
        }
        SmId { bytes }
    }

    /// `None` for what no server of ours has given out.
    pub fn parse(text: &str) -> Option<SmId> {
        let bytes = BASE64_URL.decode(text).ok()?.try_into().ok()?;
        Some(SmId { bytes })
    }

    pub fn encode(&self) -> String {
        BASE64_URL.encode(self.bytes)
    }

    pub fn node(&self) -> u32 {
        self.bytes.iter().take(4).fold(0, |number, byte| number << 8 | u32::from(*byte))
    }

    pub fn boot(&self) -> u64 {
        self.number_at(4)
    }

    /// The session's number among those of its node and boot.
    pub fn number(&self) -> u64 {
        self.number_at(12)
    }

    fn number_at(&self, at: usize) -> u64 {
        self.bytes.iter().skip(at).take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

impl PartialEq for SmId {
    fn eq(&self, other: &SmId) -> bool {
        self.bytes.ct_eq(&other.bytes).into()
    }
}

/// Without the part that nobody may learn.
impl std::fmt::Debug for SmId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SmId({}.{}.{})", self.node(), self.boot(), self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_as_it_went() {
        let id = SmId::new(7, 1 << 40, u64::MAX, &mut |bytes| bytes.fill(0xff));
        assert_eq!((id.node(), id.boot(), id.number()), (7, 1 << 40, u64::MAX));
        assert_eq!(id.encode().len(), 48);
        assert_eq!(SmId::parse(&id.encode()), Some(id));
        assert_eq!(format!("{id:?}"), "SmId(7.1099511627776.18446744073709551615)");
    }

    #[test]
    fn chance_is_a_part_of_it() {
        let zeros = SmId::new(1, 2, 3, &mut |bytes| bytes.fill(0));
        let ones = SmId::new(1, 2, 3, &mut |bytes| bytes.fill(1));
        assert_ne!(zeros, ones);
        assert_eq!((zeros.node(), zeros.boot(), zeros.number()), (ones.node(), ones.boot(), ones.number()));
    }

    #[test]
    fn what_is_none_of_ours_is_none() {
        let id = SmId::new(1, 2, 3, &mut |bytes| bytes.fill(1)).encode();
        let longer = format!("{id}AAAA");
        for bad in ["", "some-long-sm-id", &id[1..], &longer, "é"] {
            assert_eq!(SmId::parse(bad), None, "{bad}");
        }
    }
}
