//! The places where a module takes part in a stanza's way: six traits, and what their answers mean.
//!
//! The order in which modules are called is the order of lines in `modules/mod.rs`.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::time::Instant;
use xmpp_core::{BareJid, Element, Jid, Stanza, StanzaError};

use crate::accounts::AccountInfo;
use crate::router::Router;
use crate::session::{Delivery, Session};
use crate::storage::{AccountNumber, Fut, MessageId, Millis, Owner, Peer, Role};

/// A hook's answer: mostly at once, and only where a store must be asked, later.
pub enum Answer<'a, T> {
    Now(T),
    Later(Fut<'a, T>),
}

impl<'a, T> Answer<'a, T> {
    pub fn later(future: impl Future<Output = T> + Send + 'a) -> Answer<'a, T> {
        Answer::Later(Box::pin(future))
    }

    pub fn get(self) -> Awaited<'a, T> {
        Awaited(Some(self))
    }
}

/// An answer that is waited for. By hand, since every stanza asks every hook: the compiler makes nothing of
/// an answer that is there at once, and a call and a state of an `async fn`.
pub struct Awaited<'a, T>(Option<Answer<'a, T>>);

impl<T: Unpin> Future for Awaited<'_, T> {
    type Output = T;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        match self.0.take() {
            Some(Answer::Now(value)) => Poll::Ready(value),
            Some(Answer::Later(mut future)) => {
                let polled = future.as_mut().poll(context);
                if polled.is_pending() {
                    self.0 = Some(Answer::Later(future));
                }
                polled
            }
            // It was there before: nobody asks twice.
            None => Poll::Pending,
        }
    }
}

/// What a guard, a stamp or a record says of a stanza.
#[derive(Debug)]
pub enum Verdict {
    Pass,
    /// The module has done all that is to be done with it; it goes no further.
    Done,
    /// It ends here in silence.
    Drop,
    /// It ends here, and its sender is told (never for an error, RFC 6120 section 8.3.1).
    Refuse(StanzaError),
}

/// Who brought a stanza to the router.
#[derive(Clone)]
pub enum Sender {
    /// A client's session on this node.
    Session(Arc<Session>),
    /// The server itself, or the operator through it, in the name of `stanza.from`.
    Server,
}

/// A stanza on its way through SENT and ARRIVED.
pub struct Letter {
    pub stanza: Stanza,
    pub sender: Sender,
    /// The sender's account where it is one of ours.
    pub sender_account: Option<Arc<AccountInfo>>,
    /// The recipient's account, from ARRIVED on, where it is one of ours.
    pub recipient: Option<Arc<AccountInfo>>,
    /// Who will own it once it is saved; nobody: it is not saved.
    pub owners: SmallVec<[Owner; 2]>,
    /// When it came.
    pub time: Millis,
    /// The same, to measure how long its way takes.
    pub came: Instant,
    /// What a hook holds for it until its fate is decided.
    pub place: Option<Box<dyn Send + Sync>>,
    /// Its id, once it is saved.
    pub saved: Option<MessageId>,
}

impl Letter {
    pub fn new(stanza: Stanza, sender: Sender, time: Millis) -> Letter {
        Letter {
            stanza,
            sender,
            sender_account: None,
            recipient: None,
            owners: SmallVec::new(),
            time,
            came: Instant::now(),
            place: None,
            saved: None,
        }
    }

    /// What the message is to an account, which becomes an owner of it by this.
    pub fn owner(&mut self, account: AccountNumber) -> &mut Owner {
        let at = match self.owners.iter().position(|owner| owner.account == account) {
            Some(at) => at,
            None => {
                self.owners.push(Owner { account, role: Role::default(), peer: Peer::default() });
                self.owners.len() - 1
            }
        };
        &mut self.owners[at]
    }

    /// What it is to its recipient, where that keeps it.
    pub fn recipients(&self) -> Option<&Owner> {
        let recipient = self.recipient.as_ref()?.number;
        self.owners
            .iter()
            .find(|owner| owner.account == recipient && (owner.role.waits || owner.role.archived))
    }

    /// The sender's archive and the message's id in it, once it is saved there.
    pub fn in_senders_archive(&self) -> Option<(AccountNumber, MessageId)> {
        let sender = self.sender_account.as_ref()?.number;
        let own = self.owners.iter().find(|owner| owner.account == sender && owner.role.sent)?;
        self.saved.map(|id| (own.account, id))
    }

    pub fn session(&self) -> Option<&Arc<Session>> {
        match &self.sender {
            Sender::Session(session) => Some(session),
            Sender::Server => None,
        }
    }
}

/// Called once per stanza of a local sender, where it entered.
pub trait OnSent: Send + Sync {
    fn on_sent<'a>(&'a self, letter: &'a mut Letter, router: &'a Arc<Router>) -> Answer<'a, Verdict>;
}

/// Called once per stanza to a served domain, where it entered, behind SENT.
pub trait OnArrived: Send + Sync {
    fn on_arrived<'a>(&'a self, letter: &'a mut Letter, router: &'a Arc<Router>) -> Answer<'a, Verdict>;
}

