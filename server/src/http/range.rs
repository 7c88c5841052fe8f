//! `Range` (RFC 9110 section 14): one range of bytes. Of several, and of other units, the whole is the answer, as
//! section 14.2 allows.

use std::ops::Range;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    All,
    Part(Range<u64>),
    /// Nothing of what there is.
    Nothing,
}

pub fn wanted(header: &str, size: u64) -> Wanted {
    let Some(set) = header.trim().strip_prefix("bytes=") else { return Wanted::All };
    let Some((first, last)) = set.split_once('-').filter(|_| !set.contains(',')) else { return Wanted::All };
    let number = |text: &str| match text.trim() {
        "" => Some(None),
        text if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(Some(text.parse().unwrap_or(u64::MAX)))
        }
        _ => None,
    };
    let (Some(first), Some(last)) = (number(first), number(last)) else { return Wanted::All };
    match (first, last) {
        (None, None) => Wanted::All,
        (Some(first), Some(last)) if last < first => Wanted::All,
        (Some(first), _) if first >= size => Wanted::Nothing,
        (Some(first), last) => {
            Wanted::Part(first..last.map_or(size, |last| last.saturating_add(1).min(size)))
        }
        (None, Some(0)) => Wanted::Nothing,
        (None, Some(_)) if size == 0 => Wanted::Nothing,
        (None, Some(length)) => Wanted::Part(size.saturating_sub(length)..size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_as_the_rfc_has_them() {
        let part = |range| Wanted::Part(range);
        for (header, expected) in [
            ("bytes=0-499", part(0..500)),
            ("bytes=500-", part(500..1000)),
            ("bytes=-500", part(500..1000)),
            ("bytes=-5000", part(0..1000)),
            ("bytes=999-", part(999..1000)),
            ("bytes=0-99999999999999999999999", part(0..1000)),
            ("bytes=1000-", Wanted::Nothing),
            ("bytes=99999999999999999999999-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=5-4", Wanted::All),
            ("bytes=-", Wanted::All),
            ("bytes=0-0,5-5", Wanted::All),
            ("bytes=a-b", Wanted::All),
            ("bytes=+1-2", Wanted::All),
            ("lines=0-1", Wanted::All),
            ("", Wanted::All),
        ] {
            assert_eq!(wanted(header, 1000), expected, "{header}");
        }
        assert_eq!(wanted("bytes=-1", 0), Wanted::Nothing);
        assert_eq!(wanted("bytes=0-", 0), Wanted::Nothing);
    }
}
