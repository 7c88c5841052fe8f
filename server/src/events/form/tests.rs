use bytes::Bytes;
use serde_json::{Value, json};
use smallvec::smallvec;
use xmpp_core::{Element, Stanza, Type, ns};

use super::*;
use crate::storage::outbox::{AccountChange, Packer};
use crate::storage::{Draft, Peer, Place, Role};

const SENT: Role = Role { waits: false, archived: true, sent: true };
const RECEIVED: Role = Role { waits: true, archived: true, sent: false };

fn former(most_bytes: usize) -> Former {
    Former::new(StanzaIds::new(&[7; 16]), most_bytes)
}

fn id(owner: u64, id: u64) -> String {
    StanzaIds::new(&[7; 16]).encode(AccountNumber(owner), MessageId(id))
}

fn jid(text: &str) -> Jid {
    Jid::parse(text).expect("an address")
}

fn stanza(from: &str, to: &str, body: &str) -> Vec<u8> {
    let body = Element::new("body", ns::CLIENT).text(body);
    let stanza = Stanza::message(Type::Chat).with_from(jid(from)).with_to(jid(to)).with_id("m1");
    let mut bytes = Vec::new();
    stanza.with_child(&body).write(&mut bytes);
    bytes
}

fn row(owners: &[(u64, Role)], stanza: Vec<u8>) -> OutboxRow {
    let owners = owners.iter().map(|(number, role)| Owner {
        account: AccountNumber(*number),
        role: *role,
        peer: Peer(0),
    });
    let draft = Draft { time: 1_795_261_800_123, owners: owners.collect(), stanza: Bytes::from(stanza) };
    let mut packer = Packer::default();
    packer.message(5, &draft);
    let content = packer.finish().remove(0).content;
    OutboxRow { place: Place(3), first: MessageId(100), content: content.into() }
}

fn events(former: &Former, row: &OutboxRow) -> Vec<(Topic, String, Value)> {
    let mut events = Vec::new();
    former.events(row, |_| true, &mut events).expect("whole");
    events
        .into_iter()
        .map(|event| (event.topic, event.key, serde_json::from_slice(&event.payload).expect("JSON")))
        .collect()
}

#[test]
fn a_message_between_two_archives_is_three_events() {
    let bytes = stanza("romeo@a.example/x&y", "juliet@b.example", "\"hi\" \u{1f339}\n");
    let text = String::from_utf8(bytes.clone()).expect("UTF-8");
    let found = events(&former(1_000_000), &row(&[(1, SENT), (2, RECEIVED)], bytes));
    let common = json!({
        "schema": 1, "time": "2026-11-21T11:50:00.123Z", "from": "romeo@a.example/x&y", "to": "juliet@b.example",
        "type": "chat", "message_id": "m1", "stanza": text,
    });
    let event = |more: Value| {
        let mut all = common.clone();
        let (Value::Object(all_fields), Value::Object(more)) = (&mut all, more) else { panic!("objects") };
        all_fields.extend(more);
        all
    };
    let accepted = event(json!({
        "event": "message.accepted", "id": id(2, 105),
        "stanza_ids": { "romeo@a.example": id(1, 105), "juliet@b.example": id(2, 105) },
    }));
    let sent = event(json!({
        "event": "message.archived", "id": id(1, 105), "account": "romeo@a.example", "direction": "sent",
        "with": "juliet@b.example",
    }));
    let received = event(json!({
        "event": "message.archived", "id": id(2, 105), "account": "juliet@b.example", "direction": "received",
        "with": "romeo@a.example",
    }));
    let conversation = "juliet@b.example romeo@a.example".to_owned();
    assert_eq!(
        found,
        [
            (Topic::MessageAccepted, conversation, accepted),
            (Topic::MessageArchived, "romeo@a.example".to_owned(), sent),
            (Topic::MessageArchived, "juliet@b.example".to_owned(), received),
        ]
    );
}

#[test]
fn a_conversation_has_one_key_whoever_speaks() {
    let key =
        |from, to| events(&former(1_000_000), &row(&[(1, Role::QUEUED)], stanza(from, to, "hi"))).remove(0).1;
    assert_eq!(key("a@x/1", "b@x"), key("b@x/2", "a@x/1"));
    assert_ne!(key("a@x/1", "b@x"), key("a@x/1", "c@x"));
    assert_eq!(key("a@x/1", "a@x"), "a@x a@x");
}

#[test]
fn what_only_waits_is_in_no_archive() {
    let found = events(&former(1_000_000), &row(&[(2, Role::QUEUED)], stanza("a@x/1", "b@x", "hi")));
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].0, &found[0].2["stanza_ids"]),
        (Topic::MessageAccepted, &json!({ "b@x": id(2, 105) }))
    );
}

