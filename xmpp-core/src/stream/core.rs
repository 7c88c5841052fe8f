//! What all states of a negotiation share: where actions are put, and how a stream begins and ends.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::ns;
use crate::sasl::{AuthError, TlsInfo};
use crate::stanza::Stanza;
use crate::stream::header::ResponseHeader;
use crate::stream::{Action, Chance, Settings, State};
use crate::stream_error::{Exceeded, StreamCondition, StreamError};
use crate::xml::element::Element;

/// Exchanges of any outcome for each login that may fail, those included that are not counted as failures.
const EXCHANGES_PER_LOGIN: u32 = 4;
/// Refused binds on one stream (RFC 6120 section 7.7.3: 5 to 10).
const BINDS_MAX: u32 = 10;
/// Answers to what is out of place but does no harm: registration, elements that come too early.
const ASIDES_MAX: u32 = 30;

#[derive(Debug)]
pub(super) struct Core {
    pub settings: Arc<Settings>,
    pub tls: Option<TlsInfo>,
    pub actions: VecDeque<Action>,
    /// What the next response header says.
    pub greeting: ResponseHeader,
    /// The id of the next stream. Drawn ahead, so that a stream can be ended without chance at hand.
    next_id: u64,
    /// The response header of this stream is written.
    is_open: bool,
    /// The client has sent a header on this connection.
    pub header_seen: bool,
    logins: u32,
    exchanges: u32,
    binds: u32,
    asides: u32,
    /// What ended the stream.
    pub error: Option<StreamError>,
}

impl Core {
    pub(super) fn new(settings: Arc<Settings>, tls: Option<TlsInfo>, chance: Chance<'_>) -> Core {
        let greeting = ResponseHeader::of(&settings.hosts.default().name);
        Core {
            settings,
            tls,
            actions: VecDeque::new(),
            greeting,
            next_id: random_id(chance),
            is_open: false,
            header_seen: false,
            logins: 0,
            exchanges: 0,
            binds: 0,
            asides: 0,
            error: None,
        }
    }

    pub(super) fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    pub(super) fn send(&mut self, bytes: Vec<u8>) {
        self.act(Action::Send(bytes));
    }

    pub(super) fn send_element(&mut self, element: &Element) {
        let mut out = Vec::new();
        element.write(ns::CLIENT, &mut out);
        self.send(out);
    }

    pub(super) fn send_stanza(&mut self, stanza: &Stanza) {
        let mut out = Vec::new();
        stanza.write(&mut out);
        self.send(out);
    }

    /// The response header with its features, in one piece.
    pub(super) fn open(&mut self, features: &Element, chance: Chance<'_>) {
        let mut out = Vec::new();
        self.greeting.write(self.next_id, &mut out);
        self.next_id = random_id(chance);
        self.is_open = true;
        crate::stream::features::write(features, &mut out);
        self.send(out);
    }

    /// The stream is replaced: the next header finds none open (RFC 6120 section 4.3.3).
    pub(super) fn restart(&mut self) {
        self.is_open = false;
        self.greeting = ResponseHeader::of(&self.settings.hosts.default().name);
    }

    pub(super) fn tls_established(&mut self, tls: TlsInfo) {
        self.tls = Some(tls);
        self.restart();
    }

    /// Ends the stream without an error, and silently where none was open.
    pub(super) fn end(&mut self) -> State {
        if self.is_open {
            self.send(b"</stream:stream>".to_vec());
        }
        self.act(Action::Close);
        State::Closed
    }

    /// Ends the stream with an error, behind a header of our own if none was sent yet (RFC 6120 section
    /// 4.9.1.2), all in one piece.
    pub(super) fn fail(&mut self, error: &StreamError) -> State {
        let mut out = Vec::new();
        let is_no_stream = !self.header_seen && error.condition == StreamCondition::NotWellFormed;
        if !self.is_open {
            // Health checks compare these bytes: there is no language in them.
            self.greeting.lang = self.greeting.lang.take().filter(|_| !is_no_stream);
            self.greeting.write(self.next_id, &mut out);
        }
        if is_no_stream {
            out.extend_from_slice(no_stream(self.settings.rfc3920_error_name));
        } else {
            out.extend_from_slice(&error.to_xml());
        }
        out.extend_from_slice(b"</stream:stream>");
        self.send(out);
        self.act(Action::Close);
        self.error = Some(error.clone());
        State::Closed
    }

    /// A login failed. Is it one too many?
    pub(super) fn count_login(&mut self, error: AuthError) -> Result<(), StreamError> {
        self.exchanges += 1;
        // RFC 5802 section 6 has a client try the binding types it knows where XEP-0440 is unknown to it,
        // and a fault of ours is not the client's.
        if !matches!(error, AuthError::UnsupportedBinding | AuthError::Unavailable) {
            self.logins += 1;
        }
        let logins_max = self.settings.login_attempts;
        if self.logins >= logins_max || self.exchanges >= logins_max.saturating_mul(EXCHANGES_PER_LOGIN) {
            return Err(StreamError::exceeded(Exceeded::Logins));
        }
        Ok(())
    }

    pub(super) fn count_bind(&mut self) -> Result<(), StreamError> {
        self.binds += 1;
        if self.binds >= BINDS_MAX { Err(too_many("too many refused binds")) } else { Ok(()) }
    }

    pub(super) fn count_aside(&mut self) -> Result<(), StreamError> {
        self.asides += 1;
        if self.asides >= ASIDES_MAX { Err(too_many("nothing to the purpose")) } else { Ok(()) }
    }
}

fn too_many(text: &'static str) -> StreamError {
    StreamError::new(StreamCondition::PolicyViolation).with_text(text)
}

/// The answer to bytes that cannot begin a stream. RFC 6120 has another name for it than RFC 3920 had.
fn no_stream(rfc3920_name: bool) -> &'static [u8] {
    match rfc3920_name {
        true => {
            b"<stream:error><xml-not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
        }
        false => {
            b"<stream:error><not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
        }
    }
}

/// Unpredictable and in decimal digits, as health checks expect (RFC 6120 section 4.7.3).
fn random_id(chance: Chance<'_>) -> u64 {
    let mut bytes = [0; 8];
    chance(&mut bytes);
    u64::from_be_bytes(bytes)
}
