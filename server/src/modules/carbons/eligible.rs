//! Which messages are copied (XEP-0280 section 6.1): pure questions of the message.

use xmpp_core::{Stanza, Type, ns};

/// `answers_copied`: is this error the answer to a message that was copied?
pub fn is_eligible(stanza: &Stanza, answers_copied: impl Fn() -> bool) -> bool {
    match stanza.type_ {
        // It may contain what it answers, whose hints are not its own (XEP-0334 section 5).
        Type::Error => return answers_copied(),
        Type::Groupchat => return false,
        _ if is_private(stanza) => return false,
        Type::Chat => return true,
        _ => {}
    }
    let is_normal = matches!(stanza.type_, Type::None | Type::Normal);
    (is_normal && stanza.payload.has("body", ns::CLIENT)) || is_of_a_talk(stanza) || is_invitation(stanza)
}

/// A message of a room's occupant to another. Such a one from a client to an occupant is copied, one to
/// a client is not: the room sees to that.
pub fn is_room_private(stanza: &Stanza) -> bool {
    let from_occupant = stanza.from.as_ref().is_some_and(|from| from.is_full());
    from_occupant && stanza.payload.has("x", ns::MUC_USER) && !is_invitation(stanza)
}

fn is_private(stanza: &Stanza) -> bool {
    stanza.payload.has("private", ns::CARBONS) || stanza.payload.has("no-copy", ns::HINTS)
}

/// "Payload elements typically used in IM": receipts, chat states, markers.
fn is_of_a_talk(stanza: &Stanza) -> bool {
    [ns::RECEIPTS, ns::CHAT_STATES, ns::CHAT_MARKERS].iter().any(|ns| stanza.payload.has_ns(ns))
}

/// Direct (XEP-0249), or through the room (XEP-0045 section 7.8.2).
fn is_invitation(stanza: &Stanza) -> bool {
    if stanza.payload.has("x", ns::CONFERENCE) {
        return true;
    }
    let room = stanza.payload.get("x", ns::MUC_USER);
    room.is_some_and(|x| {
        x.elements().any(|e| e.ns() == ns::MUC_USER && matches!(e.name(), "invite" | "decline"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eligible(type_: &str, payload: &str) -> bool {
        let xml = format!("<message type='{type_}'>{payload}</message>");
        is_eligible(&Stanza::read(xml.as_bytes()).unwrap(), || false)
    }

    #[test]
    fn section_6_1() {
        const BODY: &str = "<body>x</body>";
        const RECEIPT: &str = "<received xmlns='urn:xmpp:receipts' id='1'/>";
        const STATE: &str = "<active xmlns='http://jabber.org/protocol/chatstates'/>";
        const MARKER: &str = "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>";
        const DIRECT: &str = "<x xmlns='jabber:x:conference' jid='room@example.com'/>";
        const MEDIATED: &str = "<x xmlns='http://jabber.org/protocol/muc#user'><invite to='a@b'/></x>";
        assert!(eligible("chat", "") && eligible("chat", BODY));
        assert!(eligible("normal", BODY));
        assert!(!eligible("normal", "<subject>x</subject>") && !eligible("headline", BODY));
        for payload in [RECEIPT, STATE, MARKER, DIRECT, MEDIATED] {
            for type_ in ["normal", "chat", "headline"] {
                assert!(eligible(type_, payload), "{type_} {payload}");
            }
            assert!(!eligible("groupchat", payload), "{payload}");
            for private in ["<private xmlns='urn:xmpp:carbons:2'/>", "<no-copy xmlns='urn:xmpp:hints'/>"] {
                assert!(!eligible("chat", &format!("{payload}{private}")), "{payload}");
            }
        }
    }

    #[test]
    fn an_error_is_as_eligible_as_what_it_answers() {
        let xml = b"<message type='error'><body>x</body><private xmlns='urn:xmpp:carbons:2'/></message>";
        let error = Stanza::read(xml).unwrap();
        assert!(is_eligible(&error, || true));
        assert!(!is_eligible(&error, || false));
    }

    #[test]
    fn a_rooms_private_message_is_not_an_invitation() {
        let message = |from: &str, x: &str| {
            let xml = format!(
                "<message from='{from}'><x xmlns='http://jabber.org/protocol/muc#user'>{x}</x></message>"
            );
            is_room_private(&Stanza::read(xml.as_bytes()).unwrap())
        };
        assert!(message("room@example.com/nick", ""));
        assert!(!message("room@example.com", "<invite from='a@b'/>"));
        assert!(!message("room@example.com/nick", "<invite from='a@b'/>"));
    }
}
