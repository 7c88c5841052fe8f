//! Private XML storage (XEP-0049): elements that a client keeps on the server, by name and namespace,
//! for the account's own eyes.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use xmpp_core::{Element, StanzaError, ns};

use crate::config::Config;
use crate::host::{HostBuilder, Module, Scope};
use crate::router::hooks::{Answer, AnswerIq, Iq, IqResult};
use crate::router::{Router, stanza_error, wait};
use crate::storage::{AccountNumber, StoreError, Write};
use crate::telemetry::bound::Bound;

const COLLECTION: &str = "private";

pub struct PrivateXml {
    pub live: Arc<ArcSwap<Config>>,
}

impl Module for PrivateXml {
    fn name(&self) -> &'static str {
        "private"
    }

    fn install(self: Arc<Self>, host: &mut HostBuilder) {
        host.feature(ns::PRIVATE, Scope::Both);
        host.answer_iq(ns::PRIVATE, Scope::Account, self);
    }
}

impl AnswerIq for PrivateXml {
    fn answer<'a>(&'a self, iq: &'a Iq<'a>, router: &'a Arc<Router>) -> Answer<'a, IqResult> {
        let owner = match iq.own(StanzaError::forbidden()) {
            Ok(account) => account.number,
            Err(error) => return Answer::Now(Err(error)),
        };
        match iq.is_set {
            true => Answer::later(self.set(owner, &iq.query, router)),
            false => Answer::later(read(owner, &iq.query, router)),
        }
    }
}

impl PrivateXml {
    async fn set(&self, owner: AccountNumber, query: &Element, router: &Router) -> IqResult {
        let elements = by_key(query)?;
        let (limit_bytes, limit_elements) = {
            let limits = &self.live.load().limits;
            (limits.private_bytes as usize, limits.private_elements as usize)
        };
        if elements.values().any(|element| element.xml.len() > limit_bytes) {
            router.metrics.refused(Bound::PrivateBytes);
            return Err(too_much(format!("a private element has at most {limit_bytes} bytes")));
        }
        let stored = router.store.items(owner, COLLECTION).await.map_err(|error| stanza_error(&error))?;
        let new = elements.iter().filter(|(key, element)| {
            !element.says_nothing && stored.iter().all(|(stored, _)| stored != *key)
        });
        if stored.len() + new.count() > limit_elements {
            router.metrics.refused(Bound::PrivateElements);
            return Err(too_much(format!("an account has at most {limit_elements} private elements")));
        }
        for (key, element) in elements {
            let limit_bytes = (limit_bytes * limit_elements) as u64;
            let write = element.write(owner, key, limit_bytes);
            router.store.write(write).await.map_err(|error| match error {
                StoreError::Full(why) => {
                    router.metrics.refused(Bound::PrivateBytes);
                    too_much(why)
                }
                error => stanza_error(&error),
            })?;
        }
        Ok(None)
    }
}

async fn read(owner: AccountNumber, query: &Element, router: &Router) -> IqResult {
    // Section 2.3: one namespace at a time.
    let mut wanted = query.elements();
    let (Some(wanted), None) = (wanted.next(), wanted.next()) else { return Err(StanzaError::bad_request()) };
    let key = key_of(wanted)?;
    let stored = router.store.item(owner, COLLECTION, &key).await.map_err(|error| stanza_error(&error))?;
    let Some(stored) = stored else {
        // Behaviour 140: what was never stored comes back empty.
        let empty = Element::new(wanted.name(), wanted.ns());
        return Ok(Some(Element::new("query", ns::PRIVATE).child(empty)));
    };
    let xml = [b"<query xmlns='jabber:iq:private'>", &*stored, b"</query>"].concat();
    match Element::parse(&xml) {
        Ok(query) => Ok(Some(query)),
        Err(error) => {
            tracing::error!(owner = owner.0, %key, ?error, "a stored private element cannot be read");
            Err(wait())
        }
    }
}

/// What is stored under one key: an element, or several of the same name and namespace.
#[derive(Default)]
struct Kept {
    xml: String,
    /// A lone empty element reads as one that was never stored, so that it need not be.
    says_nothing: bool,
}

impl Kept {
    fn add(&mut self, element: &Element) {
        let is_empty = *element == Element::new(element.name(), element.ns());
        self.says_nothing = self.xml.is_empty() && is_empty;
        self.xml.push_str(&element.to_xml());
    }

    fn write(self, owner: AccountNumber, key: String, limit_bytes: u64) -> Write {
        let collection = COLLECTION.to_owned();
        match self.says_nothing {
            true => Write::RemoveItem { owner, collection, key },
            false => Write::SetItem { owner, collection, key, value: Bytes::from(self.xml), limit_bytes },
        }
    }
}

fn by_key(query: &Element) -> Result<BTreeMap<String, Kept>, StanzaError> {
    let mut kept: BTreeMap<String, Kept> = BTreeMap::new();
    for element in query.elements() {
        kept.entry(key_of(element)?).or_default().add(element);
    }
    // Section 2.3: without an element there is nothing that could be accepted.
    if kept.is_empty() { Err(StanzaError::not_acceptable()) } else { Ok(kept) }
}

