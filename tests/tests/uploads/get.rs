use crate::client::ask;
use crate::stage::Stage;

#[tokio::test]
async fn a_file_is_served_so_that_it_can_harm_nobody() {
    let stage = Stage::new().await;
    let page = stage.uploaded("très \"cool\".html", Some("text/html"), b"<script>").await;
    let answer = stage.get(&page, &[]).await;
    answer.check_security();
    assert_eq!(answer.header("content-type"), Some("text/html"));
    let disposition = answer.header("content-disposition").expect("a disposition");
    assert!(disposition.starts_with("attachment; "), "{disposition}");
    assert!(disposition.ends_with("filename*=UTF-8''tr%C3%A8s%20%22cool%22.html"), "{disposition}");
    let picture = stage.uploaded("a.png", Some("image/png"), b"png").await;
    let answer = stage.get(&picture, &[]).await;
    assert!(answer.header("content-disposition").is_some_and(|text| text.starts_with("inline; ")));
    // Thirty days, less what has passed.
    let cache = answer.header("cache-control").expect("for caches");
    let age: u64 =
        cache.strip_prefix("public, max-age=").and_then(|rest| rest.split(',').next()?.parse().ok()).unwrap();
    assert!((30 * 86_400 - 60..=30 * 86_400).contains(&age), "{cache}");
}

#[tokio::test]
async fn a_head_is_a_get_without_its_content() {
    let stage = Stage::new().await;
    let path = stage.uploaded("a.txt", Some("text/plain"), b"0123456789").await;
    let (get, head) = (stage.get(&path, &[]).await, ask(stage.plain, "HEAD", &path, &[], b"").await);
    assert_eq!((head.status, head.body.len()), (200, 0));
    let without_date = |headers: &[(String, String)]| {
        let mut headers: Vec<_> = headers
            .iter()
            .filter(|header| !matches!(&*header.0, "date" | "cache-control"))
            .cloned()
            .collect();
        headers.sort();
        headers
    };
    assert_eq!(without_date(&head.headers), without_date(&get.headers));
    assert_eq!(head.header("content-length"), Some("10"));
    assert_eq!(ask(stage.plain, "HEAD", &path.replace("a.txt", "b.txt"), &[], b"").await.status, 404);
}

#[tokio::test]
async fn a_part_is_served_where_a_part_is_asked_for() {
    let stage = Stage::new().await;
    let path = stage.uploaded("a.txt", Some("text/plain"), b"0123456789").await;
    let etag = stage.get(&path, &[]).await.header("etag").expect("a tag").to_owned();
    for (range, status, shown, body) in [
        ("bytes=2-4", 206, Some("bytes 2-4/10"), "234"),
        ("bytes=7-", 206, Some("bytes 7-9/10"), "789"),
        ("bytes=-3", 206, Some("bytes 7-9/10"), "789"),
        ("bytes=5-500", 206, Some("bytes 5-9/10"), "56789"),
        ("bytes=10-", 416, Some("bytes */10"), ""),
        ("bytes=0-1,5-6", 200, None, "0123456789"),
        ("nonsense", 200, None, "0123456789"),
    ] {
        let answer = stage.get(&path, &[&format!("Range: {range}")]).await;
        answer.check_security();
        assert_eq!((answer.status, answer.text()), (status, body), "{range}");
        assert_eq!(answer.header("content-range"), shown, "{range}");
        assert_eq!(answer.header("content-length"), Some(body.len().to_string().as_str()), "{range}");
    }
    let range = "Range: bytes=2-4";
    assert_eq!(stage.get(&path, &[range, &format!("If-Range: {etag}")]).await.text(), "234");
    assert_eq!(stage.get(&path, &[range, "If-Range: \"other\""]).await.text(), "0123456789");
    let known = stage.get(&path, &[&format!("If-None-Match: {etag}")]).await;
    assert_eq!((known.status, known.text(), known.header("etag")), (304, "", Some(etag.as_str())));
}

#[tokio::test]
async fn pages_of_other_hosts_may_ask() {
    let stage = Stage::new().await;
    let slot = stage.slot("a.txt", 2, None).await;
    let preflight = ["Origin: https://chat.example", "Access-Control-Request-Method: PUT"];
    let answer = ask(stage.plain, "OPTIONS", &slot.put, &preflight, b"").await;
    assert_eq!(answer.status, 204);
    answer.check_security();
    assert_eq!(answer.header("access-control-allow-methods"), Some("OPTIONS, HEAD, GET, PUT"));
    assert!(answer.header("access-control-allow-headers").is_some_and(|text| text.contains("Content-Type")));
    let post = ask(stage.plain, "POST", &slot.put, &["Content-Length: 0"], b"").await;
    assert_eq!((post.status, post.header("allow")), (405, Some("OPTIONS, HEAD, GET, PUT")));
}

#[tokio::test]
async fn nothing_else_is_there() {
    let stage = Stage::new().await;
    let path = stage.uploaded("a.txt", None, b"hi").await;
    let name = path.split('/').nth(2).expect("a name");
    for path in [
        "/".to_owned(),
        "/upload".to_owned(),
        format!("/upload/{name}"),
        format!("/upload/{name}/b.txt"),
        format!("/upload/{}/a.txt", name.to_uppercase()),
        "/upload/..%2f..%2fmeerkat.db/a.txt".to_owned(),
        "/uploads/".to_owned(),
    ] {
        assert_eq!(stage.get(&path, &[]).await.status, 404, "{path}");
    }
}

/// XEP-0156: both forms, for pages of other hosts too; and no way to connect that is not there.
#[tokio::test]
async fn host_meta_lists_what_is_there() {
    let stage = Stage::new().await;
    let xrd = stage.get("/.well-known/host-meta", &[]).await;
    assert_eq!((xrd.status, xrd.header("access-control-allow-origin")), (200, Some("*")));
    assert_eq!(xrd.header("content-type"), Some("application/xrd+xml; charset=utf-8"));
    assert!(
        xrd.text().contains("<XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'/>"),
        "{}",
        xrd.text()
    );
    let jrd = stage.get("/.well-known/host-meta.json", &[]).await;
    assert_eq!((jrd.header("content-type"), jrd.text()), (Some("application/json"), r#"{"links":[]}"#));
}
