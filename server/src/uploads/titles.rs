//! Names of files and media types: what is one, and what goes together.

/// As long as a file's name is on most disks.
const TITLE_BYTES: usize = 255;
const MEDIA_TYPE_BYTES: usize = 255;

/// A name that is one segment of a path, whoever reads it, and has nothing invisible in it.
pub fn is_title(text: &str) -> bool {
    let bad = |char: char| char.is_control() || matches!(char, '/' | '\\') || is_invisible(char);
    !text.is_empty() && text.len() <= TITLE_BYTES && !matches!(text, "." | "..") && !text.chars().any(bad)
}

/// Marks that change the direction of text: `exe.gpj` must not look like `jpg.exe`.
fn is_invisible(char: char) -> bool {
    matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// RFC 9110 section 8.3.1: `type/subtype`, and perhaps parameters.
pub fn is_media_type(text: &str) -> bool {
    let is_token = |part: &str| {
        let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        !part.is_empty() && part.bytes().all(is_tchar)
    };
    let printable = text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    let kinds = essence_of(text).split_once('/');
    printable
        && text.len() <= MEDIA_TYPE_BYTES
        && kinds.is_some_and(|(one, two)| is_token(one) && is_token(two))
}

/// Without parameters, in lower case.
pub fn essence(text: &str) -> String {
    essence_of(text).to_ascii_lowercase()
}

fn essence_of(text: &str) -> &str {
    text.split(';').next().unwrap_or_default().trim()
}

/// Is an upload's type the one that its slot names? Parameters count where the slot names some.
pub fn agree(slot: &str, upload: &str) -> bool {
    let plain = |text: &str| text.to_ascii_lowercase().replace([' ', '"'], "");
    match slot.contains(';') {
        true => plain(slot) == plain(upload),
        false => essence(slot) == essence(upload),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_name() {
        for name in ["a", "très cool.jpg", "..x", ".hidden", "снимок.png", &"x".repeat(255)] {
            assert!(is_title(name), "{name}");
        }
        for name in ["", ".", "..", "a/b", "a\\b", "a\nb", "a\0", "gpj.\u{202e}exe", &"x".repeat(256)] {
            assert!(!is_title(name), "{name:?}");
        }
    }

    #[test]
    fn what_is_a_media_type() {
        for text in ["image/jpeg", "text/plain; charset=utf-8", "application/vnd.a+xml"] {
            assert!(is_media_type(text), "{text}");
        }
        for text in ["", "image", "image/", "/jpeg", "a b/c", "image/jpeg\r\nX: y", "bild/größe", "a/b/c"] {
            assert!(!is_media_type(text), "{text:?}");
        }
    }

    #[test]
    fn types_that_go_together() {
        assert!(agree("image/jpeg", "Image/JPEG"));
        assert!(agree("text/plain", "text/plain; charset=utf-8"));
        assert!(agree("text/plain;charset=UTF-8", "text/plain; charset=\"utf-8\""));
        assert!(!agree("text/plain; charset=utf-8", "text/plain"));
        assert!(!agree("image/jpeg", "text/html"));
    }
}
