//! The attributes of a saved stanza. Its bytes are canonical (`xmpp_core::Stanza::write` made them), so that its
//! first tag tells them without reading the rest.

use std::borrow::Cow;

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Head<'s> {
    pub from: Option<Cow<'s, str>>,
    pub to: Option<Cow<'s, str>>,
    pub id: Option<Cow<'s, str>>,
    pub type_: Option<Cow<'s, str>>,
}

/// What is not as expected is left out.
pub fn head(stanza: &str) -> Head<'_> {
    let mut head = Head::default();
    let Some(mut rest) = stanza.find(' ').map(|at| &stanza[at..]) else { return head };
    // ` name='value'`, and no apostrophe or angle bracket within a value.
    while let Some((name, behind)) = rest.strip_prefix(' ').and_then(|rest| rest.split_once("='")) {
        let Some((value, behind)) = behind.split_once('\'') else { break };
        match name {
            "from" => head.from = Some(unescaped(value)),
            "to" => head.to = Some(unescaped(value)),
            "id" => head.id = Some(unescaped(value)),
            "type" => head.type_ = Some(unescaped(value)),
            _ => {}
        }
        rest = behind;
    }
    head
}

/// An address without its resource.
pub fn bare(address: &str) -> &str {
    address.split_once('/').map_or(address, |(bare, _)| bare)
}

/// The opposite of `xmpp_core::xml::escape::value`.
fn unescaped(value: &str) -> Cow<'_, str> {
    if !value.contains('&') {
        return Cow::Borrowed(value);
    }
    let mut text = String::with_capacity(value.len());
    let mut rest = value;
    while let Some((plain, behind)) = rest.split_once('&') {
        text.push_str(plain);
        let (name, behind) = behind.split_once(';').unwrap_or((behind, ""));
        text.push(match name {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "apos" => '\'',
            "quot" => '"',
            "#x9" => '\t',
            "#xA" => '\n',
            "#xD" => '\r',
            _ => '\u{fffd}',
        });
        rest = behind;
    }
    text.push_str(rest);
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use xmpp_core::{Element, Jid, Stanza, Type, ns};

    use super::*;

    #[test]
    fn it_tells_what_the_stanza_is() {
        for resource in ["orchard", "a'b\"c<d>&amp;", "]]> x='y'", "\u{1f339} /!", "&"] {
            let from = Jid::new(Some("romeo"), "example.com", Some(resource)).expect("an address");
            let to = Jid::parse("juliet@example.com").expect("an address");
            let body = Element::new("body", ns::CLIENT).text("to='x' id='y'");
            let id = "i'd\t\n\r<&>\"";
            let stanza = Stanza::message(Type::Chat).with_from(from.clone()).with_to(to).with_id(id);
            let mut bytes = Vec::new();
            stanza.with_child(&body).write(&mut bytes);
            let text = String::from_utf8(bytes).expect("UTF-8");
            let head = head(&text);
            assert_eq!(head.from.as_deref(), Some(from.as_str()));
            assert_eq!(head.to.as_deref(), Some("juliet@example.com"));
            assert_eq!((head.id.as_deref(), head.type_.as_deref()), (Some(id), Some("chat")));
            assert_eq!(bare(from.as_str()), "romeo@example.com");
        }
    }

    #[test]
    fn what_is_not_there_is_none() {
        assert_eq!(head("<message><body x='y'>z</body></message>"), Head::default());
        assert_eq!(head("<message/>"), Head::default());
        assert_eq!(head(""), Head::default());
        assert_eq!(head("<message from='a' to").from.as_deref(), Some("a"));
        let only = head("<message to='a@b'/>");
        assert_eq!((only.to.as_deref(), only.from), (Some("a@b"), None));
    }
}
