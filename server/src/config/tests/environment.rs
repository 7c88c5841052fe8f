//! Each key can be set by a variable, which goes before the file.

use std::path::PathBuf;

use super::{complaints, read_with};
use crate::config::{Limit, LogFormat, Mechanism, TlsMode};

#[test]
fn scalars_lists_and_numbers() {
    let config = read_with(
        "[general]\nlog_format = \"text\"\n",
        &[
            ("MEERKAT__GENERAL__LOG_FORMAT", "json"),
            ("MEERKAT__GENERAL__HOSTS", "a.example, b.example"),
            ("MEERKAT__AUTH__MECHANISMS", "[\"PLAIN\"]"),
            ("MEERKAT__STORAGE__SQLITE__PATH", "/data/m.db"),
            ("MEERKAT__LIMITS__CONNECTIONS_PER_ADDRESS", "none"),
            ("MEERKAT__LIMITS__CONNECTIONS", "2_000"),
            ("MEERKAT__MODULES__REGISTER__ENABLED", "true"),
            ("MEERKAT_DATA", "/elsewhere"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    assert_eq!(config.general.log_format, LogFormat::Json);
    assert_eq!(
        config.general.hosts.iter().map(|host| host.as_str()).collect::<Vec<_>>(),
        ["a.example", "b.example"]
    );
    assert_eq!(config.auth.mechanisms, [Mechanism::Plain]);
    assert_eq!(config.storage.sqlite.path, Some(PathBuf::from("/data/m.db")));
    assert_eq!(config.limits.connections_per_address, Limit::None);
    assert_eq!(config.limits.connections, 2_000);
    assert!(config.modules.register.enabled);
}

#[test]
fn entries_of_a_list_of_tables() {
    let port = ("MEERKAT__LISTEN__C2S__0__PORT", "6222");
    let config = read_with("", &[port]).unwrap();
    let ports =
        |config: &crate::config::Config| config.listen.c2s.iter().map(|c2s| c2s.port).collect::<Vec<_>>();
    assert_eq!(ports(&config), [6222, 5223], "the defaults keep their other entries");

    let third = [("MEERKAT__LISTEN__C2S__2__PORT", "7222"), ("MEERKAT__LISTEN__C2S__2__TLS", "none")];
    let config = read_with("", &third).unwrap();
    assert_eq!(ports(&config), [5222, 5223, 7222]);
    assert_eq!(config.listen.c2s[2].tls, TlsMode::None);

    let config = read_with("[[listen.c2s]]\nport = 1\n[[listen.c2s]]\nport = 2\n", &[port]).unwrap();
    assert_eq!(ports(&config), [6222, 2]);

    let config = read_with("", &[("MEERKAT__LISTEN__C2S", "[{ port = 5 }]")]).unwrap();
    assert_eq!(ports(&config), [5]);
}

#[test]
fn from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "/from/a/file.db\n").unwrap();
    let variable = ("MEERKAT__STORAGE__SQLITE__PATH_FILE", file.to_str().unwrap());
    let config = read_with("[storage.sqlite]\npath = \"/from/toml.db\"\n", &[variable]).unwrap();
    assert_eq!(config.storage.sqlite.path, Some(PathBuf::from("/from/a/file.db")));

    let found = complaints("", &[variable, ("MEERKAT__STORAGE__SQLITE__PATH", "/direct.db")]);
    assert_eq!(
        found,
        [
            "MEERKAT__STORAGE__SQLITE__PATH_FILE: storage.sqlite.path: MEERKAT__STORAGE__SQLITE__PATH is set too; only \
          one of them can count"
        ]
    );
    let found = complaints("", &[("MEERKAT__GENERAL__HOSTS_FILE", "/no/such/file")]);
    assert!(
        found[0].starts_with("MEERKAT__GENERAL__HOSTS_FILE: general.hosts: cannot read /no/such/file: "),
        "{found:?}"
    );
}

#[test]
fn faults_name_the_variable() {
    let found = complaints(
        "[general]\ndrain_seconds = 0\n",
        &[
            ("MEERKAT__GENERAL__HOTS", "localhost"),
            ("MEERKAT__LIMITS__ROSTER_ITEMS", "many"),
            ("MEERKAT__LIMITS__STANZA_DEPTH", "4"),
            ("MEERKAT__LISTEN__C2S__7__PORT", "1"),
            ("MEERKAT__MODULES__REGISTER__ENABLED", "yes"),
            ("MEERKAT__MODULES__PUSH__URL", "x"),
            ("MEERKAT__TLS__CERTIFICATES__0__KEY", "/k.pem"),
            ("MEERKAT__MESSAGES", "save"),
        ],
    );
    assert_eq!(
        found,
        [
            "m.toml:2: general.drain_seconds: must be from 1 to 3600, not 0",
            "MEERKAT__GENERAL__HOTS: general.hots: unknown key; the nearest known key is general.hosts",
            "MEERKAT__LIMITS__ROSTER_ITEMS: limits.roster_items: must be a number from 1 to 1000000, not this text",
            "MEERKAT__LIMITS__STANZA_DEPTH: limits.stanza_depth: must be from 8 to 1000, not 4",
            "MEERKAT__LISTEN__C2S__7__PORT: listen.c2s[7]: the list has 2 entries, counted from 0",
            "MEERKAT__MESSAGES: messages: must be a table, not this text",
            "MEERKAT__MODULES__PUSH__URL: modules.push: not supported by this version",
            "MEERKAT__MODULES__REGISTER__ENABLED: modules.register.enabled: must be true or false, not this text",
            "MEERKAT__TLS__CERTIFICATES__0__KEY: tls.certificates[0].certificate: missing; the table cannot do without it",
        ]
    );
}

#[test]
fn variables_without_a_key() {
    let unknown = |variable: &str| complaints("", &[(variable, "x")]).remove(0);
    assert!(unknown("MEERKAT__FILE").starts_with("MEERKAT__FILE: file: unknown key; "));
    assert!(unknown("MEERKAT__").starts_with("MEERKAT__: unknown key; "));
    assert!(unknown("MEERKAT___FILE").starts_with("MEERKAT___FILE: _file: unknown key; "));
    assert!(unknown("MEERKAT__0").starts_with("MEERKAT__0: must be a table, not single entries"));
}

#[test]
fn a_fault_between_two_keys_names_the_one_that_was_written() {
    assert_eq!(
        complaints("", &[("MEERKAT__LISTEN__C2S__0__PORT", "9100")]),
        [
            "MEERKAT__LISTEN__C2S__0__PORT: listen.metrics[0].port: port 9100 is given twice, first at listen.c2s[0].port"
        ]
    );
}

#[test]
fn bytes_that_are_no_text() {
    use std::os::unix::ffi::OsStringExt;
    let value = std::ffi::OsString::from_vec(vec![0xFF]);
    let environment = [("MEERKAT__GENERAL__LANGUAGE".into(), value)];
    let problems = crate::config::parse("", "m.toml".as_ref(), &environment).unwrap_err();
    assert_eq!(problems.to_string(), "MEERKAT__GENERAL__LANGUAGE: general.language: is not UTF-8");
}
