//! Host metadata (RFC 6415) with the other ways to connect (XEP-0156). There are none yet besides those that DNS
//! tells of, and those are not to be listed here (section 2.2).

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

/// A way to connect, as `urn:xmpp:alt-connections:websocket`, and where.
struct Link {
    rel: &'static str,
    href: String,
}

pub fn router() -> Router {
    Router::new()
        .route(
            "/.well-known/host-meta",
            get(|| async { answer("application/xrd+xml; charset=utf-8", xrd(&[])) }),
        )
        .route("/.well-known/host-meta.json", get(|| async { answer("application/json", jrd(&[])) }))
}

fn answer(content_type: &'static str, text: String) -> impl IntoResponse {
    // Section 3: for clients that are pages of another host.
    let headers = [(header::CONTENT_TYPE, content_type), (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")];
    (headers, text)
}

fn xrd(links: &[Link]) -> String {
    let mut xrd = xmpp_core::Element::new("XRD", "http://docs.oasis-open.org/ns/xri/xrd-1.0");
    for link in links {
        let ns = xrd.ns().to_owned();
        xrd.push(xmpp_core::Element::new("Link", &ns).attr("rel", link.rel).attr("href", &link.href));
    }
    format!("<?xml version='1.0' encoding='utf-8'?>\n{}\n", xrd.to_xml())
}

fn jrd(links: &[Link]) -> String {
    let links = links.iter().map(|link| serde_json::json!({ "rel": link.rel, "href": link.href }));
    serde_json::json!({ "links": links.collect::<Vec<_>>() }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The XEP's examples, without what is left out there.
    #[test]
    fn links_are_written_both_ways() {
        let href = "wss://web.example.com:443/ws?a&b".to_owned();
        let links = [Link { rel: "urn:xmpp:alt-connections:websocket", href }];
        assert_eq!(
            xrd(&links),
            "<?xml version='1.0' encoding='utf-8'?>\n<XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>\
             <Link rel='urn:xmpp:alt-connections:websocket' href='wss://web.example.com:443/ws?a&amp;b'/></XRD>\n"
        );
        assert_eq!(
            jrd(&links),
            r#"{"links":[{"href":"wss://web.example.com:443/ws?a&b","rel":"urn:xmpp:alt-connections:websocket"}]}"#
        );
        assert_eq!(jrd(&[]), r#"{"links":[]}"#);
    }
}
