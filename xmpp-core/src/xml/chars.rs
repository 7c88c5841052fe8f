//! Which characters and names XML 1.0 and its namespaces allow.

use super::names;

/// Text that can be copied as it is: no markup, no line end to normalise, no character to look at twice.
const PLAIN_TEXT: u8 = 1;
/// The same for an attribute value, whatever its quotes.
const PLAIN_VALUE: u8 = 2;
/// May begin a name; bytes of characters beyond ASCII are not decided here.
pub const NAME_START: u8 = 4;
/// May stand in a name.
pub const NAME: u8 = 8;

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut at = 0;
    while at < 256 {
        let byte = at as u8;
        // 0xEF begins U+FFFE and U+FFFF, which XML excludes; '>' may end "]]>", which text must not have.
        let plain = byte >= 0x20 && !matches!(byte, b'&' | b'<' | 0xEF);
        if (plain && byte != b'>') || byte == b'\t' || byte == b'\n' {
            classes[at] |= PLAIN_TEXT;
        }
        if plain && byte != b'\'' && byte != b'"' {
            classes[at] |= PLAIN_VALUE;
        }
        if byte.is_ascii_alphabetic() || byte == b'_' {
            classes[at] |= NAME_START | NAME;
        }
        if byte.is_ascii_digit() || byte == b'-' || byte == b'.' {
            classes[at] |= NAME;
        }
        at += 1;
    }
    classes
};

pub fn is(byte: u8, class: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

/// How many bytes at the beginning belong to the class. For short things; see `plain_text` for long ones.
pub fn span(bytes: &[u8], class: u8) -> usize {
    bytes.iter().position(|byte| !is(*byte, class)).unwrap_or(bytes.len())
}

/// How many bytes at the beginning are `PLAIN_TEXT`.
pub fn plain_text(text: &str) -> usize {
    let special = |byte: u8| {
        (byte < b' ') & (byte != b'\t') & (byte != b'\n')
            | (byte == b'&')
            | (byte == b'<')
            | (byte == b'>')
            | (byte == 0xEF)
    };
    skip_plain(text.as_bytes(), special, PLAIN_TEXT)
}

/// How many bytes at the beginning are `PLAIN_VALUE`.
pub fn plain_value(text: &str) -> usize {
    let special = |byte: u8| {
        (byte < b' ') | (byte == b'&') | (byte == b'<') | (byte == b'\'') | (byte == b'"') | (byte == 0xEF)
    };
    skip_plain(text.as_bytes(), special, PLAIN_VALUE)
}

/// Skips blocks without a special byte first: comparisons without branches over a fixed length become
/// vector instructions. Goes on behind characters that only begin like the ones that XML excludes.
fn skip_plain(bytes: &[u8], special: impl Fn(u8) -> bool, class: u8) -> usize {
    let clean = |block: &&[u8; 16]| u128::from_ne_bytes(block.map(|byte| u8::from(special(byte)))) == 0;
    let mut at = 0;
    loop {
        let (blocks, _) = bytes.get(at..).unwrap_or_default().as_chunks::<16>();
        at += blocks.iter().take_while(clean).count() * 16;
        at += span(bytes.get(at..).unwrap_or_default(), class);
        match bytes.get(at..).unwrap_or_default() {
            [0xEF, 0xBF, 0xBE | 0xBF, ..] => return at,
            [0xEF, _, _, ..] => at += 3,
            _ => return at,
        }
    }
}

/// `Char` of XML 1.0 section 2.2.
pub fn is_char(character: char) -> bool {
    match character {
        '\t' | '\n' | '\r' | ' '..='\u{FFFD}' => true,
        _ => character >= '\u{10000}',
    }
}

/// `S` of XML 1.0 section 2.3.
pub const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

pub fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// `NCName` of Namespaces in XML 1.0 section 3: a name without a colon.
pub fn is_name(name: &str) -> bool {
    let Some(&first) = name.as_bytes().first() else { return false };
    if is(first, NAME_START) && span(name.as_bytes(), NAME) == name.len() {
        return true;
    }
    let mut characters = name.chars();
    let begins = |character: char| match u8::try_from(character) {
        Ok(byte) if byte.is_ascii() => is(byte, NAME_START),
        _ => names::begins(character),
    };
    characters.next().is_some_and(begins)
        && characters.all(|character| match u8::try_from(character) {
            Ok(byte) if byte.is_ascii() => is(byte, NAME),
            _ => names::continues(character),
        })
}
