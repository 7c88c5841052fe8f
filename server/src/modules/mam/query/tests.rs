use super::*;
use crate::accounts::preferences::Preferences;
use crate::storage::AccountNumber;

const OWNER: AccountNumber = AccountNumber(3);

fn read(inner: &str) -> Result<Query, StanzaError> {
    let account =
        AccountInfo::without_contacts(OWNER, BareJid::parse("juliet@localhost").expect("an address"));
    assert_eq!(account.archive, Preferences::default());
    let query = Element::parse(format!("<query xmlns='urn:xmpp:mam:2'>{inner}</query>").as_bytes());
    Reader { account: &account, ids: &ids() }.read(&query.expect("XML"))
}

fn ids() -> StanzaIds {
    StanzaIds::new(&[7; 16])
}

fn form(fields: &[(&str, &str)]) -> String {
    let fields =
        fields.iter().map(|(var, value)| format!("<field var='{var}'><value>{value}</value></field>"));
    let fields: String = fields.collect();
    format!(
        "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'>\
         <value>urn:xmpp:mam:2</value></field>{fields}</x>"
    )
}

#[test]
fn each_field_limits_what_is_asked_for() {
    let id = |number| ids().encode(OWNER, MessageId(number));
    let (one, two) = (id(1), id(2));
    let query = read(&form(&[
        ("with", "Romeo@localhost"),
        ("start", "2026-11-21T12:00:00Z"),
        ("end", "2026-11-21T13:00:00.250+01:00"),
        ("after-id", &one),
        ("before-id", &two),
    ]))
    .expect("a query");
    let romeo = BareJid::parse("romeo@localhost").expect("an address");
    assert_eq!(
        query.filter,
        Filter {
            with: Some(Peer::of(&romeo)),
            start: date::parse_utc("2026-11-21T12:00:00Z"),
            end: date::parse_utc("2026-11-21T12:00:00.250Z"),
            after: Some(MessageId(1)),
            before: Some(MessageId(2)),
            ..Filter::default()
        }
    );
    assert_eq!(query.named, [MessageId(1), MessageId(2)]);
    assert_eq!(query.with, None);
    let full = read(&form(&[("with", "romeo@localhost/orchard")])).expect("a query");
    assert_eq!(full.with, Jid::parse("romeo@localhost/orchard").ok());
}

#[test]
fn a_page_is_taken_from_either_end() {
    let page = |inner: &str| read(&format!("<set xmlns='http://jabber.org/protocol/rsm'>{inner}</set>"));
    let id = ids().encode(OWNER, MessageId(9));
    let read = page("<max>10</max><before/>").expect("a query").page;
    assert_eq!((read.max, read.before, read.end()), (Some(10), Some(None), End::Newest));
    let read = page(&format!("<after>{id}</after>")).expect("a query").page;
    assert_eq!((read.max, read.after, read.end()), (None, Some(MessageId(9)), End::Oldest));
    for (refused, error) in [
        ("<max>many</max>", StanzaError::bad_request().condition),
        ("<max>-1</max>", StanzaError::bad_request().condition),
        ("<index>3</index>", StanzaError::feature_not_implemented().condition),
        ("<after>nobody</after>", StanzaError::item_not_found().condition),
    ] {
        assert_eq!(page(refused).expect_err(refused).condition, error, "{refused}");
    }
}

/// Section 4.1: what is not known is not passed over.
#[test]
fn what_cannot_be_understood_is_refused() {
    for (fields, error) in [
        (&[("start", "yesterday")][..], StanzaError::bad_request()),
        (&[("with", "@")], StanzaError::jid_malformed()),
        (&[("mood", "dark")], StanzaError::feature_not_implemented()),
        (&[("ids", "AAAAAAAAAAAAAAAAAAAAAA")], StanzaError::item_not_found()),
    ] {
        assert_eq!(read(&form(fields)).expect_err("refused").condition, error.condition, "{fields:?}");
    }
    let other = form(&[]).replace(ns::MAM, "urn:xmpp:mam:1");
    assert!(read(&other).is_err());
}

/// Section 4.1.1: with the own address only what one sent to oneself.
#[test]
fn a_full_address_is_the_other_partys() {
    let jid = |text: &str| Jid::parse(text).expect("an address");
    let own = BareJid::parse("juliet@localhost").expect("an address");
    let message = (Some(jid("romeo@localhost/a")), Some(jid("juliet@localhost/b")));
    assert!(is_with(&jid("romeo@localhost/a"), &message.0, &message.1, &own));
    assert!(!is_with(&jid("romeo@localhost/b"), &message.0, &message.1, &own));
    let to_herself = (Some(jid("juliet@localhost/a")), Some(jid("juliet@localhost")));
    assert!(is_with(&jid("juliet@localhost/a"), &to_herself.0, &to_herself.1, &own));
}
