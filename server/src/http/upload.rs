//! `PUT /upload/NAME/TITLE`: a file comes into its slot; and which method goes where.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, Method, Request, Response, StatusCode, header};
use axum::routing::any;
use futures_util::StreamExt;
use tokio::time::timeout;

use super::answer::{METHODS, empty, sentence, set, store_error, text};
use super::download::download;
use crate::storage::Content;
use crate::uploads::{Put, Refused, Uploads};

/// What is read of a refused upload, so that who sends before he listens hears why.
const IGNORED_BYTES: u64 = 16 << 20;
const IGNORED_TIME: Duration = Duration::from_secs(10);

pub fn router(uploads: Arc<Uploads>) -> Router {
    Router::new().route("/upload/{name}/{title}", any(answer).with_state(uploads))
}

async fn answer(
    State(uploads): State<Arc<Uploads>>,
    Path((name, title)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    request: Request<Body>,
) -> Response<Body> {
    match *request.method() {
        Method::GET | Method::HEAD => {
            let is_head = request.method() == Method::HEAD;
            download(&uploads, &name, &title, is_head, request.headers()).await
        }
        Method::PUT => {
            let (head, body) = request.into_parts();
            let query = query.unwrap_or_default();
            match put(&uploads, &name, &title, &query, &head.headers, body).await {
                Ok(()) => sentence(StatusCode::CREATED, "It is there"),
                Err((answer, body)) => {
                    ignore(&head.headers, body).await;
                    answer
                }
            }
        }
        // XEP-0363 section 8: for clients that are pages of another host.
        Method::OPTIONS => {
            let mut answer = empty(StatusCode::NO_CONTENT);
            set(&mut answer, header::ALLOW, METHODS);
            set(&mut answer, header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
            let headers = "Authorization, Content-Type, Range, If-None-Match, If-Range";
            set(&mut answer, header::ACCESS_CONTROL_ALLOW_HEADERS, headers);
            set(&mut answer, header::ACCESS_CONTROL_MAX_AGE, "7200");
            answer
        }
        _ => {
            let mut answer = sentence(StatusCode::METHOD_NOT_ALLOWED, "A file is put, and read");
            set(&mut answer, header::ALLOW, METHODS);
            answer
        }
    }
}

type Refusal = (Response<Body>, Option<Body>);

/// What is refused before it came gives its body back.
async fn put(
    uploads: &Uploads,
    name: &str,
    title: &str,
    query: &str,
    headers: &HeaderMap,
    body: Body,
) -> Result<(), Refusal> {
    let length = text(headers, header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
    let Some(length) = length else {
        // XEP-0363 section 6: the length is the slot's, which only who says it can prove.
        let answer = sentence(StatusCode::LENGTH_REQUIRED, "An upload says its Content-Length");
        return Err((answer, Some(body)));
    };
    let (until, signature) = signed(query);
    let media_type = text(headers, header::CONTENT_TYPE);
    let put = Put { name, title, until, signature, length, media_type };
    match uploads.begin(&put).await {
        Ok(coming) => {
            let parts = body.into_data_stream().map(|part| part.map_err(std::io::Error::other));
            coming.receive(Box::pin(parts) as Content).await.map_err(|refused| (refusal(&refused), None))
        }
        Err(refused) => Err((refusal(&refused), Some(body))),
    }
}

/// The slot's time and our signature. What is not there is not right.
fn signed(query: &str) -> (u64, &str) {
    let value = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|pair| pair.0 == name).map(|pair| pair.1)
    };
    let until = value("until").and_then(|until| until.parse().ok());
    (until.unwrap_or_default(), value("signature").unwrap_or_default())
}

fn refusal(refused: &Refused) -> Response<Body> {
    match refused {
        Refused::Forged => sentence(StatusCode::FORBIDDEN, "This is the URL of no slot"),
        Refused::Expired => sentence(StatusCode::GONE, "The slot's time has passed; ask for another one"),
        Refused::Used => sentence(StatusCode::CONFLICT, "The slot was used; ask for another one"),
        Refused::Length { slot, upload } => {
            let status = if upload > slot { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST };
            sentence(status, format!("The slot is for {slot} bytes, not for {upload}"))
        }
        Refused::MediaType { slot } => {
            sentence(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("The slot is for a Content-Type of {slot}"))
        }
        Refused::Incomplete(why) => {
            sentence(StatusCode::BAD_REQUEST, format!("It did not come whole: {why}"))
        }
        Refused::Slow => sentence(StatusCode::REQUEST_TIMEOUT, "It took too long"),
        Refused::Store(error) => store_error(error),
    }
}

/// A connection that is closed with unread bytes may lose the answer. Who waits for `100 Continue` sends nothing.
async fn ignore(headers: &HeaderMap, body: Option<Body>) {
    let Some(body) = body.filter(|_| !headers.contains_key(header::EXPECT)) else { return };
    let mut parts = body.into_data_stream();
    let read = async {
        let mut left = IGNORED_BYTES;
        while let Some(Ok(part)) = parts.next().await
            && left > 0
        {
            left = left.saturating_sub(part.len() as u64);
        }
    };
    // Whatever is left then, the answer goes out.
    let _ = timeout(IGNORED_TIME, read).await;
}
