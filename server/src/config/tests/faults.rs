//! Each fault names file, line, key, and what would have been right; all are reported at once.

use std::path::Path;

use super::{complaints, read};
use crate::config::{Config, Save, load};

#[test]
fn an_empty_file_is_the_default() {
    assert_eq!(read(""), Ok(Config::default()));
}

#[test]
fn a_setting_counts_and_the_others_keep_their_defaults() {
    let config = read("[messages]\nsave = \"unless-delivered\"\n[limits]\nroster_items = 0x10\n").unwrap();
    let mut expected = Config::default();
    expected.messages.save = Save::UnlessDelivered;
    expected.limits.roster_items = 16;
    assert_eq!(config, expected);
}

#[test]
fn all_faults_at_once_in_the_order_of_the_file() {
    let toml = r#"
[general]
hots = ["localhost"]
log_level = "loud"
drain_seconds = "long"

[limits]
stanza_bytes = 9_999
mailbox_stanzas = -1

[cluster]
node = "meerkat@meerkat-0"
"#;
    let expected = [
        "m.toml:3: general.hots: unknown key; the nearest known key is general.hosts",
        "m.toml:4: general.log_level: \"loud\" is none of \"none\", \"error\", \"warn\", \"info\", \"debug\", \
         \"trace\"; the nearest is \"debug\"",
        "m.toml:5: general.drain_seconds: must be a number from 1 to 3600, not a string",
        "m.toml:8: limits.stanza_bytes: must be from 10000 to 16777216, not 9999",
        "m.toml:9: limits.mailbox_stanzas: must be from 64 to 1000000, not -1",
        "m.toml:11: cluster: not supported by this version",
    ];
    let found = complaints(toml, &[]);
    // Which level is nearest to "loud" is a matter of taste.
    let start = |line: &str| line.split("; the nearest is").next().unwrap_or_default().to_owned();
    assert_eq!(found.iter().map(|l| start(l)).collect::<Vec<_>>(), expected.map(start));
}

#[test]
fn the_nearest_key_may_be_in_another_section() {
    let toml = "resume_seconds = 5\n[limts]\n[modules.registr]\nenabled = true\n[[listen.c2s]]\nprot = 1\n";
    assert_eq!(
        complaints(toml, &[]),
        [
            "m.toml:1: resume_seconds: unknown key; the nearest known key is c2s.resume_seconds",
            "m.toml:2: limts: unknown key; the nearest known key is limits",
            "m.toml:3: modules.registr: unknown key; the nearest known key is modules.register",
            "m.toml:6: listen.c2s[0].prot: unknown key; the nearest known key is listen.c2s.port",
        ]
    );
}

#[test]
fn text_that_is_no_toml_is_reported_with_the_other_faults() {
    let found =
        complaints("[general]\nhots = []\nlog_level = info\ndrain_seconds = 5\ndrain_seconds = 6\n", &[]);
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!(found[0], "m.toml:2: general.hots: unknown key; the nearest known key is general.hosts");
    assert!(found[1].starts_with("m.toml:3: not TOML: "), "{}", found[1]);
    assert!(found[2].starts_with("m.toml:5: not TOML: duplicate key"), "{}", found[2]);
}

#[test]
fn a_port_twice() {
    let toml = "[[listen.c2s]]\nport = 5222\n[[listen.c2s]]\nip = \"127.0.0.1\"\nport = 5222\n\
                [[listen.metrics]]\nip = \"0.0.0.0\"\nport = 5222\n";
    assert_eq!(
        complaints(toml, &[]),
        [
            "m.toml:5: listen.c2s[1].port: port 5222 is given twice, first at listen.c2s[0].port",
            "m.toml:8: listen.metrics[0].port: port 5222 is given twice, first at listen.c2s[0].port",
        ]
    );
}

#[test]
fn one_port_on_two_addresses_is_no_fault_and_neither_is_any_free_port() {
    let two = "[[listen.c2s]]\nip = \"127.0.0.1\"\n[[listen.c2s]]\nip = \"127.0.0.2\"\n\
               [[listen.c2s]]\nip = \"::1\"\n[[listen.c2s]]\nport = 0\n[[listen.c2s]]\nport = 0\n";
    assert_eq!(read(two).unwrap().listen.c2s.len(), 5);
}

#[test]
fn domains_that_are_not_served_or_served_twice() {
    let toml = "[general]\nhosts = [\"Example.com\", \"b.example\", \"example.COM\"]\n[[domain]]\nname = \"example.con\"\n\
                [[tls.certificates]]\ncertificate = \"c\"\nkey = \"k\"\nhosts = [\"b.exampel\"]\n";
    assert_eq!(
        complaints(toml, &[]),
        [
            "m.toml:2: general.hosts[2]: \"example.com\" is given twice, first at general.hosts[0]",
            "m.toml:4: domain[0].name: \"example.con\" is not one of general.hosts; the nearest is \"example.com\"",
            "m.toml:8: tls.certificates[0].hosts[0]: \"b.exampel\" is not one of general.hosts; the nearest is \
             \"b.example\"",
        ]
    );
}

