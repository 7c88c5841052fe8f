use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{ask, read};
use crate::stage::Stage;

#[tokio::test]
async fn what_is_put_is_there_for_who_has_the_url() {
    let stage = Stage::new().await;
    let slot = stage.slot("très cool.jpg", 6, Some("image/jpeg")).await;
    assert_eq!(stage.get(&slot.get, &[]).await.status, 404);
    let answer = stage.put(&slot.put, &["Content-Type: image/jpeg"], b"tototo").await;
    assert_eq!(answer.status, 201);
    answer.check_security();
    let read = stage.get(&slot.get, &[]).await;
    assert_eq!((read.status, read.text()), (200, "tototo"));
    assert_eq!(stage.files().len(), 1);
}

/// Each refusal has its status, and nothing is left of what was refused.
#[tokio::test]
async fn what_is_not_the_slots_is_refused() {
    let stage = Stage::new().await;
    let slot = stage.slot("a.txt", 6, Some("text/plain")).await;
    let plain = "Content-Type: text/plain";
    let (path, query) = slot.put.split_once('?').expect("a query");
    let (until, signature) = query.split_once('&').expect("two values");
    let later =
        format!("until={}", until.strip_prefix("until=").and_then(|s| s.parse::<u64>().ok()).unwrap() + 9);
    let other = stage.slot("a.txt", 6, None).await;
    let other_path = other.put.split_once('?').expect("a query").0;
    let other_title = path.replace("a.txt", "b.txt");
    let flipped = signature.replace(['0', '1'], "2");
    for (what, path, headers, body, status) in [
        ("longer", slot.put.clone(), &[plain][..], &b"tototo!"[..], 413),
        ("shorter", slot.put.clone(), &[plain], b"totot", 400),
        ("another type", slot.put.clone(), &["Content-Type: text/html"], b"tototo", 415),
        ("no type", slot.put.clone(), &[], b"tototo", 415),
        ("no signature", path.to_owned(), &[plain], b"tototo", 403),
        ("an empty one", format!("{path}?{until}&signature="), &[plain], b"tototo", 403),
        ("a forged one", format!("{path}?{until}&{flipped}"), &[plain], b"tototo", 403),
        ("another time", format!("{path}?{later}&{signature}"), &[plain], b"tototo", 403),
        ("another slot", format!("{other_path}?{query}"), &[plain], b"tototo", 403),
        ("another title", format!("{other_title}?{query}"), &[plain], b"tototo", 403),
        ("a path escape", format!("/upload/..%2F..%2Fmeerkat/a.txt?{query}"), &[plain], b"tototo", 403),
        ("no such place", format!("/upload/../../etc/passwd?{query}"), &[plain], b"tototo", 404),
    ] {
        let answer = stage.put(&path, headers, body).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        if status != 404 {
            answer.check_security();
        }
        assert!(stage.files().is_empty(), "{what}");
        assert_eq!(stage.get(&slot.get, &[]).await.status, 404, "{what}");
    }
    // It can still be used, once.
    assert_eq!(stage.put(&slot.put, &[plain], b"tototo").await.status, 201);
    let again = stage.put(&slot.put, &[plain], b"TOTOTO").await;
    assert_eq!(again.status, 409);
    assert_eq!(stage.get(&slot.get, &[]).await.text(), "tototo");
}

#[tokio::test]
async fn an_upload_without_a_length_is_refused() {
    let stage = Stage::new().await;
    let slot = stage.slot("a.txt", 6, None).await;
    let body = b"6\r\ntototo\r\n0\r\n\r\n";
    let answer = ask(stage.plain, "PUT", &slot.put, &["Transfer-Encoding: chunked"], body).await;
    assert_eq!(answer.status, 411);
    assert!(stage.files().is_empty());
}

/// Behaviour 142: the type counts only where the slot's request named one.
#[tokio::test]
async fn a_slot_without_a_type_takes_any() {
    let stage = Stage::new().await;
    let slot = stage.slot("a.txt", 2, None).await;
    assert_eq!(stage.put(&slot.put, &["Content-Type: text/plain"], b"hi").await.status, 201);
    assert_eq!(stage.get(&slot.get, &[]).await.header("content-type"), Some("text/plain"));
    let untyped = stage.uploaded("b", None, b"hi").await;
    assert_eq!(stage.get(&untyped, &[]).await.header("content-type"), Some("application/octet-stream"));
}

