//! `meerkatctl roster ...`: an account's contacts, as RFC 6121 section 2 has them. Its sessions are told of
//! every change.

use std::sync::Arc;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use xmpp_core::BareJid;

use super::connection::Output;
use super::protocol::{Code, Refusal};
use super::{Admin, Answer, done, listed, refusals};
use crate::config::Limits;
use crate::directory::DirectoryError;
use crate::storage::{Account, RosterItem, StoreError, Subscription, Write};
use crate::telemetry::bound::Bound;

#[derive(Serialize, Deserialize, clap::Subcommand)]
#[serde(rename_all = "camelCase")]
#[command(rename_all = "camelCase")]
pub enum RosterCommand {
    /// List an account's contacts
    ListContacts(Owner),
    /// Add a contact to an account's roster, or give one that is there another name and other groups
    AddContact(AddContact),
    /// Delete a contact from an account's roster, and the subscriptions with it
    DeleteContact(DeleteContact),
}

#[derive(Serialize, Deserialize, clap::Args)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Owner {
    /// The account's address
    #[arg(long, value_name = "JID")]
    pub user: String,
}

#[derive(Serialize, Deserialize, clap::Args)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddContact {
    /// The account's address
    #[arg(long, value_name = "JID")]
    pub user: String,
    /// The contact's address
    #[arg(long, value_name = "JID")]
    pub contact: String,
    /// What the account calls the contact
    #[arg(long, default_value = "")]
    pub name: String,
    /// A group; may be repeated, or be a JSON list of groups
    #[arg(long, value_name = "GROUP")]
    pub groups: Vec<String>,
    /// Set the subscription too, in this account's roster only; the contact's own roster is not changed
    #[arg(long, ignore_case = true)]
    pub subscription: Option<Who>,
}

#[derive(Serialize, Deserialize, clap::Args)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeleteContact {
    /// The account's address
    #[arg(long, value_name = "JID")]
    pub user: String,
    /// The contact's address
    #[arg(long, value_name = "JID")]
    pub contact: String,
}

/// Who sees whose presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Who {
    /// Neither sees the other's presence
    None,
    /// The account sees the contact's presence
    To,
    /// The contact sees the account's presence
    From,
    /// Each sees the other's presence
    Both,
}

/// Requests that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Ask {
    None,
    /// The contact has asked the account, which has not answered.
    In,
    /// The account has asked the contact.
    Out,
    Both,
}

/// A contact as it is listed.
#[derive(Serialize, Deserialize)]
pub struct Contact {
    pub jid: String,
    pub name: String,
    pub groups: Vec<String>,
    pub subscription: Who,
    pub ask: Ask,
}

impl RosterCommand {
    pub(super) async fn run(self, admin: &Arc<Admin>, output: &mut Output) -> Answer {
        match self {
            RosterCommand::ListContacts(Owner { user }) => list(admin, &user, output).await,
            RosterCommand::AddContact(arguments) => add(admin, arguments).await,
            RosterCommand::DeleteContact(arguments) => delete(admin, arguments).await,
        }
    }
}

async fn list(admin: &Admin, user: &str, output: &mut Output) -> Answer {
    let owner = owner(admin, user).await?;
    let mut items = admin.node.router.store.roster(owner.number).await?.items;
    items.sort_by(|one, other| one.contact.cmp(&other.contact));
    for item in &items {
        output.item(describe(item)).await?;
    }
    listed()
}

