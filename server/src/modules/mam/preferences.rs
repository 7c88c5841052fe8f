//! The account's preferences (XEP-0441).

use bytes::Bytes;
use xmpp_core::{Element, StanzaError};

use super::Mam;
use crate::accounts::AccountInfo;
use crate::accounts::preferences::{COLLECTION, KEY, Preferences};
use crate::router::hooks::IqResult;
use crate::router::{Router, stanza_error};
use crate::storage::{StoreError, Write};

/// All addresses of one account's preferences.
const LIMIT_BYTES: u64 = 1 << 20;

impl Mam {
    pub(super) fn preferences(&self, account: &AccountInfo) -> Element {
        account.archive.element(self.live.load().modules.mam.default)
    }

    /// Section 2.1: they hold from the answer on.
    pub(super) async fn set_preferences(
        &self,
        account: &AccountInfo,
        prefs: &Element,
        router: &Router,
    ) -> IqResult {
        let (default, limit) = {
            let mam = &self.live.load().modules.mam;
            (mam.default, mam.preference_addresses as usize)
        };
        let element = Preferences::parse(prefs, limit)?.element(default);
        let write = Write::SetItem {
            owner: account.number,
            collection: COLLECTION.to_owned(),
            key: KEY.to_owned(),
            value: Bytes::from(element.to_xml()),
            limit_bytes: LIMIT_BYTES,
        };
        let change = router.accounts.begin(std::slice::from_ref(&account.jid)).await;
        let written = router.store.write(write).await;
        change.end(&written, &[]).await;
        written.map_err(|error| match error {
            StoreError::Full(why) => StanzaError::not_acceptable().with_text(why),
            error => stanza_error(&error),
        })?;
        Ok(Some(element))
    }
}
