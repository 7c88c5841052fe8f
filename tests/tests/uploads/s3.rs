//! Uploads in S3, through the server: a real S3 server that checks signatures, and curl.

use std::process::Output;

use meerkat_tests::s3::S3Server;
use server::config::{Config, S3, S3Get, UploadStore};
use server::storage::{Files, Usage};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use xmpp_core::BareJid;

use crate::client::ask;
use crate::put::until;
use crate::stage::Stage;

/// Uploads go there.
pub fn in_bucket(settings: S3) -> impl Fn(&mut Config) {
    move |config| {
        config.storage.s3 = settings.clone();
        config.modules.upload.store = UploadStore::S3;
    }
}

pub async fn curl(arguments: &[&str]) -> Output {
    let mut curl = tokio::process::Command::new("curl");
    curl.args(["-sS", "--max-time", "30"]).args(arguments);
    curl.output().await.expect("curl is installed")
}

/// What curl shows, with the status at its end.
pub async fn said(arguments: &[&str]) -> String {
    let output = curl(&[&["-w", " %{http_code}"], arguments].concat()).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Put with curl, and read whole and in part; over HTTP and HTTPS, in both styles of address.
#[tokio::test]
async fn what_curl_puts_is_there() {
    let (plain, tls) = (S3Server::shared(), S3Server::over_tls());
    let buckets = [plain.bucket(), plain.bucket(), tls.bucket(), tls.bucket()];
    let [one, two, three, four] = &buckets;
    for (server, bucket, settings) in [
        (plain, one, plain.settings(one)),
        (plain, two, plain.virtual_settings(two)),
        (&tls, three, tls.settings(three)),
        (&tls, four, tls.virtual_settings(four)),
    ] {
        let stage = Stage::configured(in_bucket(settings)).await;
        let file = stage.folder.path().join("sonnet.txt");
        let text = "But soft, what light\n".repeat(10_000);
        std::fs::write(&file, &text).expect("written");
        let slot = stage.slot("très cool.txt", text.len() as u64, Some("text/plain")).await;
        let (put, get, file) = (stage.url(&slot.put), stage.url(&slot.get), file.display().to_string());
        let type_ = "Content-Type: text/plain";
        assert_eq!(said(&["-T", &file, "-H", type_, &put]).await, "It is there\n 201");
        assert_eq!(said(&[&get]).await, format!("{text} 200"));
        assert_eq!(said(&["-r", "4-7", &get]).await, "soft 206");
        let head = said(&["-I", &get]).await;
        assert!(head.contains(&format!("content-length: {}\r\n", text.len())), "{head}");
        assert!(head.contains("filename*=UTF-8''tr%C3%A8s%20cool.txt"), "{head}");
        assert_eq!(
            said(&["-T", &file, "-H", type_, &put]).await,
            "The slot was used; ask for another one\n 409"
        );
        let objects = server.objects(bucket);
        assert_eq!(objects.len(), 1, "{objects:?}");
        assert!(objects[0].0.starts_with("uploads/") && objects[0].1 == text.len() as u64, "{objects:?}");
        stage.get(&slot.get, &[]).await.check_security();
    }
}

/// Each refusal has its status, and nothing is left of what was refused.
#[tokio::test]
async fn what_is_not_the_slots_never_reaches_the_bucket() {
    let server = S3Server::shared();
    let bucket = server.bucket();
    let stage = Stage::configured(in_bucket(server.settings(&bucket))).await;
    let slot = stage.slot("a.txt", 6, Some("text/plain")).await;
    let plain = "Content-Type: text/plain";
    let (path, query) = slot.put.split_once('?').expect("a query");
    for (what, path, headers, body, status) in [
        ("longer", slot.put.clone(), &[plain][..], &b"tototo!"[..], 413),
        ("shorter", slot.put.clone(), &[plain], b"totot", 400),
        ("another type", slot.put.clone(), &["Content-Type: text/html"], b"tototo", 415),
        ("no signature", path.to_owned(), &[plain], b"tototo", 403),
        ("a path escape", format!("/upload/..%2F..%2Fother/a.txt?{query}"), &[plain], b"tototo", 403),
    ] {
        assert_eq!(stage.put(&path, headers, body).await.status, status, "{what}");
        assert_eq!(server.objects(&bucket), [], "{what}");
        assert_eq!(stage.get(&slot.get, &[]).await.status, 404, "{what}");
    }
    assert_eq!(stage.put(&slot.put, &[plain], b"tototo").await.status, 201);
    let kept = server.objects(&bucket);
    assert_eq!(stage.put(&slot.put, &[plain], b"TOTOTO").await.status, 409);
    assert_eq!((server.objects(&bucket), stage.get(&slot.get, &[]).await.text()), (kept, "tototo"));
    // Nothing at all is a file too.
    let empty = stage.uploaded("empty", None, b"").await;
    let answer = stage.get(&empty, &[]).await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
}

#[tokio::test]
async fn an_interrupted_upload_leaves_nothing_in_the_bucket() {
    let server = S3Server::shared();
    let bucket = server.bucket();
    let stage = Stage::configured(in_bucket(server.settings(&bucket))).await;
    let slot = stage.slot("a.bin", 1 << 20, None).await;
    let mut stream = TcpStream::connect(stage.plain).await.expect("it listens");
    let head = format!("PUT {} HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n", slot.put);
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream.write_all(&[7; 1 << 19]).await.expect("sent");
    until(|| stage.node.uploads.coming() == 1).await;
    assert_eq!(stage.get(&slot.get, &[]).await.status, 404);
    drop(stream);
    stage.node.uploads.until_empty().await;
    // This server keeps what came; it goes a moment later.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    until(|| server.objects(&bucket).is_empty()).await;
    assert_eq!(stage.get(&slot.get, &[]).await.status, 404);
    assert_eq!(stage.put(&slot.put, &[], &[8; 1 << 20]).await.status, 201, "it may be tried again");
    assert_eq!(stage.get(&slot.get, &[]).await.body, [8; 1 << 20]);
    let objects = server.objects(&bucket);
    assert!(objects.len() == 1 && objects[0].1 == 1 << 20, "{objects:?}");
}

/// What goes, goes from the bucket: one file, an account's, what has expired.
#[tokio::test]
async fn what_goes_goes_from_the_bucket() {
    let server = S3Server::shared();
    let bucket = server.bucket();
    let stage = Stage::configured(in_bucket(server.settings(&bucket))).await;
    let [one, two] = [stage.uploaded("1", None, b"hi").await, stage.uploaded("2", None, b"hi").await];
    assert_eq!(stage.store.file_usage(None).await, Ok(Usage { count: 2, bytes: 4 }));
    let name = one.split('/').nth(2).expect("a name");
    assert_eq!(stage.node.uploads.remove_file(name).await, Ok(true));
    assert_eq!(server.objects(&bucket).len(), 1);
    stage
        .node
        .directory
        .remove(&BareJid::parse("juliet@localhost").expect("an address"))
        .await
        .expect("removed");
    assert_eq!(stage.get(&two, &[]).await.status, 404);
    until(|| server.objects(&bucket).is_empty()).await;
}

/// Readers are sent to S3 itself, where they are told what the file is; who only asks is told here.
#[tokio::test]
async fn a_reader_is_sent_to_a_signed_url() {
    let tls = S3Server::over_tls();
    let ca = tls.authority().display().to_string();
    for (server, virtual_style) in [(S3Server::shared(), false), (S3Server::shared(), true), (&tls, false)] {
        let bucket = server.bucket();
        let settings =
            if virtual_style { server.virtual_settings(&bucket) } else { server.settings(&bucket) };
        let stage = Stage::configured(in_bucket(S3 { get: S3Get::Redirect, ..settings })).await;
        let path = stage.uploaded("très cool.html", Some("text/html"), b"<script>").await;
        let answer = stage.get(&path, &[]).await;
        assert_eq!((answer.status, answer.header("cache-control")), (302, Some("no-store")));
        answer.check_security();
        let url = answer.header("location").expect("a place").to_owned();
        assert!(url.contains("X-Amz-Expires=300") && url.contains("X-Amz-Signature="), "{url}");
        let get = stage.url(&path);
        assert_eq!(said(&["-L", "--cacert", &ca, &get]).await, "<script> 200");
        assert_eq!(said(&["-L", "--cacert", &ca, "-r", "1-3", &get]).await, "scr 206");
        let head = said(&["-D", "-", "-o", "/dev/null", "--cacert", &ca, &url]).await.to_ascii_lowercase();
        assert!(head.contains("content-type: text/html\r\n"), "{head}");
        assert!(head.contains("content-disposition: attachment; "), "{head}");
        assert_eq!(ask(stage.plain, "HEAD", &path, &[], b"").await.header("content-length"), Some("8"));
        // Without its signature, or for another object, it is worth nothing.
        let bare = url.split_once('?').expect("a query").0;
        assert!(said(&["--cacert", &ca, bare]).await.ends_with(" 403"));
        let other = url.replace("/uploads/", "/uploads/0");
        assert!(said(&["--cacert", &ca, &other]).await.ends_with(" 403"));
    }
}

/// A bucket that everybody may read is read at its own URL.
#[tokio::test]
async fn a_reader_is_sent_to_a_public_url() {
    let server = S3Server::shared();
    let bucket = server.bucket();
    server.publish(&bucket);
    let public = S3 { get: S3Get::Public, ..server.settings(&bucket) };
    let stage = Stage::configured(in_bucket(public.clone())).await;
    let path = stage.uploaded("a.html", Some("text/html"), b"<script>").await;
    let answer = stage.get(&path, &[]).await;
    let url = answer.header("location").expect("a place");
    assert!(answer.status == 302 && !url.contains('?'), "{url}");
    let head = said(&["-D", "-", url]).await.to_ascii_lowercase();
    assert!(head.contains("content-disposition: attachment; ") && head.ends_with("<script> 200"), "{head}");
    let proxied = S3 { public_url: "https://cdn.example.com/x/".parse().ok(), ..public };
    let beside = stage.beside(in_bucket(proxied)).await;
    let answer = beside.get(&path, &[]).await;
    let place = answer.header("location").expect("a place");
    assert!(place.starts_with("https://cdn.example.com/x/uploads/"), "{place}");
}
