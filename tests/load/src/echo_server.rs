//! `echo-server`: a stub that lets anybody in and forwards messages unseen. Not a server: it measures how
//! fast the tool itself can go, and, told to drop, repeat or swap messages, proves that the tool notices.

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::Args;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::error::{LoadError, Result};
use crate::xmpp::inbox::Frame;
use crate::xmpp::scan;
use crate::xmpp::wire::{Transport, Wire};

/// A session that does not read loses what comes on top of this.
const MOST_WAITING_BYTES: usize = 4 * 1024 * 1024;

#[derive(Args, Debug)]
pub struct EchoServer {
    /// Zero takes any free port; the first line of output tells which.
    #[arg(long, default_value_t = 5222)]
    port: u16,
    /// Speak TLS from the first byte, with this certificate (PEM).
    #[arg(long, requires = "key")]
    certificate: Option<PathBuf>,
    /// The certificate's key (PEM).
    #[arg(long, requires = "certificate")]
    key: Option<PathBuf>,
    /// Drop one message of so many.
    #[arg(long, default_value_t = 0)]
    drop_every: u64,
    /// Deliver one message of so many twice.
    #[arg(long, default_value_t = 0)]
    repeat_every: u64,
    /// Deliver one message of so many behind its successor.
    #[arg(long, default_value_t = 0)]
    swap_every: u64,
    /// Bounce one message of so many.
    #[arg(long, default_value_t = 0)]
    bounce_every: u64,
}

/// Serves until it is killed.
pub async fn run(options: &EchoServer) -> Result<()> {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], options.port))).await?;
    println!("listening on {}", listener.local_addr()?);
    let acceptor = options.certificate.as_ref().zip(options.key.as_ref()).map(acceptor).transpose()?;
    let house = Arc::new(House {
        mailboxes: Mutex::new(HashMap::new()),
        messages: AtomicU64::new(0),
        mischief: [options.drop_every, options.repeat_every, options.swap_every, options.bounce_every],
        held: Mutex::new(None),
    });
    loop {
        let (socket, _) = listener.accept().await?;
        let (house, acceptor) = (house.clone(), acceptor.clone());
        tokio::spawn(async move {
            // Whatever ends a connection ends it alone.
            let _ = serve(socket, acceptor, house).await;
        });
    }
}

fn acceptor((certificate, key): (&PathBuf, &PathBuf)) -> Result<TlsAcceptor> {
    let unreadable = |error: rustls::pki_types::pem::Error| LoadError::File(error.to_string());
    let chain: std::result::Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(certificate).map_err(unreadable)?.collect();
    let key = PrivateKeyDer::from_pem_file(key).map_err(unreadable)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(chain.map_err(|_| rustls::Error::NoCertificatesPresented)?, key)
        })
        .map_err(|error| LoadError::File(error.to_string()))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

struct House {
    mailboxes: Mutex<HashMap<Vec<u8>, Arc<Mailbox>>>,
    messages: AtomicU64,
    /// Drop, repeat, swap, bounce one of so many; zero is never.
    mischief: [u64; 4],
    /// The message that is to come behind its successor.
    held: Mutex<Option<Vec<u8>>>,
}

#[derive(Default)]
struct Mailbox {
    waiting: Mutex<(Vec<u8>, Option<Waker>)>,
}

struct Guest {
    wire: Wire,
    house: Arc<House>,
    user: Vec<u8>,
    mailbox: Arc<Mailbox>,
    leaving: bool,
}

async fn serve(socket: TcpStream, acceptor: Option<TlsAcceptor>, house: Arc<House>) -> Result<()> {
    socket.set_nodelay(true)?;
    let transport = match acceptor {
        None => Transport::Plain(socket),
        Some(acceptor) => Transport::Tls(Box::new(acceptor.accept(socket).await?.into())),
    };
    let wire = Wire::new(transport);
    let mut guest = Guest { wire, house, user: Vec::new(), mailbox: Arc::default(), leaving: false };
    poll_fn(|cx| guest.poll(cx)).await
}

impl Guest {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        loop {
            while let Some(frame) = self.wire.inbox.next_frame()? {
                self.take(frame);
            }
            match self.wire.poll_read(cx) {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
        }
        if let Ok(mut waiting) = self.mailbox.waiting.lock() {
            self.wire.outbox.other().append(&mut waiting.0);
            waiting.1 = Some(cx.waker().clone());
        }
        match self.wire.poll_flush(cx)? {
            Poll::Ready(()) if self.leaving => Poll::Ready(Ok(())),
            Poll::Ready(()) | Poll::Pending => Poll::Pending,
        }
    }

