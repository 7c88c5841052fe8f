//! What is uploaded: bytes of some length under names that the server made, on a disk or elsewhere.
//!
//! Whose they are, and for how long, is told by rows in the store ([`super::files`]).

use std::ops::Range;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;

use super::{StoreError, StoreFut};

/// Bytes as they come; an error ends them, and then they are not whole.
pub type Content = Pin<Box<dyn Stream<Item = Result<Bytes, std::io::Error>> + Send>>;

/// The name of a blob: hexadecimal digits of chance. Nothing else is one, so that no name leads out of the folder.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobName(String);

impl BlobName {
    pub const BYTES: usize = 20;

    pub fn new(chance: [u8; BlobName::BYTES]) -> BlobName {
        BlobName(hex::encode(chance))
    }

    pub fn parse(text: &str) -> Option<BlobName> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let is_name = text.len() == 2 * BlobName::BYTES && text.bytes().all(is_digit);
        is_name.then(|| BlobName(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for BlobName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a blob was not put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutError {
    /// The content broke off, or came to another length than was said.
    Incomplete(String),
    /// The place for blobs did not take it.
    Store(StoreError),
}

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    pub count: u64,
    pub bytes: u64,
}

pub trait Blobs: Send + Sync {
    /// Keeps exactly `size` bytes, durable when this returns: all, or nothing. Nobody reads half of it.
    fn put<'a>(
        &'a self,
        name: &'a BlobName,
        size: u64,
        content: Content,
    ) -> super::Fut<'a, Result<(), PutError>>;
    /// A part of a blob, which is to lie within it; nothing where there is no such blob.
    fn read<'a>(&'a self, name: &'a BlobName, range: Range<u64>) -> StoreFut<'a, Option<Content>>;
    /// Its size.
    fn head<'a>(&'a self, name: &'a BlobName) -> StoreFut<'a, Option<u64>>;
    /// True if it was there.
    fn remove<'a>(&'a self, name: &'a BlobName) -> StoreFut<'a, bool>;
    /// Names and sizes in the order of names, those behind `after`.
    fn list<'a>(&'a self, after: Option<&'a BlobName>, limit: usize) -> StoreFut<'a, Vec<(BlobName, u64)>>;
    fn usage<'a>(&'a self) -> StoreFut<'a, Usage>;
    /// Clears away what puts left behind that ended with their process, so long ago.
    fn tidy<'a>(&'a self, older_than: Duration) -> StoreFut<'a, u64>;
    /// Where it is, for the operator.
    fn place(&self) -> String;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_forty_digits_and_nothing_else() {
        let name = BlobName::new([0xa5; 20]);
        assert_eq!(BlobName::parse(name.as_str()), Some(name.clone()));
        let digits = name.as_str();
        let bad = ["", "..", &digits[1..], &format!("{digits}0"), &digits.to_uppercase()];
        for text in bad.into_iter().map(str::to_owned).chain([
            format!("../{}", &digits[3..]),
            format!("/{}", &digits[1..]),
            format!("{}\0", &digits[1..]),
        ]) {
            assert_eq!(BlobName::parse(&text), None, "{text}");
        }
    }
}
