//! `GET` and `HEAD /upload/NAME/TITLE`: a file, whole or in part, with all that keeps it from harming who looks.

use axum::body::Body;
use axum::http::{HeaderMap, Response, StatusCode, header};

use super::answer::{empty, sentence, set, store_error, text, with};
use super::range::{Wanted, wanted};
use crate::storage::{File, Millis, StoreError};
use crate::uploads::{Uploads, disposition};

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
        Ok(Some(file)) => match answer(uploads, &file, is_head, headers).await {
            Ok(answer) => answer,
            Err(error) => store_error(&error),
        },
        Ok(None) => sentence(StatusCode::NOT_FOUND, "There is no such file"),
        Err(error) => store_error(&error),
    }
}

async fn answer(
    uploads: &Uploads,
    file: &File,
    is_head: bool,
    headers: &HeaderMap,
) -> Result<Response<Body>, StoreError> {
    let etag = format!("\"{}\"", file.name);
    if text(headers, header::IF_NONE_MATCH).is_some_and(|known| knows(known, &etag)) {
        return Ok(described(empty(StatusCode::NOT_MODIFIED), file, &etag, uploads.now()));
    }
    // Whoever only wants to know about it is told here.
    if !is_head && let Some(url) = uploads.read_url(file).await? {
        let mut answer = sentence(StatusCode::FOUND, "It is read elsewhere");
        set(&mut answer, header::LOCATION, url);
        return Ok(answer);
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
        false => Body::from_stream(uploads.read(file, range).await?),
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
    set(&mut answer, header::CONTENT_DISPOSITION, disposition(&file.title, Some(media_type)));
    set(&mut answer, header::ACCEPT_RANGES, "bytes");
    set(&mut answer, header::ETAG, etag);
    set(&mut answer, header::CACHE_CONTROL, format!("public, max-age={left}, immutable"));
    let exposed = "Accept-Ranges, Content-Disposition, Content-Length, Content-Range, ETag";
    set(&mut answer, header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    answer
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
    fn what_is_known_is_not_sent_again() {
        for known in ["*", "\"a\"", "W/\"a\"", "\"b\", \"a\""] {
            assert!(knows(known, "\"a\""), "{known}");
        }
        assert!(!knows("\"b\"", "\"a\"") && !knows("", "\"a\""));
    }
}
