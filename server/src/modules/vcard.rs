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
            (Target::Nobody(_) | Target::Server(_), false) => {
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
            Err(StoreError::Full(why)) => Err(StanzaError::not_acceptable().with_text(why)),
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
