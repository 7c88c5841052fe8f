//! What is uploaded: bytes of some length under names that the server made, on a disk or elsewhere.
//!
//! Whose they are, for how long, and which of several attempts to bring them counts, is told by rows in the store
//! ([`super::files`]).

use std::ops::Range;
use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};

use super::{Fut, StoreError, StoreFut};
use crate::config::words::words;

/// What is written and read to try a place out.
const SMALL: &[u8] = b"meerkat was here\n";

/// Bytes as they come; an error ends them, and then they are not whole.
pub type Content = Pin<Box<dyn Stream<Item = Result<Bytes, std::io::Error>> + Send>>;

/// The name of a blob: hexadecimal digits of chance, those of its file; then, behind a point, those of the attempt that
/// brought it. Nothing else is one, so that no name leads out of the folder.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobName(String);

impl BlobName {
    pub const BYTES: usize = 20;
    const FILE_DIGITS: usize = 2 * BlobName::BYTES;
    const ATTEMPT_DIGITS: usize = 16;

    /// A file's.
    pub fn new(chance: [u8; BlobName::BYTES]) -> BlobName {
        BlobName(hex::encode(chance))
    }

    /// One that nobody else brings: of two that fill one slot at a time, on two nodes too, neither overwrites what
    /// the other has brought.
    pub fn attempt(&self, chance: u64) -> BlobName {
        BlobName(format!("{}.{chance:0width$x}", self.file(), width = BlobName::ATTEMPT_DIGITS))
    }

    pub fn parse(text: &str) -> Option<BlobName> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let are = |part: &str, digits: usize| part.len() == digits && part.bytes().all(is_digit);
        let (file, attempt) = match text.split_once('.') {
            Some((file, attempt)) => (file, Some(attempt)),
            None => (text, None),
        };
        let is_name = are(file, BlobName::FILE_DIGITS)
            && attempt.is_none_or(|attempt| are(attempt, BlobName::ATTEMPT_DIGITS));
        is_name.then(|| BlobName(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The file's part.
    pub fn file(&self) -> &str {
        self.0.get(..BlobName::FILE_DIGITS).unwrap_or(&self.0)
    }
}

impl std::fmt::Display for BlobName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

words! {
    /// A kind of place for blobs.
    pub enum BlobKind {
        Disk = "disk",
        S3 = "s3",
    }
}

/// Where a blob is, as a file's row says it: "s3:NAME".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobPlace {
    pub kind: BlobKind,
    pub name: BlobName,
}

impl BlobPlace {
    pub fn parse(text: &str) -> Option<BlobPlace> {
        let (kind, name) = text.split_once(':')?;
        Some(BlobPlace { kind: kind.parse().ok()?, name: BlobName::parse(name)? })
    }
}

impl std::fmt::Display for BlobPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.kind, self.name)
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

/// What those who read a blob without us are told of it, as HTTP says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// `Content-Type`; nothing where nobody said it.
    pub media_type: Option<String>,
    /// `Content-Disposition`.
    pub disposition: String,
}

pub trait Blobs: Send + Sync {
    fn kind(&self) -> BlobKind;
    /// Where it is, for the operator.
    fn place(&self) -> String;
    /// Is it there, as far as can be said without keeping anybody waiting for long? The reason when not.
    fn health<'a>(&'a self) -> StoreFut<'a, ()>;
    /// Keeps exactly `size` bytes, durable when this returns: all, or nothing. Nobody reads half of it.
    fn put<'a>(
        &'a self,
        name: &'a BlobName,
        size: u64,
        shown: &'a Shown,
        content: Content,
    ) -> Fut<'a, Result<(), PutError>>;
    /// A part of a blob, which is to lie within it; nothing where there is no such blob.
    fn read<'a>(&'a self, name: &'a BlobName, range: Range<u64>) -> StoreFut<'a, Option<Content>>;
    /// One blob. That there is none is no error.
    fn remove<'a>(&'a self, name: &'a BlobName) -> StoreFut<'a, ()>;
    /// Everything that any attempt brought for a file.
    fn clear<'a>(&'a self, file: &'a BlobName) -> StoreFut<'a, ()>;
    /// Clears away what puts left behind that ended with their process, so long ago.
    fn tidy<'a>(&'a self, older_than: Duration) -> StoreFut<'a, u64>;
    /// Where clients can put and read without us.
    fn around(&self) -> Option<&dyn Around> {
        None
    }
}

/// How long a small blob took.
#[derive(Debug, Clone, Copy)]
pub struct Tried {
    pub put: Duration,
    pub get: Duration,
}

