//! A connection, plain or TLS, with what was read and what is to be written.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::HandshakeKind;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, TlsStream};

use super::inbox::{Frame, Inbox};
use crate::error::{LoadError, Result};

pub enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Bytes that wait to be written, and how many stanzas were ever put here (for XEP-0198's counters).
#[derive(Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    written: usize,
    stanzas: u64,
}

pub struct Wire {
    transport: Transport,
    pub inbox: Inbox,
    pub outbox: Outbox,
}

impl Outbox {
    /// Where to append one stanza.
    pub fn stanza(&mut self) -> &mut Vec<u8> {
        self.stanzas += 1;
        &mut self.bytes
    }

    /// Where to append what XEP-0198 does not count.
    pub fn other(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub fn stanzas(&self) -> u64 {
        self.stanzas
    }

    /// XEP-0198, section 4: counting begins anew with `<enable/>`.
    pub fn count_from_zero(&mut self) {
        self.stanzas = 0;
    }

    pub fn unwritten_bytes(&self) -> usize {
        self.bytes.len() - self.written
    }
}

impl Wire {
    pub fn new(transport: Transport) -> Wire {
        Wire { transport, inbox: Inbox::new(), outbox: Outbox::default() }
    }

    /// Puts TLS over the plain connection. What was read before is discarded with the old stream.
    pub async fn into_tls(self, connector: &TlsConnector, domain: &str) -> Result<Wire> {
        let Transport::Plain(socket) = self.transport else {
            return Err(LoadError::Framing("TLS inside of TLS"));
        };
        let name = rustls::pki_types::ServerName::try_from(domain.to_string())
            .map_err(|_| LoadError::Options(format!("{domain} cannot be the name in a certificate")))?;
        let stream = connector.connect(name, socket).await?;
        Ok(Wire::new(Transport::Tls(Box::new(stream.into()))))
    }

    /// Whether the TLS handshake resumed an earlier session.
    pub fn resumed(&self) -> bool {
        match &self.transport {
            Transport::Plain(_) => false,
            Transport::Tls(stream) => stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }

    /// Reads once; zero bytes mean that the peer closed.
    pub fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize>> {
        let mut buffer = ReadBuf::new(self.inbox.space()?);
        ready!(match &mut self.transport {
            Transport::Plain(socket) => Pin::new(socket).poll_read(cx, &mut buffer),
            Transport::Tls(stream) => Pin::new(stream).poll_read(cx, &mut buffer),
        })?;
        let bytes = buffer.filled().len();
        self.inbox.advance(bytes);
        Poll::Ready(Ok(bytes))
    }

    /// Ready when everything is written.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Outbox { bytes, written, .. } = &mut self.outbox;
        while *written < bytes.len() {
            let rest = &bytes[*written..];
            let count = ready!(match &mut self.transport {
                Transport::Plain(socket) => Pin::new(socket).poll_write(cx, rest),
                Transport::Tls(stream) => Pin::new(stream).poll_write(cx, rest),
            })?;
            if count == 0 {
                return Poll::Ready(Err(LoadError::Closed));
            }
            *written += count;
        }
        bytes.clear();
        *written = 0;
        if let Transport::Tls(stream) = &mut self.transport {
            ready!(Pin::new(stream).poll_flush(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what is due and waits for the next piece of the stream.
    pub async fn frame(&mut self) -> Result<Frame> {
        loop {
            if let Some(frame) = self.inbox.next_frame()? {
                return Ok(frame);
            }
            let bytes = poll_fn(|cx| {
                if let Poll::Ready(Err(error)) = self.poll_flush(cx) {
                    return Poll::Ready(Err(error));
                }
                self.poll_read(cx)
            })
            .await?;
            if bytes == 0 {
                return Err(LoadError::Closed);
            }
        }
    }
}
