use std::time::Duration;

use server::config::Limit;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::client::ask;
use crate::stage::Stage;

#[tokio::test]
async fn headers_are_bounded() {
    let stage = Stage::new().await;
    let long = format!("X-Long: {}", "x".repeat(20_000));
    assert_eq!(ask(stage.plain, "GET", "/", &[&long], b"").await.status, 431);
    let many: Vec<String> = (0..100).map(|n| format!("X-{n}: 1")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(ask(stage.plain, "GET", "/", &many, b"").await.status, 431);
}

#[tokio::test]
async fn connections_are_bounded() {
    let stage = Stage::configured(|config| {
        config.listen.http.0[0].max_connections = Limit::AtMost(2);
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let stream = TcpStream::connect(stage.plain).await.expect("it listens");
        held.push(stream);
    }
    let mut third = TcpStream::connect(stage.plain).await.expect("it listens");
    assert!(matches!(third.read(&mut [0]).await, Ok(0) | Err(_)), "it is closed without an answer");
    drop(held.pop());
    // Its place is free once the server has seen it go.
    let free = async {
        loop {
            let mut stream = TcpStream::connect(stage.plain).await.expect("it listens");
            let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, request).await;
            let mut answer = String::new();
            if stream.read_to_string(&mut answer).await.is_ok_and(|read| read > 0) {
                break answer;
            }
        }
    };
    let answer = tokio::time::timeout(Duration::from_secs(30), free).await.expect("in time");
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
}

/// Neither who says nothing keeps his connection, nor who stops in the middle of an upload.
#[tokio::test(start_paused = true)]
async fn silence_ends_a_connection() {
    let stage = Stage::new().await;
    let slot = stage.slot("a.bin", 4, None).await;
    let put = format!("PUT {} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nto", slot.put);
    for (said, seconds) in [("", 30), ("GET / HT", 30), (put.as_str(), 60)] {
        let begun = tokio::time::Instant::now();
        let mut stream = TcpStream::connect(stage.plain).await.expect("it listens");
        tokio::io::AsyncWriteExt::write_all(&mut stream, said.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        // Whether it is told why or not, it ends.
        let _ = stream.read_to_end(&mut answer).await;
        let took = begun.elapsed().as_secs();
        assert!((seconds..seconds + 30).contains(&took), "{said:?}: {took} s");
        assert!(!answer.starts_with(b"HTTP/1.1 2"));
    }
    assert!(stage.files().is_empty());
}
