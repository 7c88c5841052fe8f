use super::*;

fn parse(text: &str) -> Result<String, JidError> {
    Jid::parse(text).map(|jid| jid.to_string())
}

#[test]
fn parts() {
    let jid = Jid::parse("Romeo@Montague.EXAMPLE./Or/ch@rd").unwrap();
    assert_eq!(jid.as_str(), "romeo@montague.example/Or/ch@rd");
    assert_eq!(
        (jid.local(), jid.domain(), jid.resource()),
        (Some("romeo"), "montague.example", Some("Or/ch@rd"))
    );
    assert!(jid.is_full() && !jid.is_bare() && !jid.is_domain());
    let bare = jid.bare();
    assert_eq!(
        (bare.as_str(), bare.local(), bare.domain()),
        ("romeo@montague.example", Some("romeo"), "montague.example")
    );
    assert!(jid.to_bare() == bare && jid != bare);
    assert_eq!(jid.to_bare().resource(), None);
    assert_eq!(bare.with_resource("x y").unwrap().as_str(), "romeo@montague.example/x y");
    assert!(Jid::parse("montague.example").unwrap().is_domain());
}

#[test]
fn equal_after_preparation() {
    assert_eq!(parse("A@Ex.COM"), parse("a@ex.com"));
    assert_ne!(parse("a@ex.com/R"), parse("a@ex.com/r"));
    assert_eq!(parse("a@xn--fuball-cta.example"), parse("a@FUẞBALL.example").or(parse("a@fußball.example")));
}
