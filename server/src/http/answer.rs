//! What all answers about uploads have in common: other pages may read them, and nothing in them may act.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use crate::storage::StoreError;

/// Nothing that somebody uploaded runs as this host's (XEP-0363 section 9.1).
pub const NO_SCRIPTS: &str = "default-src 'none'; sandbox; frame-ancestors 'none'";
pub const METHODS: &str = "OPTIONS, HEAD, GET, PUT";

/// An answer without content.
pub fn empty(status: StatusCode) -> Response<Body> {
    with(status, Body::empty())
}

/// A sentence for a person.
pub fn sentence(status: StatusCode, text: impl Into<String>) -> Response<Body> {
    let mut answer = with(status, Body::from(text.into() + "\n"));
    set(&mut answer, header::CONTENT_TYPE, "text/plain; charset=utf-8");
    set(&mut answer, header::CACHE_CONTROL, "no-store");
    answer
}

/// The store's own words may name files of this machine: those are for the log.
pub fn store_error(error: &StoreError) -> Response<Body> {
    tracing::warn!(%error, "an upload or download failed");
    match error {
        StoreError::Full(_) => sentence(StatusCode::INSUFFICIENT_STORAGE, "There is no room left"),
        _ => {
            let mut answer = sentence(StatusCode::SERVICE_UNAVAILABLE, "This cannot be done now; try again");
            set(&mut answer, header::RETRY_AFTER, "10");
            answer
        }
    }
}

pub fn with(status: StatusCode, body: Body) -> Response<Body> {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    set(&mut answer, header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    set(&mut answer, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(&mut answer, header::CONTENT_SECURITY_POLICY, NO_SCRIPTS);
    answer
}

/// A value that can be no header is left out.
pub fn set(answer: &mut Response<Body>, name: HeaderName, value: impl AsRef<str>) {
    if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
        answer.headers_mut().insert(name, value);
    }
}

pub fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}
