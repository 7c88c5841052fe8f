//! `meerkatctl mam ...`: the archives (XEP-0313) as an operator sees them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xmpp_core::date::{format_utc, parse_utc};

use super::account::domain_name;
use super::cold::ColdCommand;
use super::connection::Output;
use super::protocol::{Code, Refusal};
use super::{Admin, Answer, done, listed, refusals};
use crate::directory::DirectoryError;
use crate::retention::{self, Accounts, DAY};
use crate::storage::archive::{End, Filter};
use crate::storage::{Account, AccountNumber, Millis, Store, StoreError, Verified};

#[derive(Serialize, Deserialize, clap::Subcommand)]
#[serde(rename_all = "camelCase")]
#[command(rename_all = "camelCase")]
pub enum MamCommand {
    /// Look at every message and every entry of the store, and say what is not as it should be. Exit code 0:
    /// no fault, 1: faults
    Verify {},
    /// Drop old messages from archives; a message goes when it is in nobody's archive and waits for nobody
    Purge(Purge),
    /// Count the messages in archives, by account and in all
    Count(Count),
    /// Old messages in files (modules.mam.cold)
    #[command(subcommand)]
    Cold(ColdCommand),
}

#[derive(Serialize, Deserialize, clap::Args)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Purge {
    /// The archives of all accounts of a domain
    #[arg(long, required_unless_present = "user", conflicts_with = "user")]
    pub domain: Option<String>,
    /// The archive of one account
    #[arg(long, value_name = "JID")]
    pub user: Option<String>,
    /// What came before this time, as 2026-01-31 or 2026-01-31T12:00:00Z
    #[arg(
        long,
        value_name = "DATE",
        required_unless_present = "older_than_days",
        conflicts_with = "older_than_days"
    )]
    pub before: Option<String>,
    /// What came more days ago than that
    #[arg(long, value_name = "DAYS")]
    pub older_than_days: Option<u32>,
    /// Drop nothing, only say how many would go
    #[arg(long)]
    #[serde(default)]
    pub dry_run: bool,
}

#[derive(Serialize, Deserialize, clap::Args)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Count {
    /// Only this domain
    #[arg(long, conflicts_with = "user")]
    pub domain: Option<String>,
    /// Only this account
    #[arg(long, value_name = "JID")]
    pub user: Option<String>,
}

/// An account's archive, or all of a domain.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counted {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    pub messages: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Purged {
    messages: u64,
    before: String,
    dry_run: bool,
    message: String,
}

/// What `verify` answers.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Looked {
    #[serde(flatten)]
    pub verified: Verified,
    pub faults: u64,
    pub message: String,
}

impl MamCommand {
    pub(super) async fn run(self, admin: &Arc<Admin>, output: &mut Output) -> Answer {
        match self {
            MamCommand::Verify {} => verify(admin).await,
            MamCommand::Purge(arguments) => purge(admin, arguments).await,
            MamCommand::Count(arguments) => count(admin, arguments, output).await,
            MamCommand::Cold(command) => command.run(admin).await,
        }
    }
}

async fn verify(admin: &Admin) -> Answer {
    let verified = admin.node.router.store.verify_archives().await?;
    let faults = verified.faults();
    let message = match faults {
        0 => "Every entry has its message, and every message an entry".to_owned(),
        1 => "There is 1 fault".to_owned(),
        _ => format!("There are {faults} faults"),
    };
    done(Looked { verified, faults, message })
}

async fn purge(admin: &Admin, arguments: Purge) -> Answer {
    let store = &*admin.node.router.store;
    let before = match (&arguments.before, arguments.older_than_days) {
        (Some(date), _) => time(date)?,
        (None, days) => {
            let days = days.ok_or_else(|| Refusal::new(Code::BadRequest, "there is no time"))?;
            admin.node.router.now().saturating_sub(u64::from(days).saturating_mul(DAY))
        }
    };
    let (of, messages) = match (&arguments.domain, &arguments.user) {
        (_, Some(user)) => {
            let account = account(admin, user).await?;
            (account.jid.to_string(), purge_one(store, account.number, before, arguments.dry_run).await?)
        }
        (Some(domain), None) => {
            let domain = served(admin, domain)?;
            let (mut accounts, mut messages) = (Accounts::of(store, &domain), 0);
            while let Some(account) = accounts.next().await? {
                messages += purge_one(store, account.number, before, arguments.dry_run).await?;
            }
            (domain.clone(), messages)
        }
        (None, None) => return Err(Refusal::new(Code::BadRequest, "there is neither domain nor account")),
    };
    let entries = if messages == 1 { "1 message".to_owned() } else { format!("{messages} messages") };
    let message = match arguments.dry_run {
        true => format!("{entries} would go from the archives of {of}; nothing was dropped"),
        false => format!("{entries} went from the archives of {of}"),
    };
    if !arguments.dry_run {
        tracing::info!(%of, messages, before = format_utc(before), "an operator purged archives");
    }
    done(Purged { messages, before: format_utc(before), dry_run: arguments.dry_run, message })
}

async fn purge_one(
    store: &dyn Store,
    owner: AccountNumber,
    before: Millis,
    dry: bool,
) -> Result<u64, StoreError> {
    if !dry {
        return retention::purge(store, owner, before).await;
    }
    // Up to the first that stays, as a purge does.
    let young = Filter { start: Some(before), ..Filter::default() };
    let stays = store.archived(owner, &young, End::Oldest, 1).await?;
    let filter = Filter { before: stays.first().map(|message| message.id), ..Filter::default() };
    store.count_archived(owner, &filter, u64::MAX).await
}

async fn count(admin: &Admin, arguments: Count, output: &mut Output) -> Answer {
    let store = &*admin.node.router.store;
    let of = |owner| async move { store.count_archived(owner, &Filter::default(), u64::MAX).await };
    if let Some(user) = &arguments.user {
        let account = account(admin, user).await?;
        let messages = of(account.number).await?;
        output.item(Counted { jid: Some(account.jid.to_string()), domain: None, messages }).await?;
        return listed();
    }
    let domains = match &arguments.domain {
        Some(domain) => vec![served(admin, domain)?],
        None => admin.node.config().general.hosts.iter().map(|host| host.as_str().to_owned()).collect(),
    };
    for domain in domains {
        let (mut accounts, mut all) = (Accounts::of(store, &domain), 0);
        while let Some(account) = accounts.next().await? {
            let messages = of(account.number).await?;
            all += messages;
            output.item(Counted { jid: Some(account.jid.to_string()), domain: None, messages }).await?;
        }
        output.item(Counted { jid: None, domain: Some(domain.clone()), messages: all }).await?;
    }
    listed()
}

pub(super) async fn account(admin: &Admin, user: &str) -> Result<Account, Refusal> {
    let jid = refusals::account(user)?;
    let found = admin.node.directory.find(&jid).await?;
    found.ok_or_else(|| DirectoryError::Missing(jid).into())
}

fn served(admin: &Admin, domain: &str) -> Result<String, Refusal> {
    let domain = domain_name(domain)?;
    match admin.node.router.is_served(&domain) {
        true => Ok(domain),
        false => Err(DirectoryError::NotServed(domain).into()),
    }
}

/// A day, or a moment.
pub(super) fn time(text: &str) -> Result<Millis, Refusal> {
    let moment = parse_utc(text).or_else(|| parse_utc(&format!("{text}T00:00:00Z")));
    moment.ok_or_else(|| {
        let why = format!("{text} is no time: give it as 2026-01-31 or 2026-01-31T12:00:00Z");
        Refusal::new(Code::BadRequest, why)
    })
}