/// A message that was given to the sessions of this node.
pub struct Delivered<'a> {
    /// As its recipients got it, the recipient's stanza-id included.
    pub stanza: &'a Stanza,
    /// As it was sent.
    pub sent: &'a Stanza,
    pub saved: Option<MessageId>,
    /// Where its sender's archive has it.
    pub in_senders_archive: Option<(AccountNumber, MessageId)>,
    pub time: Millis,
    /// The local account it was addressed to, if it was one of ours.
    pub recipient: Option<&'a BareJid>,
    /// The session that sent it, if it came from one.
    pub sender: Option<&'a Arc<Session>>,
    /// What these were given; none where it went to nobody but the sender's own.
    pub original: Option<&'a Arc<Delivery>>,
    /// Those that were given the original.
    pub given: &'a [Arc<Session>],
}

/// Called once per message that was delivered (or that nobody took), before the next is delivered.
/// Synchronous: it never touches a store.
pub trait OnDelivered: Send + Sync {
    fn on_delivered(&self, delivered: &Delivered<'_>, router: &Arc<Router>);
}

/// Called for a message that no session took, behind its save.
pub trait OnAbsent: Send + Sync {
    fn on_absent(&self, stanza: &Stanza, router: &Arc<Router>);
}

/// A session's life.
pub trait OnSession: Send + Sync {
    /// Bound, before the client is told.
    fn on_bound<'a>(&'a self, _session: &'a Arc<Session>, _router: &'a Arc<Router>) -> Answer<'a, ()> {
        Answer::Now(())
    }
    /// It has become available: its first presence, or the first one behind an unavailable one, has been
    /// shown to those who see it.
    fn on_available<'a>(&'a self, _session: &'a Arc<Session>, _router: &'a Arc<Router>) -> Answer<'a, ()> {
        Answer::Now(())
    }
    /// It is gone for good, and still in the session table: who takes its address over waits for this,
    /// so that no news of the old one comes behind news of the new one (behaviour 30).
    fn on_ending<'a>(&'a self, _session: &'a Arc<Session>, _router: &'a Arc<Router>) -> Answer<'a, ()> {
        Answer::Now(())
    }
    /// It is gone for good, and out of the session table; its queues are not yet disposed of.
    fn on_ended<'a>(&'a self, _session: &'a Arc<Session>, _router: &'a Arc<Router>) -> Answer<'a, ()> {
        Answer::Now(())
    }
}

/// An IQ get or set for the server or for an account of ours.
pub struct Iq<'a> {
    pub stanza: &'a Stanza,
    /// The asker's full address (or another server's entity).
    pub from: &'a Jid,
    pub target: Target,
    /// `set` or `get`.
    pub is_set: bool,
    /// The one child, parsed.
    pub query: Element,
    /// The asker's session, if it is one of this node.
    pub session: Option<&'a Arc<Session>>,
    /// See [`Iq::then`].
    pub behind: Mutex<Option<Fut<'static, ()>>>,
    /// See [`Iq::answer_later`].
    pub later: Mutex<Option<Fut<'static, IqResult>>>,
}

/// For whom an IQ is.
#[derive(Debug, Clone)]
pub enum Target {
    /// A served domain.
    Server(String),
    /// A service of the served domain that is named here; only what the service itself answers comes so.
    Service(String),
    /// An account of the asker's own: `to` is none or the own bare address.
    Own(Arc<AccountInfo>),
    /// Another's account, which exists.
    Other { account: Arc<AccountInfo>, subscribed: bool },
    /// An address of a served domain that no account has. Answer as for an account that does not
    /// want to be seen (behaviour 136: `service-unavailable`, `disco#items` empty).
    Nobody(BareJid),
}

impl Iq<'_> {
    /// For what can only be asked and not be set.
    pub fn is_get(&self) -> Result<(), StanzaError> {
        if self.is_set { Err(StanzaError::not_allowed()) } else { Ok(()) }
    }

    /// The asker's own account, for what nobody else may see or change: `error` for all others, so
    /// that it does not show whose account exists.
    pub fn own(&self, error: StanzaError) -> Result<&Arc<AccountInfo>, StanzaError> {
        match &self.target {
            Target::Own(account) => Ok(account),
            _ => Err(error),
        }
    }

    /// The answer takes until its asker reads on: the asker's next stanza is not to wait for it, which may
    /// be the acknowledgement that makes room. What the hook itself returns is then of no account.
    pub fn answer_later(&self, answer: impl Future<Output = IqResult> + Send + 'static) {
        *self.later.lock() = Some(Box::pin(answer));
    }

    /// To be done once the answer is in the asker's mailbox, and before its next stanza is read.
    pub fn then(&self, what: impl Future<Output = ()> + Send + 'static) {
        *self.behind.lock() = Some(Box::pin(what));
    }
}

pub type IqResult = Result<Option<Element>, StanzaError>;

/// Answers the IQs of a namespace. The engine makes the reply of what is returned, so that none goes
/// unanswered.
pub trait AnswerIq: Send + Sync {
    fn answer<'a>(&'a self, iq: &'a Iq<'a>, router: &'a Arc<Router>) -> Answer<'a, IqResult>;
}

/// A client that has not authenticated and wants an account.
pub struct Registrant<'a> {
    /// The domain of the stream.
    pub domain: &'a str,
    pub address: IpAddr,
    /// `set` or `get`.
    pub is_set: bool,
    /// The `<query/>` of `jabber:iq:register`.
    pub query: Element,
}

/// Makes accounts for clients that have none (XEP-0077 section 3.1.1).
pub trait RegisterAccount: Send + Sync {
    fn register<'a>(&'a self, registrant: &'a Registrant<'a>, router: &'a Arc<Router>) -> Fut<'a, IqResult>;
}
