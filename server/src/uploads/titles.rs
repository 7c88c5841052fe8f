//! Names of files and media types: what is one, and what goes together.

use super::escape;

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

/// `Content-Disposition`. Pictures, sound and plain text are shown; all else is saved, whatever it is called.
pub fn disposition(title: &str, media_type: Option<&str>) -> String {
    let essence = essence(media_type.unwrap_or_default());
    let is_shown = match essence.split_once('/') {
        // A picture that is a document with scripts.
        Some(("image", "svg+xml")) => false,
        Some(("image" | "audio" | "video", _)) => true,
        _ => essence == "text/plain",
    };
    let kind = if is_shown { "inline" } else { "attachment" };
    // RFC 6266 section 5 and RFC 8187: the plain form for those who know no other.
    let plain: String = title
        .chars()
        .map(|char| if char.is_ascii_graphic() && !matches!(char, '"' | '\\' | '%') { char } else { '_' })
        .collect();
    format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{}", escape(title))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_act_is_shown() {
        let kind = |media_type| disposition("a", Some(media_type)).split(';').next().unwrap().to_owned();
        for shown in ["image/png", "IMAGE/JPEG", "audio/ogg", "video/mp4", "text/plain; charset=utf-8"] {
            assert_eq!(kind(shown), "inline", "{shown}");
        }
        for saved in ["image/svg+xml", "Image/SVG+XML", "text/html", "application/pdf", "text/xml", ""] {
            assert_eq!(kind(saved), "attachment", "{saved}");
        }
    }

    #[test]
    fn a_name_is_told_both_ways() {
        assert_eq!(
            disposition("très \"cool\".jpg", Some("image/jpeg")),
            "inline; filename=\"tr_s__cool_.jpg\"; filename*=UTF-8''tr%C3%A8s%20%22cool%22.jpg"
        );
    }

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
