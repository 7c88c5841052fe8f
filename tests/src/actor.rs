//! An actor: a client of the barest kind, that sends what it is told and remembers what it receives.

use std::io::ErrorKind;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use server::c2s::pipe::PipeEnd;
use xmpp_core::xml::{Frame, Limits, Scanner};
use xmpp_core::{BareJid, Element, Jid, Stanza, ns};

/// Nothing that the server does takes longer, in paused time.
const PATIENCE: Duration = Duration::from_secs(2);

pub struct Actor {
    pipe: PipeEnd,
    scanner: Scanner,
    pub jid: Option<Jid>,
    pub closed: bool,
}

impl Actor {
    pub fn new(pipe: PipeEnd) -> Actor {
        Actor { pipe, scanner: Scanner::new(Limits::default()), jid: None, closed: false }
    }

    pub async fn send(&self, xml: &str) {
        let mut bytes = xml.as_bytes();
        while !bytes.is_empty() {
            match self.pipe.try_write(bytes) {
                Ok(taken) => bytes = &bytes[taken..],
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.pipe.writable().await.expect("writable"),
                Err(e) => panic!("cannot send {xml}: {e}"),
            }
        }
    }

    pub async fn send_stanza(&self, stanza: &Stanza) {
        let mut out = Vec::new();
        stanza.write(&mut out);
        self.send(std::str::from_utf8(&out).expect("UTF-8")).await;
    }

    /// The next frame, or `None` when none comes within two (paused) seconds, or the stream is over.
    pub async fn next(&mut self) -> Option<Frame> {
        tokio::time::timeout(PATIENCE, self.read()).await.ok().flatten()
    }

    async fn read(&mut self) -> Option<Frame> {
        loop {
            match self.scanner.next() {
                Ok(Some(frame)) => return Some(frame),
                Ok(None) => {}
                Err(error) => panic!("the server sent bad XML: {error:?}"),
            }
            let mut buffer = [0; 4096];
            match self.pipe.try_read(&mut buffer) {
                Ok(0) => {
                    self.closed = true;
                    return None;
                }
                Ok(read) => self.scanner.feed(&buffer[..read]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.pipe.readable().await.ok()?,
                Err(_) => return None,
            }
        }
    }

    pub async fn stanza(&mut self) -> Stanza {
        match self.next().await {
            Some(Frame::Stanza(stanza)) => stanza,
            other => panic!("expected a stanza, got {other:?}"),
        }
    }

    pub async fn element(&mut self) -> Element {
        match self.next().await {
            Some(Frame::Element(element)) => element,
            other => panic!("expected an element, got {other:?}"),
        }
    }

    pub async fn expect_nothing(&mut self) {
        if let Some(frame) = self.next().await {
            panic!("expected nothing, got {frame:?}");
        }
    }

    /// Opens a stream; gives the features.
    pub async fn open(&mut self, to: &str) -> Element {
        self.send(&format!(
            "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
             xmlns:stream='http://etherx.jabber.org/streams' to='{to}' version='1.0'>"
        ))
        .await;
        match self.next().await {
            Some(Frame::Header(_)) => self.element().await,
            other => panic!("expected a stream header, got {other:?}"),
        }
    }

    /// PLAIN, up to the features behind authentication.
    pub async fn authenticate(&mut self, account: &BareJid, password: &str) -> Element {
        self.open(account.domain()).await;
        let message = BASE64.encode(format!("\0{}\0{password}", account.local().unwrap_or_default()));
        self.send(&format!("<auth xmlns='{}' mechanism='PLAIN'>{message}</auth>", ns::SASL)).await;
        let answer = self.element().await;
        assert_eq!(answer.name(), "success", "{}", answer.to_xml());
        self.scanner.reset();
        self.open(account.domain()).await
    }

    pub async fn login(&mut self, account: &BareJid, password: &str, resource: &str) {
        self.authenticate(account, password).await;
        self.send(&format!(
            "<iq type='set' id='bind'><bind xmlns='{}'><resource>{resource}</resource></bind></iq>",
            ns::BIND
        ))
        .await;
        let bound = self.stanza().await;
        let jid =
            bound.payload.get("bind", ns::BIND).and_then(|bind| Some(bind.find("jid", ns::BIND)?.content()));
        self.jid = Some(jid.expect("an address").parse().expect("a good one"));
    }

    /// The connection breaks, without a word.
    pub fn cut(self) {}
}
