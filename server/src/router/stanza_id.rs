//! The ids that clients see (XEP-0359): a keyed permutation of owner and internal id. It is opaque,
//! the same wherever the message appears, and says nothing of how many messages there are.

use std::io::Write;

use aes::Aes128;
use aes::cipher::{Block, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use xmpp_core::{BareJid, ns};

use crate::storage::{AccountNumber, MessageId};

pub struct StanzaIds(Aes128);

impl StanzaIds {
    /// The key is shared by all nodes and outlives them: an id that was once given stays valid.
    pub fn new(key: &[u8; 16]) -> StanzaIds {
        StanzaIds(Aes128::new(key.into()))
    }

    /// 22 characters of URL-safe base64: one AES block over both numbers.
    pub fn encode(&self, owner: AccountNumber, id: MessageId) -> String {
        URL_SAFE_NO_PAD.encode(self.block(owner, id))
    }

    /// The message that an id means in this owner's archive; `None` for any other text.
    pub fn decode(&self, owner: AccountNumber, text: &str) -> Option<MessageId> {
        let bytes: [u8; 16] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let mut block = Block::<Aes128>::from(bytes);
        self.0.decrypt_block(&mut block);
        let (of, id) = (u64_at(&block, 0), u64_at(&block, 8));
        (of == owner.0).then_some(MessageId(id))
    }

    /// `<stanza-id/>` by the owner, as canonical bytes.
    pub fn element(&self, by: &BareJid, owner: AccountNumber, id: MessageId) -> Vec<u8> {
        let mut out = Vec::with_capacity(120);
        let mut encoded = [0; 22];
        let written = URL_SAFE_NO_PAD.encode_slice(self.block(owner, id), &mut encoded);
        debug_assert_eq!(written, Ok(22));
        let _ = write!(out, "<stanza-id xmlns='{}' by='", ns::STANZA_ID);
        xmpp_core::xml::escape::value(by.as_str(), &mut out);
        out.extend_from_slice(b"' id='");
        out.extend_from_slice(&encoded);
        out.extend_from_slice(b"'/>");
        out
    }

    fn block(&self, owner: AccountNumber, id: MessageId) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&owner.0.to_be_bytes());
        bytes[8..].copy_from_slice(&id.0.to_be_bytes());
        let mut block = Block::<Aes128>::from(bytes);
        self.0.encrypt_block(&mut block);
        block.into()
    }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().fold(0, |n, byte| n << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_back_by_its_owner_only() {
        let ids = StanzaIds::new(&[7; 16]);
        let text = ids.encode(AccountNumber(3), MessageId(42));
        assert_eq!(text.len(), 22);
        assert_eq!(ids.decode(AccountNumber(3), &text), Some(MessageId(42)));
        assert_eq!(ids.decode(AccountNumber(4), &text), None);
        assert_eq!(ids.decode(AccountNumber(3), "nonsense"), None);
        assert_ne!(ids.encode(AccountNumber(3), MessageId(43)), text);
        let element = ids.element(&BareJid::parse("a@b").unwrap(), AccountNumber(3), MessageId(42));
        let element = String::from_utf8(element).unwrap();
        assert_eq!(element, format!("<stanza-id xmlns='urn:xmpp:sid:0' by='a@b' id='{text}'/>"));
    }
}
