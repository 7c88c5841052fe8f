//! Business cards (XEP-0054): one per account, which everybody may read. A client's
//! `vcard-temp:x:update` (XEP-0153) passes untouched.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use xmpp_core::{Element, StanzaError, ns};

use crate::accounts::AccountInfo;
use crate::config::Config;
use crate::host::{HostBuilder, Module, Scope};
use crate::router::hooks::{Answer, AnswerIq, Iq, IqResult, Target};
use crate::router::{Router, stanza_error, wait};
use crate::storage::{StoreError, Write};
use crate::telemetry::bound::Bound;

const COLLECTION: &str = "vcard";
/// There is one in the collection.
const KEY: &str = "vCard";

pub struct Vcard {
    pub live: Arc<ArcSwap<Config>>,
}

impl Module for Vcard {
    fn name(&self) -> &'static str {
        "vcard"
    }

    fn install(self: Arc<Self>, host: &mut HostBuilder) {
        host.feature(ns::VCARD, Scope::Both);
        host.answer_iq(ns::VCARD, Scope::Account, self);
    }
}

impl AnswerIq for Vcard {
    fn answer<'a>(&'a self, iq: &'a Iq<'a>, router: &'a Arc<Router>) -> Answer<'a, IqResult> {
        if !iq.query.is("vCard", ns::VCARD) {
            return Answer::Now(Err(StanzaError::bad_request()));
        }
        match (&iq.target, iq.is_set) {
            (Target::Own(account), true) => Answer::later(self.set(account, iq, router)),
            // Section 3.2, whether or not there is such an account.
            (_, true) => Answer::Now(Err(StanzaError::forbidden())),
            // Section 3.1: one's own that is absent.
            (Target::Own(account), false) => {
                Answer::later(read(account, router, StanzaError::item_not_found()))
            }
            // Section 3.3: the same for no card and for no account.
            (Target::Other { account, .. }, false) => {
                Answer::later(read(account, router, StanzaError::service_unavailable()))
            }
            (Target::Nobody(_) | Target::Server(_) | Target::Service(_), false) => {
                Answer::Now(Err(StanzaError::service_unavailable()))
            }
        }
    }
}

impl Vcard {
    async fn set(&self, account: &AccountInfo, iq: &Iq<'_>, router: &Router) -> IqResult {
        let limit_bytes = u64::from(self.live.load().limits.vcard_bytes);
        let write = Write::SetItem {
            owner: account.number,
            collection: COLLECTION.to_owned(),
            key: KEY.to_owned(),
            value: Bytes::from(iq.query.to_xml()),
            limit_bytes,
        };
        match router.store.write(write).await {
            Ok(_) => Ok(None),
            Err(StoreError::Full(why)) => {
                router.metrics.refused(Bound::VcardBytes);
                Err(StanzaError::not_acceptable().with_text(why))
            }
            Err(error) => Err(stanza_error(&error)),
        }
    }
}

async fn read(account: &AccountInfo, router: &Router, absent: StanzaError) -> IqResult {
    let stored = router.store.item(account.number, COLLECTION, KEY).await;
    let Some(stored) = stored.map_err(|error| stanza_error(&error))? else { return Err(absent) };
    match Element::parse(&stored) {
        Ok(card) => Ok(Some(card)),
        Err(error) => {
            tracing::error!(jid = %account.jid, ?error, "a stored vCard cannot be read");
            Err(wait())
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Stage;

    const EMPTY: &str = "<vCard xmlns='vcard-temp'/>";
    const CARD: &str = "<vCard xmlns='vcard-temp'><FN>Juliet</FN></vCard>";

    /// Sections 3.1 to 3.3; behaviour 114.
    #[tokio::test(start_paused = true)]
    async fn a_card_is_its_owners_to_write_and_everybodys_to_read() {
        let stage = Stage::new().await;
        stage.account("juliet@example.com").await;
        stage.account("romeo@example.com").await;
        let mut juliet = stage.bind("juliet@example.com/balcony").await;
        let mut romeo = stage.bind("romeo@example.com/orchard").await;
        assert_eq!(juliet.ask("get", None, EMPTY).await, "cancel item-not-found");
        assert_eq!(romeo.ask("get", Some("juliet@example.com"), EMPTY).await, "cancel service-unavailable");
        assert_eq!(romeo.ask("get", Some("nobody@example.com"), EMPTY).await, "cancel service-unavailable");

        assert_eq!(juliet.ask("set", None, CARD).await, "");
        assert_eq!(juliet.ask("get", None, EMPTY).await, CARD);
        assert_eq!(juliet.ask("get", Some("juliet@example.com"), EMPTY).await, CARD);
        assert_eq!(romeo.ask("get", Some("juliet@example.com"), EMPTY).await, CARD);

        assert_eq!(romeo.ask("set", Some("juliet@example.com"), CARD).await, "auth forbidden");
        assert_eq!(romeo.ask("set", Some("nobody@example.com"), CARD).await, "auth forbidden");
        assert_eq!(juliet.ask("get", None, "<vcard xmlns='vcard-temp'/>").await, "modify bad-request");
    }

    #[tokio::test(start_paused = true)]
    async fn a_card_that_is_too_large_leaves_the_old_one() {
        let stage = Stage::configured(|config| config.limits.vcard_bytes = 1024).await;
        stage.account("juliet@example.com").await;
        let mut juliet = stage.bind("juliet@example.com/balcony").await;
        assert_eq!(juliet.ask("set", None, CARD).await, "");
        let large = format!("<vCard xmlns='vcard-temp'><DESC>{}</DESC></vCard>", "x".repeat(1024));
        assert_eq!(juliet.ask("set", None, &large).await, "modify not-acceptable");
        assert_eq!(juliet.ask("get", None, EMPTY).await, CARD);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_away_says_wait() {
        let stage = Stage::new().await;
        stage.account("juliet@example.com").await;
        let mut juliet = stage.bind("juliet@example.com/balcony").await;
        assert_eq!(juliet.ask("set", None, CARD).await, "");
        stage.store.fail_writes(crate::storage::StoreError::Unavailable("away".to_owned()));
        assert_eq!(juliet.ask("set", None, CARD).await, "wait resource-constraint");
    }
}
