//! In-band registration (XEP-0077): accounts for those who have none, a new password, and an end. Off
//! unless the operator wants it; so many accounts from one address, and no more.

mod form;

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;

use ahash::RandomState;
use arc_swap::ArcSwap;
use lru::LruCache;
use parking_lot::Mutex;
use xmpp_core::{BareJid, Condition, Element, ErrorType, Jid, Stanza, StanzaError, Type, ns};

use crate::config::{Config, Limit};
use crate::directory::{Directory, DirectoryError};
use crate::host::{HostBuilder, Module, Scope};
use crate::router::hooks::{Answer, AnswerIq, Iq, IqResult, RegisterAccount, Registrant, Target};
use crate::router::{Router, stanza_error, wait};
use crate::session::Delivery;
use crate::storage::{Fut, Millis};
use crate::telemetry::bound::Bound;

/// Addresses whose registrations are counted; the one that tried least recently is forgotten for more.
const ADDRESSES: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");
/// For each account that an address may make it may try so many names. A refused name tells that
/// somebody has it, so that tries have a bound too.
const TRIES_PER_ACCOUNT: u64 = 10;

pub struct Register {
    live: Arc<ArcSwap<Config>>,
    directory: Arc<Directory>,
    /// A plain lock: nothing waits under it.
    counts: Mutex<LruCache<IpAddr, Count, RandomState>>,
}

/// What came from one address since a time.
struct Count {
    since: Millis,
    made: u64,
    tried: u64,
}

/// What an IQ set asks for.
enum Request {
    Remove,
    /// Either may be missing, or empty, which is the same.
    Account {
        username: Option<String>,
        password: Option<String>,
    },
}

impl Register {
    pub fn new(live: Arc<ArcSwap<Config>>, directory: Arc<Directory>) -> Register {
        let counts = Mutex::new(LruCache::with_hasher(ADDRESSES, RandomState::new()));
        Register { live, directory, counts }
    }
}

impl Module for Register {
    fn name(&self) -> &'static str {
        "register"
    }

    fn install(self: Arc<Self>, host: &mut HostBuilder) {
        host.feature(ns::REGISTER, Scope::Both);
        host.register(self.clone());
        host.answer_iq(ns::REGISTER, Scope::Both, self);
    }
}

/// Before authentication (section 3.1).
impl RegisterAccount for Register {
    fn register<'a>(&'a self, registrant: &'a Registrant<'a>, router: &'a Arc<Router>) -> Fut<'a, IqResult> {
        Box::pin(async move {
            match registrant.is_set {
                false => Ok(Some(fields())),
                true => self.make(registrant, router).await.map(|()| None),
            }
        })
    }
}

impl Register {
    async fn make(&self, registrant: &Registrant<'_>, router: &Arc<Router>) -> Result<(), StanzaError> {
        let (username, password) = match Request::read(&registrant.query)? {
            // Section 3.2: there is nobody yet who could be removed.
            Request::Remove => return Err(StanzaError::unexpected_request()),
            Request::Account { username: Some(username), password: Some(password) } => (username, password),
            // Section 3.1: MUST.
            Request::Account { .. } => return Err(StanzaError::not_acceptable()),
        };
        let jid = self.directory.address(&username, registrant.domain).map_err(|error| refusal(&error))?;
        if let Err(error) = self.count_try(registrant.address, router.now()) {
            router.metrics.refused(Bound::RegistrationsPerAddress);
            return Err(error);
        }
        let created = self.directory.create(&jid, &password).await;
        if let Err(error) = created {
            self.uncount(registrant.address);
            return Err(refusal(&error));
        }
        tracing::info!(%jid, address = %registrant.address, "registered in band");
        self.welcome(&jid, router).await;
        Ok(())
    }

    /// A place is taken before the account is made, so that many at a time cannot slip through.
    fn count_try(&self, address: IpAddr, now: Millis) -> Result<(), StanzaError> {
        let config = self.live.load();
        let settings = &config.modules.register;
        let Limit::AtMost(most) = settings.registrations_per_address else { return Ok(()) };
        let window = u64::from(settings.registrations_per_address_seconds) * 1000;
        let mut counts = self.counts.lock();
        let count = counts.get_or_insert_mut(network(address), || Count { since: now, made: 0, tried: 0 });
        if now.saturating_sub(count.since) >= window {
            *count = Count { since: now, made: 0, tried: 0 };
        }
        if count.made >= most || count.tried >= most.saturating_mul(TRIES_PER_ACCOUNT) {
            let error = StanzaError::new(Condition::ResourceConstraint).with_type(ErrorType::Wait);
            return Err(error.with_text("too many accounts are made from your address; try again later"));
        }
        count.made += 1;
        count.tried += 1;
        Ok(())
    }

    /// No account was made of the place that was taken.
    fn uncount(&self, address: IpAddr) {
        if let Some(count) = self.counts.lock().get_mut(&network(address)) {
            count.made = count.made.saturating_sub(1);
        }
    }

