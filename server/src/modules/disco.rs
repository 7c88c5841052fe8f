//! Service discovery (XEP-0030) for domains and accounts, with extended information (XEP-0128): what
//! the modules registered in the host, and nothing else.

use std::sync::Arc;

use xmpp_core::{Element, StanzaError, ns};

use crate::host::{HostBuilder, Identity, Module, Scope};
use crate::router::Router;
use crate::router::hooks::{Answer, AnswerIq, Iq, IqResult, Target};

pub struct Disco;

impl Module for Disco {
    fn name(&self) -> &'static str {
        "disco"
    }

    fn install(self: Arc<Self>, host: &mut HostBuilder) {
        let server = Identity { category: "server", type_: "im", name: Some("Meerkat") };
        host.identity(server, Scope::Server);
        host.identity(Identity { category: "account", type_: "registered", name: None }, Scope::Account);
        for ns in [ns::DISCO_INFO, ns::DISCO_ITEMS] {
            host.feature(ns, Scope::Both);
            host.answer_iq(ns, Scope::Both, self.clone());
        }
    }
}

impl AnswerIq for Disco {
    fn answer<'a>(&'a self, iq: &'a Iq<'a>, router: &'a Arc<Router>) -> Answer<'a, IqResult> {
        Answer::Now(iq.is_get().and_then(|()| {
            let node = iq.query.attribute("node");
            let answer = match iq.query.ns() == ns::DISCO_INFO {
                true => info(iq, node, router),
                false => items(iq, node, router),
            };
            // Section 3.2: the answer mirrors the node.
            answer.map(|answer| Some(answer.attr_opt("node", node)))
        }))
    }
}

fn info(iq: &Iq<'_>, node: Option<&str>, router: &Router) -> Result<Element, StanzaError> {
    let host = router.host();
    match (&iq.target, node) {
        (Target::Server(_), None) => Ok(host.server_info()),
        (Target::Server(_), Some(node)) => host.server_node(node).ok_or(StanzaError::item_not_found()),
        (Target::Own(_) | Target::Other { subscribed: true, .. }, None) => Ok(host.account_info()),
        (Target::Own(_) | Target::Other { subscribed: true, .. }, Some(_)) => {
            Err(StanzaError::item_not_found())
        }
        // Section 8: whether there is such an account is not for everybody.
        (Target::Other { .. } | Target::Nobody(_), _) => Err(StanzaError::service_unavailable()),
    }
}

fn items(iq: &Iq<'_>, node: Option<&str>, router: &Router) -> Result<Element, StanzaError> {
    let query = Element::new("query", ns::DISCO_ITEMS);
    let account = match &iq.target {
        Target::Own(account) | Target::Other { account, subscribed: true } => account,
        // Section 8: who may not see the resources is told of none.
        Target::Other { .. } | Target::Nobody(_) => return Ok(query),
        Target::Server(_) if node.is_none() => return Ok(query),
        Target::Server(_) => return Err(StanzaError::item_not_found()),
    };
    if node.is_some() {
        return Err(StanzaError::item_not_found());
    }
    // Section 4.1: the available resources; one that sends no presence wants not to be seen.
    let sessions = router.cluster.find(&account.jid);
    let available = sessions.iter().filter(|entry| entry.presence != cluster::Presence::None);
    let items = available.map(|entry| Element::new("item", ns::DISCO_ITEMS).attr("jid", entry.jid.as_str()));
    Ok(query.children(items))
}
