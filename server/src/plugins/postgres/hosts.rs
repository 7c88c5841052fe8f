//! A URL that names several hosts, as libpq takes it: `postgres://USER:PASSWORD@HOST:PORT,HOST:PORT/DATABASE`. That
//! one of them counts which can be written; after a failover it is another one.

/// One URL for each host.
pub fn split(url: &str) -> Vec<String> {
    let Some((scheme, rest)) = url.split_once("://") else { return vec![url.to_owned()] };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (format!("{user}@"), hosts),
        None => (String::new(), authority),
    };
    hosts.split(',').map(|host| format!("{scheme}://{user}{host}{tail}")).collect()
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn each_host_has_a_url() {
        assert_eq!(split("postgres://u:p@a:1/d?x=y"), ["postgres://u:p@a:1/d?x=y"]);
        assert_eq!(
            split("postgres://u:p%2C@a:1,b,[::1]:3/d?x=1,2"),
            [
                "postgres://u:p%2C@a:1/d?x=1,2",
                "postgres://u:p%2C@b/d?x=1,2",
                "postgres://u:p%2C@[::1]:3/d?x=1,2"
            ]
        );
        assert_eq!(split("postgres://a,b"), ["postgres://a", "postgres://b"]);
        assert_eq!(split("nonsense"), ["nonsense"]);
    }
}
