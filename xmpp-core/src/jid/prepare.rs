//! Preparation and enforcement of the three parts (RFC 7622 sections 3.2 to 3.4), with a fast path for
//! ASCII that is prepared already.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use precis_profiles::{OpaqueString, UsernameCaseMapped};

use super::{JidError, PART_MAX_BYTES};

/// The longest text that is looked at. Composition can shorten a text, but hardly to a quarter.
const INPUT_MAX_BYTES: usize = 4 * PART_MAX_BYTES;

pub fn prepare_local(local: &str) -> Result<String, JidError> {
    self::local(local).map(Cow::into_owned)
}

pub fn prepare_domain(domain: &str) -> Result<String, JidError> {
    self::domain(domain).map(Cow::into_owned)
}

pub fn prepare_resource(resource: &str) -> Result<String, JidError> {
    self::resource(resource).map(Cow::into_owned)
}

/// The OpaqueString profile (RFC 8265 section 4.2) without the length limit of an address.
pub fn prepare_password(password: &str) -> Result<String, JidError> {
    opaque(password).map(Cow::into_owned)
}

/// Whether all parts are ASCII as preparation would leave them. An error is one that preparation would
/// find too; what is neither goes the long way.
pub fn is_prepared(local: Option<&str>, domain: &str, resource: Option<&str>) -> Result<bool, JidError> {
    if domain.is_empty() {
        return Err(JidError::NoDomain);
    }
    if local == Some("") || resource == Some("") {
        return Err(JidError::EmptyPart);
    }
    let fits = |part: &str| part.len() <= PART_MAX_BYTES;
    Ok(local.is_none_or(|local| fits(local) && all(local, LOCAL))
        && is_prepared_domain(domain)
        && resource.is_none_or(|resource| fits(resource) && all(resource, RESOURCE)))
}

/// UsernameCaseMapped without `"&'/:<>@` (RFC 7622 section 3.3).
pub fn local(local: &str) -> Result<Cow<'_, str>, JidError> {
    if all(local, LOCAL) {
        return bounded(Cow::Borrowed(local));
    }
    let prepared = if local.is_ascii() {
        Cow::Owned(local.to_ascii_lowercase())
    } else {
        stable(local, JidError::BadLocal, |text| UsernameCaseMapped::enforce(text).ok())?
    };
    // Excluded characters are looked for behind the mappings: a fullwidth '@' becomes one.
    if prepared.bytes().any(|byte| byte.is_ascii() && CLASSES[usize::from(byte)] & LOCAL == 0) {
        return Err(JidError::BadLocal);
    }
    bounded(prepared)
}

/// An IDNA name in Unicode, or an IP address (RFC 7622 section 3.2).
pub fn domain(domain: &str) -> Result<Cow<'_, str>, JidError> {
    if is_prepared_domain(domain) {
        return bounded(Cow::Borrowed(domain));
    }
    if let Some(address) = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: Ipv6Addr = address.parse().map_err(|_| JidError::BadDomain)?;
        return Ok(Cow::Owned(format!("[{address}]")));
    }
    // Section 3.2: a final dot is stripped before anything else.
    let name = domain.strip_suffix(['.', '\u{3002}', '\u{ff0e}', '\u{ff61}']).unwrap_or(domain);
    if name.is_empty() {
        return Err(JidError::NoDomain);
    }
    if name.is_ascii() {
        let small = name.to_ascii_lowercase();
        if is_prepared_domain(&small) {
            return Ok(Cow::Owned(small));
        }
    }
    let unicode = stable(name, JidError::BadDomain, |text| {
        let (unicode, result) =
            Uts46::new().to_unicode(text.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast);
        result.ok().map(|()| Cow::Owned(unicode.into_owned()))
    })?;
    // Label and name lengths are those of the ASCII form.
    Uts46::new()
        .to_ascii(unicode.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify)
        .map_err(|_| JidError::BadDomain)?;
    bounded(unicode)
}

/// OpaqueString (RFC 7622 section 3.4).
pub fn resource(resource: &str) -> Result<Cow<'_, str>, JidError> {
    bounded(opaque(resource)?)
}

fn opaque(text: &str) -> Result<Cow<'_, str>, JidError> {
    if text.is_empty() {
        return Err(JidError::EmptyPart);
    }
    if all(text, RESOURCE) {
        return Ok(Cow::Borrowed(text));
    }
    stable(text, JidError::BadResource, |text| OpaqueString::enforce(text).ok())
}

/// Applies a profile until the text no longer changes (RFC 8264 section 7: rules can leave something that
/// they would change again); what does not settle is refused.
fn stable<'t>(
    text: &'t str,
    error: JidError,
    enforce: impl for<'a> Fn(&'a str) -> Option<Cow<'a, str>>,
) -> Result<Cow<'t, str>, JidError> {
    if text.is_empty() {
        return Err(JidError::EmptyPart);
    }
    if text.len() > INPUT_MAX_BYTES {
        return Err(JidError::TooLong);
    }
    let mut last = enforce(text).ok_or(error)?.into_owned();
    for _ in 0..4 {
        let next = enforce(&last).ok_or(error)?;
        if *next == *last {
            return Ok(Cow::Owned(last));
        }
        last = next.into_owned();
    }
    Err(error)
}

fn bounded(part: Cow<'_, str>) -> Result<Cow<'_, str>, JidError> {
    match part.len() {
        0 => Err(JidError::EmptyPart),
        1..=PART_MAX_BYTES => Ok(part),
        _ => Err(JidError::TooLong),
    }
}

/// Host names of letters, digits and hyphens in small letters (IPv4 addresses look the same). Labels that
/// begin with `xn--` are left to the long way, which turns them into Unicode.
fn is_prepared_domain(domain: &str) -> bool {
    if domain.is_empty() || domain.len() > 253 {
        return false;
    }
    let is_prepared_label = |label: &str| {
        matches!(label.len(), 1..=63)
            && all(label, DOMAIN)
            && !label.starts_with('-')
            && !label.ends_with('-')
            && !label.starts_with("xn--")
    };
    domain.split('.').all(is_prepared_label)
}

/// Bits of `CLASSES`: in which prepared part an ASCII character may stand.
const LOCAL: u8 = 1;
const DOMAIN: u8 = 2;
const RESOURCE: u8 = 4;

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0x20;
    while byte < 0x7f {
        let character = byte as u8;
        let small = !character.is_ascii_uppercase();
        let excluded = matches!(character, b' ' | b'"' | b'&' | b'\'' | b'/' | b':' | b'<' | b'>' | b'@');
        if small && !excluded {
            classes[byte] |= LOCAL;
        }
        if small && (character.is_ascii_alphanumeric() || character == b'-') {
            classes[byte] |= DOMAIN;
        }
        classes[byte] |= RESOURCE;
        byte += 1;
    }
    classes
};

fn all(text: &str, class: u8) -> bool {
    text.bytes().all(|byte| CLASSES[usize::from(byte)] & class != 0)
}
