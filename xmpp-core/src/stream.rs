//! The server's side of a client's stream, from its first byte to a bound resource (RFC 6120 sections 4
//! to 7), without I/O: frames go in, [`Action`]s come out.
//!
//! Whoever drives it scans bytes into frames, passes a frame on while [`Negotiation::wants_frame`], does
//! every action in order, and answers those that ask something. Bytes behind the current frame stay in
//! the scanner meanwhile: a whole login in one segment works.
//!
//! ```text
//!                 +-- starttls: WaitTls --+
//!                 v                       |
//!  header: ExpectHeader ------------> ExpectTls            TLS is required and not there
//!                 |                       ^ optional
//!                 |-----------------> ExpectAuth <-> WaitRegister
//!                 |                    | ^
//!                 |               auth | | failure
//!                 |                    v |
//!                 |     ExpectSaslReply <-> WaitSecret, WaitCheck
//!                 |                    |
//!                 | <------------------' success
//!                 v
//!            ExpectBind <-> WaitBind, WaitResume ----> Established
//! ```
//!
//! Every state can end in `Closed`.

mod before_auth;
mod bind;
mod core;
mod features;
mod header;
mod login;
mod settings;

use std::sync::Arc;

use crate::jid::{BareJid, Jid};
use crate::sasl::{AuthError, Mechanism, Password, PasswordCheck, ScramSecret};
use crate::sm::Resume;
use crate::stanza::Stanza;
use crate::stanza_error::{Condition, StanzaError};
use crate::stream_error::{StreamCondition, StreamError};
use crate::xml::Frame;

pub use crate::sasl::TlsInfo;
pub use settings::{Announced, Fakes, Host, Hosts, Settings, StartTls};

use self::core::Core;

/// What the driver is to do, in order.
#[derive(Debug)]
pub enum Action {
    /// Write these bytes.
    Send(Vec<u8>),
    /// Look at what the scanner holds behind `<starttls/>`. More than white space: `handle_injection`,
    /// and go on with its actions. Else drop the scanner, write `proceed` in the clear, shake hands, and
    /// tell `tls_established`. A handshake that fails ends the connection without a word.
    StartTls { proceed: &'static [u8] },
    /// The stream is replaced by a new one (RFC 6120 section 4.3.3): reset the scanner, which keeps the
    /// bytes behind the last frame.
    NewStream,
    /// Look the account's secret up and tell `answer_secret`: the one of the mechanism's hash, or where
    /// that is `None` (PLAIN) any, preferably of the first hash of the host's `Credentials::Secrets`.
    Secret { account: BareJid, mechanism: Mechanism },
    /// Run this where it may take milliseconds, and tell `answer_checked`.
    CheckPassword(PasswordCheck),
    /// Ask whoever checks passwords of this account's domain, and tell `answer_checked`.
    VerifyPassword { account: BareJid, password: Password },
    /// A fact to count and to log.
    Authenticated { account: BareJid, mechanism: Mechanism },
    /// A fact to count and to log; `error.is_failed_login()` says whether limits count it.
    AuthFailed { account: Option<BareJid>, mechanism: Option<Mechanism>, error: AuthError },
    /// An IQ of `jabber:iq:register` before authentication (XEP-0077 section 3.1), to this host. Tell
    /// the reply by `answer_register`.
    Register { host: Arc<Host>, request: Stanza },
    /// Bind this resource, which the server has made up if the client named none, and tell `bound` or
    /// `bind_refused`.
    Bind { jid: Jid, by_server: bool },
    /// Find the session and tell `resumed` or `resume_failed`. It must be one of this account.
    Resume { account: BareJid, resume: Resume },
    /// The negotiation is over, and can be dropped.
    Established(Established),
    /// Close the connection when everything before this is written.
    Close,
}

/// What the negotiation leaves to the session.
#[derive(Debug, Clone)]
pub struct Established {
    /// The account; the bound full address unless a session was resumed.
    pub jid: Jid,
    pub host: Arc<Host>,
    pub mechanism: Mechanism,
    /// The stream's `xml:lang`, to be stamped on stanzas without one (RFC 6120 section 8.1.5).
    pub lang: Option<String>,
    /// A former session goes on; nothing was written, `<resumed/>` is the session's to say.
    pub resumed: bool,
}

/// What became of `Action::Secret`.
#[derive(Debug)]
pub enum Lookup {
    Found(ScramSecret),
    /// The account may not log in, which only those learn who show the right password.
    Refused {
        secret: ScramSecret,
        error: AuthError,
    },
    /// There is no such account, or none with a secret for this mechanism. The client cannot tell this
    /// from a wrong password.
    Missing,
    /// Nobody can say now: the store is away, or a limit is reached.
    Unavailable,
}

/// What became of `Action::CheckPassword` or `Action::VerifyPassword`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Right,
    Wrong,
    /// The password is right, and the account may not log in.
    Refused(AuthError),
    /// Nobody can say now.
    Unavailable,
}

