//! Finds single values in the text of a stanza, by substring search.
//!
//! Enough for what servers send in features, SASL, binding and rosters; not a parser.

use memchr::memmem;

use super::inbox::tag_end;

/// The stanza's own start tag, without which its children could be mistaken for its attributes.
pub fn start_tag(stanza: &[u8]) -> &[u8] {
    match tag_end(stanza) {
        Some(end) => &stanza[..end],
        None => stanza,
    }
}

pub fn contains(stanza: &[u8], text: &str) -> bool {
    memmem::find(stanza, text.as_bytes()).is_some()
}

/// The raw value of an attribute in a start tag.
pub fn attribute<'a>(tag: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut position = 0;
    loop {
        position += memmem::find(&tag[position..], name.as_bytes())?;
        let value = position + name.len();
        let begins = position > 0 && tag[position - 1].is_ascii_whitespace();
        if begins && let [b'=', quote @ (b'\'' | b'"'), rest @ ..] = &tag[value..] {
            return Some(&rest[..memchr::memchr(*quote, rest)?]);
        }
        position = value;
    }
}

pub fn attribute_text(tag: &[u8], name: &str) -> Option<String> {
    attribute(tag, name).map(unescape)
}

/// The start tags of all elements of this name.
pub fn elements<'a>(stanza: &'a [u8], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    memchr::memchr_iter(b'<', stanza).filter_map(move |begin| {
        let rest = &stanza[begin + 1..];
        let after = rest.strip_prefix(name.as_bytes())?.first()?;
        (after.is_ascii_whitespace() || matches!(after, b'>' | b'/')).then(|| start_tag(&stanza[begin..]))
    })
}

/// The character data of each element of this name that has no children.
pub fn texts<'a>(stanza: &'a [u8], name: &'a str) -> impl Iterator<Item = String> + 'a {
    let base = stanza.as_ptr() as usize;
    elements(stanza, name).filter_map(move |tag| {
        let begin = tag.as_ptr() as usize - base + tag.len() + 1;
        let content = stanza.get(begin..)?;
        Some(unescape(&content[..memchr::memchr(b'<', content)?]))
    })
}

/// Escapes what may not stand in character data or between single quotes.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '\'' => escaped.push_str("&apos;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// The first bytes of a stanza as text, short enough for an error message.
pub fn excerpt(stanza: &[u8]) -> String {
    String::from_utf8_lossy(&stanza[..stanza.len().min(300)]).into_owned()
}

fn unescape(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    if !text.contains('&') {
        return text.into_owned();
    }
    // The ampersand last, so that `&amp;lt;` stays `&lt;`.
    [("&lt;", "<"), ("&gt;", ">"), ("&apos;", "'"), ("&quot;", "\""), ("&amp;", "&")]
        .iter()
        .fold(text.into_owned(), |text, (entity, character)| text.replace(entity, character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_by_whole_names() {
        let tag = b"<message my-to='x' to=\"a&amp;b\" from='c'";
        assert_eq!(attribute_text(tag, "to").as_deref(), Some("a&b"));
        assert_eq!(attribute(tag, "from"), Some(&b"c"[..]));
        assert_eq!(attribute(tag, "id"), None);
    }

    #[test]
    fn texts_are_those_of_whole_names() {
        let features = b"<mechanisms><mechanism>PLAIN</mechanism><mechanism>X</mechanism></mechanisms>";
        assert_eq!(texts(features, "mechanism").collect::<Vec<_>>(), ["PLAIN", "X"]);
    }
}
