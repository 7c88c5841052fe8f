//! An address is prepared once: reading what was written changes nothing, and equal addresses are equal bytes.

use proptest::prelude::*;
use xmpp_core::jid::{PART_MAX_BYTES, prepare_domain, prepare_local};
use xmpp_core::{BareJid, Jid};

/// Characters that addresses treat differently from each other.
const CHARACTERS: &[char] = &[
    'a',
    'b',
    'Z',
    '0',
    '9',
    '-',
    '_',
    '.',
    '@',
    '/',
    ' ',
    '\'',
    '"',
    '&',
    '<',
    '>',
    ':',
    '[',
    ']',
    '%',
    '\t',
    '\0',
    '\u{7f}',
    'é',
    'É',
    'e',
    '\u{301}',
    'ß',
    'ẞ',
    'Σ',
    'ς',
    'σ',
    'İ',
    'ı',
    'ﬁ',
    'Ａ',
    '＠',
    '．',
    '。',
    '／',
    '\u{200c}',
    '\u{200d}',
    '\u{ad}',
    '\u{a0}',
    '\u{3000}',
    'א',
    'ب',
    '٣',
    '۳',
    '日',
    '・',
    '😀',
    'Ⅳ',
    '\u{fffd}',
    '\u{feff}',
    '\u{1d15e}',
    '가',
    '\u{1100}',
    '\u{1161}',
    'Ω',
    '\u{2126}',
    'K',
    '·',
    'l',
    '\u{345}',
    'ͅ',
    '՚',
    'ॐ',
    '\u{94d}',
];

fn text(length: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    let character = prop_oneof![
        8 => proptest::sample::select(CHARACTERS),
        2 => proptest::char::range('a', 'z'),
        1 => any::<char>(),
    ];
    proptest::collection::vec(character, length).prop_map(String::from_iter)
}

proptest! {
    #![proptest_config(crate::cases(5000))]

    #[test]
    fn what_is_prepared_stays(text in text(0..12)) {
        if let Ok(jid) = Jid::parse(&text) {
            check(&jid)?;
            prop_assert_eq!(&Jid::new(jid.local(), jid.domain(), jid.resource()).ok(), &Some(jid));
        }
    }

    #[test]
    fn parts_go_together(local in text(0..5), domain in text(1..6), resource in text(0..5)) {
        let jid = Jid::new(Some(&local), &domain, Some(&resource));
        let written = Jid::parse(&format!("{local}@{domain}/{resource}"));
        if let Ok(jid) = &jid {
            check(jid)?;
            prop_assert_eq!(Ok(jid.domain().to_owned()), prepare_domain(&domain));
            prop_assert_eq!(jid.local().map(str::to_owned), prepare_local(&local).ok());
            let bare = jid.bare();
            prop_assert_eq!(&bare, &BareJid::new(Some(&local), &domain).expect("both parts are valid"));
            prop_assert_eq!(&bare.with_resource(&resource).expect("the resource is valid"), jid);
            prop_assert!(jid.to_bare() == bare && *jid != bare);
        }
        // Separators inside a part make a difference; without any, both ways are the same.
        let separators = |part: &str| part.contains(['@', '/']);
        if !separators(&local) && !separators(&domain) {
            prop_assert_eq!(jid.ok(), written.ok());
        }
    }

    /// The fast path and the long way do the same.
    #[test]
    fn case_makes_no_difference(local in "[a-z0-9._=+-]{1,10}", domain in "[a-z][a-z0-9]{0,8}", resource in "[ -~]{1,10}") {
        let small = Jid::parse(&format!("{local}@{domain}.example/{resource}"));
        let capital = Jid::parse(&format!("{}@{}.EXAMPLE/{resource}", local.to_uppercase(), domain.to_uppercase()));
        prop_assert!(small.is_ok());
        prop_assert_eq!(small, capital);
    }
}

fn check(jid: &Jid) -> Result<(), TestCaseError> {
    let again = Jid::parse(jid.as_str());
    prop_assert_eq!(again.as_ref().ok(), Some(jid), "{:?}", again);
    let parts = [jid.local(), Some(jid.domain()), jid.resource()];
    prop_assert!(parts.into_iter().flatten().all(|part| !part.is_empty() && part.len() <= PART_MAX_BYTES));
    // What is written into XML without escaping must not need it (see `Stanza::write`).
    let bare = jid.bare();
    let needs_escaping = ['<', '&', '\'', '"', '>', '/', '\u{fffe}', '\u{ffff}'];
    let is_plain = |character: char| !character.is_control() && !needs_escaping.contains(&character);
    prop_assert!(bare.as_str().chars().all(is_plain));
    Ok(())
}
