use std::io::{Read, Write};
use std::net::TcpStream;

use meerkat_tests::s3::{ACCESS_KEY, S3Server, SECRET_KEY};
use serde_json::json;

use crate::client::Client;
use crate::server::Server;

#[test]
fn uploads_are_tested_listed_counted_and_removed() {
    let server = Server::start();
    let place = server.data().join("uploads");
    go_through(&server, &place.display().to_string(), &|_| {});
}

#[test]
fn uploads_in_s3_are_tested_listed_counted_and_removed() {
    let s3 = S3Server::start();
    let bucket = s3.bucket();
    let endpoint = format!("http://127.0.0.1:{}", s3.port());
    let server = Server::start_with(&[
        ("MEERKAT__MODULES__UPLOAD__STORE", "s3"),
        ("MEERKAT__STORAGE__S3__ENDPOINT", &endpoint),
        ("MEERKAT__STORAGE__S3__BUCKET", &bucket),
        ("MEERKAT__STORAGE__S3__ACCESS_KEY", ACCESS_KEY),
        ("MEERKAT__STORAGE__S3__SECRET_KEY", SECRET_KEY),
    ]);
    let place = format!("the bucket {bucket} of S3 at {endpoint} (storage.s3)");
    go_through(&server, &place, &|files| assert_eq!(s3.objects(&bucket).len(), files));

    s3.tell("kill");
    let refused = server.ctl(&["upload", "test"]).refused();
    for part in [endpoint.as_str(), "storage.s3.endpoint"] {
        assert!(refused.contains(part), "{part} is not in {refused}");
    }
    assert!(!refused.contains(SECRET_KEY) && !server.log().contains(SECRET_KEY), "the password is told");
}

/// `place`: where uploads are, in words; `holds`: looks whether so many files are there.
fn go_through(server: &Server, place: &str, holds: &dyn Fn(usize)) {
    server.account("juliet");
    let tested = server.ctl(&["upload", "test"]).done();
    assert!(tested.starts_with(&format!("Uploads in {place} can be written")), "{tested}");
    holds(0);
    assert_eq!(server.ctl(&["upload", "usage"]).done(), "0 files, 0 bytes\n");
    assert_eq!(server.ctl(&["upload", "list"]).done(), "");

    let (put, get) = slot(server, "a.txt", 6);
    let http = server.json(&["status"])["server"]["status"]["http"][0]["address"].clone();
    let ask = |method: &str, path: &str, body: &str| {
        let mut stream = TcpStream::connect(http.as_str().expect("an address")).expect("it listens");
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all((head + body).as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer.split(' ').nth(1).expect("a status").to_owned()
    };
    assert_eq!(ask("PUT", &put, "tototo"), "201");
    holds(1);
    assert_eq!(ask("GET", &get, ""), "200");

    let listed = server.json(&["upload", "list", "--user", "juliet@localhost"]);
    let file = &listed["upload"]["list"][0];
    assert_eq!(
        (&file["user"], &file["file"], &file["size"]),
        (&json!("juliet@localhost"), &json!("a.txt"), &json!(6))
    );
    assert_eq!(file["stored"], true);
    assert!(file["url"].as_str().expect("a URL").ends_with(&get), "{file}");
    let name = file["name"].as_str().expect("a name");
    let line = server.ctl(&["upload", "list"]).done();
    assert!(line.starts_with(&format!("{name}  juliet@localhost, \"a.txt\", 6 bytes, ")), "{line}");
    assert_eq!(server.json(&["upload", "usage"])["upload"]["usage"], json!({ "files": 1, "bytes": 6 }));

    assert_eq!(
        server.ctl(&["upload", "remove", "--name", name]).done(),
        format!("The file {name} was removed\n")
    );
    assert_eq!(
        server.ctl(&["upload", "remove", "--name", name]).refused(),
        format!("there is no file {name}")
    );
    assert_eq!(ask("GET", &get, ""), "404");
    holds(0);
    slot(server, "b.txt", 6);
    let all = server.ctl(&["upload", "remove", "--user", "juliet@localhost"]).done();
    assert_eq!(all, "1 files of juliet@localhost were removed\n");
    assert_eq!(
        server.ctl(&["upload", "usage", "--user", "romeo@localhost"]).refused(),
        "there is no account romeo@localhost"
    );
    server.ctl(&["upload", "remove"]).wrong_usage();
}

/// The paths of a slot's two URLs.
fn slot(server: &Server, file: &str, size: u64) -> (String, String) {
    let mut juliet = Client::login(server.client_port(), "juliet", "balcony");
    juliet.send(&format!(
        "<iq type='get' id='s' to='upload.localhost'>\
         <request xmlns='urn:xmpp:http:upload:0' filename='{file}' size='{size}'/></iq>"
    ));
    let answer = juliet.hear("</iq>");
    let url = |name: &str| {
        let behind = answer.split(&format!("<{name} url='")).nth(1).expect("a URL");
        let url = behind.split('\'').next().expect("its end").replace("&amp;", "&");
        url[url.find("/upload/").expect("a path")..].to_owned()
    };
    (url("put"), url("get"))
}
