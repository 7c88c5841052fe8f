//! `meerkatctl mam cold ...`: old messages in files, as an operator sees them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xmpp_core::date::format_utc;

use super::mam::time;
use super::protocol::{Code, Refusal};
use super::{Admin, Answer, done};
use crate::cold::{Cold, Moved};
use crate::retention::DAY;
use crate::storage::Job;

#[derive(Serialize, Deserialize, clap::Subcommand)]
#[serde(rename_all = "camelCase")]
#[command(rename_all = "camelCase")]
pub enum ColdCommand {
    /// Move old messages into files, now
    Move(Move),
    /// Read every file, and compare it with its checksum and with the catalogue. Exit code 0: no fault, 1: faults
    Verify {},
}

#[derive(Serialize, Deserialize, clap::Args)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Move {
    /// What came before this time, as 2026-01-31 or 2026-01-31T12:00:00Z [default: as modules.mam.cold.after_days says]
    #[arg(long, value_name = "DATE")]
    #[serde(default)]
    pub before: Option<String>,
    /// Move nothing, only say how much it would be
    #[arg(long)]
    #[serde(default)]
    pub dry_run: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MovedNow {
    #[serde(flatten)]
    moved: Moved,
    before: String,
    dry_run: bool,
    message: String,
}

/// What `verify` answers.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LookedAt {
    pub files: u64,
    pub messages: u64,
    pub entries: u64,
    pub bytes: u64,
    pub findings: Vec<String>,
    pub faults: u64,
    pub message: String,
}

impl ColdCommand {
    pub(super) async fn run(self, admin: &Arc<Admin>) -> Answer {
        match self {
            ColdCommand::Move(arguments) => move_now(admin, arguments).await,
            ColdCommand::Verify {} => verify(admin).await,
        }
    }
}

fn cold(admin: &Admin) -> Result<&Arc<Cold>, Refusal> {
    let unset = "there is no cold archive: modules.mam.cold.store is not set, or the store keeps none";
    admin.node.cold.as_ref().ok_or_else(|| Refusal::new(Code::Unavailable, unset))
}

async fn move_now(admin: &Admin, arguments: Move) -> Answer {
    let (cold, config, now) = (cold(admin)?, admin.node.config(), admin.node.router.now());
    let settings = &config.modules.mam.cold;
    if settings.store.is_none() {
        let unset = "modules.mam.cold.store is not set: nothing says where to";
        return Err(Refusal::new(Code::Unavailable, unset));
    }
    let before = match (&arguments.before, settings.after_days.at_most()) {
        (Some(date), _) => time(date)?,
        (None, Some(days)) => now.saturating_sub(days.saturating_mul(DAY)),
        (None, None) => {
            let unset = "modules.mam.cold.after_days is \"none\": give the time by --before";
            return Err(Refusal::new(Code::BadRequest, unset));
        }
    };
    let moved = match arguments.dry_run {
        true => cold.movable(before).await?,
        false => {
            let mut turn = admin.node.turn(Job::Cold);
            let moved = cold.move_before(&mut turn, before, now).await?;
            moved.ok_or_else(|| {
                let other =
                    "another server of this database moves messages now, or has the turn: ask that one";
                Refusal::new(Code::Busy, other)
            })?
        }
    };
    let many = |count: u64, one: &str| match count {
        1 => format!("1 {one}"),
        _ => format!("{count} {one}s"),
    };
    let (messages, files) = (many(moved.messages, "message"), many(moved.files, "file"));
    let message = match arguments.dry_run {
        true => format!("{messages} would be moved, in {files}; nothing was moved"),
        false => format!("{messages} moved, in {files} of {} bytes", moved.bytes),
    };
    if !arguments.dry_run {
        tracing::info!(messages = moved.messages, files = moved.files, "an operator moved old messages");
    }
    done(MovedNow { moved, before: format_utc(before), dry_run: arguments.dry_run, message })
}

async fn verify(admin: &Admin) -> Answer {
    let looked = cold(admin)?.verify().await?;
    let faults = looked.findings.len() as u64;
    let message = match faults {
        0 => "Every file is what the catalogue says".to_owned(),
        1 => "There is 1 fault".to_owned(),
        _ => format!("There are {faults} faults"),
    };
    done(LookedAt {
        files: looked.files,
        messages: looked.messages,
        entries: looked.entries,
        bytes: looked.bytes,
        findings: looked.findings,
        faults,
        message,
    })
}
