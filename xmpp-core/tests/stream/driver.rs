//! Drives a negotiation as a server does, with everything answered on the spot.

use std::collections::HashMap;
use std::sync::Arc;

use xmpp_core::sasl::{AuthError, Credentials, Mechanism, SALT_BYTES, ScramHash, ScramSecret, TlsInfo};
use xmpp_core::stream::{
    Action, Announced, Established, Fakes, Host, Hosts, Lookup, Negotiation, Settings, StartTls, Verdict,
};
use xmpp_core::{Condition, Element, Limits, Scanner, StanzaError};

/// Few, so that a test is quick.
pub const ITERATIONS: u32 = 16;
pub const EXPORTER: [u8; 32] = [9; 32];
pub const END_POINT: [u8; 32] = [5; 32];

/// The response header, with the id taken out.
pub const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' id='#' from='localhost' version='1.0' xml:lang='en'>";
pub const CLIENT_HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' to='localhost' version='1.0'>";
pub const FEATURES: &str = "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>\
    <session xmlns='urn:ietf:params:xml:ns:xmpp-session'><optional/></session>\
    <sm xmlns='urn:xmpp:sm:3'/></stream:features>";
pub const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
/// romeo, with the password "pencil".
pub const ROMEO: &str =
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AHJvbWVvAHBlbmNpbA==</auth>";

pub fn stream_error(condition: &str) -> String {
    format!(
        "<stream:error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>"
    )
}

pub fn failure(condition: &str) -> String {
    format!("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><{condition}/></failure>")
}

pub fn tls_1_3() -> TlsInfo {
    TlsInfo { version_1_3: true, exporter: Some(EXPORTER), server_end_point: Some(END_POINT.to_vec()) }
}

/// What the server is, and how it answers.
#[derive(Debug, Clone)]
pub struct Setup {
    pub start_tls: StartTls,
    /// TLS from the first byte.
    pub tls: Option<TlsInfo>,
    pub mechanisms: Vec<Mechanism>,
    pub plain_without_tls: bool,
    pub registration: bool,
    pub resumption: bool,
    pub rfc3920_error_name: bool,
    pub credentials: Credentials,
    /// What the store says instead of the truth.
    pub unavailable: bool,
    /// Accounts that may not log in.
    pub disabled: Vec<&'static str>,
    /// How binding is refused.
    pub bind_error: Option<StanzaError>,
    /// How resumption ends: `None` with success.
    pub resume_error: Option<(Condition, Option<u32>)>,
    pub limits: Announced,
}

impl Setup {
    /// Mechanisms are offered at once: the channel is protected by something that we know nothing of.
    pub fn open() -> Setup {
        Setup {
            start_tls: StartTls::Off,
            tls: None,
            mechanisms: vec![Mechanism::Plain],
            plain_without_tls: true,
            registration: false,
            resumption: true,
            rfc3920_error_name: true,
            credentials: Credentials::Secrets(ScramHash::ALL.to_vec()),
            unavailable: false,
            disabled: Vec::new(),
            bind_error: None,
            resume_error: None,
            limits: Announced::default(),
        }
    }

    /// As a server is configured if nobody configures it.
    pub fn usual() -> Setup {
        Setup {
            start_tls: StartTls::Required,
            mechanisms: Mechanism::ALL.to_vec(),
            plain_without_tls: false,
            ..Setup::open()
        }
    }

    fn settings(&self) -> Arc<Settings> {
        let host = |name: &str, credentials: &Credentials| Host {
            name: name.to_owned(),
            mechanisms: self.mechanisms.clone(),
            credentials: credentials.clone(),
            registration: self.registration,
            features: vec![Element::new("sm", "urn:xmpp:sm:3")],
        };
        Arc::new(Settings {
            hosts: Hosts::new(
                host("localhost", &self.credentials),
                [host("tokens.example", &Credentials::Verify), host("bücher.example", &self.credentials)],
            ),
            start_tls: self.start_tls,
            plain_without_tls: self.plain_without_tls,
            login_attempts: 5,
            fakes: Fakes { key: [3; 32], iterations: ITERATIONS },
            limits_before_login: self.limits,
            limits: self.limits,
            resumption: self.resumption,
            rfc3920_error_name: self.rfc3920_error_name,
        })
    }
}

