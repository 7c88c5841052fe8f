//! Drives a client's stream from its first byte to its session: bytes in, actions out, answers from
//! the store (the states themselves are `xmpp_core::stream`).

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use xmpp_core::sasl::{AuthError, Mechanism, Password, PasswordCheck, TlsInfo};
use xmpp_core::stream::{Action, Established, Lookup, Negotiation, Verdict};
use xmpp_core::xml::{Frame, Scanner};
use xmpp_core::{BareJid, Condition, Jid, StanzaError, StreamCondition, StreamError};

use super::admission::Permit;
use super::bind;
use super::reader::{Bucket, Reader};
use super::settings::Settings;
use super::socket::Socket;
use super::task::{Connection, Task};
use super::{C2s, buffers, chance, resume};
use crate::config::TlsMode;
use crate::passwords::Busy;
use crate::router::wait;
use crate::session::{Peer, Session};
use crate::telemetry::bound::Bound as Limit;
use crate::telemetry::labels::Login;

pub struct Negotiator {
    c2s: Arc<C2s>,
    settings: Arc<Settings>,
    socket: Arc<Socket>,
    scanner: Scanner,
    negotiation: Negotiation,
    peer: SocketAddr,
    permit: Option<Permit>,
    mechanism: Option<Mechanism>,
    /// The login under way is refused because of those that failed before it.
    limited: bool,
    /// Where the stream goes, as its header says: the certificate follows from it.
    to: Option<String>,
    /// Bytes that came so far.
    received: usize,
    outcome: Option<Outcome>,
    /// The connection is the session's now.
    handed_over: bool,
}

/// What the negotiation came to.
enum Outcome {
    Bound(Arc<Session>),
    Resumed { session: Arc<Session>, previd: String, h: u32 },
}

/// Is there more to do?
#[derive(PartialEq)]
enum Progress {
    Going,
    /// A frame, or bytes, are needed.
    Hungry,
    Over,
}

impl Negotiator {
    pub fn new(
        c2s: Arc<C2s>,
        settings: Arc<Settings>,
        socket: Socket,
        tls: Option<TlsInfo>,
        peer: SocketAddr,
        mode: TlsMode,
        permit: Option<Permit>,
    ) -> Negotiator {
        let negotiation = Negotiation::new(settings.stream(mode), tls, &mut chance);
        let scanner = Scanner::new(settings.limits);
        Negotiator {
            c2s,
            settings,
            socket: Arc::new(socket),
            scanner,
            negotiation,
            peer,
            permit,
            mechanism: None,
            limited: false,
            to: None,
            received: 0,
            outcome: None,
            handed_over: false,
        }
    }

    /// Runs until the session is there, the client is gone, or its time is over.
    pub async fn run(mut self, until: Instant) {
        let mut stopping = self.c2s.stopping.clone();
        let ended = tokio::select! {
            () = self.negotiate() => true,
            _ = tokio::time::sleep_until(until) => {
                self.c2s.router.metrics.refused(Limit::UnauthenticatedSeconds);
                self.negotiation.handle_timeout();
                false
            }
            _ = stopping.wait_for(|stopping| *stopping) => {
                self.negotiation.handle_shutdown();
                false
            }
        };
        if !ended {
            // What is left to do is a last word.
            let last = async { while self.act().await == Progress::Going {} };
            let _ = tokio::time::timeout(Duration::from_secs(2), last).await;
        }
        if let Some(error) = self.negotiation.error() {
            self.c2s.router.metrics.stream_error(error);
        }
        if !self.handed_over {
            self.socket.close();
            self.socket.linger().await;
        }
    }

    async fn negotiate(&mut self) {
        loop {
            match self.act().await {
                Progress::Going => {}
                Progress::Over => return,
                Progress::Hungry => match self.scanner.next() {
                    Ok(Some(frame)) => {
                        if let Frame::Header(header) = &frame {
                            self.to.clone_from(&header.to);
                        }
                        self.negotiation.handle_frame(frame, &mut chance);
                    }
                    Ok(None) => self.feed().await,
                    Err(error) => self.negotiation.handle_error(error),
                },
            }
        }
    }

    async fn feed(&mut self) {
        let mut buffer = buffers::read_buffer();
        let read = loop {
            match self.socket.try_read(&mut buffer) {
                Ok(read) => break read,
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(_) => break 0,
            }
            if self.socket.readable().await.is_err() {
                break 0;
            }
        };
        if read == 0 {
            return self.negotiation.handle_eof();
        }
        self.received += read;
        self.c2s.router.metrics.bytes_in(read);
        if self.received > self.settings.config.limits.unauthenticated_bytes as usize {
            self.c2s.router.metrics.refused(Limit::UnauthenticatedBytes);
            let error = StreamError::new(StreamCondition::PolicyViolation)
                .with_text("too much before authentication");
            return self.negotiation.handle_error(error);
        }
        self.scanner.feed(&buffer[..read]);
    }

