//! Rosters (RFC 6121 section 2): a client reads its account's contacts, changes them, and is told of
//! changes, with versions (section 2.6).

use std::sync::Arc;

use arc_swap::ArcSwap;
use xmpp_core::{BareJid, Element, Jid, StanzaError, ns};

use crate::accounts::AccountInfo;
use crate::config::{Config, Limits};
use crate::host::{HostBuilder, Module, Scope};
use crate::router::effects::{item_element, push_payload, removed_element, roster_element};
use crate::router::hooks::{Answer, AnswerIq, Iq, IqResult, Target};
use crate::router::{Router, stanza_error};
use crate::session::{Put, Session, Wants};
use crate::storage::{AccountNumber, RosterChange, RosterVersion, StoreError, Write};
use crate::telemetry::bound::Bound;
use crate::telemetry::metrics::Metrics;

pub struct RosterModule {
    pub live: Arc<ArcSwap<Config>>,
}

impl Module for RosterModule {
    fn name(&self) -> &'static str {
        "roster"
    }

    fn install(self: Arc<Self>, host: &mut HostBuilder) {
        host.stream_feature(Element::new("ver", ns::ROSTER_VERSIONING));
        host.answer_iq(ns::ROSTER, Scope::Account, self);
    }
}

impl AnswerIq for RosterModule {
    fn answer<'a>(&'a self, iq: &'a Iq<'a>, router: &'a Arc<Router>) -> Answer<'a, IqResult> {
        let account = match &iq.target {
            Target::Own(account) => account,
            // Section 2.3.3: only the account itself. Of one that is not there nothing is said.
            // The same for both, so that it does not show whose account exists.
            Target::Other { .. } | Target::Nobody(_) => return Answer::Now(Err(StanzaError::forbidden())),
            Target::Server(_) | Target::Service(_) => {
                return Answer::Now(Err(StanzaError::service_unavailable()));
            }
        };
        match iq.is_set {
            _ if iq.query.name() != "query" => Answer::Now(Err(StanzaError::bad_request())),
            true => Answer::later(self.set(account, &iq.query, router)),
            false => Answer::later(get(account, iq, router)),
        }
    }
}

/// Section 2.2: who asks for the roster is interested in its changes from then on.
async fn get(account: &AccountInfo, iq: &Iq<'_>, router: &Arc<Router>) -> IqResult {
    if let Some(session) = iq.session {
        session.begin_list(Wants::Roster);
    }
    let read = read(account.number, iq.query.attribute("ver"), router).await;
    let (answer, version, changes) = match read {
        Ok((answer, version, changes)) => (Ok(answer), version, changes),
        Err(error) => (Err(stanza_error(&error)), RosterVersion::default(), Vec::new()),
    };
    if let Some(session) = iq.session {
        let (session, router, owner) = (session.clone(), router.clone(), account.number);
        iq.then(async move { catch_up(&session, &router, owner, version, changes).await });
    }
    answer
}

type Read = (Option<Element>, RosterVersion, Vec<RosterChange>);

/// The roster; or nothing, and what changed since the version that the client has (section 2.6.3).
async fn read(owner: AccountNumber, known: Option<&str>, router: &Router) -> Result<Read, StoreError> {
    if let Some(version) = known.and_then(|known| known.parse().ok())
        && let Some(changes) = router.store.roster_since(owner, version).await?
    {
        return Ok((None, version, changes));
    }
    let roster = router.store.roster(owner).await?;
    let items = roster.items.iter().filter(|item| item.listed).map(item_element);
    Ok((Some(roster_element(roster.version).children(items)), roster.version, Vec::new()))
}