#[test]
fn a_place_for_uploads_that_is_no_url_and_a_port_of_http_that_is_taken() {
    let toml = "[modules.upload]\nbase_url = \"ftp://files.example.com\"\n[[listen.http]]\nport = 5222\n";
    assert_eq!(
        complaints(toml, &[]),
        [
            "m.toml:2: modules.upload.base_url: must be an http or https URL, as \"https://files.example.com\"",
            "m.toml:4: listen.http[0].port: port 5222 is given twice, first at listen.c2s[0].port",
        ]
    );
}

#[cfg(feature = "s3")]
#[test]
fn a_bucket_that_lacks_its_keys_or_sends_clients_where_there_is_no_tls() {
    assert_eq!(
        complaints("[modules.upload]\nstore = \"s3\"\nmax_file_bytes = 9_000_000_000\n", &[]),
        [
            "m.toml:1: storage.s3.bucket: is needed for modules.upload.store = \"s3\"",
            "m.toml:1: storage.s3.access_key: is needed for modules.upload.store = \"s3\"",
            "m.toml:1: storage.s3.secret_key: is needed for modules.upload.store = \"s3\"",
            "m.toml:3: modules.upload.max_file_bytes: must not be more than what S3 takes at once, which is 5368709120",
        ]
    );
    let keys = "bucket = \"b\"\naccess_key = \"a\"\nsecret_key = \"s\"\n";
    let direct = format!("[storage.s3]\nendpoint = \"http://s3.example.com\"\nput = \"direct\"\n{keys}");
    assert_eq!(
        complaints(&direct, &[]),
        [
            "m.toml:2: storage.s3.endpoint: must be an https URL, since clients are sent there, and a port in listen.http \
          has TLS"
        ]
    );
    assert!(read(&format!("{direct}client_endpoint = \"https://s3.example.com\"\n")).is_ok());
    assert!(read(&format!("[storage.s3]\nendpoint = \"http://127.0.0.1:9000\"\n{keys}")).is_ok());
    let none = complaints(&format!("[storage.s3]\npublic_url = \"cdn.example.com\"\n{keys}"), &[]);
    assert_eq!(none.len(), 1, "{none:?}");
}

#[cfg(not(feature = "s3"))]
#[test]
fn a_bucket_for_a_binary_that_knows_none() {
    let found = complaints("[modules.upload]\nstore = \"s3\"\n", &[]);
    let sentence =
        "m.toml:2: modules.upload.store: this binary was built without it; build with `--features s3`";
    assert!(found.contains(&sentence.to_owned()), "{found:?}");
}

#[test]
fn a_certificate_without_its_key_and_a_domain_without_its_name() {
    let toml = "[[tls.certificates]]\ncertificate = \"/c.pem\"\n[[domain]]\nstrict_iq = true\n";
    assert_eq!(
        complaints(toml, &[]),
        [
            "m.toml:1: tls.certificates[0].key: missing; the table cannot do without it",
            "m.toml:3: domain[0].name: missing; the table cannot do without it",
        ]
    );
}

#[test]
fn values_that_are_malformed() {
    let toml = "[general]\nhosts = []\nlog_filters = [\"server\", \"server=debug\"]\n[[listen.c2s]]\nip = \"localhost\"\n\
                proxy_protocol_from = [\"10.0.0.0/33\"]\nmax_connections = \"no\"\ntls = true\n\
                [modules.contact]\nabuse = [\"abuse@example.com\", 7]\n[auth]\nmechanisms = [\"PLAN\"]\n";
    assert_eq!(
        complaints(toml, &[]),
        [
            "m.toml:2: general.hosts: must not be empty",
            "m.toml:3: general.log_filters[0]: must be a part of the server and a level, as \"server::c2s=debug\"",
            "m.toml:5: listen.c2s[0].ip: must be an IP address",
            "m.toml:6: listen.c2s[0].proxy_protocol_from[0]: must be an IP address, or a network as \"10.0.0.0/8\"",
            "m.toml:7: listen.c2s[0].max_connections: \"no\" is none of \"none\"; the nearest is \"none\"",
            "m.toml:8: listen.c2s[0].tls: must be one of \"starttls\", \"starttls-optional\", \"direct\", \"none\", not \
             true or false",
            "m.toml:10: modules.contact.abuse[0]: must be a URI, as \"mailto:abuse@example.com\"",
            "m.toml:10: modules.contact.abuse[1]: must be a URI, as \"mailto:abuse@example.com\", not a number",
            "m.toml:12: auth.mechanisms[0]: \"PLAN\" is none of \"SCRAM-SHA-512-PLUS\", \"SCRAM-SHA-256-PLUS\", \
             \"SCRAM-SHA-1-PLUS\", \"SCRAM-SHA-512\", \"SCRAM-SHA-256\", \"SCRAM-SHA-1\", \"PLAIN\"; the nearest is \
             \"PLAIN\"",
        ]
    );
}