    fn take(&mut self, frame: Frame) {
        let Guest { wire, house, user, mailbox, leaving } = self;
        let out = wire.outbox.other();
        match frame {
            Frame::Header(_) => {
                let offer: &[u8] = match user.is_empty() {
                    true => {
                        b"<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
                          <mechanism>PLAIN</mechanism></mechanisms>"
                    }
                    false => b"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>",
                };
                out.extend_from_slice(b"<stream:stream xmlns='jabber:client' ");
                out.extend_from_slice(
                    b"xmlns:stream='http://etherx.jabber.org/streams' version='1.0'><stream:features>",
                );
                out.extend_from_slice(offer);
                out.extend_from_slice(b"</stream:features>");
            }
            Frame::Closed => {
                out.extend_from_slice(b"</stream:stream>");
                *leaving = true;
            }
            Frame::Stanza(range) => {
                let stanza = wire.inbox.bytes(&range);
                if stanza.starts_with(b"<message") {
                    house.forward(stanza, mailbox);
                } else if stanza.starts_with(b"<auth") {
                    *user = username(stanza);
                    out.extend_from_slice(b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
                    wire.inbox.restart();
                } else if stanza.starts_with(b"<iq") {
                    out.extend_from_slice(&house.answer(stanza, user, mailbox));
                }
            }
        }
    }
}

impl House {
    /// Binds whoever asks, and answers everything else with an empty result.
    fn answer(&self, stanza: &[u8], user: &[u8], mailbox: &Arc<Mailbox>) -> Vec<u8> {
        let id = scan::attribute_text(scan::start_tag(stanza), "id").unwrap_or_default();
        if !scan::contains(stanza, "xmpp-bind") {
            return format!("<iq type='result' id='{id}'/>").into_bytes();
        }
        if let Ok(mut mailboxes) = self.mailboxes.lock() {
            mailboxes.insert(user.to_vec(), mailbox.clone());
        }
        let user = String::from_utf8_lossy(user);
        format!("<iq type='result' id='{id}'><bind><jid>{user}@localhost/echo</jid></bind></iq>").into_bytes()
    }

    fn forward(&self, stanza: &[u8], sender: &Mailbox) {
        let to = scan::attribute(scan::start_tag(stanza), "to").unwrap_or_default();
        let user = to.split(|byte| *byte == b'@').next().unwrap_or_default();
        let recipient = self.mailboxes.lock().ok().and_then(|mailboxes| mailboxes.get(user).cloned());
        let Some(recipient) = recipient else { return };
        let number = self.messages.fetch_add(1, Ordering::Relaxed) + 1;
        let [dropped, repeated, swapped, bounced] =
            self.mischief.map(|every| every > 0 && number.is_multiple_of(every));
        if dropped {
            return;
        }
        if bounced {
            return sender.put(b"<message type='error' from='localhost'><error type='wait'/></message>");
        }
        let Ok(mut held) = self.held.lock() else { return };
        if swapped && held.is_none() {
            *held = Some(stanza.to_vec());
            return;
        }
        recipient.put(stanza);
        if repeated {
            recipient.put(stanza);
        }
        // Only behind a message to the same recipient is it out of order.
        if let Some(late) = held.take_if(|late| scan::attribute(scan::start_tag(late), "to") == Some(to)) {
            recipient.put(&late);
        }
    }
}

impl Mailbox {
    fn put(&self, stanza: &[u8]) {
        let Ok(mut waiting) = self.waiting.lock() else { return };
        if waiting.0.len() + stanza.len() > MOST_WAITING_BYTES {
            return;
        }
        waiting.0.extend_from_slice(stanza);
        if let Some(waker) = waiting.1.take() {
            waker.wake();
        }
    }
}

/// RFC 4616: authorization identity, NUL, name, NUL, password.
fn username(auth: &[u8]) -> Vec<u8> {
    let encoded = scan::texts(auth, "auth").next().unwrap_or_default();
    let decoded = BASE64.decode(encoded).unwrap_or_default();
    decoded.split(|byte| *byte == 0).nth(1).unwrap_or_default().to_vec()
}
