//! Addresses by RFC 7622: prepared when parsed, so that equal addresses are equal bytes.

mod prepare;
mod serialize;

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use memchr::memchr;
use smallvec::SmallVec;

pub use prepare::{prepare_domain, prepare_local, prepare_password, prepare_resource};

/// The longest a part may be, in bytes after preparation (RFC 7622 sections 3.2 to 3.4).
pub const PART_MAX_BYTES: usize = 1023;

/// A prepared address, with or without resource. A clone counts a reference.
#[derive(Clone)]
pub struct Jid {
    text: Arc<str>,
    /// Where the domain begins: 0 without a local part.
    domain_at: u16,
    /// Where the bare address ends.
    bare_len: u16,
    /// Where this address ends: less than the text's length when it was taken from a full one.
    len: u16,
}

/// An address without resource. It may share the text of the full address it was taken from.
#[derive(Clone)]
pub struct BareJid(Jid);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JidError {
    /// The domain is missing.
    NoDomain,
    /// A part before `@` or behind `/` is there, and empty.
    EmptyPart,
    /// A part is longer than 1023 bytes (RFC 7622 section 3).
    TooLong,
    /// The local part has a character that UsernameCaseMapped or RFC 7622 section 3.3.1 excludes.
    BadLocal,
    /// The domain is neither an IDNA name nor an IP address.
    BadDomain,
    /// The resource (or password) has a character that OpaqueString excludes.
    BadResource,
}

impl Jid {
    /// Splits by RFC 7622 section 3.2 (the first `/` begins the resource, the first `@` before it ends the
    /// local part) and prepares each part. What is prepared already costs one allocation.
    pub fn parse(text: &str) -> Result<Jid, JidError> {
        let (bare, resource) = match memchr(b'/', text.as_bytes()) {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        let (local, domain) = match memchr(b'@', bare.as_bytes()) {
            Some(at) => (Some(&bare[..at]), &bare[at + 1..]),
            None => (None, bare),
        };
        if prepare::is_prepared(local, domain, resource)? {
            let domain_at = local.map_or(0, |local| local.len() + 1);
            return Ok(Jid::from_parts(Arc::from(text), domain_at, bare.len()));
        }
        Jid::new(local, domain, resource)
    }

    /// Prepares each part and puts them together.
    pub fn new(local: Option<&str>, domain: &str, resource: Option<&str>) -> Result<Jid, JidError> {
        let mut text: SmallVec<[u8; 256]> = SmallVec::new();
        if let Some(local) = local {
            text.extend_from_slice(prepare::local(local)?.as_bytes());
            text.push(b'@');
        }
        let domain_at = text.len();
        text.extend_from_slice(prepare::domain(domain)?.as_bytes());
        let bare_len = text.len();
        if let Some(resource) = resource {
            text.push(b'/');
            text.extend_from_slice(prepare::resource(resource)?.as_bytes());
        }
        let text = std::str::from_utf8(&text).map_err(|_| JidError::BadDomain)?;
        Ok(Jid::from_parts(Arc::from(text), domain_at, bare_len))
    }

    /// Three parts of at most 1023 bytes and two separators fit in sixteen bits.
    fn from_parts(text: Arc<str>, domain_at: usize, bare_len: usize) -> Jid {
        let len = text.len() as u16;
        Jid { text, domain_at: domain_at as u16, bare_len: bare_len as u16, len }
    }

    pub fn as_str(&self) -> &str {
        &self.text[..usize::from(self.len)]
    }

    pub fn local(&self) -> Option<&str> {
        usize::from(self.domain_at).checked_sub(1).map(|end| &self.text[..end])
    }

    pub fn domain(&self) -> &str {
        &self.text[usize::from(self.domain_at)..usize::from(self.bare_len)]
    }

    pub fn resource(&self) -> Option<&str> {
        self.is_full().then(|| &self.text[usize::from(self.bare_len) + 1..usize::from(self.len)])
    }

    /// Without a resource.
    pub fn is_bare(&self) -> bool {
        self.len == self.bare_len
    }

    /// With a resource.
    pub fn is_full(&self) -> bool {
        self.len > self.bare_len
    }

    /// Only a domain: no local part, no resource.
    pub fn is_domain(&self) -> bool {
        self.domain_at == 0 && self.is_bare()
    }

    pub fn bare(&self) -> BareJid {
        BareJid(self.to_bare())
    }

    /// The same address without its resource.
    pub fn to_bare(&self) -> Jid {
        Jid { len: self.bare_len, ..self.clone() }
    }

    /// The bare part as text, without a count.
    pub fn bare_str(&self) -> &str {
        &self.text[..usize::from(self.bare_len)]
    }

    /// The bare address with this resource, which is prepared here.
    pub fn with_resource(&self, resource: &str) -> Result<Jid, JidError> {
        let resource = prepare::resource(resource)?;
        let mut text = String::with_capacity(usize::from(self.bare_len) + 1 + resource.len());
        text.push_str(self.bare_str());
        text.push('/');
        text.push_str(&resource);
        Ok(Jid::from_parts(Arc::from(text), usize::from(self.domain_at), usize::from(self.bare_len)))
    }
}

impl BareJid {
    /// An address with a resource is refused as a bad resource.
    pub fn parse(text: &str) -> Result<BareJid, JidError> {
        let jid = Jid::parse(text)?;
        if jid.is_full() { Err(JidError::BadResource) } else { Ok(BareJid(jid)) }
    }

    pub fn new(local: Option<&str>, domain: &str) -> Result<BareJid, JidError> {
        Jid::new(local, domain, None).map(BareJid)
    }

    pub fn local(&self) -> Option<&str> {
        self.0.local()
    }

    pub fn domain(&self) -> &str {
        self.0.domain()
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Only a domain, no local part.
    pub fn is_domain(&self) -> bool {
        self.0.is_domain()
    }

    pub fn jid(&self) -> Jid {
        self.0.clone()
    }

    pub fn with_resource(&self, resource: &str) -> Result<Jid, JidError> {
        self.0.with_resource(resource)
    }
}

macro_rules! address_by_text {
    ($type:ty) => {
        impl PartialEq for $type {
            fn eq(&self, other: &Self) -> bool {
                self.as_str() == other.as_str()
            }
        }
        impl Eq for $type {}
        impl PartialOrd for $type {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }
        impl Ord for $type {
            fn cmp(&self, other: &Self) -> Ordering {
                self.as_str().cmp(other.as_str())
            }
        }
        impl Hash for $type {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.as_str().hash(state);
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl FromStr for $type {
            type Err = JidError;
            fn from_str(text: &str) -> Result<Self, JidError> {
                Self::parse(text)
            }
        }
        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }
        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }
    };
}

address_by_text!(Jid);
address_by_text!(BareJid);

/// True only if the address has no resource.
impl PartialEq<BareJid> for Jid {
    fn eq(&self, other: &BareJid) -> bool {
        self.as_str() == other.as_str()
    }
}

impl From<BareJid> for Jid {
    fn from(bare: BareJid) -> Jid {
        bare.0
    }
}

impl fmt::Display for JidError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            JidError::NoDomain => "the domain is missing",
            JidError::EmptyPart => "a part before '@' or behind '/' is empty",
            JidError::TooLong => "a part is longer than 1023 bytes",
            JidError::BadLocal => "the part before '@' has a character that is not allowed there",
            JidError::BadDomain => "the domain is neither a host name nor an IP address",
            JidError::BadResource => "the part behind '/' has a character that is not allowed there",
        })
    }
}

impl std::error::Error for JidError {}

#[cfg(test)]
mod tests;
