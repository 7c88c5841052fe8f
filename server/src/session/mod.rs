//! A session: one resource of an account, from its bind to its end, over as many connections as it
//! takes.
//!
//! The session's task (`c2s/task.rs`) takes out of its mailbox. Everybody else puts stanzas into it and
//! never waits on it. Every idle session carries all that is here: what few need is behind a pointer.

mod ids;
mod inbound;
pub mod link;
mod lists;
mod mailbox;
mod registry;

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use cluster::SessionId;
use parking_lot::Mutex;
use tokio::sync::Notify;
use xmpp_core::sm::SmId;
use xmpp_core::{Jid, Stanza};

use crate::accounts::AccountInfo;
use crate::storage::{AccountNumber, MessageId, Millis};
use ids::Ids;
use link::Link;

pub use inbound::Inbound;
pub use mailbox::{Delivery, MailboxBounds, Put};
pub use registry::Sessions;

/// So many saved ids a session remembers as given (messages.md, rule 13).
const REMEMBERED_IDS: usize = 1024;

pub struct Session {
    pub jid: Jid,
    pub id: SessionId,
    pub account: AccountNumber,
    pub opened: Millis,
    /// Its account, replaced whenever that changes: whom it blocks and who sees its presence is asked
    /// for each presence that comes or goes. None: it cannot be told now, and nothing is shown.
    pub info: ArcSwapOption<AccountInfo>,
    /// Held while this session's presence is read or changed and told to others, so that nobody is told
    /// of an older one behind a newer one.
    pub showing: Mutex<()>,
    /// The last connection's peer and whether it is encrypted, for the operator.
    pub peer: Mutex<Peer>,
    /// Milliseconds (the clock's) at which the client last sent anything.
    last_heard: AtomicU64,
    /// Between the connection's reader and the session's task.
    pub link: Link,
    /// The stanzas on their way from the client.
    pub inbound: Inbound,
    flags: AtomicU8,
    /// Pages of an archive that wait for room in the mailbox.
    pages: AtomicU8,
    /// The id by which it can be resumed, once stream management was enabled with resumption.
    pub sm_id: OnceLock<Box<SmId>>,
    bounds: MailboxBounds,
    state: Mutex<State>,
    /// Wakes the session's task: there is mail, an end, an acknowledgement that is due, a new connection.
    pub wake: Notify,
}

#[derive(Debug, Clone)]
pub struct Peer {
    pub address: SocketAddr,
    pub encrypted: bool,
    /// `SCRAM-SHA-1-PLUS` and the like.
    pub mechanism: &'static str,
}

/// What a session has asked for. Bits, because every idle session carries them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Wants {
    /// It fetched the roster: pushes come to it (RFC 6121 section 2.2).
    Roster = 1,
    /// It fetched the block list (XEP-0191 section 3.3).
    Blocklist = 2,
    /// Carbon copies (XEP-0280).
    Carbons = 4,
    /// It has sent its first presence.
    Presence = 8,
}

/// Why a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The client closed the stream.
    Closed,
    /// The connection broke and nothing could resume it (in time).
    Lost,
    /// Another session took its full address.
    Replaced,
    /// An operator ended it.
    Kicked,
    /// Its account was removed.
    Removed,
    /// Its mailbox was full.
    Slow(Full),
    /// The client broke the protocol; the stream was told.
    Failed,
    /// The server stops.
    Shutdown,
}

/// Which bound of a mailbox is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    Stanzas,
    Bytes,
}

/// A page of an archive that waits for room in its session's mailbox.
pub struct WaitingPage(Arc<Session>);

