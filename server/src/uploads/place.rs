//! Where clients reach us over HTTP, and how a name is written in a URL.

use std::net::SocketAddr;

use crate::config::{Config, HttpTls, Uri};

/// A port and whether it has TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    port: u16,
    tls: bool,
}

impl Place {
    /// As far as the configuration tells: a port of 0 is known later.
    pub fn configured(config: &Config) -> Place {
        Place::of(config.listen.http.iter().map(|listener| (listener.port, listener.tls)))
    }

    pub fn listening(ports: &[(SocketAddr, HttpTls)]) -> Place {
        Place::of(ports.iter().map(|(address, tls)| (address.port(), *tls)))
    }

    /// The first with TLS: no URL leads to a port without while there is one with it.
    fn of(ports: impl Iterator<Item = (u16, HttpTls)> + Clone) -> Place {
        let mut ports = ports.map(|(port, tls)| Place { port, tls: tls == HttpTls::Direct });
        let first = ports.clone().next().unwrap_or(Place { port: 5443, tls: true });
        ports.find(|place| place.tls).unwrap_or(first)
    }

    /// The beginning of each URL, without a slash at its end.
    pub fn base(&self, configured: Option<&Uri>, domain: &str) -> String {
        if let Some(base) = configured {
            return base.as_str().trim_end_matches('/').to_owned();
        }
        // RFC 3986 section 3.2.2, as the XEP's section 4 wants it: ASCII.
        let host = idna::domain_to_ascii(domain).unwrap_or_else(|_| domain.to_owned());
        let (scheme, usual) = if self.tls { ("https", 443) } else { ("http", 80) };
        match self.port == usual {
            true => format!("{scheme}://{host}"),
            false => format!("{scheme}://{host}:{}", self.port),
        }
    }
}

/// A segment of a path: all but RFC 3986's unreserved characters in percent-encoding.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => escaped.push(byte.into()),
            _ => {
                escaped.push('%');
                escaped.push_str(&hex::encode_upper([byte]));
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_with_tls_comes_first() {
        let place = |ports: &[(u16, HttpTls)]| Place::of(ports.iter().copied()).base(None, "example.com");
        let (none, direct) = (HttpTls::None, HttpTls::Direct);
        assert_eq!(place(&[(5280, none), (5443, direct)]), "https://example.com:5443");
        assert_eq!(place(&[(80, none), (443, direct)]), "https://example.com");
        assert_eq!(place(&[(5280, none)]), "http://example.com:5280");
        assert_eq!(place(&[(80, none)]), "http://example.com");
    }

    #[test]
    fn a_url_is_ascii() {
        let place = Place { port: 443, tls: true };
        assert_eq!(place.base(None, "bücher.example"), "https://xn--bcher-kva.example");
        let base: Uri = "https://files.example.com/x/".parse().expect("a URI");
        assert_eq!(place.base(Some(&base), "example.com"), "https://files.example.com/x");
        assert_eq!(escape("très cool.jpg"), "tr%C3%A8s%20cool.jpg");
        assert_eq!(escape("a/b?c#d%e"), "a%2Fb%3Fc%23d%25e");
    }
}
