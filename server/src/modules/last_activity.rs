//! Last activity (XEP-0012): how long the server has been up, and how long an account has been away,
//! for those who may see its presence. Notes when an account's last session ends, and what it said.

use std::sync::Arc;

use ahash::HashMap;
use cluster::{Presence, SessionId};
use parking_lot::Mutex;
use tokio::time::Instant;
use xmpp_core::{Element, Kind, Stanza, StanzaError, Type, ns};

use crate::accounts::AccountInfo;
use crate::host::{HostBuilder, Module, Scope};
use crate::router::hooks::{
    Answer, AnswerIq, Iq, IqResult, Letter, OnArrived, OnSent, OnSession, Target, Verdict,
};
use crate::router::{Router, stanza_error};
use crate::session::Session;
use crate::storage::Write;

/// A longer status is cut.
const STATUS_MAX_BYTES: usize = 1024;

pub struct LastActivity {
    started: Instant,
    /// What sessions said with their unavailable presence. A plain lock: nothing waits under it.
    said: Mutex<HashMap<SessionId, String>>,
}

impl Default for LastActivity {
    fn default() -> LastActivity {
        LastActivity { started: Instant::now(), said: Mutex::default() }
    }
}

impl Module for LastActivity {
    fn name(&self) -> &'static str {
        "last activity"
    }

    fn install(self: Arc<Self>, host: &mut HostBuilder) {
        host.feature(ns::LAST, Scope::Both);
        host.on_sent(self.clone());
        host.on_arrived(self.clone());
        host.on_session(self.clone());
        host.answer_iq(ns::LAST, Scope::Both, self);
    }
}

impl AnswerIq for LastActivity {
    fn answer<'a>(&'a self, iq: &'a Iq<'a>, router: &'a Arc<Router>) -> Answer<'a, IqResult> {
        if let Err(error) = iq.is_get() {
            return Answer::Now(Err(error));
        }
        match &iq.target {
            // Section 5.
            Target::Server(_) => Answer::Now(Ok(Some(last(self.started.elapsed().as_secs(), "")))),
            // The asker is there.
            Target::Own(_) => Answer::Now(Ok(Some(last(0, "")))),
            Target::Other { account, subscribed: true } => Answer::later(away(account, router)),
            // Section 3.
            Target::Other { .. } => Answer::Now(Err(StanzaError::forbidden())),
            Target::Nobody(_) | Target::Service(_) => Answer::Now(Err(StanzaError::service_unavailable())),
        }
    }
}

async fn away(account: &AccountInfo, router: &Router) -> IqResult {
    // Section 3: connected. Here that is a session which shows itself: one without presence is hidden
    // from the contacts, and stays so.
    if router.cluster.find(&account.jid).iter().any(|entry| entry.presence != Presence::None) {
        return Ok(Some(last(0, "")));
    }
    match router.store.last_logout(account.number).await {
        Ok(Some((time, status))) => Ok(Some(last(router.now().saturating_sub(time) / 1000, &status))),
        // It was never here.
        Ok(None) => Err(StanzaError::item_not_found()),
        Err(error) => Err(stanza_error(&error)),
    }
}

fn last(seconds: u64, status: &str) -> Element {
    Element::new("query", ns::LAST).attr("seconds", seconds.to_string()).text(status)
}

/// A client answers for itself, but not to those who may not see its presence (section 4).
impl OnArrived for LastActivity {
    fn on_arrived<'a>(&'a self, letter: &'a mut Letter, router: &'a Arc<Router>) -> Answer<'a, Verdict> {
        let stanza = &letter.stanza;
        let asks = stanza.kind == Kind::Iq && stanza.type_ == Type::Get && stanza.payload.has_ns(ns::LAST);
        let (Some(from), Some(to), Some(account)) = (&stanza.from, &stanza.to, &letter.recipient) else {
            return Answer::Now(Verdict::Pass);
        };
        if !asks || !to.is_full() || account.shows_presence_to(&from.bare()) {
            return Answer::Now(Verdict::Pass);
        }
        let directed = router.session_at(to).is_some_and(|session| session.has_directed(from));
        Answer::Now(if directed { Verdict::Pass } else { Verdict::Refuse(StanzaError::forbidden()) })
    }
}

impl OnSent for LastActivity {
    fn on_sent<'a>(&'a self, letter: &'a mut Letter, _: &'a Arc<Router>) -> Answer<'a, Verdict> {
        let stanza = &letter.stanza;
        if let Some(session) = letter.session()
            && stanza.kind == Kind::Presence
            && stanza.to.is_none()
        {
            match stanza.type_ {
                Type::Unavailable => self.note(session.id, stanza),
                Type::None => drop(self.said.lock().remove(&session.id)),
                _ => {}
            }
        }
        Answer::Now(Verdict::Pass)
    }
}