async fn add(admin: &Admin, arguments: AddContact) -> Answer {
    let contact = refusals::contact(&arguments.contact)?;
    let limits = &admin.node.config().limits;
    let groups = groups(arguments.groups)?;
    let refused = |bound| admin.node.metrics.refused(bound);
    check(&arguments.name, &groups, limits).map_err(|(bound, refusal)| {
        bound.into_iter().for_each(refused);
        refusal
    })?;
    let account = owner(admin, &arguments.user).await?;
    if account.jid == contact {
        return Err(Refusal::new(Code::BadAddress, "an account is not its own contact"));
    }
    let (owner, limit) = (account.number, limits.roster_items);
    let done_so = format!("{contact} is in the roster of {}", account.jid);
    let write = match arguments.subscription {
        None => Write::SetRosterItem { owner, contact, name: arguments.name, groups, limit },
        Some(who) => {
            let subscription = who.into();
            let item = RosterItem { name: arguments.name, groups, subscription, ..RosterItem::new(contact) };
            Write::PutRosterItem { owner, item, limit }
        }
    };
    let changed = admin.node.router.change_rosters(&[account.jid], write).await;
    if matches!(changed, Err(StoreError::Full(_))) {
        refused(Bound::RosterItems);
    }
    changed?;
    done(done_so)
}

async fn delete(admin: &Admin, arguments: DeleteContact) -> Answer {
    let contact = refusals::contact(&arguments.contact)?;
    let owner = owner(admin, &arguments.user).await?.jid;
    let done_so = format!("{contact} is no longer in the roster of {owner}");
    let contact_is_local = admin.node.router.is_served(contact.domain());
    let accounts = [owner.clone(), contact.clone()];
    let write = Write::RemoveRosterItem { owner, contact, contact_is_local };
    admin.node.router.change_rosters(&accounts, write).await?;
    done(done_so)
}

async fn owner(admin: &Admin, user: &str) -> Result<Account, Refusal> {
    let jid: BareJid = refusals::account(user)?;
    let account = admin.node.directory.find(&jid).await?;
    account.ok_or_else(|| DirectoryError::Missing(jid).into())
}

/// Each group once. A value in brackets is a list of them, as scripts for other servers write it.
fn groups(values: Vec<String>) -> Result<Vec<String>, Refusal> {
    let mut groups: Vec<String> = Vec::new();
    for value in values {
        let named = match value.trim_start().starts_with('[') {
            true => serde_json::from_str(&value).map_err(|_| {
                Refusal::new(Code::BadRequest, format!("{value} is not a JSON list of groups"))
            })?,
            false => vec![value],
        };
        for group in named {
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
    }
    Ok(groups)
}

/// The bounds of a client's own roster set (RFC 6121 section 2.3.3).
fn check(name: &str, groups: &[String], limits: &Limits) -> Result<(), (Option<Bound>, Refusal)> {
    let too_much = |bound, what: String| Err((Some(bound), Refusal::new(Code::Limit, what)));
    if groups.iter().any(String::is_empty) {
        return Err((None, Refusal::new(Code::BadRequest, "a group has a name")));
    }
    let longest = groups.iter().map(String::len).chain([name.len()]).max().unwrap_or_default();
    if longest > limits.roster_name_bytes as usize {
        let most = limits.roster_name_bytes;
        let why = format!("the name of a contact or of a group has at most {most} bytes");
        return too_much(Bound::RosterNameBytes, why);
    }
    if groups.len() > limits.roster_item_groups as usize {
        let why = format!("a contact is in at most {} groups", limits.roster_item_groups);
        return too_much(Bound::RosterItemGroups, why);
    }
    Ok(())
}

fn describe(item: &RosterItem) -> Contact {
    Contact {
        jid: item.contact.to_string(),
        name: item.name.clone(),
        groups: item.groups.clone(),
        subscription: item.subscription.into(),
        ask: match (item.request.is_some(), item.ask) {
            (false, false) => Ask::None,
            (true, false) => Ask::In,
            (false, true) => Ask::Out,
            (true, true) => Ask::Both,
        },
    }
}

impl From<Subscription> for Who {
    fn from(subscription: Subscription) -> Who {
        match subscription {
            Subscription::None => Who::None,
            Subscription::To => Who::To,
            Subscription::From => Who::From,
            Subscription::Both => Who::Both,
        }
    }
}

impl From<Who> for Subscription {
    fn from(who: Who) -> Subscription {
        Subscription::new(matches!(who, Who::To | Who::Both), matches!(who, Who::From | Who::Both))
    }
}
