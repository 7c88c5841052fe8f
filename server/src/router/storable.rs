//! Which messages may wait for their recipient (messages.md, rule 9): a pure question of the message.

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

/// `<no-store/>` keeps a message out of every store; `<no-permanent-store/>` only out of archives.
pub fn forbids_storing(stanza: &Stanza) -> bool {
    stanza.payload.has("no-store", ns::HINTS)
}