    /// Does the next action.
    async fn act(&mut self) -> Progress {
        let Some(action) = self.negotiation.poll_action() else { return Progress::Hungry };
        match action {
            Action::Send(bytes) => {
                self.c2s.router.metrics.bytes_out(bytes.len());
                if self.socket.write_all(&bytes).await.is_err() {
                    return Progress::Over;
                }
            }
            Action::StartTls { proceed } => return self.start_tls(proceed).await,
            Action::NewStream => self.scanner.reset(),
            Action::Secret { account, mechanism } => {
                let lookup = self.secret(&account, mechanism).await;
                self.negotiation.answer_secret(lookup, &mut chance);
            }
            Action::CheckPassword(check) => self.check_password(check).await,
            Action::VerifyPassword { account, password } => {
                let verdict = self.verify(&account, &password).await;
                self.negotiation.answer_checked(verdict);
            }
            Action::Authenticated { account, mechanism } => self.authenticated(&account, mechanism).await,
            Action::AuthFailed { account, mechanism, error } => {
                self.failed(account, mechanism, error).await;
            }
            Action::Register { host, request } => {
                let router = self.c2s.router.clone();
                match router.answer_before_login(&request, &host.name, self.peer.ip()).await {
                    Some(reply) => self.negotiation.answer_register(&reply),
                    None => self.negotiation.handle_error(StreamCondition::NotAuthorized.into()),
                }
            }
            Action::Bind { jid, by_server } => self.bind(jid, by_server).await,
            Action::Resume { account, resume } => self.resume(&account, resume.previd, resume.h).await,
            Action::Established(established) => {
                self.established(established);
                return Progress::Over;
            }
            Action::Close => return Progress::Over,
        }
        Progress::Going
    }

    async fn start_tls(&mut self, proceed: &'static [u8]) -> Progress {
        // RFC 6120 section 5.4.3.3: nothing that came in the clear is taken for encrypted.
        if !self.scanner.take_rest().iter().all(u8::is_ascii_whitespace) {
            self.negotiation.handle_injection();
            return Progress::Going;
        }
        self.c2s.router.metrics.bytes_out(proceed.len());
        if self.socket.write_all(proceed).await.is_err() {
            return Progress::Over;
        }
        let limits = self.settings.limits;
        self.scanner = Scanner::new(limits);
        let placeholder = Arc::new(Socket::Closed);
        let Ok(stream) = std::mem::replace(&mut self.socket, placeholder).into_plain() else {
            return Progress::Over;
        };
        let within = Duration::from_secs(self.settings.config.limits.unauthenticated_seconds.into());
        match self.c2s.tls.accept(stream, self.to.as_deref(), false, within).await {
            Ok(accepted) => {
                self.socket = Arc::new(Socket::tls(accepted.socket, accepted.connection));
                self.negotiation.tls_established(accepted.info);
                Progress::Going
            }
            Err(error) => {
                tracing::debug!(peer = %self.peer, %error, "the TLS handshake failed");
                Progress::Over
            }
        }
    }

    /// Whether a login may be looked at, after those that failed.
    async fn may_log_in(&mut self, account: &BareJid) -> bool {
        let allowed = self.c2s.admission.may_log_in(self.peer.ip(), account).await;
        self.limited = allowed.is_err();
        allowed.map_err(|bound| self.c2s.router.metrics.refused(bound)).is_ok()
    }

    async fn verify(&mut self, account: &BareJid, password: &Password) -> Verdict {
        if !self.may_log_in(account).await {
            return Verdict::Unavailable;
        }
        match self.c2s.router.store.verify(account, password.as_str()).await {
            Ok(true) => Verdict::Right,
            Ok(false) => Verdict::Wrong,
            Err(_) => Verdict::Unavailable,
        }
    }

    async fn secret(&mut self, account: &BareJid, mechanism: Mechanism) -> Lookup {
        if !self.may_log_in(account).await {
            return Lookup::Unavailable;
        }
        // Nothing else is asked of the store: a second question about an account that is there would take its time.
        let (secrets, banned) = match self.c2s.router.store.secrets(account).await {
            Ok(Some(secrets)) => (secrets.by_hash, secrets.banned),
            Ok(None) => return Lookup::Missing,
            Err(_) => return Lookup::Unavailable,
        };
        let fits = |secret: &xmpp_core::sasl::ScramSecret| match mechanism.hash() {
            Some(hash) => secret.hash == hash,
            None => secret.hash == xmpp_core::sasl::ScramHash::Sha256,
        };
        match (secrets.into_iter().find(fits), banned) {
            (None, _) => Lookup::Missing,
            (Some(secret), true) => Lookup::Refused { secret, error: AuthError::AccountDisabled },
            (Some(secret), false) => Lookup::Found(secret),
        }
    }