pub struct Server {
    setup: Setup,
    accounts: HashMap<String, ScramSecret>,
    negotiation: Negotiation,
    scanner: Scanner,
    chance: u64,
    /// Written and not yet looked at.
    out: Vec<u8>,
    /// Ids of streams, taken out of what was written.
    pub ids: Vec<String>,
    /// What was counted and asked, in order.
    pub facts: Vec<String>,
    pub established: Option<Established>,
    pub closed: bool,
}

/// Not chance, but never twice the same.
fn chance(state: &mut u64) -> impl FnMut(&mut [u8]) + '_ {
    move |bytes| {
        for byte in bytes {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (*state >> 56) as u8;
        }
    }
}

impl Server {
    pub fn new(setup: &Setup) -> Server {
        let mut state = 1;
        let tls = setup.tls.clone();
        let negotiation = Negotiation::new(setup.settings(), tls, &mut chance(&mut state));
        Server {
            setup: setup.clone(),
            accounts: HashMap::new(),
            negotiation,
            scanner: Scanner::new(Limits::default()),
            chance: state,
            out: Vec::new(),
            ids: Vec::new(),
            facts: Vec::new(),
            established: None,
            closed: false,
        }
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        self.scanner.feed(bytes);
        self.run();
    }

    pub fn feed_by_byte(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.feed(std::slice::from_ref(byte));
        }
    }

    pub fn with(&mut self, event: impl FnOnce(&mut Negotiation)) {
        event(&mut self.negotiation);
        self.run();
    }

    /// What the server has written since the last time, with `#` for a stream's id.
    pub fn said(&mut self) -> String {
        let mut rest = String::from_utf8(std::mem::take(&mut self.out)).expect("text");
        let mut said = String::new();
        while let Some(header) = rest.find("<?xml") {
            let from = header + rest[header..].find(" id='").expect("a header has an id") + 5;
            let to = from + rest[from..].find('\'').expect("a quote ends it");
            assert!(rest[from..to].bytes().all(|byte| byte.is_ascii_digit()) && from < to, "{rest}");
            assert!(!self.ids.contains(&rest[from..to].to_owned()), "an id comes twice");
            self.ids.push(rest[from..to].to_owned());
            said.push_str(&rest[..from]);
            said.push('#');
            rest = rest[to..].to_owned();
        }
        said + &rest
    }

    /// Bytes that nobody has looked at.
    pub fn rest(&mut self) -> String {
        String::from_utf8(self.scanner.take_rest()).expect("text")
    }

    fn run(&mut self) {
        loop {
            while let Some(action) = self.negotiation.poll_action() {
                assert!(!self.closed, "nothing comes behind the end: {action:?}");
                self.act(action);
            }
            if self.closed || !self.negotiation.wants_frame() {
                return;
            }
            match self.scanner.next() {
                Ok(Some(frame)) => self.negotiation.handle_frame(frame, &mut chance(&mut self.chance)),
                Ok(None) => return,
                Err(error) => self.negotiation.handle_error(error),
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Send(bytes) => self.out.extend(bytes),
            Action::StartTls { proceed } => {
                if self.scanner.take_rest().iter().all(u8::is_ascii_whitespace) {
                    self.out.extend_from_slice(proceed);
                    self.scanner = Scanner::new(Limits::default());
                    self.negotiation.tls_established(tls_1_3());
                } else {
                    self.negotiation.handle_injection();
                }
            }
            Action::NewStream => self.scanner.reset(),
            Action::Secret { account, mechanism } => {
                self.facts.push(format!("secret of {account} for {}", mechanism.name()));
                let lookup = self.look_up(account.as_str(), mechanism);
                self.negotiation.answer_secret(lookup, &mut chance(&mut self.chance));
            }
            Action::CheckPassword(check) => {
                self.facts.push("check".to_owned());
                let verdict = if check.run() { Verdict::Right } else { Verdict::Wrong };
                self.negotiation.answer_checked(verdict);
            }
            Action::VerifyPassword { account, password } => {
                self.facts.push(format!("verify {account}"));
                self.negotiation.answer_checked(match password.as_str() {
                    "token" => Verdict::Right,
                    "old token" => Verdict::Refused(AuthError::CredentialsExpired),
                    "timeout" => Verdict::Unavailable,
                    _ => Verdict::Wrong,
                });
            }
            Action::Authenticated { account, mechanism } => {
                self.facts.push(format!("{account} by {}", mechanism.name()));
            }
            Action::AuthFailed { account, error, .. } => {
                let account = account.map_or("nobody".to_owned(), |account| account.to_string());
                self.facts.push(format!("{account}: {error}"));
            }
            Action::Register { host, request } => {
                self.facts.push(format!("register at {}", host.name));
                self.negotiation.answer_register(&request.result());
            }
            Action::Bind { jid, by_server } => match &self.setup.bind_error {
                Some(error) => self.negotiation.bind_refused(error),
                None => {
                    assert_eq!(by_server, !matches!(jid.resource(), Some("orchard" | "balcony")), "{jid}");
                    self.negotiation.bound(&jid);
                }
            },
            Action::Resume { account, resume } => {
                self.facts.push(format!("resume {} of {account} from {}", resume.previd, resume.h));
                match self.setup.resume_error {
                    Some((condition, h)) => self.negotiation.resume_failed(condition, h),
                    None => self.negotiation.resumed(),
                }
            }
            Action::Established(established) => self.established = Some(established),
            Action::Close => self.closed = true,
        }
    }

    /// Everybody whose name begins with "r" or "j" has an account here, with the password "pencil".
    fn look_up(&mut self, account: &str, mechanism: Mechanism) -> Lookup {
        if self.setup.unavailable {
            return Lookup::Unavailable;
        }
        if !account.starts_with(['r', 'j']) {
            return Lookup::Missing;
        }
        let hash = mechanism.hash().unwrap_or(ScramHash::Sha512);
        let key = format!("{account} {}", hash.name());
        let secret = self.accounts.entry(key).or_insert_with(|| {
            ScramSecret::derive(hash, "pencil", &[b's'; SALT_BYTES], ITERATIONS).expect("derives")
        });
        match self.setup.disabled.contains(&account) {
            true => Lookup::Refused { secret: secret.clone(), error: AuthError::AccountDisabled },
            false => Lookup::Found(secret.clone()),
        }
    }
}

