use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::client::Client;
use crate::server::Server;

/// Three messages from Romeo to Juliet, who reads them, and one more when she is gone.
pub fn talk(server: &Server) {
    server.account("juliet");
    server.account("romeo");
    let mut juliet = Client::login(server.client_port(), "juliet", "balcony");
    let mut romeo = Client::login(server.client_port(), "romeo", "orchard");
    juliet.appear();
    for body in ["one", "two", "three"] {
        let message =
            format!("<message to='juliet@localhost' type='chat'><body>{body} &lt;3</body></message>");
        romeo.send(&message);
        juliet.hear(body);
    }
    juliet.send("</stream:stream>");
    juliet.rest();
    romeo.send("<message to='juliet@localhost' type='chat'><body>four</body></message>");
    romeo.send("</stream:stream>");
    romeo.rest();
}

#[test]
fn archives_are_counted_looked_over_and_purged() {
    let server = Server::start_with(&[("MEERKAT__GENERAL__HOSTS", "localhost,capulet.example")]);
    talk(&server);
    let count = ["mam", "count"];
    let all = "juliet@localhost  4\nromeo@localhost  4\nlocalhost  8 in all\ncapulet.example  0 in all\n";
    assert_eq!(server.ctl(&count).done(), all);
    let of = |jid: &str, messages: u64| json!({ "jid": jid, "messages": messages });
    let listed = json!([of("juliet@localhost", 4), of("romeo@localhost", 4), { "domain": "localhost", "messages": 8 }]);
    let localhost = [&count[..], &["--domain", "localhost"]].concat();
    assert_eq!(server.json(&localhost), json!({ "mam": { "count": listed } }));
    let juliet = [&count[..], &["--user", "juliet@localhost"]].concat();
    assert_eq!(server.ctl(&juliet).done(), "juliet@localhost  4\n");

    let verified = server.ctl(&["mam", "verify"]).done();
    let expected = "4 messages, 8 entries in archives, 1 waiting\n\
                    Every entry has its message, and every message an entry\n";
    assert_eq!(verified, expected);
    let looked = &server.json(&["mam", "verify"])["mam"]["verify"];
    assert_eq!(
        (&looked["messages"], &looked["archived"], &looked["faults"]),
        (&json!(4), &json!(8), &json!(0))
    );

    let purge = |of: [&str; 2], more: &[&str]| server.ctl(&[&["mam", "purge"], &of[..], more].concat());
    let romeo = ["--user", "romeo@localhost"];
    let said = purge(romeo, &["--older-than-days", "1"]).done();
    assert_eq!(said, "0 messages went from the archives of romeo@localhost\n");
    let said = purge(["--domain", "localhost"], &["--before", "2100-01-01", "--dry-run"]).done();
    assert_eq!(said, "8 messages would go from the archives of localhost; nothing was dropped\n");
    assert_eq!(server.ctl(&count).done(), all);
    let said = purge(romeo, &["--before", "2100-01-01T00:00:00Z"]).done();
    assert_eq!(said, "4 messages went from the archives of romeo@localhost\n");
    let purged = server.json(&["mam", "purge", "--domain", "localhost", "--before", "2100-01-01"]);
    let purged = &purged["mam"]["purge"];
    assert_eq!((&purged["messages"], &purged["dryRun"]), (&json!(4), &json!(false)));
    assert_eq!(purged["before"], "2100-01-01T00:00:00.000Z");
    // What she has not read waits on.
    let expected = "1 messages, 0 entries in archives, 1 waiting\n\
                    Every entry has its message, and every message an entry\n";
    assert_eq!(server.ctl(&["mam", "verify"]).done(), expected);
    let mut juliet = Client::login(server.client_port(), "juliet", "balcony");
    juliet.appear();
    juliet.hear("<body>four</body>");
}

