use serde_json::json;

use crate::server::Server;

const CSV: &str = "user,domain,password
romeo,localhost,wherefore
juliet@localhost,\"art, \"\"thou\"\"\"

only one field
nurse,nowhere,x
peter,localhost,
tybalt,localhost,a,b
paris@localhost,\"open
benvolio,localhost,peace
";

const REFUSED: &str = "line 5: a row is jid,password or user,domain,password; this one has 1 fields
line 6: this server does not serve the domain nowhere
line 7: a password has at least one character, and no control characters
line 8: a row is jid,password or user,domain,password; this one has 4 fields
line 9: a quoted field ends with a quote, behind which a comma follows
5 lines were refused
";

#[test]
fn every_bad_line_is_named_and_the_others_make_accounts() {
    let server = Server::start();
    let file = server.file("users.csv", CSV);
    let said = server.ctl(&["account", "importUsers", "--filename", file.to_str().expect("UTF-8")]);
    assert_eq!((said.code, said.out.as_str(), said.error.as_str()), (1, "3 accounts were made\n", REFUSED));
    let users = server.ctl(&["account", "listUsers", "--domain", "localhost"]).done();
    assert_eq!(users, "benvolio@localhost\njuliet@localhost\nromeo@localhost\n");
    let check = ["account", "checkPassword", "--user", "juliet@localhost"];
    server.ctl_with_input(&check, "art, \"thou\"\n").done();
}

#[test]
fn from_standard_input_and_as_json() {
    let server = Server::start();
    let import = ["account", "importUsers", "--filename", "-", "--json"];
    let said = server.ctl_with_input(&import, "romeo@localhost,a\n");
    let result = json!({ "status": "Completed", "created": 1, "refused": [] });
    let value: serde_json::Value = serde_json::from_str(&said.done()).expect("JSON");
    assert_eq!(value, json!({ "data": { "account": { "importUsers": result } } }));

    let said = server.ctl_with_input(&import, "romeo@localhost,a\njuliet@localhost,b\n");
    assert_eq!(said.code, 1);
    let message = "the account romeo@localhost exists already";
    let refused = json!([{ "line": 1, "message": message }]);
    let result = json!({ "status": "Completed with errors", "created": 1, "refused": refused });
    let value: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(value["data"]["account"]["importUsers"], result);
    assert_eq!(said.error, format!("line 1: {message}\n1 line was refused\n"));
}

#[test]
fn what_cannot_be_read_imports_nothing() {
    let server = Server::start();
    let missing = server.folder().join("missing.csv");
    let missing = missing.to_str().expect("UTF-8");
    let said = server.ctl(&["account", "importUsers", "--filename", missing]).wrong_usage();
    assert!(said.starts_with(&format!("{missing} cannot be read: ")), "{said}");

    let file = server.file("latin1.csv", "");
    std::fs::write(&file, b"a@localhost,x\nb@localhost,\xe9t\xe9\n").expect("written");
    let said = server.ctl(&["account", "importUsers", "--filename", file.to_str().expect("UTF-8")]);
    assert_eq!(said.wrong_usage(), "line 2 is not UTF-8; nothing was imported\n");
    assert_eq!(server.ctl(&["account", "countUsers", "--domain", "localhost"]).done(), "0\n");
}

/// Far more than one request holds, with line numbers that count on over the parts, and a row that is
/// longer than any request.
#[test]
fn a_file_of_many_parts() {
    let server = Server::start();
    let good = |number: usize| format!("user{number}@localhost,{}\n", "long".repeat(40));
    let mut csv: String = (1..=200).map(good).collect();
    csv.push_str("bad\n");
    csv.push_str(&format!("giant@localhost,{}\n", "x".repeat(1 << 20)));
    csv.push_str("last@localhost,x\n");
    let said = server.ctl_with_input(&["account", "importUsers"], &csv).without_progress();
    assert_eq!(said.out, "201 accounts were made\n");
    let refused = "line 201: a row is jid,password or user,domain,password; this one has 1 fields\n\
                   line 202: this row is too long\n2 lines were refused\n";
    assert_eq!(said.error, refused);
}
