//! The URL of `storage.redis.url`: `redis[s]://[USER[:PASSWORD]@]HOST[:PORT][,HOST[:PORT]...][/DATABASE]`.

/// What the URL says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisUrl {
    pub tls: bool,
    pub user: Option<String>,
    pub password: Option<String>,
    /// At least one.
    pub servers: Vec<(String, u16)>,
    pub database: u32,
}

const PORT: u16 = 6379;

impl RedisUrl {
    pub fn parse(url: &str) -> Option<RedisUrl> {
        let (scheme, rest) = url.split_once("://")?;
        let tls = match scheme {
            "redis" => false,
            "rediss" => true,
            _ => return None,
        };
        // A password may hold an `@` that nobody escaped: the last one is its end.
        let (who, place) = rest.rsplit_once('@').map_or((None, rest), |(who, place)| (Some(who), place));
        let (servers, database) = place.split_once('/').unwrap_or((place, ""));
        let database = if database.is_empty() { 0 } else { database.parse().ok()? };
        let (user, password) = match who.map(|who| who.split_once(':').unwrap_or((who, ""))) {
            None => (None, None),
            Some((user, password)) => (word(user)?, word(password)?),
        };
        let servers: Option<Vec<(String, u16)>> = servers.split(',').map(server).collect();
        Some(RedisUrl { tls, user, password, servers: servers?, database })
    }
}

/// `None` where it is empty.
fn word(text: &str) -> Option<Option<String>> {
    let text = unescape(text)?;
    Some((!text.is_empty()).then_some(text))
}

/// `HOST`, `HOST:PORT`, or likewise with an IPv6 address in brackets.
fn server(text: &str) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((host, ""))) => (host, None),
        Some(Some((host, port))) => (host, Some(port.strip_prefix(':')?)),
        Some(None) => return None,
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let odd = |char: char| char.is_whitespace() || char.is_control() || "?#[]@/".contains(char);
    if host.is_empty() || host.contains(odd) {
        return None;
    }
    let port = port.map_or(Some(PORT), |port| port.parse().ok().filter(|port| *port != 0))?;
    Some((host.to_owned(), port))
}

/// Takes back the percent-encoding of RFC 3986 section 2.1.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, behind)) = rest.split_once('%') {
        bytes.extend_from_slice(plain.as_bytes());
        bytes.push(u8::from_str_radix(behind.get(..2)?, 16).ok()?);
        rest = behind.get(2..)?;
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_url_says() {
        let url = RedisUrl::parse("rediss://chat:p%40ss@w@[::1]:7000,cache.example/3").expect("a URL");
        assert!(url.tls);
        assert_eq!((url.user.as_deref(), url.password.as_deref()), (Some("chat"), Some("p@ss@w")));
        assert_eq!(url.servers, [("::1".to_owned(), 7000), ("cache.example".to_owned(), 6379)]);
        assert_eq!(url.database, 3);
        let url = RedisUrl::parse("redis://:secret@127.0.0.1").expect("a URL");
        assert_eq!((url.tls, url.user, url.database), (false, None, 0));
        assert_eq!(url.password.as_deref(), Some("secret"));
    }

    #[test]
    fn what_is_none() {
        for url in [
            "",
            "redis:",
            "http://a",
            "redis://",
            "redis://a:b",
            "redis://a:0",
            "redis://a/b",
            "redis://a,,b",
            "redis://[::1",
            "redis://a b",
            "redis://a?x=1",
            "redis://x:%zz@a",
            "redis://x:%ff@a",
        ] {
            assert_eq!(RedisUrl::parse(url), None, "{url}");
        }
    }
}
