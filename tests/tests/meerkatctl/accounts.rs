use serde_json::json;

use crate::server::Server;

const REGISTER: [&str; 4] = ["account", "registerUser", "--domain", "localhost"];

#[test]
fn an_account_from_its_making_to_its_end() {
    let server = Server::start();
    let ctl = |arguments: &[&str]| server.ctl(arguments);
    let juliet = ["--user", "juliet@localhost"];

    let made = ctl(&[&REGISTER[..], &["--username", "Juliet", "--password", "art thou"]].concat());
    assert_eq!(made.done(), "The account juliet@localhost was made\n");
    let again = ctl(&[&REGISTER[..], &["--username", "juliet", "--password", "x"]].concat());
    assert_eq!(again.refused(), "the account juliet@localhost exists already");

    assert_eq!(
        ctl(&["account", "checkUser", juliet[0], juliet[1]]).done(),
        "There is an account juliet@localhost\n"
    );
    let check = |password| ctl(&["account", "checkPassword", juliet[0], juliet[1], "--password", password]);
    assert_eq!(check("art thou").done(), "This is the password of juliet@localhost\n");
    assert_eq!(check("wherefore").refused(), "This is not the password of juliet@localhost");

    let change = ["account", "changeUserPassword", juliet[0], juliet[1], "--newPassword", "wherefore"];
    assert_eq!(ctl(&change).done(), "The password of juliet@localhost was changed\n");
    check("wherefore").done();

    let ban = ["account", "banUser", juliet[0], juliet[1], "--reason", "too young"];
    assert_eq!(ctl(&ban).done(), "The account juliet@localhost was banned\n");
    let banned = "There is an account juliet@localhost; it is banned: too young\n";
    assert_eq!(ctl(&["account", "checkUser", juliet[0], juliet[1]]).done(), banned);
    ctl(&["account", "unbanUser", juliet[0], juliet[1]]).done();
    assert_eq!(
        ctl(&["account", "checkUser", juliet[0], juliet[1]]).done(),
        "There is an account juliet@localhost\n"
    );

    let remove = ["account", "removeUser", juliet[0], juliet[1]];
    assert_eq!(ctl(&remove).done(), "The account juliet@localhost was removed\n");
    let gone = "there is no account juliet@localhost";
    assert_eq!(ctl(&remove).refused(), gone);
    assert_eq!(ctl(&change).refused(), gone);
    assert_eq!(ctl(&ban).refused(), gone);
    assert_eq!(ctl(&["account", "unbanUser", juliet[0], juliet[1]]).refused(), gone);
    assert_eq!(check("wherefore").refused(), gone);
    let said = ctl(&["account", "checkUser", juliet[0], juliet[1]]);
    assert_eq!(said.refused(), "There is no account juliet@localhost");
}

#[test]
fn the_same_as_json() {
    let server = Server::start();
    let of = |command: &str, more: &[&str]| {
        let arguments = [&["account", command, "--user", "juliet@localhost"], more].concat();
        server.json(&arguments)["account"][command].take()
    };
    let made = server.json(&[&REGISTER[..], &["--username", "juliet", "--password", "a"]].concat());
    let told = |message: &str| json!({ "jid": "juliet@localhost", "message": message });
    assert_eq!(made, json!({ "account": { "registerUser": told("The account juliet@localhost was made") } }));
    assert_eq!(of("checkUser", &[])["exist"], true);
    assert_eq!(of("checkPassword", &["--password", "a"])["correct"], true);
    let changed = told("The password of juliet@localhost was changed");
    assert_eq!(of("changeUserPassword", &["--newPassword", "b"]), changed);
    assert_eq!(of("banUser", &["--reason", "r"]), told("The account juliet@localhost was banned"));
    assert_eq!(of("unbanUser", &[]), told("The account juliet@localhost is not banned"));

    // The answer no is an answer, and an exit code.
    let wrong = ["account", "checkPassword", "--user", "juliet@localhost", "--password", "a", "--json"];
    let said = server.ctl(&wrong);
    assert_eq!(said.code, 1);
    let message = "This is not the password of juliet@localhost";
    let no = json!({ "data": { "account": { "checkPassword": { "correct": false, "message": message } } } });
    assert_eq!(serde_json::from_str::<serde_json::Value>(&said.out).expect("JSON"), no);
    assert_eq!(said.error, format!("{message}\n"));

    assert_eq!(of("removeUser", &[]), told("The account juliet@localhost was removed"));
    let said = server.ctl(&["account", "removeUser", "--user", "juliet@localhost", "--json"]);
    assert_eq!(said.code, 1);
    let message = "there is no account juliet@localhost";
    let error = json!({
        "message": message, "path": ["account", "removeUser"], "extensions": { "code": "notFound" }
    });
    let errors: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(errors, json!({ "errors": [error] }));
    assert_eq!(said.error, format!("{message}\n"));
}