#[test]
fn topics_that_are_switched_off_are_left_out() {
    let mut found = Vec::new();
    let row = row(&[(1, SENT), (2, RECEIVED)], stanza("a@x/1", "b@x", "hi"));
    former(1_000_000).events(&row, |topic| topic == Topic::MessageAccepted, &mut found).expect("whole");
    assert_eq!(found.len(), 1);
}

#[test]
fn an_event_that_is_too_large_goes_without_its_stanza() {
    // Every character is escaped, so that the event is twice as large as the stanza.
    let bytes = stanza("a@x/1", "b@x", &"\"\\".repeat(100_000));
    let length = bytes.len();
    let found = events(&former(300_000), &row(&[(1, SENT), (2, RECEIVED)], bytes.clone()));
    for (_, _, event) in &found {
        assert_eq!((&event["stanza"], &event["omitted_bytes"]), (&Value::Null, &json!(length)));
    }
    let whole = events(&former(1_000_000), &row(&[(1, SENT)], bytes.clone()));
    assert_eq!(whole[0].2["stanza"], String::from_utf8(bytes).expect("UTF-8"));
    assert_eq!(whole[0].2.get("omitted_bytes"), None);
}

#[test]
fn the_largest_stanza_fits_the_usual_bound_of_a_broker() {
    let bytes = stanza("a@x/1", "b@x", &"\"".repeat(262_000));
    let found = events(&former(1_000_000 - 512), &row(&[(1, SENT), (2, RECEIVED)], bytes));
    assert!(found.iter().all(|(_, _, event)| event["stanza"].is_string()));
}

#[test]
fn an_account_is_told_of_under_an_id_that_stays() {
    let event = AccountEvent {
        change: AccountChange::Banned,
        account: BareJid::parse("a@x").expect("an address"),
        time: 0,
        reason: Some("\u{7}".to_owned()),
    };
    let mut packer = Packer::default();
    packer.account(&event);
    packer.account(&event);
    let content = packer.finish().remove(0).content;
    let row = OutboxRow { place: Place(3), first: MessageId(0), content: content.into() };
    let found = events(&former(1_000_000), &row);
    assert_eq!(found, events(&former(1_000_000), &row));
    assert_ne!(found[0].2["id"], found[1].2["id"]);
    assert_eq!((&found[0].2["action"], &found[0].2["reason"]), (&json!("banned"), &json!("\u{7}")));
    assert_eq!((found[0].0, found[0].1.as_str()), (Topic::Account, "a@x"));
}

#[test]
fn a_garbled_row_is_no_event() {
    let row = OutboxRow { place: Place(3), first: MessageId(0), content: Bytes::from_static(b"\x01\x07") };
    assert_eq!(former(1_000).events(&row, |_| true, &mut Vec::new()), None);
}

#[test]
fn what_passes_is_told() {
    let former = former(1_000_000);
    let told = |passing: Passing| {
        let event = former.passing(&passing, 0);
        (event.key, serde_json::from_slice::<Value>(&event.payload).expect("JSON"))
    };
    let account = BareJid::parse("a@x").expect("an address");
    let message = Passed { account, from: Some(jid("b@x/1")), id: None, type_: "chat" };
    let sessions = smallvec![jid("a@x/1"), jid("a@x/2")];
    let saved = Some((AccountNumber(1), MessageId(9)));
    let (key, event) = told(Passing::Delivered { message: message.clone(), saved, sessions });
    assert_eq!((key.as_str(), &event["id"]), ("a@x", &json!(id(1, 9))));
    assert_eq!((&event["sessions"], &event["message_id"]), (&json!(["a@x/1", "a@x/2"]), &Value::Null));
    let (_, event) = told(Passing::Push { message });
    assert_eq!((&event["event"], event.get("id")), (&json!("push"), None));
    let status = Some("\u{1f339}".repeat(1_000));
    let presence = Some(Shown { show: None, status, priority: -1 });
    let (key, event) = told(Passing::Presence { session: jid("a@x/1"), presence });
    assert_eq!((key.as_str(), &event["show"], &event["priority"]), ("a@x", &json!("available"), &json!(-1)));
    assert_eq!(event["status"].as_str().map(str::len), Some(1_024));
    let (_, event) = told(Passing::Session { session: jid("a@x/1"), opened: false });
    assert_eq!((&event["action"], &event["session"]), (&json!("closed"), &json!("a@x/1")));
}
