use serde_json::json;

use crate::client::Client;
use crate::server::Server;

#[test]
fn contacts_are_listed_added_changed_and_deleted() {
    let server = Server::start();
    server.account("juliet");
    server.account("romeo");
    let mut juliet = Client::login(server.client_port(), "juliet", "balcony");
    juliet.appear();
    let of = |command: &str, contact: &str, more: &[&str]| {
        let arguments =
            [&["roster", command, "--user", "juliet@localhost", "--contact", contact], more].concat();
        server.ctl(&arguments)
    };
    let list = ["roster", "listContacts", "--user", "juliet@localhost"];
    assert_eq!(server.ctl(&list).done(), "");
    assert_eq!(server.json(&list), json!({ "roster": { "listContacts": [] } }));

    let more = ["--name", "My love", "--groups", "Montagues", "--groups", "[\"Verona\",\"Montagues\"]"];
    let added = of("addContact", "Romeo@localhost", &more).done();
    assert_eq!(added, "romeo@localhost is in the roster of juliet@localhost\n");
    let push = juliet.hear("</query>");
    assert!(push.contains("jid='romeo@localhost'") && push.contains("name='My love'"), "{push}");
    let line = "romeo@localhost  subscription none, name \"My love\", groups \"Montagues\" \"Verona\"\n";
    assert_eq!(server.ctl(&list).done(), line);

    // Again: name and groups are those that are said.
    of("addContact", "romeo@localhost", &[]).done();
    assert_eq!(server.ctl(&list).done(), "romeo@localhost  subscription none\n");
    of("addContact", "romeo@localhost", &["--name", "R", "--subscription", "BOTH"]).done();
    of("addContact", "friar.example", &["--subscription", "to"]).done();
    let contact = |jid: &str, name: &str, subscription: &str| json!({ "jid": jid, "name": name, "groups": [], "subscription": subscription, "ask": "NONE" });
    let contacts = [contact("friar.example", "", "TO"), contact("romeo@localhost", "R", "BOTH")];
    assert_eq!(server.json(&list), json!({ "roster": { "listContacts": contacts } }));

    let deleted = of("deleteContact", "romeo@localhost", &[]).done();
    assert_eq!(deleted, "romeo@localhost is no longer in the roster of juliet@localhost\n");
    juliet.hear("subscription='remove'");
    let refused = of("deleteContact", "romeo@localhost", &[]).refused();
    assert_eq!(refused, "there is no item romeo@localhost in the roster");
    assert_eq!(server.ctl(&list).done(), "friar.example  subscription to\n");
    let result = "friar.example is no longer in the roster of juliet@localhost";
    let deleted = ["roster", "deleteContact", "--user", "juliet@localhost", "--contact", "friar.example"];
    assert_eq!(server.json(&deleted), json!({ "roster": { "deleteContact": result } }));
}

#[test]
fn requests_that_wait_are_seen() {
    let server = Server::start();
    server.account("juliet");
    server.account("romeo");
    let mut romeo = Client::login(server.client_port(), "romeo", "orchard");
    romeo.appear();
    romeo.send("<presence type='subscribe' to='juliet@localhost'/>");
    romeo.hear("ask='subscribe'");
    let list = |user| server.ctl(&["roster", "listContacts", "--user", user]).done();
    assert_eq!(list("juliet@localhost"), "romeo@localhost  subscription none, asks for it\n");
    assert_eq!(list("romeo@localhost"), "juliet@localhost  subscription none, was asked for it\n");
}

#[test]
fn what_no_roster_holds_is_refused() {
    let server = Server::start_with(&[
        ("MEERKAT__LIMITS__ROSTER_ITEMS", "1"),
        ("MEERKAT__LIMITS__ROSTER_NAME_BYTES", "4"),
        ("MEERKAT__LIMITS__ROSTER_ITEM_GROUPS", "2"),
    ]);
    server.account("juliet");
    let add = |user: &str, contact: &str, more: &[&str]| {
        let arguments = [&["roster", "addContact", "--user", user, "--contact", contact], more].concat();
        server.ctl(&arguments).refused()
    };
    assert_eq!(add("romeo@localhost", "a@localhost", &[]), "there is no account romeo@localhost");
    assert_eq!(add("juliet@localhost", "juliet@localhost", &[]), "an account is not its own contact");
    assert!(add("juliet@localhost", "a@localhost/r", &[]).contains("has a resource"));
    assert!(add("juliet@localhost", "a@localhost", &["--name", "Romeo"]).contains("at most 4 bytes"));
    let groups = ["--groups", "[\"a\",\"b\",\"c\"]"];
    assert_eq!(add("juliet@localhost", "a@localhost", &groups), "a contact is in at most 2 groups");
    assert_eq!(add("juliet@localhost", "a@localhost", &["--groups", ""]), "a group has a name");
    assert!(add("juliet@localhost", "a@localhost", &["--groups", "[1"]).contains("not a JSON list"));
    server.ctl(&["roster", "addContact", "--user", "juliet@localhost", "--contact", "a@localhost"]).done();
    assert_eq!(add("juliet@localhost", "b@localhost", &[]), "a roster has at most 1 items");
    let nobody = server.ctl(&["roster", "listContacts", "--user", "romeo@localhost"]);
    assert_eq!(nobody.refused(), "there is no account romeo@localhost");
}
