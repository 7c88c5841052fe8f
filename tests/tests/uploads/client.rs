//! A bare HTTP/1.1 client: it sends what it is told, also what no other client would.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.0 == name).map(|header| header.1.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    /// What every answer about uploads carries.
    pub fn check_security(&self) {
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"), "{}", self.status);
        let policy = self.header("content-security-policy").expect("a policy");
        assert!(policy.contains("default-src 'none'; sandbox"), "{policy}");
        assert_eq!(self.header("access-control-allow-origin"), Some("*"), "{}", self.status);
    }
}

/// `path` with its query; `headers` as lines without their ends.
pub async fn ask(at: SocketAddr, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
    let stream = TcpStream::connect(at).await.expect("it listens");
    ask_over(stream, method, path, headers, body).await
}

pub async fn ask_over(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    method: &str,
    path: &str,
    headers: &[&str],
    body: &[u8],
) -> Answer {
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    for header in headers {
        request += header;
        request += "\r\n";
    }
    stream.write_all((request + "\r\n").as_bytes()).await.expect("sent");
    // It may be refused before it is all sent.
    let _ = stream.write_all(body).await;
    read(stream).await
}

/// A head, and a body as it comes.
pub async fn pass(at: SocketAddr, head: String, mut body: impl AsyncRead + Unpin) -> Answer {
    let stream = TcpStream::connect(at).await.expect("it listens");
    let (reading, mut writing) = stream.into_split();
    writing.write_all(head.as_bytes()).await.expect("sent");
    // It may be refused before it is all sent.
    let mut answer = std::pin::pin!(read(reading));
    tokio::select! {
        answer = &mut answer => return answer,
        _ = tokio::io::copy(&mut body, &mut writing) => {}
    }
    answer.await
}

/// All that comes until the end.
pub async fn read(mut stream: impl AsyncRead + Unpin) -> Answer {
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    let read = tokio::time::timeout(Duration::from_secs(30), read).await.expect("an answer in time");
    assert!(read.is_ok() || !bytes.is_empty(), "{read:?}");
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head");
    let head = String::from_utf8(bytes[..end].to_vec()).expect("text");
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status");
    let headers = lines.filter_map(|line| line.split_once(": "));
    Answer {
        status: status.parse().expect("a number"),
        headers: headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect(),
        body: bytes[end + 4..].to_vec(),
    }
}
