//! Binding a resource (RFC 6120 section 7): the session's address, whom it replaces, how many there
//! may be.

use std::sync::Arc;
use std::time::Duration;

use cluster::{ClusterError, SessionsAt};
use xmpp_core::{Condition, ErrorType, Jid, StanzaError};

use crate::accounts::AccountInfo;
use crate::config::{Config, Conflict};
use crate::router::{Router, wait};
use crate::session::{End, MailboxBounds, Peer, Session};
use crate::telemetry::bound::Bound as Limit;

/// How long a bind waits for the session it replaces (messages.md, rule 11).
const PREDECESSOR: Duration = Duration::from_millis(300);

pub async fn bind(
    router: &Arc<Router>,
    config: &Config,
    account: &AccountInfo,
    wanted: Jid,
    by_server: bool,
    peer: Peer,
) -> Result<Arc<Session>, StanzaError> {
    let entries = router.cluster.find(&account.jid);
    let jid = address(wanted, by_server, config.c2s.conflict, &entries)?;
    make_room(router, config.limits.sessions_per_account as usize, &jid, &entries).await?;
    let bounds =
        MailboxBounds::new(config.limits.mailbox_stanzas as usize, config.limits.mailbox_bytes as usize);
    let id = router.cluster.next_session();
    let session = Session::new(jid, id, account.number, router.now(), peer, bounds);
    // Whoever finds it in the table finds it here too.
    router.sessions.insert(session.clone());
    let opened = match router.cluster.open(&session.jid, id).await {
        Ok(opened) => opened,
        Err(error) => {
            router.sessions.remove(id);
            return Err(refused(error));
        }
    };
    if let Some(old) = opened.replaced.and_then(|id| router.sessions.find(id)) {
        end(&old, End::Replaced).await;
    }
    for (_, hook) in &router.host().session {
        hook.on_bound(&session, router).get().await;
    }
    if let Err(error) = still_welcome(router, account).await {
        session.end(End::Removed);
        router.close_session(&session, End::Removed, Vec::new()).await;
        return Err(error);
    }
    Ok(session)
}

/// Was the account removed or banned since it logged in? Who did that ended the sessions that were in
/// the table by then; this one is in the table by now.
async fn still_welcome(router: &Router, account: &AccountInfo) -> Result<(), StanzaError> {
    match router.accounts.find(&account.jid).get().await {
        Ok(Some(now)) if now.number == account.number && !now.banned => Ok(()),
        Ok(_) => Err(StanzaError::new(Condition::NotAllowed)),
        Err(_) => Err(wait()),
    }
}

/// RFC 6120 section 7.7.2.2: what a new session does that wants the resource of another.
fn address(wanted: Jid, by_server: bool, policy: Conflict, entries: &SessionsAt) -> Result<Jid, StanzaError> {
    let taken = entries.iter().any(|e| e.jid == wanted);
    match policy {
        Conflict::Refuse if taken && !by_server => Err(StanzaError::new(Condition::Conflict)),
        Conflict::Rename if taken => {
            wanted.with_resource(&random_resource()).map_err(|_| StanzaError::new(Condition::BadRequest))
        }
        _ => Ok(wanted),
    }
}

/// At the bound the oldest session that only waits to be resumed ends; live ones are left alone
/// (behaviour 138).
async fn make_room(
    router: &Arc<Router>,
    limit: usize,
    jid: &Jid,
    entries: &SessionsAt,
) -> Result<(), StanzaError> {
    let others = entries.iter().filter(|e| e.jid != *jid);
    if others.clone().count() < limit {
        return Ok(());
    }
    router.metrics.refused(Limit::SessionsPerAccount);
    let sleeping = others.filter_map(|e| router.sessions.find(e.session)).filter(|s| s.link.is_sleeping());
    match sleeping.min_by_key(|s| s.last_heard()) {
        Some(oldest) => {
            end(&oldest, End::Lost).await;
            Ok(())
        }
        None => Err(StanzaError::new(Condition::ResourceConstraint)
            .with_type(ErrorType::Wait)
            .with_text("this account has too many sessions")),
    }
}

/// Ends a session and waits, not for long, until the world knows.
async fn end(session: &Arc<Session>, why: End) {
    session.end(why);
    let _ = tokio::time::timeout(PREDECESSOR, session.link.until_finished()).await;
}

fn refused(error: ClusterError) -> StanzaError {
    match error {
        ClusterError::NoQuorum | ClusterError::Stopped | ClusterError::Unknown => wait(),
    }
}

fn random_resource() -> String {
    hex::encode(rand::random::<[u8; 8]>())
}
