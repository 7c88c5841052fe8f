//! S3 that is away, slow, or not what the configuration says.

use std::time::{Duration, Instant, SystemTime};

use meerkat_tests::s3::S3Server;
use server::config::{S3, Secret};
use server::plugins::s3::{self, Options};
use server::storage::{Blobs, StoreError};
use server::uploads::{SlotError, SlotRequest};
use tokio::io::AsyncWriteExt;

use crate::client::pass;
use crate::put::until;
use crate::s3::in_bucket;
use crate::stage::Stage;

fn request() -> SlotRequest {
    SlotRequest { title: "a.txt".to_owned(), size: 2, media_type: None, until: None }
}

/// Each sentence names the place, and the key of the configuration that helps.
#[tokio::test]
async fn a_wrong_setting_is_named() {
    let (server, tls) = (S3Server::shared(), S3Server::over_tls());
    let bucket = server.bucket();
    let right = server.settings(&bucket);
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
    let nobody = format!("http://127.0.0.1:{port}");
    let ahead: fn() -> SystemTime = || SystemTime::now() + Duration::from_secs(7_200);
    let is_right: fn() -> SystemTime = SystemTime::now;
    for (settings, clock, words) in [
        (
            S3 { bucket: Some("missing".to_owned()), ..right.clone() },
            is_right,
            ["missing", "storage.s3.bucket"],
        ),
        (
            S3 { access_key: Some("who".to_owned()), ..right.clone() },
            is_right,
            [&*bucket, "storage.s3.access_key"],
        ),
        (
            S3 { secret_key: Some(Secret::new("wrong")), ..right.clone() },
            is_right,
            [&bucket, "storage.s3.secret_key"],
        ),
        (S3 { endpoint: nobody.parse().ok(), ..right.clone() }, is_right, [&nobody, "storage.s3.endpoint"]),
        (S3 { ca: None, ..tls.settings(&tls.bucket()) }, is_right, ["certificate", "storage.s3.ca"]),
        (right.clone(), ahead, [&bucket, "clock"]),
    ] {
        let options = Options { clock, ..Options::configured(&settings).expect("all is there") };
        let begun = Instant::now();
        let error = s3::S3::open(options).expect("it opens").health().await.expect_err("it is wrong");
        assert!(begun.elapsed() < Duration::from_secs(5));
        let endpoint = settings.endpoint.expect("a URL").to_string();
        let StoreError::Unavailable(sentence) = &error else { panic!("{error:?}") };
        for word in words.into_iter().chain([endpoint.as_str()]) {
            assert!(sentence.contains(word), "{word}: {sentence}");
        }
        assert!(!sentence.contains("not-so-secret") && !sentence.contains("wrong\""), "{sentence}");
    }
    assert_eq!(
        s3::S3::open(Options::configured(&right).expect("all is there")).expect("it opens").health().await,
        Ok(())
    );
}

#[tokio::test]
async fn a_file_of_authorities_that_is_none_is_refused() {
    let server = S3Server::shared();
    let settings = server.settings("x");
    let file = tempfile::NamedTempFile::new().expect("a file");
    let named = S3 { ca: Some(file.path().to_owned()), ..settings.clone() };
    let error =
        s3::S3::open(Options::configured(&named).expect("it can be read")).err().expect("it is empty");
    assert!(error.to_string().contains("storage.s3.ca"), "{error}");
    let missing = S3 { ca: Some("/nonexistent/ca.pem".into()), ..settings };
    let error = Options::configured(&missing).err().expect("it is not there");
    assert!(error.to_string().contains("/nonexistent/ca.pem (storage.s3.ca)"), "{error}");
}

/// Slots are refused for now, uploads and downloads too, in a time that is bounded; then all is as before.
#[tokio::test]
async fn s3_that_is_away_or_silent_keeps_nobody_waiting() {
    let server = S3Server::start();
    let bucket = server.bucket();
    let settings = S3 { wait_seconds: 2, ..server.settings(&bucket) };
    let stage = Stage::configured(in_bucket(settings)).await;
    let there = stage.uploaded("a.txt", None, b"hi").await;
    for (away, back) in [("kill", "start"), ("pause", "resume")] {
        let slot = stage.slot("b.txt", 2, None).await;
        server.tell(away);
        let begun = Instant::now();
        let put = stage.put(&slot.put, &[], b"hi").await;
        assert_eq!((put.status, put.header("retry-after")), (503, Some("10")), "{away}");
        let refused = stage.node.uploads.grant(stage.owner, "localhost", request()).await;
        assert!(matches!(refused, Err(SlotError::Store(StoreError::Unavailable(_)))), "{away}: {refused:?}");
        assert_eq!(stage.get(&there, &[]).await.status, 503, "{away}");
        assert_eq!(stage.get("/.well-known/host-meta", &[]).await.status, 200, "{away}");
        assert!(begun.elapsed() < Duration::from_secs(15), "{away}: {:?}", begun.elapsed());
        server.tell(back);
        let granted = async {
            while stage.node.uploads.grant(stage.owner, "localhost", request()).await.is_err() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), granted).await.expect("it is there again");
        assert_eq!(stage.get(&slot.get, &[]).await.status, 404, "{away}: nothing came");
        assert_eq!(stage.put(&slot.put, &[], b"ho").await.status, 201, "{away}");
        assert_eq!(stage.get(&there, &[]).await.text(), "hi", "{away}");
    }
    let metrics = stage.node.metrics.text();
    for line in [
        "meerkat_upload_store_operations_total{store=\"s3\",operation=\"put\",result=\"done\"} 3",
        "meerkat_upload_store_operations_total{store=\"s3\",operation=\"put\",result=\"failed\"} 2",
        "meerkat_upload_store_operations_total{store=\"s3\",operation=\"read\",result=\"failed\"} 2",
        "meerkat_upload_store_bytes_total{store=\"s3\",direction=\"out\"} 4",
        "meerkat_plugin_operations_total{plugin=\"s3\",operation=\"put\"} 5",
        "meerkat_plugin_errors_total{plugin=\"s3\",operation=\"put\"} 2",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
}

/// In the middle of an upload: it is refused, and nothing is left of it.
#[tokio::test]
async fn s3_that_dies_in_the_middle_of_an_upload() {
    let server = S3Server::start();
    let bucket = server.bucket();
    let settings = S3 { wait_seconds: 2, ..server.settings(&bucket) };
    let stage = Stage::configured(in_bucket(settings)).await;
    let slot = stage.slot("a.bin", 64 << 20, None).await;
    for (away, back) in [("kill", "start"), ("pause", "resume")] {
        let (mut sender, body) = tokio::io::duplex(1 << 16);
        let head = format!(
            "PUT {} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            slot.put,
            64 << 20
        );
        let upload = tokio::spawn(pass(stage.plain, head, body));
        sender.write_all(&[7; 1 << 20]).await.expect("sent");
        server.tell(away);
        let rest = tokio::spawn(async move {
            let part = vec![7; 1 << 20];
            for _ in 0..63 {
                if sender.write_all(&part).await.is_err() {
                    break;
                }
            }
        });
        let answer =
            tokio::time::timeout(Duration::from_secs(20), upload).await.expect("in time").expect("no panic");
        assert_eq!(answer.status, 503, "{away}: {}", answer.text());
        rest.abort();
        server.tell(back);
        assert_eq!(stage.get(&slot.get, &[]).await.status, 404, "{away}");
        tokio::time::sleep(Duration::from_millis(500)).await;
        until(|| server.objects(&bucket).is_empty()).await;
        assert_eq!(stage.get(&slot.get, &[]).await.status, 404, "{away}");
    }
}
