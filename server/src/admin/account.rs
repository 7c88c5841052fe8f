//! `meerkatctl account ...`

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xmpp_core::BareJid;

use super::connection::Output;
use super::export::export;
use super::password::{Password, given};
use super::protocol::Refusal;
use super::{Admin, Answer, Told, done, listed, refusals};

/// Accounts that are read from the store at one time.
const PAGE: usize = 200;

#[derive(Serialize, Deserialize, clap::Subcommand)]
#[serde(rename_all = "camelCase")]
#[command(rename_all = "camelCase")]
pub enum AccountCommand {
    /// Make an account
    RegisterUser(RegisterUser),
    /// Remove an account with all that it owns, and end its sessions
    RemoveUser(User),
    /// Set another password
    ChangeUserPassword(ChangeUserPassword),
    /// Is this the password? Exit code 0: yes, 1: no
    CheckPassword(CheckPassword),
    /// Is there such an account? Exit code 0: yes, 1: no
    CheckUser(User),
    /// List the accounts of a domain, in the order of their addresses
    ListUsers(OfDomain),
    /// Count the accounts of a domain
    CountUsers(OfDomain),
    /// Refuse an account's logins from now on and end its sessions; what it has is kept
    BanUser(BanUser),
    /// Lift a ban
    UnbanUser(User),
    /// Make many accounts, from CSV: lines of user,domain,password or jid,password
    ImportUsers(ImportUsers),
    /// Write down everything that an account owns, as JSON
    ExportData(ExportData),
}

#[derive(Serialize, Deserialize, clap::Args)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegisterUser {
    /// The domain, one of those that are served
    #[arg(long)]
    pub domain: String,
    /// The name in front of the @; one is made up when it is not given
    #[arg(long)]
    pub username: Option<String>,
    /// The password. Others on this machine can see it here: without this option it is asked for, or read
    /// from standard input
    #[arg(long)]
    pub password: Option<Password>,
    /// Read the password from standard input, up to the end of its first line
    #[arg(long, conflicts_with = "password")]
    #[serde(skip)]
    pub password_stdin: bool,
}

#[derive(Serialize, Deserialize, clap::Args)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChangeUserPassword {
    /// The account's address
    #[arg(long, value_name = "JID")]
    pub user: String,
    /// The new password. Others on this machine can see it here: without this option it is asked for, or
    /// read from standard input
    #[arg(long = "newPassword", visible_alias = "password", value_name = "PASSWORD")]
    pub new_password: Option<Password>,
    /// Read the password from standard input, up to the end of its first line
    #[arg(long, conflicts_with = "new_password")]
    #[serde(skip)]
    pub password_stdin: bool,
}

#[derive(Serialize, Deserialize, clap::Args)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CheckPassword {
    /// The account's address
    #[arg(long, value_name = "JID")]
    pub user: String,
    /// The password. Others on this machine can see it here: without this option it is asked for, or read
    /// from standard input
    #[arg(long)]
    pub password: Option<Password>,
    /// Read the password from standard input, up to the end of its first line
    #[arg(long, conflicts_with = "password")]
    #[serde(skip)]
    pub password_stdin: bool,
}

#[derive(Serialize, Deserialize, clap::Args)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct User {
    /// The account's address
    #[arg(long, value_name = "JID")]
    pub user: String,
}

#[derive(Serialize, Deserialize, clap::Args)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OfDomain {
    /// The domain, one of those that are served
    #[arg(long)]
    pub domain: String,
}

#[derive(Serialize, Deserialize, clap::Args)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BanUser {
    /// The account's address
    #[arg(long, value_name = "JID")]
    pub user: String,
    /// Why; kept with the account
    #[arg(long)]
    pub reason: String,
}

/// The tool reads the file and sends it in parts of whole rows.
#[derive(Serialize, Deserialize, clap::Args)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImportUsers {
    /// The file, or - for standard input
    #[arg(long, value_name = "FILE", default_value = "-")]
    #[serde(skip)]
    pub filename: PathBuf,
    #[arg(skip)]
    pub csv: String,
    /// Where this part begins in the file, from 1.
    #[arg(skip)]
    pub first_line: usize,
}

/// The tool makes the file.
#[derive(Serialize, Deserialize, clap::Args)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExportData {
    /// The account's address
    #[arg(long, value_name = "JID")]
    pub user: String,
    /// The file, which must not be there yet, or - for standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    #[serde(skip)]
    pub filename: PathBuf,
}

#[derive(Serialize)]
struct Correct {
    correct: bool,
    message: String,
}

#[derive(Serialize)]
struct Exist {
    exist: bool,
    message: String,
}

/// What became of a part of a file.
#[derive(Serialize, Deserialize, Default)]
pub struct Imported {
    pub created: usize,
    pub refused: Vec<RefusedRow>,
}