impl Drop for WaitingPage {
    fn drop(&mut self) {
        self.0.pages.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct State {
    /// The mailbox.
    queue: VecDeque<Arc<Delivery>>,
    /// Places in it that are kept for what is being read.
    kept_places: usize,
    presence: Option<OwnPresence>,
    /// Who was sent directed presence, to be told of the end (RFC 6121 section 4.6).
    #[allow(clippy::box_collection, reason = "a pointer in every session that directs none")]
    directed: Option<Box<HashSet<Jid>>>,
    /// Saved ids that were given to this session, and those of them that it has not taken.
    given: Ids,
    held: Ids,
    backlog: Backlog,
    end: Option<End>,
    /// Why, in an operator's words.
    end_reason: Option<Box<str>>,
}

/// The presence a session broadcast last.
#[derive(Clone)]
pub struct OwnPresence {
    pub stanza: Arc<Stanza>,
    pub priority: i8,
}

/// Where a session is with what waited for its account.
#[derive(Default)]
enum Backlog {
    #[default]
    Live,
    /// What waits is being read; messages that come meanwhile stand behind it.
    /// Where the store could not be read and will be asked once more (`unread`), what is saved waits there, and
    /// only what is not passes.
    Flushing { behind: Vec<Arc<Delivery>>, again: bool, unread: bool },
}

/// Messages that may stand behind a backlog. More only wait in the store.
const BEHIND_BACKLOG: usize = 1024;

impl Session {
    pub fn new(
        jid: Jid,
        id: SessionId,
        account: AccountNumber,
        opened: Millis,
        peer: Peer,
        bounds: MailboxBounds,
    ) -> Arc<Session> {
        Arc::new(Session {
            jid,
            id,
            account,
            opened,
            info: ArcSwapOption::empty(),
            showing: Mutex::new(()),
            peer: Mutex::new(peer),
            last_heard: AtomicU64::new(opened),
            link: Link::default(),
            inbound: Inbound::default(),
            flags: AtomicU8::new(0),
            pages: AtomicU8::new(0),
            sm_id: OnceLock::new(),
            bounds,
            state: Mutex::default(),
            wake: Notify::new(),
        })
    }

    pub fn wants(&self, what: Wants) -> bool {
        self.flags.load(Ordering::Relaxed) & what as u8 != 0
    }

    pub fn set_wants(&self, what: Wants, wanted: bool) {
        match wanted {
            true => self.flags.fetch_or(what as u8, Ordering::Relaxed),
            false => self.flags.fetch_and(!(what as u8), Ordering::Relaxed),
        };
    }

    /// A page is about to wait for room in the mailbox; not where `limit` of them do.
    pub fn begin_page(self: &Arc<Self>, limit: u8) -> Option<WaitingPage> {
        let more = |pages: u8| (pages < limit).then_some(pages + 1);
        let begun = self.pages.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        begun.is_ok().then(|| WaitingPage(self.clone()))
    }

    /// The presence it broadcast last; `None` before its first and behind an unavailable one.
    pub fn presence(&self) -> Option<OwnPresence> {
        self.state.lock().presence.clone()
    }

    pub fn set_presence(&self, presence: Option<OwnPresence>) {
        self.state.lock().presence = presence;
    }

    pub fn is_available(&self) -> bool {
        self.state.lock().presence.is_some()
    }

    /// Remembers (or forgets) that `to` was sent directed presence. False when `limit` are remembered.
    pub fn set_directed(&self, to: &Jid, available: bool, limit: usize) -> bool {
        let mut state = self.state.lock();
        if !available {
            state.directed.as_mut().map(|d| d.remove(to));
            return true;
        }
        let directed = state.directed.get_or_insert_default();
        directed.contains(to) || (directed.len() < limit && directed.insert(to.clone()))
    }

    pub fn has_directed(&self, to: &Jid) -> bool {
        self.state.lock().directed.as_ref().is_some_and(|d| d.contains(to))
    }

    /// Forgets those of them that `which` names, and says which these are.
    pub fn forget_directed(&self, which: impl Fn(&Jid) -> bool) -> Vec<Jid> {
        let mut state = self.state.lock();
        let Some(directed) = state.directed.as_mut() else { return Vec::new() };
        directed.extract_if(|jid| which(jid)).collect()
    }

    /// Whom it sent directed presence, forgotten by this.
    pub fn take_directed(&self) -> Vec<Jid> {
        self.state.lock().directed.take().map(|d| d.into_iter().collect()).unwrap_or_default()
    }

    /// Ends the session: nothing is put into it any more, its task disposes of what is in it.
    /// The first reason stands. True when this call ended it.
    pub fn end(&self, end: End) -> bool {
        let ended = {
            let mut state = self.state.lock();
            let first = state.end.is_none();
            state.end.get_or_insert(end);
            first
        };
        self.wake_for_end();
        ended
    }

    /// Ends it for an operator, whose reason the client is told.
    pub fn kick(&self, reason: Option<&str>) -> bool {
        {
            let mut state = self.state.lock();
            if state.end.is_none() {
                state.end_reason = reason.map(Box::from);
            }
        }
        self.end(End::Kicked)
    }

    /// The reason that `kick` was given.
    pub fn end_reason(&self) -> Option<String> {
        self.state.lock().end_reason.as_deref().map(str::to_owned)
    }

    pub fn ended(&self) -> Option<End> {
        self.state.lock().end
    }

    pub fn last_heard(&self) -> Millis {
        self.last_heard.load(Ordering::Relaxed)
    }

    pub fn heard(&self, now: Millis) {
        self.last_heard.store(now, Ordering::Relaxed);
    }

    /// Does it hold this saved message, given and not yet taken?
    pub fn holds(&self, id: MessageId) -> bool {
        self.state.lock().held.contains(id)
    }
}
