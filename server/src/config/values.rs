//! The types of settings that the standard library does not have.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::Deref;
use std::str::FromStr;

use super::LogLevel;

/// A bound that can be switched off: a number, or the word `"none"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    None,
    AtMost(u64),
}

impl Limit {
    /// Whether `count` is within the bound.
    pub fn allows(self, count: u64) -> bool {
        self.at_most().is_none_or(|most| count <= most)
    }

    pub fn at_most(self) -> Option<u64> {
        match self {
            Limit::None => None,
            Limit::AtMost(most) => Some(most),
        }
    }
}

/// A list of tables, `[[listen.c2s]]` for instance.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tables<T>(pub Vec<T>);

impl<T> Deref for Tables<T> {
    type Target = Vec<T>;

    fn deref(&self) -> &Vec<T> {
        &self.0
    }
}

impl<'a, T> IntoIterator for &'a Tables<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// A served domain, prepared by RFC 7622 section 3.2, so that equal domains are equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Domain(String);

impl Domain {
    /// What is served when nothing is configured.
    pub fn localhost() -> Self {
        Domain("localhost".into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Domain {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Domain {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        xmpp_core::jid::prepare_domain(text).map(Domain).map_err(|_| ())
    }
}

/// An address, or a network as `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

impl Network {
    /// Whether the network has this address; IPv4 addresses mapped into IPv6 count as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let shift = 32 - u32::from(self.prefix_bits);
                (ours.to_bits() ^ theirs.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let shift = 128 - u32::from(self.prefix_bits);
                (ours.to_bits() ^ theirs.to_bits()).checked_shr(shift).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| ())?;
        let widest = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = prefix.map_or(Ok(widest), |prefix| prefix.parse().map_err(|_| ()))?;
        if prefix_bits > widest {
            return Err(());
        }
        Ok(Network { address, prefix_bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let alone = if self.address.is_ipv4() { 32 } else { 128 };
        match self.prefix_bits {
            bits if bits == alone => write!(f, "{}", self.address),
            bits => write!(f, "{}/{bits}", self.address),
        }
    }
}

/// A level for one part of the server, as `server::c2s=debug`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter {
    pub target: String,
    pub level: LogLevel,
}

impl FromStr for LogFilter {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (target, level) = text.split_once('=').ok_or(())?;
        let path_char = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == ':';
        if target.is_empty() || !target.chars().all(path_char) {
            return Err(());
        }
        Ok(LogFilter { target: target.to_owned(), level: level.parse()? })
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.target, self.level)
    }
}

/// An absolute URI, looked at no further than its scheme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uri(String);

impl Uri {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Uri {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (scheme, rest) = text.split_once(':').ok_or(())?;
        let scheme_char = |char: char| char.is_ascii_alphanumeric() || matches!(char, '+' | '-' | '.');
        let has_scheme =
            scheme.starts_with(|char: char| char.is_ascii_alphabetic()) && scheme.chars().all(scheme_char);
        let no_gap = |char: char| !char.is_whitespace() && !char.is_control();
        if has_scheme && !rest.is_empty() && rest.chars().all(no_gap) {
            Ok(Uri(text.to_owned()))
        } else {
            Err(())
        }
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A password, a key, or a URL that may have a password in it. It is written out by `reveal` alone: shown,
/// logged or compared for people, a URL has `***` in place of its password, and anything else is `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((scheme, rest)) = self.0.split_once("://") else { return f.write_str(MASK) };
        // A password may be in the query as well: nothing of that is shown.
        let (rest, query) = rest.split_once('?').map_or((rest, ""), |(rest, _)| (rest, "?***"));
        // And it may hold an `@` that nobody escaped: the last one is its end.
        let (who, place) = rest.rsplit_once('@').map_or((None, rest), |(who, place)| (Some(who), place));
        write!(f, "{scheme}://")?;
        match who.map(|who| who.split_once(':').map_or((who, false), |(user, _)| (user, true))) {
            Some((user, true)) => write!(f, "{user}:{MASK}@")?,
            Some((user, false)) => write!(f, "{user}@")?,
            None => {}
        }
        write!(f, "{place}{query}")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({self})")
    }
}

const MASK: &str = "***";

/// All addresses, IPv4 and, where the machine has it, IPv6.
pub(super) const ALL_ADDRESSES: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_its_addresses_and_no_others() {
        let has = |network: &str, address: &str| {
            network.parse::<Network>().unwrap().contains(address.parse().unwrap())
        };
        assert!(has("10.0.0.0/8", "10.255.0.1"));
        assert!(has("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(!has("10.0.0.0/8", "11.0.0.1"));
        assert!(has("192.0.2.7", "192.0.2.7"));
        assert!(!has("192.0.2.7", "192.0.2.6"));
        assert!(has("0.0.0.0/0", "192.0.2.7"));
        assert!(!has("0.0.0.0/0", "2001:db8::1"));
        assert!(has("2001:db8::/32", "2001:db8:7::1"));
        assert!(!has("2001:db8::/32", "2001:db9::1"));
        assert!(has("::/0", "2001:db9::1"));
    }

    #[test]
    fn what_is_no_network() {
        for text in ["", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0/8", "example.com", "10.0.0.0/-1"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_network_is_written_as_it_was_read() {
        for text in ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::1", "0.0.0.0/0"] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_limit_that_is_off_allows_everything() {
        assert!(Limit::None.allows(u64::MAX));
        assert!(Limit::AtMost(2).allows(2));
        assert!(!Limit::AtMost(2).allows(3));
    }

    #[test]
    fn a_secret_is_shown_without_what_is_secret() {
        for (secret, shown) in [
            ("hunter2", "***"),
            ("", "***"),
            (
                "postgres://meerkat:hunter2@db.example:5432/chat",
                "postgres://meerkat:***@db.example:5432/chat",
            ),
            ("postgres://meerkat:hunt@er2@db/chat", "postgres://meerkat:***@db/chat"),
            ("postgres://meerkat@db/chat?password=hunter2", "postgres://meerkat@db/chat?***"),
            ("redis://127.0.0.1:16379", "redis://127.0.0.1:16379"),
        ] {
            let secret = Secret::new(secret);
            assert_eq!(secret.to_string(), shown);
            assert_eq!(format!("{secret:?}"), format!("Secret({shown})"));
        }
        assert_eq!(Secret::new("hunter2").reveal(), "hunter2");
    }

    #[test]
    fn a_uri_has_a_scheme_and_no_gaps() {
        assert!("mailto:a@example.com".parse::<Uri>().is_ok());
        for text in ["a@example.com", ":x", "mailto:", "1x:y", "mailto:a b"] {
            assert!(text.parse::<Uri>().is_err(), "{text}");
        }
    }
}