#[derive(Serialize, Deserialize)]
pub struct RefusedRow {
    /// From 1.
    pub line: usize,
    pub message: String,
}

impl AccountCommand {
    pub(super) async fn run(self, admin: &Arc<Admin>, output: &mut Output) -> Answer {
        match self {
            AccountCommand::RegisterUser(arguments) => register(admin, arguments).await,
            AccountCommand::RemoveUser(User { user }) => remove(admin, &user).await,
            AccountCommand::ChangeUserPassword(arguments) => change_password(admin, arguments).await,
            AccountCommand::CheckPassword(arguments) => check_password(admin, arguments).await,
            AccountCommand::CheckUser(User { user }) => check(admin, &user).await,
            AccountCommand::ListUsers(OfDomain { domain }) => list(admin, &domain, output).await,
            AccountCommand::CountUsers(OfDomain { domain }) => {
                done(admin.node.directory.count(&domain_name(&domain)?).await?)
            }
            AccountCommand::BanUser(BanUser { user, reason }) => ban(admin, &user, &reason).await,
            AccountCommand::UnbanUser(User { user }) => unban(admin, &user).await,
            AccountCommand::ExportData(ExportData { user, .. }) => export(admin, &user, output).await,
            AccountCommand::ImportUsers(ImportUsers { csv, first_line, .. }) => {
                import(admin, &csv, first_line).await
            }
        }
    }
}

async fn register(admin: &Admin, arguments: RegisterUser) -> Answer {
    let name = arguments.username.unwrap_or_else(|| format!("{:016x}", rand::random::<u64>()));
    let jid = admin.node.directory.address(&name, &arguments.domain)?;
    admin.node.directory.create(&jid, given(&arguments.password)?).await?;
    told(&jid, format!("The account {jid} was made"))
}

async fn remove(admin: &Admin, user: &str) -> Answer {
    let jid = refusals::account(user)?;
    admin.node.directory.remove(&jid).await?;
    told(&jid, format!("The account {jid} was removed"))
}

async fn change_password(admin: &Admin, arguments: ChangeUserPassword) -> Answer {
    let jid = refusals::account(&arguments.user)?;
    admin.node.directory.change_password(&jid, given(&arguments.new_password)?).await?;
    told(&jid, format!("The password of {jid} was changed"))
}

async fn check_password(admin: &Admin, arguments: CheckPassword) -> Answer {
    let jid = refusals::account(&arguments.user)?;
    let correct = admin.node.directory.check_password(&jid, given(&arguments.password)?).await?;
    let message = match correct {
        true => format!("This is the password of {jid}"),
        false => format!("This is not the password of {jid}"),
    };
    done(Correct { correct, message })
}

async fn check(admin: &Admin, user: &str) -> Answer {
    let jid = refusals::account(user)?;
    let account = admin.node.directory.find(&jid).await?;
    let message = match &account {
        None => format!("There is no account {jid}"),
        Some(account) => match &account.banned {
            None => format!("There is an account {jid}"),
            Some(reason) => format!("There is an account {jid}; it is banned: {reason}"),
        },
    };
    done(Exist { exist: account.is_some(), message })
}

async fn list(admin: &Admin, domain: &str, output: &mut Output) -> Answer {
    let domain = domain_name(domain)?;
    let mut after: Option<BareJid> = None;
    loop {
        let page = admin.node.directory.list(&domain, after.as_ref(), PAGE).await?;
        let is_last = page.len() < PAGE;
        for account in &page {
            output.item(account.jid.as_str()).await?;
        }
        match page.into_iter().next_back() {
            Some(last) if !is_last => after = Some(last.jid),
            _ => return listed(),
        }
    }
}

async fn ban(admin: &Admin, user: &str, reason: &str) -> Answer {
    let jid = refusals::account(user)?;
    admin.node.directory.ban(&jid, reason).await?;
    told(&jid, format!("The account {jid} was banned"))
}

async fn unban(admin: &Admin, user: &str) -> Answer {
    let jid = refusals::account(user)?;
    admin.node.directory.unban(&jid).await?;
    told(&jid, format!("The account {jid} is not banned"))
}

async fn import(admin: &Admin, csv: &str, first_line: usize) -> Answer {
    let imported = admin.node.directory.import_part(csv, first_line).await;
    let refused = imported.refused.into_iter();
    let refused = refused.map(|row| RefusedRow { line: row.line, message: row.why.to_string() });
    done(Imported { created: imported.created, refused: refused.collect() })
}

/// As it is compared: prepared, like the domain of every address.
pub(super) fn domain_name(text: &str) -> Result<String, Refusal> {
    let jid = refusals::address(text)?;
    if !jid.is_domain() {
        return Err(Refusal::new(super::protocol::Code::BadAddress, format!("{text} is not a domain")));
    }
    Ok(jid.domain().to_owned())
}

fn told(jid: &BareJid, message: String) -> Answer {
    done(Told { jid: jid.to_string(), message })
}
