//! The cold archive as an operator and a client see it, in a bucket of a real S3 server.

use meerkat_tests::s3::{ACCESS_KEY, S3Server, SECRET_KEY};
use serde_json::{Value, json};

use crate::archives::talk;
use crate::client::Client;
use crate::server::Server;

const QUERY: &str = "<iq type='set' id='page'><query xmlns='urn:xmpp:mam:2'/></iq>";

/// What a client reads of its archive, without the stream's own ids.
fn page(server: &Server, name: &str) -> String {
    let mut client = Client::login(server.client_port(), name, "reader");
    client.send(QUERY);
    client.hear("id='page'") + &client.hear("</iq>")
}

/// Runs the server, for the first time or again, with files in a bucket.
fn run(server: &mut Server, s3: &S3Server, bucket: &str) {
    let endpoint = format!("http://127.0.0.1:{}", s3.port());
    server.run(&[
        ("MEERKAT__MODULES__MAM__COLD__STORE", "s3"),
        ("MEERKAT__STORAGE__S3__ENDPOINT", &endpoint),
        ("MEERKAT__STORAGE__S3__BUCKET", bucket),
        ("MEERKAT__STORAGE__S3__ACCESS_KEY", ACCESS_KEY),
        ("MEERKAT__STORAGE__S3__SECRET_KEY", SECRET_KEY),
        ("MEERKAT__STORAGE__S3__WAIT_SECONDS", "3"),
    ]);
    server.started();
}

#[test]
fn old_messages_are_moved_read_and_looked_over() {
    let s3 = S3Server::start();
    let bucket = s3.bucket();
    let mut server = Server::absent();
    run(&mut server, &s3, &bucket);
    talk(&server);
    let before = page(&server, "romeo");
    assert_eq!(before.matches("<result").count(), 4, "{before}");

    let moving = ["mam", "cold", "move", "--before", "2100-01-01"];
    let dry = server.ctl(&[&moving[..], &["--dry-run"]].concat()).done();
    assert_eq!(dry, "4 messages would be moved, in 1 file; nothing was moved\n");
    assert_eq!(s3.objects(&bucket), []);
    let said = server.ctl(&moving).done();
    let objects = s3.objects(&bucket);
    let [(key, bytes)] = &objects[..] else { panic!("{objects:?}") };
    assert!(key.starts_with("cold/"), "{key}");
    assert_eq!(said, format!("4 messages moved, in 1 file of {bytes} bytes\n"));
    let again = &server.json(&moving)["mam"]["cold"];
    assert_eq!(
        (&again["files"], &again["message"]),
        (&json!(0), &json!("0 messages moved, in 0 files of 0 bytes"))
    );
    // What Juliet has not read waits on, and is in the store as that only.
    let left = "1 messages, 0 entries in archives, 1 waiting\nEvery entry has its message, and every message an entry\n";
    assert_eq!(server.ctl(&["mam", "verify"]).done(), left);
    let count = "juliet@localhost  4\nromeo@localhost  4\nlocalhost  8 in all\n";
    assert_eq!(server.ctl(&["mam", "count"]).done(), count);
    let verify = ["mam", "cold", "verify"];
    let seen = format!("1 files, {bytes} bytes, 4 messages, 8 entries in archives\n");
    assert_eq!(server.ctl(&verify).done(), seen.clone() + "Every file is what the catalogue says\n");

    // Byte by byte as before, and whole with an operator.
    assert_eq!(page(&server, "romeo"), before);
    let export = server.ctl(&["account", "exportData", "--user", "juliet@localhost"]).done();
    let export: Value = serde_json::from_str(&export).expect("JSON");
    assert_eq!(export["archive"].as_array().map(Vec::len), Some(4), "{export}");

    // What is remembered needs no S3; a server that was started anew remembers nothing.
    s3.tell("kill");
    assert_eq!(page(&server, "romeo"), before);
    server.ctl(&["stop"]).done();
    server.wait();
    run(&mut server, &s3, &bucket);
    let refused = page_error(&server);
    assert!(refused.contains("type='error'") && refused.contains("type='wait'"), "{refused}");
    assert!(!refused.contains("<result"), "{refused}");
    let said = server.ctl(&verify);
    assert_eq!((said.code, &*said.error), (1, "There is 1 fault\n"));
    assert!(said.out.starts_with(&seen.replace("4 messages, 8", "0 messages, 0")), "{}", said.out);
    assert!(said.out.lines().count() == 2 && said.out.contains("storage.s3"), "{}", said.out);
    s3.tell("start");
    assert_eq!(page(&server, "romeo"), before);

    // With both accounts the file goes.
    for user in ["romeo@localhost", "juliet@localhost"] {
        server.ctl(&["account", "removeUser", "--user", user]).done();
    }
    let begun = std::time::Instant::now();
    while !s3.objects(&bucket).is_empty() {
        assert!(begun.elapsed().as_secs() < 60, "{:?}", s3.objects(&bucket));
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

fn page_error(server: &Server) -> String {
    let mut client = Client::login(server.client_port(), "romeo", "reader");
    client.send(QUERY);
    client.hear("</iq>")
}

/// On a disk, over a restart without the setting: what is in files is found, and nothing more is moved.
#[test]
fn what_is_cold_outlives_its_setting() {
    let mut server = Server::start_with(&[("MEERKAT__MODULES__MAM__COLD__STORE", "disk")]);
    talk(&server);
    let before = page(&server, "romeo");
    let unset = "modules.mam.cold.after_days is \"none\": give the time by --before";
    assert_eq!(server.ctl(&["mam", "cold", "move"]).refused(), unset);
    server.ctl(&["mam", "cold", "move", "--before", "2100-01-01"]).done();
    server.ctl(&["stop"]).done();
    server.wait();
    server.run(&[]);
    server.started();
    assert_eq!(page(&server, "romeo"), before);
    let unset = "modules.mam.cold.store is not set: nothing says where to";
    assert_eq!(server.ctl(&["mam", "cold", "move", "--before", "2100-01-01"]).refused(), unset);
}

#[test]
fn without_a_cold_archive_that_is_said() {
    let server = Server::start();
    let unset = "there is no cold archive: modules.mam.cold.store is not set, or the store keeps none";
    assert_eq!(server.ctl(&["mam", "cold", "move", "--before", "2100-01-01"]).refused(), unset);
    assert_eq!(server.ctl(&["mam", "cold", "verify"]).refused(), unset);
    server.ctl(&["mam", "cold"]).wrong_usage();
}