/// Writes a small blob, reads it back, compares, and removes it.
pub async fn try_out(blobs: &dyn Blobs) -> Result<Tried, StoreError> {
    let name = BlobName::new(rand::random()).attempt(rand::random());
    let shown = Shown { media_type: None, disposition: "attachment".to_owned() };
    let begun = Instant::now();
    let content = Box::pin(stream::iter([Ok(Bytes::from_static(SMALL))]));
    blobs.put(&name, SMALL.len() as u64, &shown, content).await.map_err(|error| match error {
        PutError::Store(error) => error,
        PutError::Incomplete(why) => StoreError::Unavailable(why),
    })?;
    let (put, begun) = (begun.elapsed(), Instant::now());
    let read = read_whole(blobs, &name).await;
    let get = begun.elapsed();
    // Whatever came of the reading.
    blobs.remove(&name).await?;
    match read?.as_slice() == SMALL {
        true => Ok(Tried { put, get }),
        false => {
            Err(StoreError::Damaged(format!("{}: what was read is not what was written", blobs.place())))
        }
    }
}

async fn read_whole(blobs: &dyn Blobs, name: &BlobName) -> Result<Vec<u8>, StoreError> {
    let lost = |why: String| StoreError::Unavailable(format!("what was written cannot be read: {why}"));
    let content = blobs.read(name, 0..SMALL.len() as u64).await?;
    let mut content = content.ok_or_else(|| lost("it is not there".to_owned()))?;
    let mut bytes = Vec::new();
    while let Some(part) = content.next().await {
        bytes.extend_from_slice(&part.map_err(|error| lost(error.to_string()))?);
    }
    Ok(bytes)
}

/// Ways around us. What a client puts there *arrives* under its file's name, may be overwritten for as long as the URL
/// lasts, and is served to nobody; taken, it is a blob like another.
pub trait Around: Send + Sync {
    /// Where exactly this can be put for so long; nothing where clients put through us.
    fn put_url<'a>(
        &'a self,
        file: &'a BlobName,
        size: u64,
        media_type: Option<&'a str>,
        valid: Duration,
    ) -> StoreFut<'a, Option<String>>;
    /// Where a blob can be read for so long; nothing where clients read through us.
    fn read_url<'a>(
        &'a self,
        name: &'a BlobName,
        shown: &'a Shown,
        valid: Duration,
    ) -> StoreFut<'a, Option<String>>;
    /// Files for which something arrived, in the order of their names, those behind `after`. Nothing where nothing can.
    fn arrivals<'a>(&'a self, after: Option<&'a BlobName>, limit: usize) -> StoreFut<'a, Vec<BlobName>>;
    fn arrival<'a>(&'a self, file: &'a BlobName) -> StoreFut<'a, Option<Arrival>>;
    /// Makes a blob of what arrived. False where that is another thing by now, or gone.
    fn take<'a>(&'a self, arrival: &'a Arrival, blob: &'a BlobName, shown: &'a Shown) -> StoreFut<'a, bool>;
    fn discard<'a>(&'a self, file: &'a BlobName) -> StoreFut<'a, ()>;
}

/// What a client put past us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    pub file: BlobName,
    pub size: u64,
    pub media_type: Option<String>,
    /// Another content has another one.
    pub version: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_digits_and_nothing_else() {
        let name = BlobName::new([0xa5; 20]);
        let attempt = name.attempt(1);
        assert_eq!(attempt.as_str(), format!("{name}.0000000000000001"));
        assert_eq!((attempt.file(), attempt.attempt(2)), (name.as_str(), name.attempt(2)));
        for good in [&name, &attempt] {
            assert_eq!(BlobName::parse(good.as_str()), Some(good.clone()));
        }
        let digits = name.as_str();
        let bad = ["", "..", &digits[1..], &format!("{digits}0"), &digits.to_uppercase()];
        for text in bad.into_iter().map(str::to_owned).chain([
            format!("../{}", &digits[3..]),
            format!("/{}", &digits[1..]),
            format!("{}\0", &digits[1..]),
            format!("{digits}."),
            format!("{digits}.1"),
            format!("{attempt}.0000000000000001"),
            format!("{digits}./00000000000000"),
        ]) {
            assert_eq!(BlobName::parse(&text), None, "{text}");
        }
    }

    #[test]
    fn a_place_is_a_kind_and_a_name() {
        let place = BlobPlace { kind: BlobKind::S3, name: BlobName::new([7; 20]).attempt(9) };
        assert_eq!(BlobPlace::parse(&place.to_string()), Some(place));
        for text in ["", "s3:", "tape:0707070707070707070707070707070707070707", "0707"] {
            assert_eq!(BlobPlace::parse(text), None, "{text}");
        }
    }
}
