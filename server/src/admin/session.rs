//! `meerkatctl session ...`: the sessions of this node.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::account::domain_name;
use super::connection::Output;
use super::protocol::{Code, Refusal};
use super::server::node_name;
use super::{Admin, Answer, done, listed, refusals};
use crate::directory::DirectoryError;
use crate::session::Session;

/// A session that was told to end says its last words first.
const END_TIME: Duration = Duration::from_secs(5);
/// The longest reason for it.
const MAX_REASON_BYTES: usize = 1024;

#[derive(Serialize, Deserialize, clap::Subcommand)]
#[serde(rename_all = "camelCase")]
#[command(rename_all = "camelCase")]
pub enum SessionCommand {
    /// List the sessions, in the order of their addresses
    ListSessions(OfDomain),
    /// Count the sessions
    CountSessions(OfDomain),
    /// End all sessions of an account
    KickUser(Kick),
    /// End one session
    KickUserSession(KickSession),
}

#[derive(Serialize, Deserialize, clap::Args)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OfDomain {
    /// Only those of accounts of this domain
    #[arg(long)]
    pub domain: Option<String>,
}

#[derive(Serialize, Deserialize, clap::Args)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Kick {
    /// The account's address
    #[arg(long, value_name = "JID")]
    pub user: String,
    /// Why; the client is told, and the log
    #[arg(long)]
    pub reason: Option<String>,
}

#[derive(Serialize, Deserialize, clap::Args)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KickSession {
    /// The session's address, user@domain/resource
    #[arg(long, value_name = "JID")]
    pub user: String,
    /// Why; the client is told, and the log
    #[arg(long)]
    pub reason: Option<String>,
}

/// A session as it is listed.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    pub user: String,
    /// `c2s`, or `c2s_tls` when it is encrypted.
    pub connection: String,
    pub ip: String,
    pub port: u16,
    /// Of its presence; none before its first and behind an unavailable one.
    pub priority: Option<i8>,
    pub node: String,
    /// Seconds since it was bound.
    pub uptime: u64,
    /// Seconds since its client sent anything.
    pub idle: u64,
    pub mechanism: String,
    /// Nobody is connected: it waits to be resumed (XEP-0198).
    pub sleeping: bool,
    /// Stanzas that wait to be written to it.
    pub queued: usize,
}

#[derive(Serialize)]
struct Kicked {
    jid: String,
    kicked: bool,
    message: String,
}

impl SessionCommand {
    pub(super) async fn run(self, admin: &Arc<Admin>, output: &mut Output) -> Answer {
        match self {
            SessionCommand::ListSessions(OfDomain { domain }) => {
                let node = node_name();
                let now = admin.node.router.now();
                for session in sessions(admin, domain)? {
                    output.item(describe(&session, now, &node)).await?;
                }
                listed()
            }
            SessionCommand::CountSessions(OfDomain { domain }) => done(sessions(admin, domain)?.len()),
            SessionCommand::KickUser(Kick { user, reason }) => kick_user(admin, &user, reason).await,
            SessionCommand::KickUserSession(KickSession { user, reason }) => {
                kick_session(admin, &user, reason).await
            }
        }
    }
}

fn sessions(admin: &Admin, domain: Option<String>) -> Result<Vec<Arc<Session>>, Refusal> {
    let domain = domain.map(|domain| domain_name(&domain)).transpose()?;
    if let Some(domain) = domain.as_deref().filter(|domain| !admin.node.router.is_served(domain)) {
        return Err(DirectoryError::NotServed(domain.to_owned()).into());
    }
    let mut sessions = admin.node.router.sessions.all();
    sessions.retain(|session| domain.as_deref().is_none_or(|domain| session.jid.domain() == domain));
    sessions.sort_by(|one, other| one.jid.cmp(&other.jid));
    Ok(sessions)
}

fn describe(session: &Session, now: u64, node: &str) -> Listed {
    let peer = session.peer.lock().clone();
    Listed {
        user: session.jid.to_string(),
        connection: if peer.encrypted { "c2s_tls" } else { "c2s" }.to_owned(),
        ip: peer.address.ip().to_canonical().to_string(),
        port: peer.address.port(),
        priority: session.presence().map(|presence| presence.priority),
        node: node.to_owned(),
        uptime: now.saturating_sub(session.opened) / 1000,
        idle: now.saturating_sub(session.last_heard()) / 1000,
        mechanism: peer.mechanism.to_owned(),
        sleeping: session.link.is_sleeping(),
        queued: session.queued_stanzas(),
    }
}

async fn kick_user(admin: &Admin, user: &str, reason: Option<String>) -> Answer {
    let jid = refusals::account(user)?;
    let reason = said(reason)?;
    let sessions = admin.node.router.sessions_of(&jid);
    if sessions.is_empty() {
        if admin.node.directory.find(&jid).await?.is_none() {
            return Err(DirectoryError::Missing(jid).into());
        }
        return Err(Refusal::new(Code::NotFound, format!("{jid} has no session")));
    }
    done(kick(&sessions, reason).await)
}

async fn kick_session(admin: &Admin, user: &str, reason: Option<String>) -> Answer {
    let jid = refusals::session(user)?;
    let reason = said(reason)?;
    let Some(session) = admin.node.router.session_at(&jid) else {
        return Err(Refusal::new(Code::NotFound, format!("there is no session {jid}")));
    };
    done(kick(&[session], reason).await.pop())
}

/// A reason that is short enough for the stream's last words.
fn said(reason: Option<String>) -> Result<Option<String>, Refusal> {
    match reason {
        Some(text) if text.len() > MAX_REASON_BYTES => {
            Err(Refusal::new(Code::Limit, format!("a reason has at most {MAX_REASON_BYTES} bytes")))
        }
        reason => Ok(reason.filter(|text| !text.is_empty())),
    }
}

/// Ends them, and waits until they are gone.
async fn kick(sessions: &[Arc<Session>], reason: Option<String>) -> Vec<Kicked> {
    for session in sessions {
        tracing::info!(jid = %session.jid, reason, "an operator ends a session");
        session.kick(reason.as_deref());
    }
    let gone = async {
        for session in sessions {
            session.link.until_finished().await;
        }
    };
    // One that takes longer ends all the same.
    let _ = tokio::time::timeout(END_TIME, gone).await;
    let kicked = sessions.iter().map(|session| Kicked {
        jid: session.jid.to_string(),
        kicked: true,
        message: format!("The session {} was ended", session.jid),
    });
    kicked.collect()
}
