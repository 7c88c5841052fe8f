//! Uploads that clients put straight to S3, at signed URLs (`storage.s3.put = "direct"`).

use std::time::Duration;

use meerkat_tests::s3::S3Server;
use server::config::{S3, S3Put};
use server::storage::{Files, Usage};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::s3::{in_bucket, said};
use crate::stage::Stage;

fn direct(settings: S3) -> S3 {
    S3 { put: S3Put::Direct, ..settings }
}

fn path(url: &str) -> &str {
    url.find("/upload/").and_then(|start| url.get(start..)).expect("a path of ours")
}

/// The node's own job looks, until what is asked for holds.
async fn looked_until(stage: &Stage, mut holds: impl AsyncFnMut() -> bool) {
    let look = async {
        while !holds().await {
            stage.node.directory.removals.notify_one();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), look).await.expect("in time");
}

/// Over HTTP and HTTPS, in both styles of address.
#[tokio::test]
async fn what_is_put_at_s3_is_served_here() {
    let (plain, tls) = (S3Server::shared(), S3Server::over_tls());
    let ca = tls.authority().display().to_string();
    let buckets = [plain.bucket(), plain.bucket(), tls.bucket(), tls.bucket()];
    let [one, two, three, four] = &buckets;
    for (server, bucket, settings) in [
        (plain, one, plain.settings(one)),
        (plain, two, plain.virtual_settings(two)),
        (&tls, three, tls.settings(three)),
        (&tls, four, tls.virtual_settings(four)),
    ] {
        let stage = Stage::configured(in_bucket(direct(settings))).await;
        let file = stage.folder.path().join("a.txt");
        std::fs::write(&file, "tototo").expect("written");
        let file = file.display().to_string();
        let slot = stage.grant("a.txt", 6, Some("text/plain")).await;
        let get = path(&slot.get);
        assert_eq!(stage.get(get, &[]).await.status, 404, "nothing was put yet");
        let put = ["--cacert", &ca, "-T", &file, "-H", "Content-Type: text/plain", &slot.put];
        assert_eq!(said(&put).await, " 200");
        let answer = stage.get(get, &[]).await;
        assert_eq!((answer.status, answer.text()), (200, "tototo"));
        assert_eq!(answer.header("content-type"), Some("text/plain"));
        answer.check_security();
        assert_eq!(stage.store.file_usage(Some(stage.owner)).await, Ok(Usage { count: 1, bytes: 6 }));
        let kept = server.objects(bucket);
        assert!(kept.len() == 1 && !kept[0].0.contains("incoming"), "{kept:?}");
        // S3 cannot know that the slot was used; what is put again changes nothing, and goes.
        std::fs::write(&file, "TOTOTO").expect("written");
        assert_eq!(said(&put).await, " 200");
        assert_eq!(stage.get(get, &[]).await.text(), "tototo");
        looked_until(&stage, async || server.objects(bucket) == kept).await;
    }
}

/// S3 itself refuses it, and nothing is left.
#[tokio::test]
async fn what_is_not_the_slots_is_refused_by_s3() {
    let server = S3Server::shared();
    let bucket = server.bucket();
    let stage = Stage::configured(in_bucket(direct(server.settings(&bucket)))).await;
    let write = |text: &str| {
        let file = stage.folder.path().join(text);
        std::fs::write(&file, text).expect("written");
        file.display().to_string()
    };
    let (right, long, short) = (write("tototo"), write("tototo!"), write("toto"));
    let (plain, html) = ("Content-Type: text/plain", "Content-Type: text/html");
    let slot = stage.grant("a.txt", 6, Some("text/plain")).await;
    let other = stage.grant("b.txt", 6, Some("text/plain")).await;
    let name = |url: &str| path(url).split('/').nth(2).expect("a name").to_owned();
    let elsewhere = slot.put.replace(&name(&slot.get), &name(&other.get));
    let escape = slot.put.replace("/incoming/", "/incoming/..%2F..%2F");
    for (what, url, type_, file) in [
        ("longer", &slot.put, plain, &long),
        ("shorter", &slot.put, plain, &short),
        ("another type", &slot.put, html, &right),
        ("another slot", &elsewhere, plain, &right),
        ("a path escape", &escape, plain, &right),
    ] {
        let answer = said(&["-T", file, "-H", type_, url]).await;
        assert!(answer.ends_with(" 403") || answer.ends_with(" 400"), "{what}: {answer}");
        assert_eq!(server.objects(&bucket), [], "{what}");
    }
    // The time is that of the S3 server, which nobody can set forward.
    let hasty = stage.beside(|config| {
        in_bucket(direct(server.settings(&bucket)))(config);
        config.modules.upload.slot_seconds = 1;
    });
    let late = hasty.await.grant("a.txt", 6, Some("text/plain")).await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let late = said(&["-T", &right, "-H", plain, &late.put]).await;
    assert!(late.ends_with(" 403"), "an expired one: {late}");
    assert_eq!(server.objects(&bucket), []);
    assert_eq!(stage.get(path(&slot.get), &[]).await.status, 404);
}

