use super::*;

#[test]
fn built_and_written() {
    let element = Element::new("query", ns::ROSTER)
        .attr("ver", "1'2")
        .attr("xml:lang", "de")
        .attr_opt("none", None::<&str>)
        .attr_opt("some", Some("x"))
        .child(Element::new("item", ns::ROSTER).attr("jid", "a@b").children([
            Element::new("group", ns::ROSTER).text("a").text("<b>"),
            Element::new("other", "urn:other"),
            Element::new("plain", ""),
        ]))
        .text("");
    let inside =
        "<item jid='a@b'><group>a&lt;b&gt;</group><other xmlns='urn:other'/><plain xmlns=''/></item></query>";
    let alone = format!("<query xmlns='jabber:iq:roster' ver='1&apos;2' xml:lang='de' some='x'>{inside}");
    assert_eq!(element.to_xml(), alone);
    let mut out = Vec::new();
    element.write(ns::ROSTER, &mut out);
    assert_eq!(out, alone.replacen(" xmlns='jabber:iq:roster'", "", 1).as_bytes());
    assert_eq!(Element::parse(alone.as_bytes()), Ok(element));
}

#[test]
fn read() {
    let element = Element::parse(
        b"<a xmlns='urn:a' xmlns:p='urn:p' x='1' p:x='2' xml:lang='en'>one<b/>two<p:c>d</p:c></a>",
    )
    .unwrap();
    assert_eq!((element.name(), element.ns(), element.lang()), ("a", "urn:a", Some("en")));
    assert_eq!((element.attribute("x"), element.attribute_ns("x", "urn:p")), (Some("1"), Some("2")));
    assert_eq!((element.attribute("lang"), element.attribute("y")), (None, None));
    assert_eq!(element.attributes().collect::<Vec<_>>(), [("x", "1")]);
    assert_eq!(element.content(), "onetwo");
    assert_eq!(element.elements().map(Element::name).collect::<Vec<_>>(), ["b", "c"]);
    assert_eq!(element.find("c", "urn:p").map(Element::content).as_deref(), Some("d"));
    assert!(element.find("c", "urn:a").is_none() && element.is("a", "urn:a") && !element.is("a", ""));
    assert_eq!(element.nodes().len(), 4);
}

#[test]
fn changed() {
    let mut element = Element::parse(b"<a x='1' xml:lang='en'><b/>t<b/><c/></a>").unwrap();
    element.set_attribute("x", "2");
    element.set_attribute("xml:lang", "de");
    element.set_attribute("lang", "other");
    element.remove("b", "");
    assert_eq!(element.to_xml(), "<a x='2' xml:lang='de' lang='other'>t<c/></a>");
}

/// What no parser would take is not written, wherever it came from.
#[test]
fn characters_that_xml_has_not() {
    let element = Element::new("a", "").attr("b", "\0\u{ffff}").text("\u{1}\u{b}");
    assert_eq!(element.to_xml(), "<a b='\u{fffd}\u{fffd}'>\u{fffd}\u{fffd}</a>");
}

#[test]
fn deep_trees() {
    let nested = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    assert!(Element::parse(nested(crate::xml::DEPTH_MAX).as_bytes()).is_ok());
    assert!(Element::parse(nested(crate::xml::DEPTH_MAX + 1).as_bytes()).is_err());
}

#[test]
fn one_element_and_nothing_else() {
    for xml in [
        "",
        " ",
        "x",
        "<a>",
        "</a>",
        "<a/>b",
        "<a/><b/>",
        "a<b/>",
        "<a></b>",
        "<a/><!-- -->",
        "<?xml version='1.0'?><a/>",
    ] {
        assert!(Element::parse(xml.as_bytes()).is_err(), "{xml}");
    }
    assert!(Element::parse(b" <a/>\r\n").is_ok());
}
