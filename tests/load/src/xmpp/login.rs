//! From a connection to a bound session: STARTTLS, SASL, resource binding, XEP-0198 (RFC 6120, sections 4 to
//! 7).

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use tokio::time::timeout;

use super::dialer::Dialer;
use super::inbox::Frame;
use super::scan;
use super::scram::{Algorithm, Exchange};
use super::session::Session;
use super::wire::Wire;
use crate::error::{LoadError, Result};
use crate::options::{Mechanism, TlsMode};

const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";

/// What a session is to be like once it is bound.
#[derive(Clone, Copy)]
pub struct Wish<'a> {
    pub account: usize,
    pub resource: &'a str,
    /// Send initial presence.
    pub presence: bool,
    /// Enable XEP-0198, and ask for an acknowledgement after so many stanzas.
    pub acknowledge_every: Option<u64>,
}

impl Dialer {
    pub async fn log_in(&self, wish: Wish<'_>) -> Result<Session> {
        let (wire, features) = self.open_stream().await?;
        let wire = self.authenticate(wire, &features, wish.account).await?;
        let (mut wire, features) = self.begin_stream(wire).await?;
        let jid = self.bind(&mut wire, &features, wish.resource).await?;
        if wish.acknowledge_every.is_some() {
            if !scan::contains(&features, "urn:xmpp:sm:3") {
                return Err(LoadError::NotOffered("XEP-0198".into()));
            }
            self.enable_management(&mut wire).await?;
        }
        let mut session = Session::new(wire, jid, wish.acknowledge_every);
        if wish.presence {
            session.outbox().stanza().extend_from_slice(b"<presence/>");
        }
        Ok(session)
    }