/// What nobody asks for is noticed too, so that it counts, is listed and expires.
#[tokio::test]
async fn what_nobody_asks_for_is_noticed() {
    let server = S3Server::shared();
    let bucket = server.bucket();
    let stage = Stage::configured(in_bucket(direct(server.settings(&bucket)))).await;
    let file = stage.folder.path().join("a.png");
    std::fs::write(&file, "png").expect("written");
    let file = file.display().to_string();
    let slot = stage.grant("a.png", 3, None).await;
    let gone = stage.grant("b.png", 3, None).await;
    let unused = stage.grant("c.png", 3, None).await;
    for slot in [&slot, &gone] {
        assert_eq!(said(&["-T", &file, "-H", "Content-Type: image/png", &slot.put]).await, " 200");
    }
    let name = path(&gone.get).split('/').nth(2).expect("a name");
    assert_eq!(stage.node.uploads.remove_file(name).await, Ok(true));
    assert_eq!(server.objects(&bucket).len(), 1, "it went with what had arrived");
    let name = path(&slot.get).split('/').nth(2).expect("a name");
    let row = async || stage.store.file(name).await.expect("a store").expect("a row");
    looked_until(&stage, async || row().await.stored).await;
    assert_eq!(row().await.media_type.as_deref(), Some("image/png"));
    assert_eq!(stage.store.file_usage(None).await, Ok(Usage { count: 1, bytes: 3 }));
    assert_eq!(stage.get(path(&unused.get), &[]).await.status, 404);
}

#[tokio::test]
async fn an_upload_that_breaks_off_at_s3_is_none() {
    let server = S3Server::shared();
    let bucket = server.bucket();
    let stage = Stage::configured(in_bucket(direct(server.settings(&bucket)))).await;
    let slot = stage.grant("a.bin", 1 << 20, None).await;
    let (host, target) = slot.put.strip_prefix("http://").and_then(|url| url.split_once('/')).expect("a URL");
    let mut stream = TcpStream::connect(host).await.expect("it listens");
    let head = format!("PUT /{target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1048576\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream.write_all(&[7; 1 << 19]).await.expect("sent");
    assert_eq!(stage.get(path(&slot.get), &[]).await.status, 404);
    drop(stream);
    looked_until(&stage, async || server.objects(&bucket).is_empty()).await;
    assert_eq!(stage.get(path(&slot.get), &[]).await.status, 404);
}

/// The account goes while its upload is at S3.
#[tokio::test]
async fn a_removed_account_leaves_nothing_that_arrived() {
    let server = S3Server::shared();
    let bucket = server.bucket();
    let stage = Stage::configured(in_bucket(direct(server.settings(&bucket)))).await;
    let file = stage.folder.path().join("a");
    std::fs::write(&file, "hi").expect("written");
    let slot = stage.grant("a", 2, None).await;
    assert_eq!(said(&["-T", &file.display().to_string(), &slot.put]).await, " 200");
    let jid = xmpp_core::BareJid::parse("juliet@localhost").expect("an address");
    stage.node.directory.remove(&jid).await.expect("removed");
    assert_eq!(stage.get(path(&slot.get), &[]).await.status, 404);
    let rows = async || stage.store.files(None, "", 9).await.expect("a store");
    looked_until(&stage, async || rows().await.is_empty()).await;
    assert_eq!(server.objects(&bucket), []);
}