/// Fills its argument with unpredictable bytes.
pub type Chance<'a> = &'a mut dyn FnMut(&mut [u8]);

/// A client's stream until it is established.
#[derive(Debug)]
pub struct Negotiation {
    core: Core,
    state: State,
}

#[derive(Debug)]
enum State {
    ExpectHeader(before_auth::ExpectHeader),
    ExpectTls(before_auth::ExpectTls),
    WaitTls,
    ExpectAuth(before_auth::ExpectAuth),
    WaitRegister(before_auth::ExpectAuth),
    ExpectSaslReply(login::Attempt),
    WaitSecret(login::Attempt),
    WaitCheck(login::Attempt),
    ExpectBind(bind::ExpectBind),
    WaitBind(bind::WaitBind),
    WaitResume(bind::ExpectBind),
    Established,
    Closed,
}

/// The next state, or the error that ends the stream.
type Transition = Result<State, StreamError>;

impl Negotiation {
    /// A connection has come; `tls` if it began with TLS.
    pub fn new(settings: Arc<Settings>, tls: Option<TlsInfo>, chance: Chance<'_>) -> Negotiation {
        let state = State::ExpectHeader(before_auth::ExpectHeader::first());
        Negotiation { core: Core::new(settings, tls, chance), state }
    }

    /// Can a frame be handled now? Not while an answer is awaited, nor when it is over.
    pub fn wants_frame(&self) -> bool {
        match self.state {
            State::ExpectHeader(_)
            | State::ExpectTls(_)
            | State::ExpectAuth(_)
            | State::ExpectSaslReply(_)
            | State::ExpectBind(_) => true,
            State::WaitTls
            | State::WaitRegister(_)
            | State::WaitSecret(_)
            | State::WaitCheck(_)
            | State::WaitBind(_)
            | State::WaitResume(_)
            | State::Established
            | State::Closed => false,
        }
    }

    /// The error that ended the stream.
    pub fn error(&self) -> Option<&StreamError> {
        self.core.error.as_ref()
    }

