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
        (Target::Other { .. } | Target::Nobody(_) | Target::Service(_), _) => {
            Err(StanzaError::service_unavailable())
        }
    }
}

fn items(iq: &Iq<'_>, node: Option<&str>, router: &Router) -> Result<Element, StanzaError> {
    let query = Element::new("query", ns::DISCO_ITEMS);
    let account = match &iq.target {
        Target::Own(account) | Target::Other { account, subscribed: true } => account,
        // Section 8: who may not see the resources is told of none.
        Target::Other { .. } | Target::Nobody(_) => return Ok(query),
        Target::Server(domain) if node.is_none() => {
            let items = router
                .services(domain)
                .into_iter()
                .map(|(jid, name)| Element::new("item", ns::DISCO_ITEMS).attr("jid", jid).attr("name", name));
            return Ok(query.children(items));
        }
        Target::Server(_) | Target::Service(_) => return Err(StanzaError::item_not_found()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Subscription;
    use crate::testing::Stage;

    const INFO: &str = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
    const ITEMS: &str = "<query xmlns='http://jabber.org/protocol/disco#items'/>";

    fn features(answer: &str) -> Vec<String> {
        let query = Element::parse(answer.as_bytes()).expect("well-formed");
        let features = query.elements().filter(|element| element.name() == "feature");
        features.filter_map(|feature| feature.attribute("var").map(str::to_owned)).collect()
    }

    /// Behaviours 116 and 141: what is installed, where clients look for it.
    #[tokio::test(start_paused = true)]
    async fn what_is_there_is_listed_where_clients_look() {
        let stage = Stage::configured(|config| config.modules.register.enabled = true).await;
        stage.account("juliet@example.com").await;
        let mut juliet = stage.bind("juliet@example.com/balcony").await;

        let domain = juliet.ask("get", Some("example.com"), INFO).await;
        assert!(domain.contains("<identity category='server' type='im' name='Meerkat'/>"), "{domain}");
        let of_the_domain = features(&domain);
        let both =
            [ns::VCARD, ns::PING, ns::PRIVATE, ns::REGISTER, ns::DISCO_INFO, ns::DISCO_ITEMS, ns::LAST];
        for var in both.into_iter().chain([ns::CAPS, ns::VERSION, ns::TIME]) {
            assert!(of_the_domain.iter().any(|feature| feature == var), "{var} in {domain}");
        }

        let own = juliet.ask("get", None, INFO).await;
        assert!(own.contains("<identity category='account' type='registered'/>"), "{own}");
        let of_the_account = features(&own);
        for var in both {
            assert!(of_the_account.iter().any(|feature| feature == var), "{var} in {own}");
        }
        assert!(!of_the_account.iter().any(|feature| feature == ns::VERSION), "{own}");
        assert_eq!(juliet.ask("get", Some("juliet@example.com"), INFO).await, own);
        assert_eq!(juliet.ask("get", None, ITEMS).await, ITEMS);
        let service = "<item jid='upload.example.com' name='HTTP File Upload'/>";
        let items = ITEMS.replace("/>", &format!(">{service}</query>"));
        assert_eq!(juliet.ask("get", Some("example.com"), ITEMS).await, items);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_switched_off_is_not_listed() {
        let stage = Stage::configured(|config| {
            config.modules.vcard.enabled = false;
            config.modules.private.enabled = false;
        })
        .await;
        stage.account("juliet@example.com").await;
        let mut juliet = stage.bind("juliet@example.com/balcony").await;
        for to in [None, Some("example.com")] {
            let listed = features(&juliet.ask("get", to, INFO).await);
            for var in [ns::VCARD, ns::PRIVATE, ns::REGISTER] {
                assert!(!listed.iter().any(|feature| feature == var), "{var} at {to:?}");
            }
        }
    }

    /// Section 3.2 and behaviour 116.
    #[tokio::test(start_paused = true)]
    async fn nodes_are_mirrored_or_unknown() {
        let stage = Stage::new().await;
        stage.account("juliet@example.com").await;
        let mut juliet = stage.bind("juliet@example.com/balcony").await;
        let unknown = INFO.replace("/>", " node='what'/>");
        for to in [None, Some("example.com")] {
            assert_eq!(juliet.ask("get", to, &unknown).await, "cancel item-not-found");
            let items = ITEMS.replace("/>", " node='what'/>");
            assert_eq!(juliet.ask("get", to, &items).await, "cancel item-not-found");
        }
        assert_eq!(juliet.ask("set", Some("example.com"), INFO).await, "cancel not-allowed");
    }

    /// Section 8; behaviour 136: a stranger cannot tell an account from none.
    #[tokio::test(start_paused = true)]
    async fn an_account_shows_itself_to_those_who_see_its_presence() {
        let stage = Stage::new().await;
        stage.account("juliet@example.com").await;
        stage.account("romeo@example.com").await;
        let mut juliet = stage.bind("juliet@example.com/balcony").await;
        let romeo = stage.bind("romeo@example.com/orchard").await;
        romeo.send("<presence/>").await;
        let _hidden = stage.bind("romeo@example.com/hidden").await;
        let items = |node: &str| ITEMS.replace("/>", &format!("{node}/>"));
        for to in ["romeo@example.com", "nobody@example.com"] {
            assert_eq!(juliet.ask("get", Some(to), INFO).await, "cancel service-unavailable");
            assert_eq!(juliet.ask("get", Some(to), &items("")).await, items(""));
            assert_eq!(juliet.ask("get", Some(to), &items(" node='x'")).await, items(" node='x'"));
        }
        stage.put_item("romeo@example.com", "juliet@example.com", Subscription::From).await;
        let info = juliet.ask("get", Some("romeo@example.com"), INFO).await;
        assert!(info.contains("category='account'"), "{info}");
        assert_eq!(
            juliet.ask("get", Some("romeo@example.com"), ITEMS).await,
            "<query xmlns='http://jabber.org/protocol/disco#items'><item jid='romeo@example.com/orchard'/></query>"
        );
    }

    /// XEP-0157 in XEP-0128's form; a reload shows at once.
    #[tokio::test(start_paused = true)]
    async fn the_domain_tells_whom_to_write_to() {
        let stage = Stage::new().await;
        stage.account("juliet@example.com").await;
        let mut juliet = stage.bind("juliet@example.com/balcony").await;
        assert!(!juliet.ask("get", Some("example.com"), INFO).await.contains("jabber:x:data"));
        let mut config = (*stage.live.load_full()).clone();
        config.modules.contact.abuse = vec!["mailto:abuse@example.com".parse().expect("a URI")];
        stage.live.store(Arc::new(config));
        let info = juliet.ask("get", Some("example.com"), INFO).await;
        assert!(info.contains("<value>mailto:abuse@example.com</value>"), "{info}");
        assert!(!juliet.ask("get", None, INFO).await.contains("jabber:x:data"));
    }

    /// Behaviour 140: login queries for what is not here are answered all the same.
    #[tokio::test(start_paused = true)]
    async fn what_is_not_there_is_unavailable() {
        let stage = Stage::new().await;
        stage.account("juliet@example.com").await;
        let mut juliet = stage.bind("juliet@example.com/balcony").await;
        let absent = [
            "<query xmlns='jabber:iq:privacy'/>",
            "<services xmlns='urn:xmpp:extdisco:2'/>",
            "<enable xmlns='urn:xmpp:push:0' jid='push.example' node='n'/>",
            "<pubsub xmlns='http://jabber.org/protocol/pubsub'/>",
            "<query xmlns='urn:xmpp:mam:2'/>",
            "<query xmlns='jabber:iq:register'/>",
        ];
        for query in absent {
            for to in [None, Some("example.com"), Some("juliet@example.com")] {
                let answer = juliet.ask("get", to, query).await;
                assert_eq!(answer, "cancel service-unavailable", "{query} to {to:?}");
            }
        }
    }
}