#[test]
fn passwords_by_standard_input() {
    let server = Server::start_with(&[("MEERKAT__GENERAL__LOG_LEVEL", "trace")]);
    let romeo = ["--user", "romeo@localhost"];
    let register = [&REGISTER[..], &["--username", "romeo"]].concat();
    // Where there is no terminal, it is read there without being told.
    server.ctl_with_input(&register, "wherefore art thou\nnot this line\n").done();
    let check = ["account", "checkPassword", romeo[0], romeo[1]];
    server.ctl_with_input(&check, "wherefore art thou").done();
    server.ctl_with_input(&check, "wherefore art\n").refused();
    let change = ["account", "changeUserPassword", romeo[0], romeo[1], "--password-stdin"];
    server.ctl_with_input(&change, "deny thy father\r\n").done();
    server.ctl_with_input(&check, "deny thy father\n").done();
    assert!(server.ctl(&check).wrong_usage().contains("no password on standard input"));
    let refused = server.ctl_with_input(&change, "bell\u{7}\n").refused();
    assert_eq!(refused, "a password has at least one character, and no control characters");

    let log = server.log();
    assert!(log.contains("a password was changed"), "{log}");
    for secret in ["wherefore", "father", "bell"] {
        assert!(!log.contains(secret), "the log tells a password: {log}");
    }
}

#[test]
fn lists_and_counts() {
    let server = Server::start_with(&[("MEERKAT__GENERAL__HOSTS", "localhost,capulet.example")]);
    let list = ["account", "listUsers", "--domain", "localhost"];
    let count = ["account", "countUsers", "--domain", "localhost"];
    assert_eq!(server.ctl(&list).done(), "");
    assert_eq!(server.json(&list), json!({ "account": { "listUsers": [] } }));
    assert_eq!(server.ctl(&count).done(), "0\n");

    // More than are read from the store at one time.
    let csv: String = (0..201).map(|number| format!("user{number:03}@localhost,p\n")).collect();
    let csv = csv + "nurse@capulet.example,p\n";
    server.ctl_with_input(&["account", "importUsers"], &csv).without_progress().done();
    let expected: Vec<String> = (0..201).map(|number| format!("user{number:03}@localhost")).collect();
    assert_eq!(server.ctl(&list).done(), expected.join("\n") + "\n");
    assert_eq!(server.json(&list), json!({ "account": { "listUsers": expected } }));
    assert_eq!(server.ctl(&count).done(), "201\n");
    assert_eq!(server.json(&count), json!({ "account": { "countUsers": 201 } }));
    let other = ["account", "listUsers", "--domain", "Capulet.Example"];
    assert_eq!(server.ctl(&other).done(), "nurse@capulet.example\n");

    let nowhere = "this server does not serve the domain nowhere";
    assert_eq!(server.ctl(&["account", "listUsers", "--domain", "nowhere"]).refused(), nowhere);
    assert_eq!(server.ctl(&["account", "countUsers", "--domain", "nowhere"]).refused(), nowhere);
    assert_eq!(server.ctl(&["account", "countUsers", "--domain", "a@b"]).refused(), "a@b is not a domain");
}

#[test]
fn addresses_that_are_none() {
    let server = Server::start();
    let check = |user| server.ctl(&["account", "checkUser", "--user", user]).refused();
    assert!(check("@").starts_with("@ is not an address: "));
    assert!(check("localhost").contains("no local part"));
    assert!(check("juliet@localhost/balcony").contains("the address of a session"));
    let register = [&REGISTER[..], &["--username", "a b", "--password", "x"]].concat();
    assert_eq!(server.ctl(&register).refused(), "\"a b@localhost\" is not the address of an account");
    let nowhere = ["account", "registerUser", "--domain", "nowhere", "--username", "a", "--password", "x"];
    assert_eq!(server.ctl(&nowhere).refused(), "this server does not serve the domain nowhere");
}

#[test]
fn a_name_is_made_up_where_none_is_given() {
    let server = Server::start();
    let arguments = [&REGISTER[..], &["--password", "x"]].concat();
    let made =
        server.json(&arguments)["account"]["registerUser"]["jid"].as_str().expect("an address").to_owned();
    assert!(made.ends_with("@localhost") && made.len() > "@localhost".len() + 8, "{made}");
    server.ctl(&["account", "checkUser", "--user", &made]).done();
}
