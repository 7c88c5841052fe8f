//! `GET` and `HEAD /upload/NAME/TITLE`: a file, whole or in part, with all that keeps it from harming who looks.

use axum::body::Body;
use axum::http::{HeaderMap, Response, StatusCode, header};

use super::answer::{empty, sentence, set, store_error, text, with};
use super::range::{Wanted, wanted};
use crate::storage::{BlobName, File, Millis, StoreError};
use crate::uploads::{Uploads, escape, essence};

/// As long as HTTP's caches keep anything (RFC 2616 section 14.21 named a year).
const CACHE_SECONDS: Millis = 365 * 24 * 60 * 60;

pub async fn download(
    uploads: &Uploads,
    name: &str,
    title: &str,
    is_head: bool,
    headers: &HeaderMap,
) -> Response<Body> {
    match uploads.find(name, title).await {
        Ok(Some((name, file))) => match answer(uploads, &name, &file, is_head, headers).await {
            Ok(answer) => answer,
            Err(error) => store_error(&error),
        },
        Ok(None) => sentence(StatusCode::NOT_FOUND, "There is no such file"),
        Err(error) => store_error(&error),
    }
}

async fn answer(
    uploads: &Uploads,
    name: &BlobName,
    file: &File,
    is_head: bool,
    headers: &HeaderMap,
) -> Result<Response<Body>, StoreError> {
    let etag = format!("\"{name}\"");
    if text(headers, header::IF_NONE_MATCH).is_some_and(|known| knows(known, &etag)) {
        return Ok(described(empty(StatusCode::NOT_MODIFIED), file, &etag, uploads.now()));
    }
    let same = text(headers, header::IF_RANGE).is_none_or(|known| known.trim() == etag);
    let range = text(headers, header::RANGE).filter(|_| same);
    let (status, range) = match range.map_or(Wanted::All, |range| wanted(range, file.size)) {
        Wanted::All => (StatusCode::OK, 0..file.size),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Nothing => {
            let mut answer = empty(StatusCode::RANGE_NOT_SATISFIABLE);
            set(&mut answer, header::CONTENT_RANGE, format!("bytes */{}", file.size));
            return Ok(answer);
        }
    };
    let length = range.end - range.start;
    let shown = format!("bytes {}-{}/{}", range.start, range.end.saturating_sub(1), file.size);
    let body = match is_head {
        true => Body::empty(),
        false => match uploads.blobs.read(name, range).await? {
            Some(content) => Body::from_stream(content),
            None => return Err(StoreError::Damaged(format!("the upload {name} has no content"))),
        },
    };
    let mut answer = described(with(status, body), file, &etag, uploads.now());
    set(&mut answer, header::CONTENT_LENGTH, length.to_string());
    if status == StatusCode::PARTIAL_CONTENT {
        set(&mut answer, header::CONTENT_RANGE, shown);
    }
    Ok(answer)
}

/// What does not depend on which part is asked for.
fn described(mut answer: Response<Body>, file: &File, etag: &str, now: Millis) -> Response<Body> {
    let media_type = file.media_type.as_deref().unwrap_or("application/octet-stream");
    let left =
        file.expires.map_or(CACHE_SECONDS, |expires| (expires.saturating_sub(now) / 1000).min(CACHE_SECONDS));
    set(&mut answer, header::CONTENT_TYPE, media_type);
    set(&mut answer, header::CONTENT_DISPOSITION, disposition(&file.title, media_type));
    set(&mut answer, header::ACCEPT_RANGES, "bytes");
    set(&mut answer, header::ETAG, etag);
    set(&mut answer, header::CACHE_CONTROL, format!("public, max-age={left}, immutable"));
    let exposed = "Accept-Ranges, Content-Disposition, Content-Length, Content-Range, ETag";
    set(&mut answer, header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    answer
}

/// Pictures, sound and plain text are shown; all else is saved, whatever it is called.
fn disposition(title: &str, media_type: &str) -> String {
    let essence = essence(media_type);
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

/// `If-None-Match` (RFC 9110 section 13.1.2): a list, or any.
fn knows(known: &str, etag: &str) -> bool {
    let mut tags = known.split(',').map(|tag| tag.trim());
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_act_is_shown() {
        let kind = |media_type| disposition("a", media_type).split(';').next().unwrap().to_owned();
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
            disposition("très \"cool\".jpg", "image/jpeg"),
            "inline; filename=\"tr_s__cool_.jpg\"; filename*=UTF-8''tr%C3%A8s%20%22cool%22.jpg"
        );
    }

    #[test]
    fn what_is_known_is_not_sent_again() {
        for known in ["*", "\"a\"", "W/\"a\"", "\"b\", \"a\""] {
            assert!(knows(known, "\"a\""), "{known}");
        }
        assert!(!knows("\"b\"", "\"a\"") && !knows("", "\"a\""));
    }
}