#[tokio::test]
async fn an_interrupted_upload_is_never_served_half() {
    let stage = Stage::new().await;
    let slot = stage.slot("a.bin", 1 << 20, None).await;
    let mut stream = TcpStream::connect(stage.plain).await.expect("it listens");
    let head = format!("PUT {} HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n", slot.put);
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream.write_all(&[7; 1 << 19]).await.expect("sent");
    until(|| !stage.files().is_empty()).await;
    assert_eq!(stage.get(&slot.get, &[]).await.status, 404);
    // Nobody else fills it meanwhile.
    assert_eq!(stage.put(&slot.put, &[], &[8; 1 << 20]).await.status, 409);
    drop(stream);
    until(|| stage.files().is_empty()).await;
    assert_eq!(stage.get(&slot.get, &[]).await.status, 404);
    assert_eq!(stage.put(&slot.put, &[], &[8; 1 << 20]).await.status, 201, "it may be tried again");
    assert_eq!(stage.get(&slot.get, &[]).await.body, [8; 1 << 20]);
}

/// Who waits for a word before he sends (curl does) is refused before he sends.
#[tokio::test]
async fn a_client_that_asks_first_is_told_first() {
    let stage = Stage::new().await;
    let slot = stage.slot("a.bin", 4, None).await;
    let expect = ["Content-Length: 100000", "Expect: 100-continue"];
    assert_eq!(ask(stage.plain, "PUT", &slot.put, &expect, b"").await.status, 413);
    let mut stream = TcpStream::connect(stage.plain).await.expect("it listens");
    let head = format!(
        "PUT {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n",
        slot.put
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    let mut go_on = [0; 25];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut go_on).await.expect("a word");
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"toto").await.expect("sent");
    assert_eq!(read(stream).await.status, 201);
}

/// Who sends megabytes before he listens hears why he is refused all the same.
#[tokio::test]
async fn a_refused_client_that_is_still_sending_is_told_why() {
    let stage = Stage::new().await;
    let slot = stage.slot("a.bin", 4, None).await;
    let answer = stage.put(&slot.put, &[], &vec![7; 8 << 20]).await;
    assert_eq!(answer.status, 413);
    assert!(answer.text().contains("4 bytes"), "{}", answer.text());
}

#[tokio::test]
async fn a_removed_account_has_no_files() {
    let stage = Stage::new().await;
    let get = stage.uploaded("a.txt", None, b"hi").await;
    let slot = stage.slot("b.txt", 2, None).await;
    let jid = xmpp_core::BareJid::parse("juliet@localhost").expect("an address");
    stage.node.directory.remove(&jid).await.expect("removed");
    assert_eq!(stage.get(&get, &[]).await.status, 404);
    assert_eq!(stage.put(&slot.put, &[], b"hi").await.status, 410);
    until(|| stage.files().is_empty()).await;
}

#[tokio::test]
async fn a_store_that_is_away_is_said() {
    let stage = Stage::new().await;
    let get = stage.uploaded("a.txt", None, b"hi").await;
    let slot = stage.slot("b.txt", 2, None).await;
    stage.store.fail_writes(server::storage::StoreError::Unavailable("away".to_owned()));
    let answer = stage.put(&slot.put, &[], b"hi").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("10")));
    assert_eq!(stage.get(&get, &[]).await.status, 200, "what is there can be read");
    stage.store.heal();
    assert_eq!(stage.get(&slot.get, &[]).await.status, 404);
    assert_eq!(stage.put(&slot.put, &[], b"hi").await.status, 201);
}

/// Who stops the server lets what is coming come; what takes longer is cut off, and nothing is left of it.
#[tokio::test]
async fn a_server_that_stops_waits_for_uploads_and_not_for_ever() {
    for (in_time, seconds) in [(true, 20), (false, 1)] {
        let stage = Stage::configured(|config| config.general.drain_seconds = seconds).await;
        let slot = stage.slot("a.bin", 8, None).await;
        let mut stream = TcpStream::connect(stage.plain).await.expect("it listens");
        let head = format!("PUT {} HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\ntoto", slot.put);
        stream.write_all(head.as_bytes()).await.expect("sent");
        until(|| stage.node.uploads.coming() == 1).await;
        let node = stage.node.clone();
        let stopping = tokio::spawn(async move { node.stop().await });
        until(|| stage.node.is_stopping()).await;
        if in_time {
            stream.write_all(b"toto").await.expect("sent");
            assert_eq!(read(stream).await.status, 201);
        } else {
            let mut answer = Vec::new();
            let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer).await;
            assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
        }
        stopping.await.expect("it stops");
        assert_eq!((stage.node.uploads.coming(), stage.files().len()), (0, usize::from(in_time)));
    }
}

pub async fn until(mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("in time");
}