    /// What is to be done next; `None` until something else happens.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.core.actions.pop_front()
    }

    /// Takes the next frame, if `wants_frame`.
    pub fn handle_frame(&mut self, frame: Frame, chance: Chance<'_>) {
        if matches!(frame, Frame::Close) {
            return self.handle_eof();
        }
        self.advance(|state, core| match state {
            State::ExpectHeader(state) => state.frame(frame, core, chance),
            State::ExpectTls(state) => state.frame(frame, core),
            State::ExpectAuth(state) => state.frame(frame, core),
            State::ExpectSaslReply(state) => state.frame(frame, core),
            State::ExpectBind(state) => state.frame(frame, core, chance),
            // A driver that does not ask `wants_frame`.
            _ => Err(StreamCondition::InternalServerError.into()),
        });
    }

    /// The scanner found an error, or the driver has a reason of its own to end the stream.
    pub fn handle_error(&mut self, error: StreamError) {
        self.advance(|_, _| Err(error));
    }

    /// There was something behind `<starttls/>`. It was sent in the clear, by the client or by somebody
    /// on the way, and must not be taken for a part of the encrypted stream (RFC 6120 section 5.4.3.3).
    pub fn handle_injection(&mut self) {
        let error = StreamError::new(StreamCondition::PolicyViolation).with_text("data behind <starttls/>");
        self.handle_error(error);
    }

    /// The client closed the connection or, by `</stream:stream>`, the stream (RFC 6120 section 4.4). A
    /// connection without a word, of a load balancer that looks whether we are there, is closed without one.
    pub fn handle_eof(&mut self) {
        self.advance(|_, core| Ok(core.end()));
    }

    /// The client took too long (RFC 6120 section 4.9.3.4).
    pub fn handle_timeout(&mut self) {
        self.handle_error(StreamCondition::ConnectionTimeout.into());
    }

    pub fn handle_shutdown(&mut self) {
        self.handle_error(StreamCondition::SystemShutdown.into());
    }

    /// The handshake behind `Action::StartTls` is done. A new stream begins.
    pub fn tls_established(&mut self, tls: TlsInfo) {
        self.advance(|state, core| match state {
            State::WaitTls => {
                core.tls_established(tls);
                Ok(State::ExpectHeader(before_auth::ExpectHeader::first()))
            }
            state => Ok(state),
        });
    }

    /// Answers `Action::Secret`.
    pub fn answer_secret(&mut self, lookup: Lookup, chance: Chance<'_>) {
        self.advance(|state, core| match state {
            State::WaitSecret(attempt) => attempt.found(lookup, core, chance),
            state => Ok(state),
        });
    }

    /// Answers `Action::CheckPassword` and `Action::VerifyPassword`.
    pub fn answer_checked(&mut self, verdict: Verdict) {
        self.advance(|state, core| match state {
            State::WaitCheck(attempt) => attempt.checked(verdict, core),
            state => Ok(state),
        });
    }

    /// Answers `Action::Register`.
    pub fn answer_register(&mut self, reply: &Stanza) {
        self.advance(|state, core| match state {
            State::WaitRegister(auth) => {
                core.send_stanza(reply);
                Ok(State::ExpectAuth(auth))
            }
            state => Ok(state),
        });
    }

    /// Answers `Action::Bind`: the session is there, under this address.
    pub fn bound(&mut self, jid: &Jid) {
        self.advance(|state, core| match state {
            State::WaitBind(wait) => Ok(wait.bound(jid, core)),
            state => Ok(state),
        });
    }

    /// Answers `Action::Bind`: RFC 6120 sections 7.6.2 and 7.7.2. The client may try again.
    pub fn bind_refused(&mut self, error: &StanzaError) {
        self.advance(|state, core| match state {
            State::WaitBind(wait) => wait.refused(error, core),
            state => Ok(state),
        });
    }

    /// Answers `Action::Resume`: the session takes the connection over and says `<resumed/>` itself, when
    /// its former reader has come to rest (messages.md, rule 15).
    pub fn resumed(&mut self) {
        self.advance(|state, core| match state {
            State::WaitResume(expect) => Ok(expect.resumed(core)),
            state => Ok(state),
        });
    }

    /// Answers `Action::Resume`: `item-not-found`, with `h` for a session that timed out here, or what
    /// else is in the way. The client may bind.
    pub fn resume_failed(&mut self, condition: Condition, h: Option<u32>) {
        self.advance(|state, core| match state {
            State::WaitResume(expect) => {
                core.send(crate::sm::failed(condition, h));
                Ok(State::ExpectBind(expect))
            }
            state => Ok(state),
        });
    }

    fn advance(&mut self, step: impl FnOnce(State, &mut Core) -> Transition) {
        let state = std::mem::replace(&mut self.state, State::Closed);
        // What happens behind the end changes nothing any more.
        if matches!(state, State::Established | State::Closed) {
            self.state = state;
            return;
        }
        self.state = step(state, &mut self.core).unwrap_or_else(|error| self.core.fail(&error));
    }
}
