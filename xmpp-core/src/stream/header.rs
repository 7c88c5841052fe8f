//! The response stream header, and what of the client's header decides it (RFC 6120 section 4.7).

use crate::jid::BareJid;
use crate::xml::escape;

/// The language of the texts that this server writes.
const OWN_LANG: &str = "en";
/// Enough for any tag that is in use (RFC 5646 section 4.4.1).
const LANG_MAX_BYTES: usize = 35;

#[derive(Debug, Clone)]
pub(super) struct ResponseHeader {
    pub from: String,
    pub to: Option<BareJid>,
    pub lang: Option<String>,
}

impl ResponseHeader {
    pub(super) fn of(host: &str) -> ResponseHeader {
        ResponseHeader { from: host.to_owned(), to: None, lang: Some(OWN_LANG.to_owned()) }
    }

    /// Takes the client's preferred language if it is one that this server speaks (section 4.7.4).
    pub(super) fn set_lang(&mut self, preferred: Option<&str>) {
        let ours = preferred.filter(|lang| {
            let primary = lang.split('-').next().unwrap_or_default();
            primary.eq_ignore_ascii_case(OWN_LANG)
        });
        self.lang = Some(ours.unwrap_or(OWN_LANG).to_owned());
    }

    pub(super) fn write(&self, id: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(
            b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
              xmlns:stream='http://etherx.jabber.org/streams'",
        );
        escape::attribute("id", &id.to_string(), out);
        escape::attribute("from", &self.from, out);
        if let Some(to) = &self.to {
            escape::attribute("to", to.as_str(), out);
        }
        escape::attribute("version", "1.0", out);
        if let Some(lang) = &self.lang {
            escape::attribute("xml:lang", lang, out);
        }
        out.push(b'>');
    }
}

/// The client's `xml:lang`, if it looks like a language tag (RFC 5646 section 2.1): it goes on stanzas to
/// others.
pub(super) fn language_tag(lang: Option<&str>) -> Option<&str> {
    let is_tag_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    lang.filter(|lang| matches!(lang.len(), 1..=LANG_MAX_BYTES) && lang.bytes().all(is_tag_byte))
}

/// At least 1.0, compared as numbers (section 4.7.5).
pub(super) fn is_supported_version(version: Option<&str>) -> bool {
    let major = version.and_then(|version| version.split_once('.')).map(|(major, _)| major);
    let digits = major.unwrap_or_default().trim_start_matches('0');
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for good in ["1.0", "1.1", "01.0", "2.4", "99999999999999999999.0"] {
            assert!(is_supported_version(Some(good)), "{good}");
        }
        for bad in
            [None, Some(""), Some("0.9"), Some("1"), Some("x.1"), Some("-1.0"), Some(".1"), Some("00.9")]
        {
            assert!(!is_supported_version(bad), "{bad:?}");
        }
    }

    #[test]
    fn language_tags() {
        assert_eq!(language_tag(Some("de-CH-1901")), Some("de-CH-1901"));
        let long = "x".repeat(36);
        for bad in [None, Some(""), Some("d e"), Some("é"), Some(long.as_str())] {
            assert_eq!(language_tag(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn languages() {
        let mut header = ResponseHeader::of("localhost");
        for (preferred, said) in [
            (Some("en-GB"), "en-GB"),
            (Some("EN"), "EN"),
            (Some("de"), "en"),
            (Some("eng"), "en"),
            (Some(""), "en"),
            (None, "en"),
        ] {
            header.set_lang(preferred);
            assert_eq!(header.lang.as_deref(), Some(said), "{preferred:?}");
        }
    }
}
