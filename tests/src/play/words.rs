//! Words in braces: what a play writes where a value is not known when it is written.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

/// Values that a play has come to know, by name.
pub type Known = HashMap<String, String>;

/// What an attribute or a text has to be.
#[derive(Debug, PartialEq)]
pub enum Wanted {
    /// There, whatever it is.
    Any,
    /// Not there.
    Absent,
    /// There, and to be remembered by this name.
    New(String),
    /// There, and something else.
    Other(String),
    /// A date and time by XEP-0082.
    Date,
    Exactly(String),
}

/// Replaces `{name}`, `{base64 ..}` and `{repeat N ..}`; `{{` and `}}` are braces.
pub fn fill(text: &str, known: &Known) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        filled.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(behind) = rest.strip_prefix(brace) {
            filled.push_str(brace);
            rest = behind;
            continue;
        }
        let end = rest.find('}').filter(|_| brace == "{");
        let end = end.ok_or_else(|| format!("a single {brace} (write it twice to mean itself)"))?;
        filled.push_str(&word(&rest[..end], known)?);
        rest = &rest[end + 1..];
    }
    filled.push_str(rest);
    Ok(filled)
}

fn word(word: &str, known: &Known) -> Result<String, String> {
    if let Some(plain) = word.strip_prefix("base64 ") {
        return Ok(BASE64.encode(unescape(&fill_names(plain, known))?));
    }
    if let Some((count, what)) = word.strip_prefix("repeat ").and_then(|rest| rest.split_once(' ')) {
        let count: usize = count.parse().map_err(|_| format!("{count} is not a number"))?;
        return Ok(what.repeat(count));
    }
    known.get(word).cloned().ok_or_else(|| format!("nobody knows what {{{word}}} is"))
}

/// Inside `{base64 ..}` a name stands in angle brackets.
fn fill_names(text: &str, known: &Known) -> String {
    known.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("<{name}>"), value))
}

/// What a pattern's value means.
pub fn wanted(text: &str, known: &Known) -> Result<Wanted, String> {
    match text {
        "{any}" => return Ok(Wanted::Any),
        "{none}" => return Ok(Wanted::Absent),
        "{date}" => return Ok(Wanted::Date),
        _ => {}
    }
    let inside = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    match inside.and_then(|inside| inside.split_once(' ')) {
        Some(("new", name)) => Ok(Wanted::New(name.to_owned())),
        Some(("not", name)) => word(name, known).map(Wanted::Other),
        _ => fill(text, known).map(Wanted::Exactly),
    }
}

/// Bytes as Rust writes them: `\n \r \t \\ \0 \xFF \u{..}`.
pub fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, behind)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        let kind = behind.chars().next().ok_or("a \\ at the end")?;
        rest = &behind[kind.len_utf8()..];
        match kind {
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            't' => bytes.push(b'\t'),
            '0' => bytes.push(0),
            '\\' => bytes.push(b'\\'),
            'x' => {
                let digits = rest.get(..2).ok_or("\\x wants two digits")?;
                bytes.push(u8::from_str_radix(digits, 16).map_err(|_| "\\x wants two digits")?);
                rest = &rest[2..];
            }
            'u' => {
                let digits = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
                let (digits, behind) = digits.ok_or("\\u wants {digits}")?;
                let code = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
                bytes.extend_from_slice(code.ok_or("\\u wants a character")?.to_string().as_bytes());
                rest = behind;
            }
            other => return Err(format!("\\{other} means nothing")),
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_in() {
        let known = Known::from([("id".to_owned(), "17".to_owned())]);
        assert_eq!(fill("<a id='{id}'/>{{x}}", &known).as_deref(), Ok("<a id='17'/>{x}"));
        assert_eq!(fill("{repeat 3 ab}", &known).as_deref(), Ok("ababab"));
        assert_eq!(fill("{base64 \\0romeo\\0secret}", &known).as_deref(), Ok("AHJvbWVvAHNlY3JldA=="));
        assert_eq!(fill("{who}", &known).unwrap_err(), "nobody knows what {who} is");
        assert!(fill("a { b", &known).is_err());
        assert_eq!(wanted("{new x}", &known), Ok(Wanted::New("x".into())));
        assert_eq!(wanted("{id}!", &known), Ok(Wanted::Exactly("17!".into())));
    }

    #[test]
    fn bytes_are_unescaped() {
        assert_eq!(unescape("a\\x04\\u{e9}\\n\\\\").as_deref(), Ok(&b"a\x04\xc3\xa9\n\\"[..]));
        assert!(unescape("\\q").is_err());
        assert!(unescape("\\x4").is_err());
    }
}
