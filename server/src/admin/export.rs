//! `meerkatctl account exportData`: everything that an account owns, but for what its password is checked
//! by. It goes over the socket in parts, each a list that begins with its name, and the tool makes one
//! document of them.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use xmpp_core::date::format_utc;

use super::connection::Output;
use super::mam::account;
use super::{Admin, Answer, listed};
use crate::storage::archive::{End, Filter};
use crate::storage::outbox::Item;
use crate::storage::{Account, MessageId, OutboxRow, Place, Saved, Subscription};

/// Messages that are read from the store at one time.
const PAGE: usize = 50;
/// And of the outbox, of which everything is looked at.
const EVENT_BYTES: u64 = 1 << 20;
const EVENT_ROWS: u32 = 256;

/// One of a part, or without a value the part's beginning.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exported {
    pub part: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
}

pub(super) async fn export(admin: &Admin, user: &str, output: &mut Output) -> Answer {
    let account = account(admin, user).await?;
    let mut export = Export { admin, account, output };
    export.account().await?;
    export.contacts().await?;
    export.items().await?;
    export.archive().await?;
    export.waiting().await?;
    export.events().await?;
    export.files().await?;
    tracing::info!(jid = %export.account.jid, "an operator exported an account's data");
    listed()
}

struct Export<'a> {
    admin: &'a Admin,
    account: Account,
    output: &'a mut Output,
}

type Done = Result<(), super::Refusal>;

impl Export<'_> {
    async fn begin(&mut self, part: &str) -> Done {
        self.output.item(Exported { part: part.to_owned(), value: None }).await
    }

    async fn put(&mut self, part: &str, value: Value) -> Done {
        self.output.item(Exported { part: part.to_owned(), value: Some(value) }).await
    }

    async fn account(&mut self) -> Done {
        self.begin("account").await?;
        let last = self.admin.node.router.store.last_logout(self.account.number).await?;
        let account = json!({
            "jid": self.account.jid.as_str(),
            "created": format_utc(self.account.created),
            "banned": self.account.banned,
            "lastLogout": last.as_ref().map(|(time, _)| format_utc(*time)),
            "lastStatus": last.map(|(_, status)| status),
        });
        self.put("account", account).await
    }

    async fn contacts(&mut self) -> Done {
        let store = &self.admin.node.router.store;
        let owner = self.account.number;
        self.begin("roster").await?;
        for item in store.roster(owner).await?.items {
            let contact = json!({
                "jid": item.contact.as_str(),
                "name": item.name,
                "groups": item.groups,
                "subscription": word(item.subscription),
                "ask": item.ask,
                "approved": item.approved,
                "request": item.request.as_ref().map(text),
                "listed": item.listed,
            });
            self.put("roster", contact).await?;
        }
        self.begin("blocked").await?;
        for jid in store.blocked(owner).await? {
            self.put("blocked", json!(jid.as_str())).await?;
        }
        Ok(())
    }

    /// Private XML, the business card, preferences, and whatever else a module keeps for an account.
    async fn items(&mut self) -> Done {
        let store = &self.admin.node.router.store;
        let owner = self.account.number;
        self.begin("items").await?;
        for collection in store.collections(owner).await? {
            for (key, value) in store.items(owner, &collection).await? {
                let item = json!({ "collection": collection, "key": key, "value": text(&value) });
                self.put("items", item).await?;
            }
        }
        Ok(())
    }

    async fn archive(&mut self) -> Done {
        self.begin("archive").await?;
        let mut filter = Filter::default();
        loop {
            let store = &self.admin.node.router.store;
            let page = store.archived(self.account.number, &filter, End::Oldest, PAGE).await?;
            filter.after = page.last().map(|message| message.id);
            let is_last = page.len() < PAGE;
            for message in page {
                let message = self.message(message);
                self.put("archive", message).await?;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    /// What the event stream has not got yet of what the account said, heard and was.
    async fn events(&mut self) -> Done {
        self.begin("events").await?;
        let mut after = Place(0);
        loop {
            let rows = self.admin.node.router.store.outbox(after, EVENT_BYTES, EVENT_ROWS).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.place;
            for item in rows.iter().filter_map(OutboxRow::items).flatten() {
                let event = match item {
                    Item::Message(message) if message.is_of(self.account.number) => {
                        json!({ "time": format_utc(message.time), "stanza": text(&message.stanza) })
                    }
                    Item::Account(event) if event.account == self.account.jid => {
                        json!({ "time": format_utc(event.time), "change": event.change.word() })
                    }
                    _ => continue,
                };
                self.put("events", event).await?;
            }
        }
    }

    async fn waiting(&mut self) -> Done {
        self.begin("waiting").await?;
        let mut after = MessageId(0);
        loop {
            let page = self.admin.node.router.store.waiting(self.account.number, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            for message in page {
                let message = self.message(message);
                self.put("waiting", message).await?;
            }
        }
    }

    /// What was uploaded. The bytes are where `blob` says.
    async fn files(&mut self) -> Done {
        self.begin("files").await?;
        let mut after = String::new();
        loop {
            let store = &self.admin.node.router.store;
            let page = store.files(Some(self.account.number), &after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after.clone_from(&last.name);
            for file in page {
                let file = json!({
                    "name": file.name,
                    "title": file.title,
                    "blob": file.blob,
                    "mediaType": file.media_type,
                    "size": file.size,
                    "created": format_utc(file.created),
                    "expires": file.expires.map(format_utc),
                    "stored": file.stored,
                });
                self.put("files", file).await?;
            }
        }
    }

    fn message(&self, Saved { id, time, stanza, .. }: Saved) -> Value {
        let id = self.admin.node.router.stanza_ids.encode(self.account.number, id);
        json!({ "id": id, "time": format_utc(time), "stanza": text(&stanza) })
    }
}

/// As in a roster (RFC 6121 section 2.1.2.5).
fn word(subscription: Subscription) -> &'static str {
    match subscription {
        Subscription::None => "none",
        Subscription::To => "to",
        Subscription::From => "from",
        Subscription::Both => "both",
    }
}

/// Stanzas and elements are UTF-8.
fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
