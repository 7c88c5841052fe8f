//! A page of an archive: its messages one after the other, then where it lies (XEP-0313 sections 4.2, 4.3).

use std::sync::Arc;

use xmpp_core::{Element, Payload, Stanza, StanzaError, Type, date, ns};

use super::Mam;
use super::query::{Page, Query, Reader, is_with};
use crate::accounts::AccountInfo;
use crate::router::hooks::{Iq, IqResult};
use crate::router::{Router, stanza_error};
use crate::session::{Delivery, Put, Session};
use crate::storage::archive::{End, Filter};
use crate::storage::{AccountNumber, MessageId, Saved};

/// Messages read from the store at a time.
const CHUNK: usize = 50;
/// A page ends when it has so many bytes, or when so many messages were looked at for it.
const PAGE_BYTES: usize = 1 << 20;
const LOOKED_AT: usize = 5_000;
/// Pages of one session that wait for room in its mailbox. They are all that it can make the server hold.
const PAGES_AT_A_TIME: u8 = 4;
/// What matches is counted to here, and only when that is asked for.
const COUNT: u64 = 10_000;

/// What was read for a page, in the order of reading.
#[derive(Default)]
struct Found {
    messages: Vec<(Saved, Stanza)>,
    /// There is nothing more behind it.
    complete: bool,
    /// Where reading stopped.
    last: Option<MessageId>,
}

impl Mam {
    pub(super) async fn query(&self, account: &AccountInfo, iq: &Iq<'_>, router: &Arc<Router>) -> IqResult {
        let session = iq.session.ok_or_else(StanzaError::service_unavailable)?;
        let query = Reader { account, ids: &router.stanza_ids }.read(&iq.query)?;
        let owner = account.number;
        if !all_archived(owner, &query.named, router).await? {
            return Err(StanzaError::item_not_found());
        }
        let max = {
            let mam = &self.live.load().modules.mam;
            query.page.max.unwrap_or(mam.default_page as usize).min(mam.max_page as usize)
        };
        let filter = on_page(&query);
        if max == 0 {
            let count = router.store.count_archived(owner, &query.filter, COUNT).await;
            let count = count.map_err(|error| stanza_error(&error))?;
            return Ok(Some(fin(count == 0, set(None, Some(count)))));
        }
        let mut found = read(account, &query, filter, max, router).await?;
        if query.page.end() == End::Newest {
            found.messages.reverse();
        }
        let id = |message: &(Saved, Stanza)| router.stanza_ids.encode(owner, message.0.id);
        let edges = found.messages.first().map(id).zip(found.messages.last().map(id));
        // Where nothing of what was looked at matches, the client goes on from there.
        let stopped = found.last.filter(|_| !found.complete).map(|id| router.stanza_ids.encode(owner, id));
        let edges = edges.or_else(|| stopped.clone().zip(stopped));
        let whole = found.complete && query.page.after.is_none() && query.page.before.flatten().is_none();
        let count = whole.then_some(found.messages.len() as u64);
        if query.flipped {
            found.messages.reverse();
        }
        let fin = fin(found.complete, set(edges, count));
        let results = results(session, account, &query, found.messages, router).await;
        send(iq, session, results, fin).await
    }
}

/// Section 4.1.3.
async fn all_archived(owner: AccountNumber, ids: &[MessageId], router: &Router) -> Result<bool, StanzaError> {
    if ids.is_empty() {
        return Ok(true);
    }
    let filter = Filter { ids: Some(ids.to_vec()), ..Filter::default() };
    let found = router.store.count_archived(owner, &filter, ids.len() as u64).await;
    Ok(found.map_err(|error| stanza_error(&error))? == ids.len() as u64)
}

/// What matches, within the bounds of the page.
fn on_page(query: &Query) -> Filter {
    let Page { after, before, .. } = &query.page;
    Filter {
        after: query.filter.after.max(*after),
        before: query.filter.before.into_iter().chain(before.flatten()).min(),
        ..query.filter.clone()
    }
}

