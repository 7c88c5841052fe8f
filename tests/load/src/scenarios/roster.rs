//! `roster`: makes accounts contacts of each other by subscription in both directions (RFC 6121, section 3).

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::{dialer, in_parallel, log_in_accounts, process};
use crate::error::{LoadError, Result};
use crate::measure::report::{Faults, Report, Stopwatch};
use crate::options::{Output, Target};
use crate::xmpp::scan;
use crate::xmpp::session::Session;
use crate::xmpp::wire::Outbox;

/// How long all subscriptions together may take.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(300);
/// A server that writes each roster anew for each subscription is busy for long with the first ones.
const ROSTER_TIMEOUT: Duration = Duration::from_secs(120);
/// How long requests are answered before the rosters are looked at again.
const ANSWER_FOR: Duration = Duration::from_millis(500);

#[derive(Args, Debug)]
pub struct Roster {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub output: Output,
    #[command(flatten)]
    pub size: Size,
}

/// Who is whose contact.
#[derive(Args, Debug, Clone, Copy)]
pub struct Size {
    /// Accounts 0 to USERS-1 are each a contact of every contact.
    #[arg(long, default_value_t = 10)]
    pub users: usize,
    /// Accounts USERS to USERS+CONTACTS-1.
    #[arg(long, default_value_t = 100)]
    pub contacts: usize,
}

pub async fn run(options: &Roster) -> Result<Report> {
    let process = process(&options.output)?;
    let size = options.size;
    let dialer = dialer(&options.target, size.users + size.contacts).await?;
    let sessions =
        log_in_accounts(&dialer, &options.target, options.target.first, size.users + size.contacts, None)
            .await?;
    let stopwatch = Stopwatch::start(process)?;
    let (sessions, made) = subscribe(sessions, size).await?;
    let phase = stopwatch.stop("subscription", "mutual subscription", made, None)?;
    close_all(sessions).await;
    let settings = BTreeMap::from([("users", json!(size.users)), ("contacts", json!(size.contacts))]);
    let findings = BTreeMap::new();
    Ok(Report { scenario: "roster", settings, phases: vec![phase], faults: Faults::default(), findings })
}

pub async fn close_all(sessions: Vec<Session>) {
    let closing: Vec<_> = sessions.into_iter().map(|session| tokio::spawn(session.close())).collect();
    for task in closing {
        // Each ends by its own timeout.
        let _ = task.await;
    }
}

/// Makes each of the first `users` sessions a contact of each of the others, as far as they are not already.
/// Returns the sessions and how many pairs were missing.
pub async fn subscribe(mut sessions: Vec<Session>, size: Size) -> Result<(Vec<Session>, u64)> {
    let jids: Vec<String> = sessions.iter().map(bare).collect();
    let (users, contacts) = jids.split_at(size.users.min(jids.len()));
    let (users, contacts): (Arc<[String]>, Arc<[String]>) = (users.into(), contacts.into());
    let mut missing_at_first = None;
    let deadline = Instant::now() + SUBSCRIBE_TIMEOUT;
    for round in 0.. {
        let count = sessions.len();
        let mut remaining = sessions.into_iter().enumerate();
        let looked = in_parallel(count, count, |_| {
            let next = remaining.next();
            let (users, contacts) = (users.clone(), contacts.clone());
            async move {
                let (number, session) =
                    next.ok_or_else(|| LoadError::Options("a session is missing".into()))?;
                let wanted = if number < size.users { contacts } else { users };
                look_and_answer(session, &wanted, round).await
            }
        })
        .await?;
        let missing: u64 = looked.iter().map(|(_, missing)| *missing).sum();
        sessions = looked.into_iter().map(|(session, _)| session).collect();
        // Every missing pair is missing in two rosters.
        let first = *missing_at_first.get_or_insert(missing.div_ceil(2));
        if missing == 0 {
            return Ok((sessions, first));
        }
        if Instant::now() > deadline {
            break;
        }
    }
    Err(LoadError::Timeout("mutual subscription"))
}

/// Returns how many of the wanted contacts are not there yet. They are asked in the first round; requests of
/// others are answered in all. What an earlier run left half done is approved in later rounds.
async fn look_and_answer(mut session: Session, wanted: &[String], round: u32) -> Result<(Session, u64)> {
    let there = contacts(&mut session).await?;
    let missing: Vec<&String> = wanted.iter().filter(|jid| !there.contains(*jid)).collect();
    let kind = if round == 0 { "subscribe" } else { "subscribed" };
    for jid in &missing {
        let presence = format!("<presence to='{}' type='{kind}'/>", scan::escape(jid));
        session.outbox().stanza().extend_from_slice(presence.as_bytes());
    }
    if !missing.is_empty() {
        let answering = session.until(|stanza, outbox| {
            approve(stanza, outbox);
            false
        });
        // It answers until the time is over.
        if let Ok(Err(error)) = timeout(ANSWER_FOR, answering).await {
            return Err(error);
        }
    }
    let missing = missing.len() as u64;
    Ok((session, missing))
}

/// The contacts with a subscription in both directions.
async fn contacts(session: &mut Session) -> Result<HashSet<String>> {
    let id = format!("roster-{}", session.outbox().stanzas());
    let query = format!("<iq type='get' id='{id}'><query xmlns='jabber:iq:roster'/></iq>");
    session.outbox().stanza().extend_from_slice(query.as_bytes());
    let mut there = HashSet::new();
    let answered = session.until(|stanza, outbox| {
        approve(stanza, outbox);
        let tag = scan::start_tag(stanza);
        if !tag.starts_with(b"<iq") || scan::attribute(tag, "id") != Some(id.as_bytes()) {
            return false;
        }
        let both = scan::elements(stanza, "item")
            .filter(|item| scan::attribute(item, "subscription") == Some(b"both"))
            .filter_map(|item| scan::attribute_text(item, "jid"));
        there.extend(both);
        true
    });
    timeout(ROSTER_TIMEOUT, answered).await.map_err(|_| LoadError::Timeout("roster"))??;
    Ok(there)
}

/// Says yes to a request for subscription.
fn approve(stanza: &[u8], outbox: &mut Outbox) {
    let tag = scan::start_tag(stanza);
    if tag.starts_with(b"<presence")
        && scan::attribute(tag, "type") == Some(b"subscribe")
        && let Some(from) = scan::attribute_text(tag, "from")
    {
        let yes = format!("<presence to='{}' type='subscribed'/>", scan::escape(&from));
        outbox.stanza().extend_from_slice(yes.as_bytes());
    }
}

fn bare(session: &Session) -> String {
    session.jid.split('/').next().unwrap_or_default().to_string()
}
