use std::collections::HashMap;

use super::*;

fn parse(text: &str) -> Result<String, JidError> {
    Jid::parse(text).map(|jid| jid.to_string())
}

/// RFC 7622 section 3.5, table 1.
#[test]
fn examples_that_are_addresses() {
    for text in [
        "juliet@example.com",
        "juliet@example.com/foo",
        "juliet@example.com/foo bar",
        "juliet@example.com/foo@bar",
        "foo\\20bar@example.com",
        "fussball@example.com",
        "fu\u{df}ball@example.com",
        "\u{3c0}@example.com",
        "\u{3c3}@example.com/foo",
        "\u{3c2}@example.com/foo",
        "king@example.com/\u{265a}",
        "example.com",
        "example.com/foobar",
        "a.example.com/b@example.net",
    ] {
        assert_eq!(parse(text).as_deref(), Ok(text));
    }
    assert_eq!(parse("\u{3a3}@example.com/foo"), parse("\u{3c3}@example.com/foo"));
    assert_ne!(parse("\u{3c2}@example.com/foo"), parse("\u{3c3}@example.com/foo"));
}

/// Table 2. Its example 18, a resource that begins with a space, breaks no rule of section 3.4: a message to
/// such an address is delivered.
#[test]
fn examples_that_are_none() {
    for (text, error) in [
        ("\"juliet\"@example.com", JidError::BadLocal),
        ("foo bar@example.com", JidError::BadLocal),
        ("@example.com/", JidError::EmptyPart),
        ("henry\u{2163}@example.com", JidError::BadLocal),
        ("\u{265a}@example.com", JidError::BadLocal),
        ("juliet@", JidError::NoDomain),
        ("/foobar", JidError::NoDomain),
    ] {
        assert_eq!(parse(text), Err(error), "{text}");
    }
    assert_eq!(parse("juliet@example.com/ foo").as_deref(), Ok("juliet@example.com/ foo"));
}

#[test]
fn parts() {
    let jid = Jid::parse("Romeo@Montague.EXAMPLE./Or/ch@rd").unwrap();
    assert_eq!(jid.as_str(), "romeo@montague.example/Or/ch@rd");
    assert_eq!(jid.local(), Some("romeo"));
    assert_eq!(jid.domain(), "montague.example");
    assert_eq!(jid.resource(), Some("Or/ch@rd"));
    assert!(jid.is_full() && !jid.is_bare() && !jid.is_domain());

    let bare = jid.bare();
    assert_eq!(bare.as_str(), "romeo@montague.example");
    assert_eq!((bare.local(), bare.domain()), (Some("romeo"), "montague.example"));
    assert!(jid.to_bare() == bare && jid != bare && bare.jid() == jid.to_bare());
    assert_eq!(jid.to_bare().resource(), None);
    assert!(jid.to_bare().is_bare() && !jid.to_bare().is_full());
    assert_eq!(bare.with_resource("x y").unwrap().as_str(), "romeo@montague.example/x y");
    assert_eq!(jid.with_resource(""), Err(JidError::EmptyPart));

    let domain = Jid::parse("montague.example/x").unwrap();
    assert_eq!((domain.local(), domain.resource()), (None, Some("x")));
    assert!(domain.to_bare().is_domain() && domain.bare().is_domain() && !domain.is_domain());
    assert_eq!(BareJid::parse("a@b/c"), Err(JidError::BadResource));
}

/// A map of bare addresses is searched by text, and by an address that shares the text of a full one.
#[test]
fn equal_by_text() {
    let mut map = HashMap::new();
    map.insert(Jid::parse("a@b/c").unwrap().bare(), 1);
    assert_eq!(map.get("a@b"), Some(&1));
    assert_eq!(map.get(&BareJid::parse("A@B").unwrap()), Some(&1));
    assert_eq!(map.get("a@b/c"), None);
    let mut sorted = ["b@a", "a@b/c", "a@b"].map(|text| Jid::parse(text).unwrap());
    sorted.sort();
    assert_eq!(sorted.map(|jid| jid.to_string()), ["a@b", "a@b/c", "b@a"]);
    assert_eq!(format!("{:>6}|{:?}", sorted_pad(), sorted_pad()), "   a@b|a@b");
}

fn sorted_pad() -> Jid {
    Jid::parse("a@b").unwrap()
}