#[test]
fn what_is_not_built_yet_is_said_so() {
    let toml = "[modules.push]
url = \"x\"
[[listen.s2s]]
port = 5269
";
    assert_eq!(
        complaints(toml, &[]),
        [
            "m.toml:1: modules.push: not supported by this version",
            "m.toml:3: listen.s2s: not supported by this version",
        ]
    );
}

#[test]
fn a_store_without_its_place() {
    assert_eq!(
        complaints("[storage]\nmain = \"postgres\"\n", &[]),
        ["m.toml:1: storage.postgres.url: is needed for storage.main = \"postgres\""]
    );
    assert_eq!(
        complaints("[storage.postgres]\nurl = \"mysql://a:b@h/d\"\n", &[]),
        ["m.toml:2: storage.postgres.url: must be a URL, as \"postgres://USER:PASSWORD@HOST:PORT/DATABASE\""]
    );
}

#[test]
fn a_password_is_not_shown() {
    let config = read("[storage.postgres]\nurl = \"postgres://meerkat:sesame@db:5432/meerkat\"\n").unwrap();
    let shown = crate::config::resolved_toml(&config);
    assert!(shown.contains("url = \"postgres://meerkat:***@db:5432/meerkat\""), "{shown}");
    assert!(!shown.contains("sesame") && !format!("{config:?}").contains("sesame"));
}

#[test]
fn a_queue_that_cannot_hold_a_stanza() {
    assert_eq!(
        complaints("[limits]\nstanza_bytes = 500_000\n", &[]),
        ["m.toml:1: limits.pending_commit_bytes: must not be less than limits.stanza_bytes, which is 500000"]
    );
}

#[test]
fn tables_and_values_in_the_wrong_place() {
    let toml = "general = 5\nlisten = { c2s = { port = 5222 } }\n[limits]\nconnections = { most = 5 }\nroster_items = 1.5\n\
                block_list_items = 99999999999999999999\n";
    assert_eq!(
        complaints(toml, &[]),
        [
            "m.toml:1: general: must be a table, not a number",
            "m.toml:2: listen.c2s: must be a list of tables, not a table",
            "m.toml:4: limits.connections: must be a number from 1 to 100000000, not a table",
            "m.toml:5: limits.roster_items: must be a number from 1 to 1000000, not a fraction",
            "m.toml:6: limits.block_list_items: must be from 1 to 1000000, not more than 64 bits",
        ]
    );
}

#[test]
fn a_file_that_was_named_and_is_not_there() {
    let problems = load(Some(Path::new("/no/such/meerkat.toml")), &[]).unwrap_err();
    assert!(
        problems.to_string().starts_with("cannot read /no/such/meerkat.toml: No such file"),
        "{problems}"
    );
}

#[test]
fn bounds_that_can_be_switched_off_and_others_that_cannot() {
    let config = read("[limits]\nconnections_per_address = \"none\"\n").unwrap();
    assert!(config.limits.connections_per_address.allows(u64::MAX));
    assert_eq!(
        complaints("[limits]\nroster_items = \"none\"\n", &[]),
        ["m.toml:2: limits.roster_items: must be a number from 1 to 1000000, not a string"]
    );
}

#[test]
fn a_redis_has_one_server_or_is_a_cluster() {
    let toml = |url: &str, cluster: bool| format!("[storage.redis]\nurl = \"{url}\"\ncluster = {cluster}\n");
    let built = cfg!(feature = "redis");
    for (url, cluster, said) in [
        ("redis://:rPr2vq0Yt8@a:6379/3", false, ""),
        ("rediss://a,b:7000", true, ""),
        ("redis://a,b", false, "the URL of one server, or storage.redis.cluster = true with it"),
        ("redis://a/1", true, "a URL without a database: a Redis Cluster has only one"),
        ("http://a", false, "a URL, as \"redis://USER:PASSWORD@HOST:PORT/DATABASE\""),
    ] {
        let toml = toml(url, cluster);
        if built && said.is_empty() {
            assert!(read(&toml).is_ok(), "{url}");
            continue;
        }
        let mut found = complaints(&toml, &[]);
        if !built {
            let without = found.remove(0);
            assert!(without.ends_with("built without it; build with `--features redis`"), "{without}");
        }
        let said = (!said.is_empty()).then(|| format!("m.toml:2: storage.redis.url: must be {said}"));
        assert_eq!(found, said.into_iter().collect::<Vec<_>>(), "{url}");
    }
}
