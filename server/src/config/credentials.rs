//! Passwords that everybody knows, because they stand in documentation and examples.
//!
//! They are taken where only this machine can use them (a service on a loopback address or a socket of this machine), and
//! where `general.environment` says that this is development; anywhere else the configuration has a fault.

use super::{Config, Environment, Secret};

const WELL_KNOWN: [&str; 16] = [
    "",
    "meerkat",
    "postgres",
    "password",
    "passwd",
    "secret",
    "changeme",
    "change-me",
    "admin",
    "root",
    "test",
    "minioadmin",
    "minio",
    "redis",
    "openim123",
    "123456",
];

/// The keys whose password everybody knows, and who else could use it.
pub fn well_known(config: &Config) -> Vec<&'static str> {
    let mut keys = Vec::new();
    let storage = &config.storage;
    let urls = [
        ("storage.postgres.url", storage.postgres.url.as_ref()),
        ("storage.redis.url", storage.redis.url.as_ref()),
    ];
    for (key, url) in urls {
        if url.is_some_and(is_well_known_url) {
            keys.push(key);
        }
    }
    let endpoint = storage.s3.endpoint.as_ref().map(ToString::to_string).unwrap_or_default();
    let host = endpoint.split_once("://").map_or("", |(_, host)| host);
    let is_known = |secret: &Secret| is_well_known(secret.reveal());
    if storage.s3.secret_key.as_ref().is_some_and(is_known) && !is_this_machine(host) {
        keys.push("storage.s3.secret_key");
    }
    keys
}

/// Those with which no server starts.
pub(super) fn refused(config: &Config) -> Vec<&'static str> {
    match config.general.environment {
        Environment::Development => Vec::new(),
        Environment::Production => well_known(config),
    }
}

/// A URL with such a password, to a host that others can reach as well.
fn is_well_known_url(url: &Secret) -> bool {
    let Some((_, rest)) = url.reveal().split_once("://") else { return false };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let Some((user, hosts)) = authority.rsplit_once('@') else { return false };
    // Without a password the URL says nothing: it may be a file's, or nobody's.
    let Some((_, password)) = user.split_once(':') else { return false };
    is_well_known(password) && !hosts.split(',').all(is_this_machine)
}

/// Is it a password that stands in documentation?
pub fn is_well_known(password: &str) -> bool {
    WELL_KNOWN.iter().any(|known| known.eq_ignore_ascii_case(password))
}

/// A host, with or without its port, that only this machine reaches.
pub fn is_this_machine(host: &str) -> bool {
    let host = host.strip_prefix('[').map_or_else(
        // Not an IPv6 address: a colon begins the port.
        || host.split(':').next().unwrap_or_default(),
        |rest| rest.split(']').next().unwrap_or_default(),
    );
    // Nothing, or a percent sign, is a socket's folder.
    host.is_empty()
        || host.starts_with("%2F")
        || host.starts_with("%2f")
        || host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_that_everybody_knows_is_none_for_others() {
        let refused = |url: &str| is_well_known_url(&Secret::new(url));
        for url in [
            "postgres://meerkat:meerkat@db.example.com/meerkat",
            "postgres://meerkat:Postgres@10.0.0.7:5432/meerkat",
            "postgres://meerkat:@db/meerkat",
            "rediss://:redis@cache.example.com:6379",
            "postgres://meerkat:meerkat@127.0.0.1:5432,db:5432/meerkat",
        ] {
            assert!(refused(url), "{url}");
        }
        for url in [
            "postgres://meerkat:meerkat@127.0.0.1:15432/meerkat",
            "postgres://meerkat:meerkat@[::1]/meerkat",
            "postgres://meerkat:meerkat@localhost/meerkat?sslmode=disable",
            "postgres://meerkat:meerkat@%2Fvar%2Frun%2Fpostgresql/meerkat",
            "postgres://meerkat:rPr2vq0Yt8@db.example.com/meerkat",
            "postgres://meerkat@db.example.com/meerkat",
        ] {
            assert!(!refused(url), "{url}");
        }
    }
}
