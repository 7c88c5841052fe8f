//! `meerkatctl upload ...`: files that were uploaded (XEP-0363).

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xmpp_core::BareJid;
use xmpp_core::date::format_utc;

use super::connection::Output;
use super::protocol::{Code, Refusal};
use super::{Admin, Answer, done, listed, refusals};
use crate::directory::DirectoryError;
use crate::storage::blobs::try_out;
use crate::storage::{AccountNumber, File};

/// Rows that are read from the store at one time.
const PAGE: usize = 200;

#[derive(Serialize, Deserialize, clap::Subcommand)]
#[serde(rename_all = "camelCase")]
#[command(rename_all = "camelCase")]
pub enum UploadCommand {
    /// Write, read and remove a file where uploads are kept, and say how long that took
    Test {},
    /// List what is uploaded, of one account or of all
    List(OfUser),
    /// Remove one file, or all of an account
    Remove(Remove),
    /// How much is uploaded, by one account or by all
    Usage(OfUser),
}

#[derive(Serialize, Deserialize, clap::Args)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OfUser {
    /// The account's address
    #[arg(long, value_name = "JID")]
    pub user: Option<String>,
}

#[derive(Serialize, Deserialize, clap::Args)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[group(required = true, multiple = false)]
pub struct Remove {
    /// The file's name, as `list` gives it: the part of its URL behind /upload/
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The account's address
    #[arg(long, value_name = "JID")]
    pub user: Option<String>,
}

/// A file as it is listed.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Uploaded {
    pub name: String,
    /// Nothing where the account is gone.
    pub user: Option<String>,
    pub file: String,
    /// In bytes.
    pub size: u64,
    pub content_type: Option<String>,
    pub created: String,
    pub expires: Option<String>,
    /// False while its slot waits for it.
    pub stored: bool,
    pub url: Option<String>,
}

#[derive(Serialize, Deserialize)]
pub struct Usage {
    pub files: u64,
    pub bytes: u64,
}

#[derive(Serialize, Deserialize)]
pub struct Removed {
    pub removed: u64,
    pub message: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tested {
    /// Where it was written.
    pub place: String,
    /// In milliseconds.
    pub put: f64,
    pub get: f64,
    pub message: String,
}

impl UploadCommand {
    pub(super) async fn run(self, admin: &Arc<Admin>, output: &mut Output) -> Answer {
        match self {
            UploadCommand::Test {} => test(admin).await,
            UploadCommand::List(OfUser { user }) => list(admin, user, output).await,
            UploadCommand::Remove(Remove { name: Some(name), .. }) => remove_one(admin, &name).await,
            UploadCommand::Remove(Remove { user: Some(user), .. }) => remove_all(admin, &user).await,
            UploadCommand::Remove(_) => {
                Err(Refusal::new(Code::BadRequest, "a name or a user says what is to be removed"))
            }
            UploadCommand::Usage(OfUser { user }) => usage(admin, user).await,
        }
    }
}

async fn test(admin: &Admin) -> Answer {
    let blobs = admin.node.uploads.places.main();
    let tried = try_out(blobs).await?;
    let millis = |time: std::time::Duration| (time.as_secs_f64() * 1e5).round() / 1e2;
    let (place, put, get) = (blobs.place(), millis(tried.put), millis(tried.get));
    let message = format!("Uploads in {place} can be written ({put} ms), read ({get} ms) and removed");
    done(Tested { place, put, get, message })
}

async fn list(admin: &Admin, user: Option<String>, output: &mut Output) -> Answer {
    let store = &admin.node.router.store;
    let owner = owner(admin, user).await?;
    // Of all: the store's rows have numbers, and people have names.
    let mut names: HashMap<AccountNumber, BareJid> = HashMap::new();
    match &owner {
        Some((number, jid)) => _ = names.insert(*number, jid.clone()),
        None => names = addresses(admin).await?,
    }
    let mut after = String::new();
    loop {
        let page = store.files(owner.as_ref().map(|owner| owner.0), &after, PAGE).await?;
        for file in &page {
            output.item(describe(admin, file, &names)).await?;
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = last.name.clone(),
            _ => return listed(),
        }
    }
}

async fn addresses(admin: &Admin) -> Result<HashMap<AccountNumber, BareJid>, Refusal> {
    let mut addresses = HashMap::new();
    for host in &admin.node.config().general.hosts {
        let mut after: Option<BareJid> = None;
        loop {
            let page = admin.node.directory.list(host.as_str(), after.as_ref(), PAGE).await?;
            let is_last = page.len() < PAGE;
            after = page.last().map(|account| account.jid.clone());
            addresses.extend(page.into_iter().map(|account| (account.number, account.jid)));
            if is_last {
                break;
            }
        }
    }
    Ok(addresses)
}

fn describe(admin: &Admin, file: &File, names: &HashMap<AccountNumber, BareJid>) -> Uploaded {
    let user = file.owner.and_then(|owner| names.get(&owner));
    let url = user.filter(|_| file.stored).map(|user| admin.node.uploads.url(user.domain(), file));
    Uploaded {
        name: file.name.clone(),
        user: user.map(BareJid::to_string),
        file: file.title.clone(),
        size: file.size,
        content_type: file.media_type.clone(),
        created: format_utc(file.created),
        expires: file.expires.map(format_utc),
        stored: file.stored,
        url,
    }
}

async fn remove_one(admin: &Admin, name: &str) -> Answer {
    // Of a URL's path, the part that is the name.
    let name = name.split('/').next().unwrap_or_default();
    match admin.node.uploads.remove_file(name).await? {
        true => done(Removed { removed: 1, message: format!("The file {name} was removed") }),
        false => Err(Refusal::new(Code::NotFound, format!("there is no file {name}"))),
    }
}

async fn remove_all(admin: &Admin, user: &str) -> Answer {
    let Some((number, jid)) = owner(admin, Some(user.to_owned())).await? else {
        return Err(Refusal::new(Code::NotFound, format!("there is no account {user}")));
    };
    let mut removed = 0;
    loop {
        let page = admin.node.router.store.files(Some(number), "", PAGE).await?;
        for file in &page {
            removed += u64::from(admin.node.uploads.remove_file(&file.name).await?);
        }
        if page.len() < PAGE {
            return done(Removed { removed, message: format!("{removed} files of {jid} were removed") });
        }
    }
}

async fn usage(admin: &Admin, user: Option<String>) -> Answer {
    let owner = owner(admin, user).await?.map(|owner| owner.0);
    let usage = admin.node.router.store.file_usage(owner).await?;
    done(Usage { files: usage.count, bytes: usage.bytes })
}

async fn owner(admin: &Admin, user: Option<String>) -> Result<Option<(AccountNumber, BareJid)>, Refusal> {
    let Some(user) = user else { return Ok(None) };
    let jid = refusals::account(&user)?;
    let account = admin.node.directory.find(&jid).await?;
    let account = account.ok_or_else(|| Refusal::from(DirectoryError::Missing(jid)))?;
    Ok(Some((account.number, account.jid)))
}