async fn read(
    account: &AccountInfo,
    query: &Query,
    mut filter: Filter,
    max: usize,
    router: &Router,
) -> Result<Found, StanzaError> {
    let mut found = Found::default();
    let (mut bytes, mut looked_at) = (0, 0);
    let end = query.page.end();
    loop {
        // One more than wanted says whether there is more.
        let limit = CHUNK.min(max + 1 - found.messages.len());
        let page = router.store.archived(account.number, &filter, end, limit).await;
        let mut page = page.map_err(|error| stanza_error(&error))?;
        let there_is_more = page.len() == limit;
        looked_at += page.len();
        if end == End::Newest {
            page.reverse();
        }
        for message in page {
            if found.messages.len() == max || bytes >= PAGE_BYTES {
                return Ok(found);
            }
            found.last = Some(message.id);
            let stanza = match Stanza::read(&message.stanza) {
                Ok(stanza) => stanza,
                Err(error) => {
                    tracing::error!(jid = %account.jid, id = message.id.0, ?error, "an archived message cannot be read");
                    continue;
                }
            };
            let matches = |with| is_with(with, &stanza.from, &stanza.to, &account.jid);
            if query.with.as_ref().is_none_or(matches) {
                bytes += message.stanza.len();
                found.messages.push((message, stanza));
            }
        }
        if !there_is_more {
            found.complete = true;
            return Ok(found);
        }
        if looked_at >= LOOKED_AT {
            return Ok(found);
        }
        match end {
            End::Oldest => filter.after = found.last,
            End::Newest => filter.before = found.last,
        }
    }
}

/// Section 4.2: the results, and the answer behind them. What has no room in the session's mailbox waits
/// for it while the client's next stanzas are read, be it for the acknowledgements that make room.
async fn send(iq: &Iq<'_>, session: &Arc<Session>, results: Vec<Arc<Delivery>>, fin: Element) -> IqResult {
    let mut results = results.into_iter();
    while let Some(result) = results.next() {
        match session.put_if_room(&result) {
            Some(Put::Put) => {}
            Some(Put::Gone | Put::Full) => return Err(StanzaError::service_unavailable()),
            None => {
                let Some(waiting) = session.begin_page(PAGES_AT_A_TIME) else {
                    let text = "read the results of the other queries first";
                    return Err(StanzaError::resource_constraint_wait().with_text(text));
                };
                let session = session.clone();
                iq.answer_later(async move {
                    let _waiting = waiting;
                    for result in std::iter::once(result).chain(results) {
                        if session.put_waiting(result).await == Put::Gone {
                            return Err(StanzaError::service_unavailable());
                        }
                    }
                    Ok(Some(fin))
                });
                return Ok(None);
            }
        }
    }
    Ok(Some(fin))
}

/// The messages as results, each a stanza of its own.
async fn results(
    session: &Session,
    account: &AccountInfo,
    query: &Query,
    messages: Vec<(Saved, Stanza)>,
    router: &Router,
) -> Vec<Arc<Delivery>> {
    // What still waits for the account is taken with its result, and not given a second time
    // (messages.md, rule 10).
    let waits = router.store.count_waiting(account.number).await.map_or(true, |count| count > 0);
    let results = messages.into_iter().map(|(message, stanza)| {
        let id = router.stanza_ids.encode(account.number, message.id);
        let result = Stanza::message(Type::None).with_from(account.jid.jid()).with_to(session.jid.clone());
        let result = Stanza { payload: wrapped(query, &id, message.time, &stanza), ..result };
        Arc::new(Delivery::result(result, router.now(), waits.then_some(message.id)))
    });
    results.collect()
}

fn wrapped(query: &Query, id: &str, time: u64, stanza: &Stanza) -> Payload {
    let attributes =
        Element::new("result", ns::MAM).attr_opt("queryid", query.queryid.as_deref()).attr("id", id);
    let delay = Element::new("delay", ns::DELAY).attr("stamp", date::format_utc(time));
    let forwarded = Element::new("forwarded", ns::FORWARD).child(delay);
    let (result, forwarded) = (attributes.to_xml(), forwarded.to_xml());
    let mut xml = Vec::with_capacity(stanza.payload.len_bytes() + 600);
    // The one is empty and ends with its tag, the other ends with its own.
    xml.extend_from_slice(result.trim_end_matches("/>").as_bytes());
    xml.extend_from_slice(b">");
    xml.extend_from_slice(forwarded.trim_end_matches("</forwarded>").as_bytes());
    stanza.write_in(ns::CLIENT, &mut xml);
    xml.extend_from_slice(b"</forwarded></result>");
    let mut payload = Payload::empty();
    payload.push_raw(&xml);
    payload
}

/// Section 4.3.1.
fn fin(complete: bool, set: Element) -> Element {
    Element::new("fin", ns::MAM).attr_opt("complete", complete.then_some("true")).child(set)
}

fn set(edges: Option<(String, String)>, count: Option<u64>) -> Element {
    let mut set = Element::new("set", ns::RSM);
    if let Some((first, last)) = edges {
        set.push(Element::new("first", ns::RSM).text(&first));
        set.push(Element::new("last", ns::RSM).text(&last));
    }
    if let Some(count) = count {
        set.push(Element::new("count", ns::RSM).text(&count.to_string()));
    }
    set
}
