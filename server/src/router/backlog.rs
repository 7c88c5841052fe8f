//! The flush: what waits for an account is given to the first of its sessions that became willing
//! (messages.md, rules 10 and 12).

use std::sync::Arc;
use std::time::Duration;

use xmpp_core::{Element, Stanza, date, ns};

use super::Router;
use crate::session::{Delivery, Put, Session};
use crate::storage::{MessageId, Saved, StoreError};

/// Messages read from the store at a time.
const PAGE: usize = 64;
/// How long a session waits that could not be given what waits for it.
const READ_AGAIN: Duration = Duration::from_secs(1);

impl Router {
    /// Gives the session what waits for its account, in a task of its own that may wait for room in
    /// the mailbox. A session that is being given it already looks once more.
    pub fn give_backlog(self: &Arc<Self>, session: &Arc<Session>) {
        if !session.begin_backlog() {
            return;
        }
        self.read_on(session);
    }

    /// Ends what `Session::begin_backlog` began for a session that was about to become willing, so that
    /// no message overtakes what waits: the account's first willing session is given that now.
    pub fn settle_backlog(self: &Arc<Self>, session: &Arc<Session>, is_first: bool) {
        if is_first || !session.end_backlog() {
            self.read_on(session);
        }
    }

    fn read_on(self: &Arc<Self>, session: &Arc<Session>) {
        let (router, session) = (self.clone(), session.clone());
        tokio::spawn(async move {
            loop {
                let Err(error) = router.read_backlog(&session).await else {
                    if session.end_backlog() {
                        return;
                    }
                    continue;
                };
                tracing::warn!(jid = %session.jid, %error, "what waits could not be read");
                // Nobody is online and left waiting (rule 12): the store may be back by then.
                session.suspend_backlog(true);
                tokio::time::sleep(READ_AGAIN).await;
                session.suspend_backlog(false);
                let is_willing = session.presence().is_some_and(|presence| presence.priority >= 0);
                if session.ended().is_some() || !is_willing {
                    while !session.end_backlog() {}
                    return;
                }
            }
        });
    }

    async fn read_backlog(self: &Arc<Self>, session: &Arc<Session>) -> Result<(), StoreError> {
        let account = session.jid.bare();
        let mut after = MessageId(0);
        loop {
            let page = self.store.waiting(session.account, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            let info = self.accounts.find(&account).get().await?;
            for waiting in page {
                let held =
                    self.sessions_of(&account).iter().any(|s| s.id != session.id && s.holds(waiting.id));
                if held || session.was_given(waiting.id) {
                    continue;
                }
                let stanza = match self.queued_stanza(session, &waiting) {
                    Some(stanza) => stanza,
                    None => continue,
                };
                let blocked = info.as_ref().zip(stanza.from.as_ref()).is_some_and(|(i, from)| i.blocks(from));
                if blocked {
                    self.store.taken(session.account, waiting.id);
                    continue;
                }
                let delivery = Delivery::saved(stanza, waiting.time, Some(waiting.id));
                if session.put_waiting(Arc::new(delivery)).await == Put::Gone {
                    return Ok(());
                }
            }
        }
    }

    /// A saved message as it is given later: with its id, and with the time at which it came
    /// (XEP-0203; XEP-0160 section 3: `from` is the domain).
    fn queued_stanza(&self, session: &Session, waiting: &Saved) -> Option<Stanza> {
        let stanza = match Stanza::read(&waiting.stanza) {
            Ok(stanza) => stanza,
            Err(error) => {
                tracing::error!(jid = %session.jid, id = waiting.id.0, ?error, "a saved message cannot be read");
                return None;
            }
        };
        let mut stanza = match self.shows_id(waiting.archived) {
            true => self.with_stanza_id(&stanza, &session.jid.bare(), session.account, waiting.id),
            false => stanza,
        };
        add_delay(&mut stanza, session.jid.domain(), waiting.time);
        Some(stanza)
    }
}

/// Adds `<delay/>` by the domain, unless it added one before (messages.md, rule 17).
pub fn add_delay(stanza: &mut Stanza, domain: &str, time: u64) {
    let ours = |c: &xmpp_core::stanza::ChildRef<'_>| {
        c.name == "delay" && c.ns == ns::DELAY && c.element().attribute("from") == Some(domain)
    };
    if stanza.payload.children().any(|child| ours(&child)) {
        return;
    }
    let delay = Element::new("delay", ns::DELAY).attr("from", domain).attr("stamp", date::format_utc(time));
    stanza.payload.push(&delay);
}