/// Pushes what the client has not seen yet, until there is nothing more.
async fn catch_up(
    session: &Session,
    router: &Router,
    owner: AccountNumber,
    mut version: RosterVersion,
    mut changes: Vec<RosterChange>,
) {
    loop {
        for change in changes {
            let (item, changed) = match change {
                RosterChange::Put(item, version) => (item_element(&item), version),
                RosterChange::Removed(contact, version) => (removed_element(&contact), version),
            };
            version = changed;
            let push = router.push_to(session, push_payload(&item, version));
            if session.put_waiting(push).await == Put::Gone {
                return;
            }
        }
        if session.end_list(Wants::Roster) {
            return;
        }
        changes = match router.store.roster_since(owner, version).await {
            Ok(changes) => changes.unwrap_or_default(),
            Err(error) => {
                tracing::warn!(jid = %session.jid, %error, "changes of a roster could not be read");
                Vec::new()
            }
        };
    }
}

impl RosterModule {
    async fn set(&self, account: &AccountInfo, query: &Element, router: &Arc<Router>) -> IqResult {
        let change = parse(query, &self.live.load().limits, &router.metrics)?;
        let own = account.jid.clone();
        let done = match change {
            Change::Set { contact, name, groups } => {
                let limit = self.live.load().limits.roster_items;
                let write = Write::SetRosterItem { owner: account.number, contact, name, groups, limit };
                router.change_rosters(&[own], write).await
            }
            Change::Remove(contact) => {
                let contact_is_local = router.is_served(contact.domain());
                let accounts = [own.clone(), contact.clone()];
                let write = Write::RemoveRosterItem { owner: own, contact, contact_is_local };
                router.change_rosters(&accounts, write).await
            }
        };
        match done {
            Ok(_) => Ok(None),
            Err(StoreError::Conflict(_)) => Err(StanzaError::item_not_found()),
            Err(StoreError::Full(why)) => {
                router.metrics.refused(Bound::RosterItems);
                Err(StanzaError::resource_constraint_wait().with_text(why))
            }
            Err(error) => Err(stanza_error(&error)),
        }
    }
}

/// What a client wants of its roster.
#[derive(Debug, PartialEq)]
enum Change {
    Set { contact: BareJid, name: String, groups: Vec<String> },
    Remove(BareJid),
}

/// Sections 2.1.5 and 2.3.3. `ask`, `approved` and any other `subscription` are not the client's to set.
fn parse(query: &Element, limits: &Limits, metrics: &Metrics) -> Result<Change, StanzaError> {
    let mut items = query.elements().filter(|element| element.is("item", ns::ROSTER));
    let (Some(item), None) = (items.next(), items.next()) else { return Err(StanzaError::bad_request()) };
    let jid = item.attribute("jid").ok_or_else(StanzaError::bad_request)?;
    let contact = Jid::parse(jid).map_err(|_| StanzaError::jid_malformed())?.bare();
    if item.attribute("subscription") == Some("remove") {
        return Ok(Change::Remove(contact));
    }
    let name = item.attribute("name").unwrap_or_default().to_owned();
    let mut groups: Vec<String> = Vec::new();
    for group in item.elements().filter(|element| element.is("group", ns::ROSTER)) {
        let group = group.content();
        if group.is_empty() {
            return Err(StanzaError::not_acceptable().with_text("a group has a name"));
        }
        if groups.contains(&group) {
            return Err(StanzaError::bad_request().with_text("a group is named twice"));
        }
        groups.push(group);
    }
    let longest = groups.iter().map(String::len).chain([name.len()]).max().unwrap_or_default();
    if longest > limits.roster_name_bytes as usize {
        metrics.refused(Bound::RosterNameBytes);
        let text =
            format!("the name of an item or of a group has at most {} bytes", limits.roster_name_bytes);
        return Err(StanzaError::not_acceptable().with_text(text));
    }
    if groups.len() > limits.roster_item_groups as usize {
        metrics.refused(Bound::RosterItemGroups);
        let text = format!("an item is in at most {} groups", limits.roster_item_groups);
        return Err(StanzaError::not_acceptable().with_text(text));
    }
    Ok(Change::Set { contact, name, groups })
}

#[cfg(test)]
mod tests;