    /// A connection up to the features behind encryption, if there is to be any.
    pub async fn open_stream(&self) -> Result<(Wire, Vec<u8>)> {
        let (wire, features) = self.begin_stream(self.connect().await?).await?;
        if self.mode != TlsMode::StartTls {
            return Ok((wire, features));
        }
        if !scan::contains(&features, "urn:ietf:params:xml:ns:xmpp-tls") {
            return Err(LoadError::NotOffered("STARTTLS".into()));
        }
        let mut wire = wire;
        wire.outbox.other().extend_from_slice(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
        let answer = self.stanza(&mut wire, "STARTTLS").await?;
        if !answer.starts_with(b"<proceed") {
            return Err(LoadError::Refused { step: "STARTTLS", answer: scan::excerpt(&answer) });
        }
        let wire = self.encrypt(wire).await?;
        self.begin_stream(wire).await
    }

    /// The next first-level element, whatever it is.
    pub async fn stanza(&self, wire: &mut Wire, step: &'static str) -> Result<Vec<u8>> {
        loop {
            let frame = timeout(self.step_timeout, wire.frame()).await;
            match frame.map_err(|_| LoadError::Timeout(step))?? {
                Frame::Header(_) => continue,
                Frame::Closed => return Err(LoadError::Closed),
                Frame::Stanza(range) => {
                    let stanza = wire.inbox.bytes(&range).to_vec();
                    if stanza.starts_with(b"<stream:error") {
                        return Err(LoadError::Stream(scan::excerpt(&stanza)));
                    }
                    return Ok(stanza);
                }
            }
        }
    }

    async fn begin_stream(&self, mut wire: Wire) -> Result<(Wire, Vec<u8>)> {
        wire.inbox.restart();
        let header = format!(
            "<?xml version='1.0'?><stream:stream to='{}' version='1.0' xmlns='jabber:client' \
             xmlns:stream='http://etherx.jabber.org/streams'>",
            scan::escape(&self.domain)
        );
        wire.outbox.other().extend_from_slice(header.as_bytes());
        let features = self.stanza(&mut wire, "stream features").await?;
        Ok((wire, features))
    }

    async fn authenticate(&self, mut wire: Wire, features: &[u8], account: usize) -> Result<Wire> {
        let (name, algorithm) = self.choose(features)?;
        let username = self.username(account);
        let password = self.password();
        let Some(algorithm) = algorithm else {
            let response = BASE64.encode(format!("\0{username}\0{password}"));
            write(&mut wire, &format!("<auth xmlns='{SASL}' mechanism='{name}'>{response}</auth>"));
            let answer = self.stanza(&mut wire, "PLAIN").await?;
            return expect(&answer, "<success", "PLAIN").map(|()| wire);
        };
        let nonce = format!("{:032x}", rand::random::<u128>());
        let (exchange, first) = Exchange::begin(algorithm, &username, &nonce);
        let first = BASE64.encode(first);
        write(&mut wire, &format!("<auth xmlns='{SASL}' mechanism='{name}'>{first}</auth>"));
        let challenge = self.stanza(&mut wire, "SCRAM challenge").await?;
        expect(&challenge, "<challenge", "SCRAM")?;

        let mut keys = self.keys(account, algorithm);
        let (proven, response) = exchange.prove(&sasl_text(&challenge, "challenge")?, password, &mut keys)?;
        self.keep_keys(account, algorithm, keys);
        let response = BASE64.encode(response);
        write(&mut wire, &format!("<response xmlns='{SASL}'>{response}</response>"));
        let success = self.stanza(&mut wire, "SCRAM proof").await?;
        expect(&success, "<success", "SCRAM")?;
        proven.verify(&sasl_text(&success, "success")?)?;
        Ok(wire)
    }

    /// The mechanism to use among those offered.
    fn choose(&self, features: &[u8]) -> Result<(&'static str, Option<Algorithm>)> {
        let offered: Vec<String> = scan::texts(features, "mechanism").collect();
        let known = [
            (Mechanism::ScramSha256, "SCRAM-SHA-256", Some(Algorithm::Sha256)),
            (Mechanism::ScramSha1, "SCRAM-SHA-1", Some(Algorithm::Sha1)),
            (Mechanism::Plain, "PLAIN", None),
        ];
        known
            .iter()
            .find(|(mechanism, name, _)| {
                let wanted = self.mechanism == Mechanism::Auto || self.mechanism == *mechanism;
                wanted && offered.iter().any(|offer| offer == name)
            })
            .map(|(_, name, algorithm)| (*name, *algorithm))
            .ok_or_else(|| {
                LoadError::NotOffered(format!("{:?}, only {}", self.mechanism, offered.join(", ")))
            })
    }

    async fn bind(&self, wire: &mut Wire, features: &[u8], resource: &str) -> Result<String> {
        let resource = scan::escape(resource);
        let request = format!(
            "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <resource>{resource}</resource></bind></iq>"
        );
        write(wire, &request);
        let answer = self.answer(wire, "bind").await?;
        let jid = scan::texts(&answer, "jid").next();
        let jid = jid.ok_or_else(|| LoadError::Refused { step: "bind", answer: scan::excerpt(&answer) })?;
        // RFC 3921's session is asked for only where a server insists on it.
        let session = "urn:ietf:params:xml:ns:xmpp-session";
        if scan::elements(features, "session").next().is_some() && !scan::contains(features, "<optional") {
            write(wire, &format!("<iq type='set' id='session'><session xmlns='{session}'/></iq>"));
            self.answer(wire, "session").await?;
        }
        Ok(jid)
    }

    async fn enable_management(&self, wire: &mut Wire) -> Result<()> {
        write(wire, "<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
        wire.outbox.count_from_zero();
        let answer = self.stanza(wire, "XEP-0198").await?;
        expect(&answer, "<enabled", "XEP-0198")
    }

    /// The answer to a query, which must be a result.
    pub async fn answer(&self, wire: &mut Wire, step: &'static str) -> Result<Vec<u8>> {
        loop {
            let answer = self.stanza(wire, step).await?;
            let tag = scan::start_tag(&answer);
            if !tag.starts_with(b"<iq") || scan::attribute(tag, "id") != Some(step.as_bytes()) {
                continue;
            }
            if scan::attribute(tag, "type") == Some(b"result") {
                return Ok(answer);
            }
            return Err(LoadError::Refused { step, answer: scan::excerpt(&answer) });
        }
    }
}

fn write(wire: &mut Wire, text: &str) {
    wire.outbox.other().extend_from_slice(text.as_bytes());
}

fn expect(answer: &[u8], beginning: &str, step: &'static str) -> Result<()> {
    if answer.starts_with(beginning.as_bytes()) {
        return Ok(());
    }
    Err(LoadError::Refused { step, answer: scan::excerpt(answer) })
}

fn sasl_text(stanza: &[u8], element: &str) -> Result<String> {
    let encoded = scan::texts(stanza, element).next().unwrap_or_default();
    let decoded = BASE64.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.ok_or(LoadError::Scram("a step is not base64 of text"))
}