#[test]
fn what_cannot_be_purged_or_counted() {
    let server = Server::start();
    let refused = |arguments: &[&str]| server.ctl(arguments).refused();
    let purge = |of: &str, whose: &str| refused(&["mam", "purge", of, whose, "--before", "2100-01-01"]);
    assert_eq!(purge("--user", "nobody@localhost"), "there is no account nobody@localhost");
    let elsewhere = "this server does not serve the domain elsewhere.example";
    assert_eq!(purge("--domain", "elsewhere.example"), elsewhere);
    assert_eq!(refused(&["mam", "count", "--domain", "elsewhere.example"]), elsewhere);
    let said = refused(&["mam", "purge", "--domain", "localhost", "--before", "yesterday"]);
    assert_eq!(said, "yesterday is no time: give it as 2026-01-31 or 2026-01-31T12:00:00Z");
    for wrong in [
        &["mam", "purge", "--domain", "localhost"][..],
        &["mam", "purge", "--before", "2026-01-31"],
        &["mam", "purge", "--domain", "a", "--user", "b@a", "--older-than-days", "1"],
        &["mam", "purge", "--domain", "a", "--older-than-days", "1", "--before", "2026-01-31"],
    ] {
        server.ctl(wrong).wrong_usage();
    }
}

#[test]
fn everything_an_account_owns_is_written_down() {
    let server = Server::start();
    talk(&server);
    let mut juliet = Client::login(server.client_port(), "juliet", "balcony");
    for (id, query) in [
        ("v", "<vCard xmlns='vcard-temp'><FN>Juliet \"C\"</FN></vCard>"),
        ("p", "<query xmlns='jabber:iq:private'><notes xmlns='urn:example:notes'>poison</notes></query>"),
        ("b", "<block xmlns='urn:xmpp:blocking'><item jid='paris@localhost'/></block>"),
        (
            "a",
            "<prefs xmlns='urn:xmpp:mam:2' default='always'><never><jid>tybalt@localhost</jid></never></prefs>",
        ),
    ] {
        juliet.send(&format!("<iq type='set' id='{id}'>{query}</iq>"));
        juliet.hear(&format!("id='{id}'"));
    }
    let contact =
        ["roster", "addContact", "--user", "juliet@localhost", "--contact", "nurse@localhost", "--name", "N"];
    server.ctl(&contact).done();

    let export = ["account", "exportData", "--user", "juliet@localhost"];
    let document: Value = serde_json::from_str(&server.ctl(&export).done()).expect("JSON");
    assert_eq!(document["account"]["jid"], "juliet@localhost");
    let roster = json!([{
        "jid": "nurse@localhost", "name": "N", "groups": [], "subscription": "none", "ask": false,
        "approved": false, "request": null, "listed": true
    }]);
    assert_eq!(document["roster"], roster);
    assert_eq!(document["blocked"], json!(["paris@localhost"]));
    let items = document["items"].as_array().expect("a list");
    let collections: Vec<&str> = items.iter().filter_map(|item| item["collection"].as_str()).collect();
    assert_eq!(collections, ["archive", "private", "vcard"]);
    for (item, text) in items.iter().zip(["tybalt@localhost", "poison", "Juliet \"C\""]) {
        assert!(item["value"].as_str().expect("text").contains(text), "{item}");
    }
    let archive = document["archive"].as_array().expect("a list");
    assert_eq!(archive.len(), 4);
    assert!(archive[0]["stanza"].as_str().expect("XML").contains("<body>one &lt;3</body>"), "{archive:?}");
    let waiting = document["waiting"].as_array().expect("a list");
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0], archive[3]);

    assert_eq!(server.json(&export)["account"]["exportData"], document);
    let file = server.folder().join("juliet.json");
    let name = file.to_str().expect("UTF-8");
    let into = [&export[..], &["--filename", name]].concat();
    assert_eq!(server.ctl(&into).done(), format!("The data of juliet@localhost are in {name}\n"));
    let written = std::fs::read_to_string(&file).expect("reads");
    assert_eq!(serde_json::from_str::<Value>(&written).expect("JSON"), document);
    assert_eq!(file.metadata().expect("it is there").permissions().mode() & 0o777, 0o600);
    // Nothing is written over.
    assert!(server.ctl(&into).wrong_usage().contains("cannot be made"));

    let nobody = server.folder().join("nobody.json");
    let nobody_name = nobody.to_str().expect("UTF-8");
    let refused = ["account", "exportData", "--user", "nobody@localhost", "--filename", nobody_name];
    assert_eq!(server.ctl(&refused).refused(), "there is no account nobody@localhost");
    assert!(!nobody.exists());
}
