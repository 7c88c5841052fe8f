//! Which messages may wait for their recipient, and which an archive keeps (messages.md, rule 9): a pure
//! question of the message.

use xmpp_core::{Kind, Stanza, Type, ns};

/// Every normal and chat message, but those marked `no-store` (XEP-0334 section 4.2) and those that
/// say nothing: only chat states, a thread, an origin-id, hints.
pub fn is_queued(stanza: &Stanza) -> bool {
    let of_the_kind =
        stanza.kind == Kind::Message && matches!(stanza.type_, Type::None | Type::Normal | Type::Chat);
    if !of_the_kind || forbids_storing(stanza) {
        return false;
    }
    stanza.payload.children().any(|child| {
        let says_nothing = match child.ns {
            ns::CHAT_STATES | ns::HINTS => true,
            ns::STANZA_ID => child.name == "origin-id" || child.name == "stanza-id",
            ns::CLIENT => child.name == "thread",
            _ => false,
        };
        !says_nothing
    })
}

/// What an archive keeps: messages that somebody will want to read again, unless a hint says no
/// (XEP-0313 section 6.1.1, XEP-0334 section 4).
pub fn is_archived(stanza: &Stanza) -> bool {
    let of_the_kind =
        stanza.kind == Kind::Message && matches!(stanza.type_, Type::None | Type::Normal | Type::Chat);
    let forbidden = || forbids_storing(stanza) || stanza.payload.has("no-permanent-store", ns::HINTS);
    of_the_kind && !forbidden() && stanza.payload.children().any(|child| says_something(child.name, child.ns))
}

fn says_something(name: &str, of: &str) -> bool {
    match of {
        ns::CLIENT => name == "body",
        ns::HINTS => name == "store",
        ns::RECEIPTS => name == "received",
        ns::CHAT_MARKERS => matches!(name, "received" | "displayed" | "acknowledged"),
        ns::RETRACTION
        | ns::REACTIONS
        | ns::REPLY
        | ns::ENCRYPTION
        | ns::OMEMO_LEGACY
        | ns::OMEMO
        | ns::OPENPGP => true,
        _ => false,
    }
}

/// `<no-store/>` keeps a message out of every store; `<no-permanent-store/>` only out of archives.
pub fn forbids_storing(stanza: &Stanza) -> bool {
    stanza.payload.has("no-store", ns::HINTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queued(type_: &str, payload: &str) -> bool {
        let xml = format!("<message type='{type_}'>{payload}</message>");
        is_queued(&Stanza::read(xml.as_bytes()).expect("a message"))
    }

    const STATE: &str = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
    const THREAD: &str = "<thread>t</thread>";
    const ORIGIN: &str = "<origin-id xmlns='urn:xmpp:sid:0' id='1'/>";
    const STORE: &str = "<store xmlns='urn:xmpp:hints'/>";
    const NO_STORE: &str = "<no-store xmlns='urn:xmpp:hints'/>";
    const NO_PERMANENT_STORE: &str = "<no-permanent-store xmlns='urn:xmpp:hints'/>";

    #[test]
    fn every_normal_and_chat_message_that_says_something() {
        let says_something = [
            "<body>x</body>",
            "<subject>x</subject>",
            "<received xmlns='urn:xmpp:receipts' id='1'/>",
            "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>",
            "<encrypted xmlns='eu.siacs.conversations.axolotl'/>",
            "<reactions xmlns='urn:xmpp:reactions:0' id='1'/>",
            // An extension may call its element as it likes.
            "<thread xmlns='urn:example:weaving'/>",
            "<referenced-stanza xmlns='urn:xmpp:sid:0' id='1'/>",
        ];
        for payload in says_something {
            for type_ in ["normal", "chat", "unheard-of"] {
                assert!(queued(type_, payload), "{type_} {payload}");
                assert!(queued(type_, &[STATE, THREAD, payload, NO_PERMANENT_STORE].concat()), "{payload}");
                assert!(!queued(type_, &[payload, NO_STORE].concat()), "{payload}");
                assert!(!queued(type_, &[payload, STORE, NO_STORE].concat()), "{payload}");
            }
            for type_ in ["headline", "groupchat", "error"] {
                assert!(!queued(type_, &[payload, STORE].concat()), "{type_} {payload}");
            }
        }
    }

    #[test]
    fn what_an_archive_keeps() {
        let archived = |type_: &str, payload: &str| {
            let xml = format!("<message type='{type_}'>{payload}</message>");
            is_archived(&Stanza::read(xml.as_bytes()).expect("a message"))
        };
        let kept = [
            "<body>x</body>",
            STORE,
            "<received xmlns='urn:xmpp:receipts' id='1'/>",
            "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>",
            "<encrypted xmlns='eu.siacs.conversations.axolotl'/>",
            "<reactions xmlns='urn:xmpp:reactions:0' id='1'/>",
            "<retract xmlns='urn:xmpp:message-retract:1' id='1'/>",
        ];
        for payload in kept {
            assert!(archived("chat", payload) && archived("normal", payload), "{payload}");
            assert!(archived("chat", &[payload, STATE].concat()), "{payload}");
            for hint in [NO_STORE, NO_PERMANENT_STORE] {
                assert!(!archived("chat", &[payload, hint].concat()), "{payload} {hint}");
            }
            for type_ in ["headline", "groupchat", "error"] {
                assert!(!archived(type_, payload), "{type_} {payload}");
            }
        }
        let request = "<request xmlns='urn:xmpp:receipts'/>";
        let markable = "<markable xmlns='urn:xmpp:chat-markers:0'/>";
        for payload in ["", STATE, ORIGIN, THREAD, "<subject>x</subject>", request, markable] {
            assert!(!archived("chat", payload), "{payload}");
        }
    }

    #[test]
    fn what_says_nothing_does_not_wait() {
        for payload in
            ["", STATE, THREAD, ORIGIN, STORE, &[STATE, THREAD, ORIGIN, NO_PERMANENT_STORE].concat()]
        {
            assert!(!queued("chat", payload), "{payload}");
        }
    }
}