impl LastActivity {
    fn note(&self, session: SessionId, stanza: &Stanza) {
        let mut status = stanza.payload.text_of("status", ns::CLIENT).unwrap_or_default();
        while status.len() > STATUS_MAX_BYTES {
            status.pop();
        }
        let mut said = self.said.lock();
        match status.is_empty() {
            true => said.remove(&session),
            false => said.insert(session, status),
        };
    }
}

impl OnSession for LastActivity {
    fn on_ended<'a>(&'a self, session: &'a Arc<Session>, router: &'a Arc<Router>) -> Answer<'a, ()> {
        let status = self.said.lock().remove(&session.id).unwrap_or_default();
        if !router.cluster.find(&session.jid.bare()).is_empty() {
            return Answer::Now(());
        }
        let write = Write::SetLastLogout { owner: session.account, time: router.now(), status };
        Answer::later(async move {
            // It may have ended because its account was removed; and nobody is there to be told.
            if let Err(error) = router.store.write(write).await {
                tracing::debug!(jid = %session.jid, %error, "the time of the last logout was not noted");
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::storage::Subscription;
    use crate::testing::Stage;

    const QUERY: &str = "<query xmlns='jabber:iq:last'/>";

    fn seconds(seconds: u64) -> String {
        format!("<query xmlns='jabber:iq:last' seconds='{seconds}'/>")
    }

    #[tokio::test(start_paused = true)]
    async fn the_server_says_how_long_it_is_up() {
        let stage = Stage::new().await;
        stage.account("juliet@example.com").await;
        let mut juliet = stage.bind("juliet@example.com/balcony").await;
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(juliet.ask("get", Some("example.com"), QUERY).await, seconds(90));
        assert_eq!(juliet.ask("get", None, QUERY).await, seconds(0));
        assert_eq!(juliet.ask("set", Some("example.com"), QUERY).await, "cancel not-allowed");
    }

    /// Section 3; behaviour 136.
    #[tokio::test(start_paused = true)]
    async fn an_account_says_how_long_it_is_away() {
        let stage = Stage::new().await;
        stage.account("juliet@example.com").await;
        stage.account("romeo@example.com").await;
        let mut juliet = stage.bind("juliet@example.com/balcony").await;
        assert_eq!(juliet.ask("get", Some("nobody@example.com"), QUERY).await, "cancel service-unavailable");
        assert_eq!(juliet.ask("get", Some("romeo@example.com"), QUERY).await, "auth forbidden");
        stage.put_item("romeo@example.com", "juliet@example.com", Subscription::From).await;
        assert_eq!(juliet.ask("get", Some("romeo@example.com"), QUERY).await, "cancel item-not-found");

        let romeo = stage.bind("romeo@example.com/orchard").await;
        romeo.send("<presence/>").await;
        assert_eq!(juliet.ask("get", Some("romeo@example.com"), QUERY).await, seconds(0));
        romeo.send("<presence type='unavailable'><status>Heading Home</status></presence>").await;
        romeo.end().await;
        tokio::time::advance(Duration::from_secs(903)).await;
        assert_eq!(
            juliet.ask("get", Some("romeo@example.com"), QUERY).await,
            "<query xmlns='jabber:iq:last' seconds='903'>Heading Home</query>"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_last_session_logs_out() {
        let stage = Stage::new().await;
        let number = stage.account("romeo@example.com").await;
        let orchard = stage.bind("romeo@example.com/orchard").await;
        let street = stage.bind("romeo@example.com/street").await;
        orchard.end().await;
        assert_eq!(stage.router.store.last_logout(number).await, Ok(None));
        let now = stage.router.now();
        street.end().await;
        assert_eq!(stage.router.store.last_logout(number).await, Ok(Some((now, String::new()))));
    }

    /// Section 4.
    #[tokio::test(start_paused = true)]
    async fn a_client_is_not_asked_by_those_who_do_not_see_it() {
        let stage = Stage::new().await;
        stage.account("juliet@example.com").await;
        stage.account("romeo@example.com").await;
        let mut juliet = stage.bind("juliet@example.com/balcony").await;
        let mut romeo = stage.bind("romeo@example.com/orchard").await;
        let to = Some("romeo@example.com/orchard");
        assert_eq!(juliet.ask("get", to, QUERY).await, "auth forbidden");
        assert_eq!(romeo.received().await.len(), 0);

        let stanza = format!("<iq id='2' type='get' to='romeo@example.com/orchard'>{QUERY}</iq>");
        romeo.session.set_directed(&juliet.session.jid, true, 10);
        juliet.send(&stanza).await;
        assert!(romeo.received().await.iter().any(|iq| iq.contains("id='2'")));
        romeo.session.set_directed(&juliet.session.jid, false, 10);
        stage.put_item("romeo@example.com", "juliet@example.com", Subscription::From).await;
        juliet.send(&stanza).await;
        assert!(romeo.received().await.iter().any(|iq| iq.contains("id='2'")));
    }
}