    async fn welcome(&self, jid: &BareJid, router: &Arc<Router>) {
        let text = self.live.load().modules.register.welcome_message.clone();
        if text.is_empty() {
            return;
        }
        let Ok(domain) = Jid::new(None, jid.domain(), None) else { return };
        let body = Element::new("body", ns::CLIENT).text(&text);
        router.send(Stanza::message(Type::None).with_from(domain).with_to(jid.jid()).with_child(&body)).await;
    }
}

/// Behind authentication: the account's own, asked of its domain or of itself.
impl AnswerIq for Register {
    fn answer<'a>(&'a self, iq: &'a Iq<'a>, router: &'a Arc<Router>) -> Answer<'a, IqResult> {
        let of_its_own = match &iq.target {
            Target::Server(domain) => domain == iq.from.domain() && iq.session.is_some(),
            Target::Own(_) => true,
            Target::Other { .. } | Target::Nobody(_) | Target::Service(_) => false,
        };
        if !of_its_own {
            return Answer::Now(Err(StanzaError::service_unavailable()));
        }
        let jid = iq.from.bare();
        if !iq.is_set {
            return Answer::Now(Ok(Some(registered(&jid))));
        }
        match Request::read(&iq.query) {
            Err(error) => Answer::Now(Err(error)),
            Ok(Request::Remove) => Answer::later(self.remove(jid, iq, router)),
            Ok(Request::Account { username: Some(username), password: Some(password) }) => {
                Answer::later(self.change_password(jid, username, password))
            }
            // Section 3.3: a password is never changed to nothing.
            Ok(Request::Account { .. }) => Answer::Now(Err(StanzaError::bad_request())),
        }
    }
}

impl Register {
    async fn change_password(&self, jid: BareJid, username: String, password: String) -> IqResult {
        // Nobody makes a second account, or touches another's, from within a session.
        if BareJid::new(Some(&username), jid.domain()).as_ref() != Ok(&jid) {
            return Err(StanzaError::not_allowed());
        }
        let changed = self.directory.change_password(&jid, &password).await;
        changed.map(|()| None).map_err(|error| refusal(&error))
    }

    /// Section 3.2: the result, and then `not-authorized` ends every session of the account.
    async fn remove(&self, jid: BareJid, iq: &Iq<'_>, router: &Router) -> IqResult {
        let answer = || {
            if let Some(session) = iq.session {
                session.put(Arc::new(Delivery::new(iq.stanza.result(), router.now())));
            }
        };
        // The engine's own answer comes when the session has ended.
        self.directory.remove_and(&jid, answer).await.map(|()| None).map_err(|error| refusal(&error))
    }
}

impl Request {
    fn read(query: &Element) -> Result<Request, StanzaError> {
        if !query.is("query", ns::REGISTER) {
            return Err(StanzaError::bad_request());
        }
        if query.find("remove", ns::REGISTER).is_some() {
            // Section 3.2: it is the only child.
            let alone = query.elements().count() == 1;
            return if alone { Ok(Request::Remove) } else { Err(StanzaError::bad_request()) };
        }
        // Section 4: the form goes before the fields.
        if let Some(form) = query.find("x", ns::DATA_FORMS) {
            return form::read(form);
        }
        let text = |name| query.find(name, ns::REGISTER).map(Element::content);
        Ok(Request::account(text("username"), text("password")))
    }

    fn account(username: Option<String>, password: Option<String>) -> Request {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        Request::Account { username: given(username), password: given(password) }
    }
}

const INSTRUCTIONS: &str = "Choose a user name and a password.";

/// What somebody without an account is to tell (section 3.1), in fields and as a form for those who know
/// data forms (section 4).
fn fields() -> Element {
    let field = |name| Element::new(name, ns::REGISTER);
    Element::new("query", ns::REGISTER)
        .child(field("instructions").text(INSTRUCTIONS))
        .child(field("username"))
        .child(field("password"))
        .child(form::empty(INSTRUCTIONS))
}

/// What is on file: the name, which the asker knows, and no password, which nobody knows.
fn registered(jid: &BareJid) -> Element {
    let field = |name| Element::new(name, ns::REGISTER);
    Element::new("query", ns::REGISTER)
        .child(field("registered"))
        .child(field("username").text(jid.local().unwrap_or_default()))
        .child(field("password"))
}

fn refusal(error: &DirectoryError) -> StanzaError {
    match error {
        DirectoryError::Exists(_) => StanzaError::conflict(),
        DirectoryError::NoAddress(_) | DirectoryError::BadPassword => {
            StanzaError::not_acceptable().with_text(error.to_string())
        }
        DirectoryError::Missing(_) => StanzaError::registration_required(),
        DirectoryError::NotServed(_) => StanzaError::service_unavailable(),
        DirectoryError::KeptElsewhere(_) => StanzaError::not_allowed(),
        DirectoryError::Busy => wait(),
        DirectoryError::Store(error) => stanza_error(error),
    }
}

/// Who has one IPv6 address has all of its /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests;