/// Name and namespace. Section 2.3: each element has a namespace of its own.
fn key_of(element: &Element) -> Result<String, StanzaError> {
    match element.ns() {
        "" | ns::PRIVATE => Err(StanzaError::not_acceptable()),
        namespace => Ok(format!("{} {namespace}", element.name())),
    }
}

fn too_much(why: String) -> StanzaError {
    StanzaError::not_acceptable().with_text(why)
}

#[cfg(test)]
mod tests {
    use crate::testing::{Client, Stage};

    const PREFS: &str = "<exodus xmlns='exodus:prefs'><defaultnick>Hamlet</defaultnick></exodus>";

    async fn hamlet(stage: &Stage) -> Client {
        stage.account("hamlet@example.com").await;
        stage.bind("hamlet@example.com/denmark").await
    }

    fn query(inside: &str) -> String {
        format!("<query xmlns='jabber:iq:private'>{inside}</query>")
    }

    async fn get(client: &mut Client, inside: &str) -> String {
        client.ask("get", None, &query(inside)).await
    }

    async fn set(client: &mut Client, inside: &str) -> String {
        client.ask("set", None, &query(inside)).await
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_stored_comes_back_and_what_was_not_comes_back_empty() {
        let stage = Stage::new().await;
        let mut hamlet = hamlet(&stage).await;
        let empty = query("<exodus xmlns='exodus:prefs'/>");
        assert_eq!(get(&mut hamlet, "<exodus xmlns='exodus:prefs'><what/></exodus>").await, empty);
        assert_eq!(set(&mut hamlet, PREFS).await, "");
        assert_eq!(get(&mut hamlet, "<exodus xmlns='exodus:prefs'/>").await, query(PREFS));
        // Another name or namespace is another element.
        assert_eq!(get(&mut hamlet, "<a xmlns='exodus:prefs'/>").await, query("<a xmlns='exodus:prefs'/>"));
        assert_eq!(get(&mut hamlet, "<exodus xmlns='b'/>").await, query("<exodus xmlns='b'/>"));
        assert_eq!(set(&mut hamlet, "<exodus xmlns='exodus:prefs'/>").await, "");
        assert_eq!(get(&mut hamlet, "<exodus xmlns='exodus:prefs'/>").await, empty);
    }

    /// Section 2.3: a set or result may contain several elements of a namespace; a get only one.
    #[tokio::test(start_paused = true)]
    async fn several_elements_at_once() {
        let stage = Stage::new().await;
        let mut hamlet = hamlet(&stage).await;
        let both = "<a xmlns='x' n='1'/><a xmlns='x' n='2'/>";
        assert_eq!(set(&mut hamlet, &format!("{both}<b xmlns='x'>3</b>")).await, "");
        assert_eq!(get(&mut hamlet, "<a xmlns='x'/>").await, query(both));
        assert_eq!(get(&mut hamlet, "<b xmlns='x'/>").await, query("<b xmlns='x'>3</b>"));
        assert_eq!(get(&mut hamlet, "<a xmlns='x'/><b xmlns='x'/>").await, "modify bad-request");
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_no_element_or_no_namespace_is_refused() {
        let stage = Stage::new().await;
        let mut hamlet = hamlet(&stage).await;
        assert_eq!(get(&mut hamlet, "").await, "modify bad-request");
        assert_eq!(set(&mut hamlet, "").await, "modify not-acceptable");
        assert_eq!(set(&mut hamlet, "<a/>").await, "modify not-acceptable");
        assert_eq!(set(&mut hamlet, "<a xmlns=''/>").await, "modify not-acceptable");
        assert_eq!(get(&mut hamlet, "<a/>").await, "modify not-acceptable");
    }

    /// Whether or not there is such an account.
    #[tokio::test(start_paused = true)]
    async fn nobody_else_reads_or_writes_it() {
        let stage = Stage::new().await;
        stage.account("macbeth@example.com").await;
        let mut hamlet = hamlet(&stage).await;
        for to in ["macbeth@example.com", "nobody@example.com"] {
            for type_ in ["get", "set"] {
                let answer = hamlet.ask(type_, Some(to), &query(PREFS)).await;
                assert_eq!(answer, "auth forbidden", "{type_} {to}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_has_bounds() {
        let stage = Stage::configured(|config| {
            config.limits.private_bytes = 1024;
            config.limits.private_elements = 2;
        })
        .await;
        let mut hamlet = hamlet(&stage).await;
        let large = format!("<a xmlns='x'>{}</a>", "x".repeat(1024));
        assert_eq!(set(&mut hamlet, &large).await, "modify not-acceptable");
        assert_eq!(set(&mut hamlet, "<a xmlns='x'>1</a><b xmlns='x'>1</b>").await, "");
        assert_eq!(set(&mut hamlet, "<c xmlns='x'>1</c>").await, "modify not-acceptable");
        // What replaces takes no more room, and what is empty takes none.
        assert_eq!(set(&mut hamlet, "<a xmlns='x'>2</a><c xmlns='x'/>").await, "");
        assert_eq!(set(&mut hamlet, "<a xmlns='x'/>").await, "");
        assert_eq!(set(&mut hamlet, "<c xmlns='x'>1</c>").await, "");
    }
}