/// RFC 7622 section 3.3: width and case mapping, and what is excluded besides.
#[test]
fn local_parts() {
    for (text, prepared) in [
        ("ＪＵＬＩＥＴ", "juliet"),
        ("e\u{301}", "\u{e9}"),
        ("É", "é"),
        ("a.b+c=d-e_f~!#$%*?^`{|}", "a.b+c=d-e_f~!#$%*?^`{|}"),
    ] {
        assert_eq!(prepare_local(text).as_deref(), Ok(prepared));
    }
    for text in [
        "a&b",
        "a'b",
        "a/b",
        "a:b",
        "a<b",
        "a>b",
        "a@b",
        "a\"b",
        "a b",
        "a\tb",
        "a\u{7f}",
        "ａ＠ｂ",
        "a\u{ad}b",
        "a\u{200b}b",
        "ﬁ\u{fffd}",
    ] {
        assert_eq!(prepare_local(text), Err(JidError::BadLocal), "{text}");
    }
    assert_eq!(prepare_local(""), Err(JidError::EmptyPart));
    // Right to left with left to right (RFC 5893), and with the digits that belong to neither.
    assert_eq!(prepare_local("אa"), Err(JidError::BadLocal));
    assert_eq!(prepare_local("אב").as_deref(), Ok("אב"));
}

/// RFC 7622 section 3.2.
#[test]
fn domains() {
    for (text, prepared) in [
        ("EXAMPLE.com", "example.com"),
        ("example.com.", "example.com"),
        ("localhost", "localhost"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "[::1]"),
        ("[2001:DB8:0:0::1]", "[2001:db8::1]"),
        ("xn--fuball-cta.example", "fußball.example"),
        ("FUßBALL.example", "fußball.example"),
        ("münchen.example", "münchen.example"),
        ("MU\u{308}NCHEN.example", "münchen.example"),
        ("例え。テスト", "例え.テスト"),
        ("例え．テスト。", "例え.テスト"),
        ("a-b.c--d", "a-b.c--d"),
        ("1.example", "1.example"),
    ] {
        assert_eq!(prepare_domain(text).as_deref(), Ok(prepared), "{text}");
    }
    for text in [
        "a..b",
        "_x.example",
        ".example",
        "-a.example",
        "a-.example",
        "a b",
        "a/b",
        "a_b",
        "[::1",
        "::1",
        "[1.2.3.4]",
        "[::1%eth0]",
        "xn--a",
        "xn--zzzzzz",
        "a\u{ad}",
        "\u{2028}",
        "ex'ample",
        "ex&ample",
        "a\0b",
        "ａ／b",
    ] {
        let result = prepare_domain(text);
        // A soft hyphen is mapped to nothing; all others are refused.
        assert!(result == Err(JidError::BadDomain) || text == "a\u{ad}", "{text}: {result:?}");
    }
    assert_eq!(prepare_domain(""), Err(JidError::NoDomain));
    assert_eq!(prepare_domain("."), Err(JidError::NoDomain));
}

/// RFC 7622 section 3.4: no case mapping, other spaces become spaces.
#[test]
fn resources() {
    assert_eq!(prepare_resource("Foo \u{a0}\u{3000}Bar").as_deref(), Ok("Foo   Bar"));
    assert_eq!(prepare_resource("e\u{301}").as_deref(), Ok("\u{e9}"));
    assert_eq!(prepare_resource("a<b>&'\"/@").as_deref(), Ok("a<b>&'\"/@"));
    for text in ["a\tb", "a\nb", "\0", "\u{7f}", "a\u{ad}", "\u{200b}", "\u{fffe}"] {
        assert_eq!(prepare_resource(text), Err(JidError::BadResource), "{text:?}");
    }
    assert_eq!(prepare_password("pass\u{3000}word").as_deref(), Ok("pass word"));
    assert_eq!(prepare_password(&"x".repeat(5000)).map(|prepared| prepared.len()), Ok(5000));
}

/// Each part has 1023 bytes, counted behind preparation.
#[test]
fn lengths() {
    let longest = "a".repeat(PART_MAX_BYTES);
    let jid = Jid::parse(&format!("{longest}@example.com/{longest}")).unwrap();
    assert_eq!((jid.local(), jid.resource()), (Some(&*longest), Some(&*longest)));
    assert_eq!(jid.bare().as_str().len(), PART_MAX_BYTES + "@example.com".len());
    assert_eq!(parse(&format!("{longest}a@example.com")), Err(JidError::TooLong));
    assert_eq!(parse(&format!("a@example.com/{longest}a")), Err(JidError::TooLong));
    assert_eq!(parse(&format!("{}@example.com", "A".repeat(PART_MAX_BYTES + 1))), Err(JidError::TooLong));
    // Two bytes each.
    assert_eq!(parse(&format!("{}@example.com", "é".repeat(512))), Err(JidError::TooLong));
    assert!(parse(&format!("{}@example.com", "é".repeat(511))).is_ok());
    // Three bytes before and two behind composition.
    assert!(parse(&format!("{}@example.com", "e\u{301}".repeat(511))).is_ok());
    assert_eq!(parse(&format!("a@{}", "a.".repeat(127) + "aa")), Err(JidError::BadDomain));
    assert!(parse(&format!("a@{}", "a.".repeat(126) + "a")).is_ok());
    assert_eq!(parse(&format!("a@{}.example", "a".repeat(64))), Err(JidError::BadDomain));
    assert!(parse(&"é".repeat(100_000)).is_err());
}