    /// Milliseconds of hashing, off the reactor's threads.
    async fn check_password(&mut self, check: PasswordCheck) {
        let verdict = match self.c2s.passwords.run(move || check.run()).await {
            Ok(true) => Verdict::Right,
            Ok(false) => Verdict::Wrong,
            Err(Busy) => {
                self.c2s.router.metrics.refused(Limit::HashingQueue);
                Verdict::Unavailable
            }
        };
        self.negotiation.answer_checked(verdict);
    }

    async fn authenticated(&mut self, account: &BareJid, mechanism: Mechanism) {
        self.mechanism = Some(mechanism);
        self.c2s.admission.logged_in(self.peer.ip(), account).await;
        self.count(mechanism, Login::Success);
    }

    async fn failed(&mut self, account: Option<BareJid>, mechanism: Option<Mechanism>, error: AuthError) {
        tracing::info!(peer = %self.peer, ?account, ?mechanism, ?error, "a login failed");
        let result = if std::mem::take(&mut self.limited) { Login::Limited } else { outcome(error) };
        if let Some(mechanism) = mechanism {
            self.count(mechanism, result);
        }
        if error.is_failed_login() {
            self.c2s.admission.failed_login(self.peer.ip(), account.as_ref()).await;
        }
    }

    fn count(&self, mechanism: Mechanism, result: Login) {
        if let Ok(mechanism) = mechanism.name().parse() {
            self.c2s.router.metrics.login(mechanism, result);
        }
    }

    async fn bind(&mut self, jid: Jid, by_server: bool) {
        let peer = Peer {
            address: self.peer,
            encrypted: self.socket.is_encrypted(),
            mechanism: self.mechanism.map_or("", |m| m.name()),
        };
        let router = &self.c2s.router;
        let bound = match router.accounts.find(&jid.bare()).get().await {
            Ok(Some(account)) => {
                bind::bind(router, &self.settings.config, &account, jid, by_server, peer).await
            }
            // Removed since it logged in.
            Ok(None) => Err(StanzaError::new(Condition::NotAllowed)),
            Err(_) => Err(wait()),
        };
        match bound {
            Ok(session) => {
                self.negotiation.bound(&session.jid);
                self.outcome = Some(Outcome::Bound(session));
            }
            Err(error) => {
                router.metrics.stanza_error(error.condition);
                self.negotiation.bind_refused(&error);
            }
        }
    }

    async fn resume(&mut self, account: &BareJid, previd: String, h: u32) {
        match resume::find(&self.c2s.router, &self.c2s.timed_out, account, &previd).await {
            Ok(session) => {
                self.negotiation.resumed();
                self.outcome = Some(Outcome::Resumed { session, previd, h });
            }
            Err(h) => self.negotiation.resume_failed(Condition::ItemNotFound, h),
        }
    }

    /// Starts the session's task and its reader; this task is over then, and its state freed.
    fn established(&mut self, established: Established) {
        let Some(outcome) = self.outcome.take() else { return };
        self.handed_over = true;
        let generation = resume::next_generation();
        let managed = matches!(outcome, Outcome::Resumed { .. });
        let session = match outcome {
            Outcome::Bound(session) => {
                let connection = Connection { socket: self.socket.clone(), generation };
                let settings = self.settings.task.clone();
                let task = Task::new(self.c2s.clone(), session.clone(), settings, connection);
                tokio::spawn(Box::new(task).run());
                session
            }
            Outcome::Resumed { session, previd, h } => {
                session.peer.lock().address = self.peer;
                resume::attach(&session, self.socket.clone(), generation, previd, h);
                session
            }
        };
        tracing::info!(
            jid = %session.jid,
            peer = %self.peer,
            mechanism = established.mechanism.name(),
            encrypted = self.socket.is_encrypted(),
            resumed = managed,
            "session connected"
        );
        session.heard(self.c2s.router.now());
        let reader = Reader {
            router: self.c2s.router.clone(),
            stop: session.link.begin_reader(generation),
            session,
            socket: self.socket.clone(),
            scanner: std::mem::replace(&mut self.scanner, Scanner::new(self.settings.limits)),
            settings: self.settings.reader.clone(),
            generation,
            lang: established.lang.as_deref().map(Arc::from),
            managed,
            bucket: Bucket::new(self.settings.reader.rate),
            _permit: self.permit.take(),
        };
        tokio::spawn(Box::new(reader).run());
    }
}

fn outcome(error: AuthError) -> Login {
    match error {
        AuthError::Aborted => Login::Aborted,
        AuthError::AccountDisabled | AuthError::CredentialsExpired => Login::Disabled,
        AuthError::Unavailable => Login::Temporary,
        error if error.is_failed_login() => Login::NotAuthorized,
        _ => Login::Malformed,
    }
}
