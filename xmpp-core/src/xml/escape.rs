//! Writing text and attribute values so that any XML parser reads the same back.

use super::chars;

/// Appends character data.
pub fn text(text: &str, out: &mut Vec<u8>) {
    let mut rest = text;
    loop {
        let (plain, special) = rest.split_at(chars::plain_text(rest));
        out.extend_from_slice(plain.as_bytes());
        let Some(character) = special.chars().next() else { return };
        match character {
            '<' => out.extend_from_slice(b"&lt;"),
            '&' => out.extend_from_slice(b"&amp;"),
            // Only "]]>" would need it (XML 1.0 section 2.4), but every writer does it.
            '>' => out.extend_from_slice(b"&gt;"),
            // A bare carriage return would be read back as a line feed (XML 1.0 section 2.11).
            '\r' => out.extend_from_slice(b"&#xD;"),
            other => push_character(other, out),
        }
        rest = &special[character.len_utf8()..];
    }
}

/// Appends an attribute value, for apostrophes around it.
pub fn value(value: &str, out: &mut Vec<u8>) {
    let mut rest = value;
    loop {
        let plain = chars::plain_value(rest);
        if plain == rest.len() {
            return out.extend_from_slice(rest.as_bytes());
        }
        let (plain, special) = rest.split_at(plain);
        out.extend_from_slice(plain.as_bytes());
        let Some(character) = special.chars().next() else { return };
        match character {
            '<' => out.extend_from_slice(b"&lt;"),
            '&' => out.extend_from_slice(b"&amp;"),
            '\'' => out.extend_from_slice(b"&apos;"),
            '"' => out.push(b'"'),
            // As they are they would be read back as spaces (XML 1.0 section 3.3.3).
            '\t' => out.extend_from_slice(b"&#x9;"),
            '\n' => out.extend_from_slice(b"&#xA;"),
            '\r' => out.extend_from_slice(b"&#xD;"),
            other => push_character(other, out),
        }
        rest = &special[character.len_utf8()..];
    }
}

/// Appends ` name='value'`.
pub fn attribute(name: &str, attribute_value: &str, out: &mut Vec<u8>) {
    out.push(b' ');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"='");
    value(attribute_value, out);
    out.push(b'\'');
}

/// What XML has no way to write becomes U+FFFD, so that no peer's parser stumbles over us.
fn push_character(character: char, out: &mut Vec<u8>) {
    let written = if chars::is_char(character) { character } else { char::REPLACEMENT_CHARACTER };
    out.extend_from_slice(written.encode_utf8(&mut [0; 4]).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: fn(&str, &mut Vec<u8>), input: &str) -> String {
        let mut out = Vec::new();
        write(input, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(written(text, "a<b>&'\"\t\r\n\u{e9}"), "a&lt;b&gt;&amp;'\"\t&#xD;\n\u{e9}");
        assert_eq!(
            written(text, "\0\u{1f}\u{fffe}\u{ffff}\u{feff}"),
            "\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{feff}"
        );
    }

    #[test]
    fn values_are_escaped() {
        assert_eq!(written(value, "a<b>&'\"\t\r\n\u{e9}"), "a&lt;b>&amp;&apos;\"&#x9;&#xD;&#xA;\u{e9}");
    }
}