/// A line of a transcript.
pub enum Line<'a> {
    /// The client sends this.
    C(&'a str),
    /// The server has written exactly this since the last line.
    S(&'a str),
}

pub use Line::{C, S};

/// Plays a transcript, and once more byte by byte. Gives the server of the first time.
pub fn play(setup: &Setup, lines: &[Line]) -> Server {
    let once = |by_byte: bool| {
        let mut server = Server::new(setup);
        for line in lines {
            match line {
                C(text) if by_byte => server.feed_by_byte(text.as_bytes()),
                C(text) => server.feed(text.as_bytes()),
                S(text) => assert_eq!(server.said(), **text, "byte by byte: {by_byte}"),
            }
        }
        assert_eq!(server.said(), "", "the transcript says all");
        server
    };
    let (server, slow) = (once(false), once(true));
    assert_eq!((&server.facts, server.closed), (&slow.facts, slow.closed));
    assert_eq!(server.established.is_some(), slow.established.is_some());
    server
}

/// A client that is authenticated as romeo and has no resource yet.
pub fn with_romeo(setup: &Setup, lines: &[Line]) -> Server {
    let mechanisms = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
        <mechanism>PLAIN</mechanism></mechanisms></stream:features>";
    let first = format!("{HEADER}{mechanisms}");
    let second = format!("{HEADER}{FEATURES}");
    let mut all = vec![C(CLIENT_HEADER), S(&first), C(ROMEO), S(SUCCESS), C(CLIENT_HEADER), S(&second)];
    all.extend(lines.iter().map(|line| match line {
        C(text) => C(text),
        S(text) => S(text),
    }));
    play(setup, &all)
}
