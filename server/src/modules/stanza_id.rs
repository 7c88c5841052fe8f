//! Stanza ids (XEP-0359): the account's own ids are given by the server alone, so that what claims to
//! be one already is removed, on every type of message (messages.md, rule 7). The ids themselves are
//! added with the save.

use std::sync::Arc;

use xmpp_core::{BareJid, Jid, Kind, Stanza, ns};

use crate::host::{HostBuilder, Module, Scope};
use crate::router::Router;
use crate::router::hooks::{Answer, Letter, OnArrived, OnSent, Verdict};

pub struct StanzaId;

impl Module for StanzaId {
    fn name(&self) -> &'static str {
        "stanza_id"
    }

    fn install(self: Arc<Self>, host: &mut HostBuilder) {
        host.on_sent(self.clone());
        host.on_arrived(self);
        host.feature(ns::STANZA_ID, Scope::Account);
    }
}

impl OnSent for StanzaId {
    fn on_sent<'a>(&'a self, letter: &'a mut Letter, _: &'a Arc<Router>) -> Answer<'a, Verdict> {
        if let Some(sender) = letter.stanza.from.as_ref().map(Jid::bare) {
            remove_forged(&mut letter.stanza, &sender);
        }
        Answer::Now(Verdict::Pass)
    }
}

impl OnArrived for StanzaId {
    fn on_arrived<'a>(&'a self, letter: &'a mut Letter, _: &'a Arc<Router>) -> Answer<'a, Verdict> {
        // Without `to` it is for the sender's own account.
        let recipient = letter.stanza.to.as_ref().or(letter.stanza.from.as_ref()).map(Jid::bare);
        if let Some(recipient) = recipient {
            remove_forged(&mut letter.stanza, &recipient);
        }
        Answer::Now(Verdict::Pass)
    }
}

/// Section 5, rule 2. Others' ids stay, and `<origin-id/>` does.
fn remove_forged(stanza: &mut Stanza, account: &BareJid) {
    if stanza.kind != Kind::Message || !stanza.payload.has("stanza-id", ns::STANZA_ID) {
        return;
    }
    stanza.payload.retain(|child| {
        let by = || child.element().attribute("by").and_then(|by| Jid::parse(by).ok());
        !(child.is("stanza-id", ns::STANZA_ID) && by().is_some_and(|by| by == *account))
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_claims_to_be_the_accounts_own_is_removed() {
        let xml = "<message type='groupchat'><body>x</body>\
            <stanza-id xmlns='urn:xmpp:sid:0' id='1' by='ROMEO@Example.com'/>\
            <stanza-id xmlns='urn:xmpp:sid:0' id='2' by='romeo@example.com/x'/>\
            <stanza-id xmlns='urn:xmpp:sid:0' id='3' by='room@example.com'/>\
            <stanza-id xmlns='urn:xmpp:sid:0' id='4'/>\
            <stanza-id xmlns='urn:other' id='5' by='romeo@example.com'/>\
            <origin-id xmlns='urn:xmpp:sid:0' id='6'/>\
            <stanza-id xmlns='urn:xmpp:sid:0' id='7' by='romeo@example.com'/></message>";
        let account = BareJid::parse("romeo@example.com").unwrap();
        let mut stanza = Stanza::read(xml.as_bytes()).unwrap();
        remove_forged(&mut stanza, &account);
        let left = stanza.payload.children().filter(|child| child.name != "body");
        let ids: Vec<String> =
            left.map(|child| child.element().attribute("id").unwrap().to_owned()).collect();
        assert_eq!(ids, ["2", "3", "4", "5", "6"]);
        assert_eq!(stanza.payload.text_of("body", ns::CLIENT).as_deref(), Some("x"));
    }
}
