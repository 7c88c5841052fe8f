use clap::CommandFactory;

use super::*;

/// Every command of the tool, as it is typed.
fn commands() -> Vec<String> {
    fn below(command: &clap::Command, before: &str, all: &mut Vec<String>) {
        for command in command.get_subcommands() {
            let name = format!("{before}{}", command.get_name());
            match command.has_subcommands() {
                true => below(command, &format!("{name} "), all),
                false => all.push(name),
            }
        }
    }
    let mut all = Vec::new();
    below(&Arguments::command(), "", &mut all);
    all
}

#[test]
fn the_command_line_has_no_contradictions() {
    Arguments::command().debug_assert();
}

#[test]
fn the_commands_are_those_that_scripts_know() {
    let expected = "\
        account registerUser, account removeUser, account changeUserPassword, account checkPassword, \
        account checkUser, account listUsers, account countUsers, account banUser, account unbanUser, \
        account importUsers, account exportData, session listSessions, session countSessions, session kickUser, \
        session kickUserSession, roster listContacts, roster addContact, roster deleteContact, \
        mam verify, mam purge, mam count, mam cold move, mam cold verify, \
        server status, server version, server getLoglevel, server setLoglevel, server reload, server doctor, server stop, \
        stanza sendMessage, stanza sendStanza, upload test, upload list, upload remove, upload usage, \
        events status, db status, db migrate, db check, db copy, doctor, started, status, stop, version, completions";
    assert_eq!(commands().join(", "), expected);
}

/// `docs/meerkatctl.md` names every command and every option of it.
#[test]
fn the_document_is_complete() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/meerkatctl.md");
    let document = std::fs::read_to_string(file).expect("the document");
    for command in commands() {
        let row = document.lines().find(|line| line.starts_with(&format!("| `{command}` |")));
        let row = row.unwrap_or_else(|| panic!("{command} is not in {file}"));
        let steps: Vec<&str> = command.split(' ').collect();
        let root = Arguments::command();
        let found = steps.iter().try_fold(&root, |at, step| at.find_subcommand(step)).expect("a command");
        for option in found.get_arguments().filter_map(|argument| argument.get_long()) {
            assert!(row.contains(&format!("`--{option}")), "--{option} is not beside {command} in {file}");
        }
    }
}

#[test]
fn what_is_typed_is_what_is_sent() {
    let parse = |line: &str| {
        let arguments = Arguments::try_parse_from(line.split(' ')).expect("right usage");
        let Task::Ask(command) = arguments.task else { panic!("not a command of the server") };
        serde_json::to_string(&command).expect("JSON")
    };
    assert_eq!(
        parse("meerkatctl account registerUser --domain localhost --username a --password b"),
        r#"{"account":{"registerUser":{"domain":"localhost","username":"a","password":"b"}}}"#
    );
    assert_eq!(
        parse("meerkatctl account changeUserPassword --user a@localhost --newPassword b --json"),
        r#"{"account":{"changeUserPassword":{"user":"a@localhost","newPassword":"b"}}}"#
    );
    assert_eq!(
        parse("meerkatctl server setLoglevel --level DEBUG"),
        r#"{"server":{"setLoglevel":{"level":"DEBUG"}}}"#
    );
    assert_eq!(parse("meerkatctl --json server reload"), r#"{"server":{"reload":{}}}"#);
}

#[test]
fn what_is_sent_is_understood() {
    let lines = [
        r#"{"version":1,"command":{"account":{"countUsers":{"domain":"localhost"}}}}"#,
        r#"{"version":1,"command":{"server":{"status":{}}}}"#,
        r#"{"version":1,"command":{"session":{"listSessions":{"domain":null}}}}"#,
    ];
    for line in lines {
        let request: crate::admin::protocol::Request = serde_json::from_str(line).expect(line);
        let again = serde_json::to_string(&request).expect("JSON");
        assert_eq!(again, line);
    }
}

#[test]
fn json_says_where_a_result_belongs() {
    let path = Path::new("account", "listUsers");
    let printed = |print: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        print(&mut out);
        String::from_utf8(out).expect("UTF-8")
    };
    let list = |items: &[&str]| {
        printed(&|out| {
            for (before, item) in items.iter().enumerate() {
                json::item(out, &path, before as u64, &Value::from(*item)).expect("written");
            }
            json::end(out, &path, items.len() as u64).expect("written");
        })
    };
    assert_eq!(list(&[]), "{\"data\":{\"account\":{\"listUsers\":[]}}}\n");
    assert_eq!(list(&["a", "b"]), "{\"data\":{\"account\":{\"listUsers\":[\"a\",\"b\"]}}}\n");
    let one = printed(&|out| json::done(out, &path, &Value::from(2)).expect("written"));
    assert_eq!(one, "{\"data\":{\"account\":{\"listUsers\":2}}}\n");
    let failure = Failure::Usage("no".to_owned());
    let error = printed(&|out| json::failure(out, &path, &failure).expect("written"));
    assert_eq!(
        error,
        "{\"errors\":[{\"extensions\":{\"code\":\"usage\"},\"message\":\"no\",\
         \"path\":[\"account\",\"listUsers\"]}]}\n"
    );
}
