//! A session that is logged in: it cuts stanzas out of the stream, answers pings, and acknowledges
//! (XEP-0198).

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::timeout;

use super::inbox::Frame;
use super::scan;
use super::wire::{Outbox, Wire};
use crate::error::{LoadError, Result};

/// How long a session may take to say good-bye.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(5);

pub struct Session {
    wire: Wire,
    /// The full JID that the server bound.
    pub jid: String,
    management: Option<Management>,
}

/// XEP-0198's bookkeeping: stanzas that came in, and our own that the server took over.
struct Management {
    received: u64,
    acknowledged: u64,
    requested: u64,
    request_every: u64,
}

impl Session {
    /// `request_every` is given when `<enabled/>` was just read: ask for an `<a/>` after so many stanzas.
    pub fn new(wire: Wire, jid: String, request_every: Option<u64>) -> Session {
        let management = request_every.map(|request_every| Management {
            received: 0,
            acknowledged: 0,
            requested: 0,
            request_every: request_every.max(1),
        });
        Session { wire, jid, management }
    }

    pub fn outbox(&mut self) -> &mut Outbox {
        &mut self.wire.outbox
    }

    /// Stanzas of ours that the server has not acknowledged; none when XEP-0198 is off.
    pub fn unacknowledged(&self) -> u64 {
        let sent = self.wire.outbox.stanzas();
        self.management.as_ref().map_or(0, |management| sent.saturating_sub(management.acknowledged))
    }

    pub fn managed(&self) -> bool {
        self.management.is_some()
    }

    /// Asks for an acknowledgement when enough stanzas were appended since the last time.
    pub fn request_acknowledgement_when_due(&mut self) {
        let sent = self.wire.outbox.stanzas();
        if let Some(management) = &mut self.management
            && sent - management.requested >= management.request_every
        {
            management.requested = sent;
            self.wire.outbox.other().extend_from_slice(b"<r xmlns='urn:xmpp:sm:3'/>");
        }
    }

    /// Hands over every stanza that is there, and leaves the task waiting for more. What the stream itself
    /// needs (acknowledgements, answers to pings) is appended to the outbox; flush it afterwards.
    pub fn poll_stanzas(
        &mut self,
        cx: &mut Context<'_>,
        mut on_stanza: impl FnMut(&[u8], &mut Outbox),
    ) -> Result<()> {
        loop {
            while let Some(frame) = self.wire.inbox.next_frame()? {
                let Frame::Stanza(range) = frame else { return Err(LoadError::Closed) };
                let stanza = self.wire.inbox.bytes(&range);
                let kind = kind_of(stanza);
                if kind == Kind::Message {
                    if let Some(management) = &mut self.management {
                        management.received += 1;
                    }
                    on_stanza(stanza, &mut self.wire.outbox);
                    continue;
                }
                answer(kind, stanza, &mut self.management, &mut self.wire.outbox)?;
                if matches!(kind, Kind::Presence | Kind::Query) {
                    on_stanza(stanza, &mut self.wire.outbox);
                }
            }
            match self.wire.poll_read(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) => return Err(LoadError::Closed),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
    }

    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.wire.poll_flush(cx)
    }

    /// Writes what is due, then hands over stanzas until `done` says that it has what it waits for.
    pub async fn until(&mut self, mut done: impl FnMut(&[u8], &mut Outbox) -> bool) -> Result<()> {
        let mut finished = false;
        poll_fn(|cx| {
            if let Err(error) = self.poll_stanzas(cx, |stanza, outbox| finished |= done(stanza, outbox)) {
                return Poll::Ready(Err(error));
            }
            match self.poll_flush(cx) {
                Poll::Ready(Ok(())) if !finished => Poll::Pending,
                flushed => flushed,
            }
        })
        .await
    }

    /// Reads and answers for ever; ends only with an error.
    pub async fn hold(&mut self) -> Result<()> {
        self.until(|_, _| false).await
    }

    /// A ping to the server (XEP-0199): once it is answered, everything sent before was processed.
    pub async fn round_trip(&mut self, limit: Duration, mut on_other: impl FnMut(&[u8])) -> Result<()> {
        let id = format!("ping-{}", self.wire.outbox.stanzas());
        self.outbox().stanza().extend_from_slice(
            format!("<iq type='get' id='{id}'><ping xmlns='urn:xmpp:ping'/></iq>").as_bytes(),
        );
        let answered = self.until(|stanza, _| {
            let tag = scan::start_tag(stanza);
            let ours = tag.starts_with(b"<iq") && scan::attribute(tag, "id") == Some(id.as_bytes());
            if !ours {
                on_other(stanza);
            }
            // An error is an answer, too: the server may not know pings.
            ours && matches!(scan::attribute(tag, "type"), Some(b"result" | b"error"))
        });
        timeout(limit, answered).await.map_err(|_| LoadError::Timeout("ping"))?
    }

    /// Waits until the server has acknowledged everything (XEP-0198), as far as it does within `limit`.
    pub async fn settle(&mut self, limit: Duration) -> Result<()> {
        if self.unacknowledged() == 0 {
            return Ok(());
        }
        self.wire.outbox.other().extend_from_slice(b"<r xmlns='urn:xmpp:sm:3'/>");
        let acknowledged = poll_fn(|cx| {
            if let Err(error) = self.poll_stanzas(cx, |_, _| {}) {
                return Poll::Ready(Err(error));
            }
            if let Poll::Ready(Err(error)) = self.poll_flush(cx) {
                return Poll::Ready(Err(error));
            }
            if self.unacknowledged() == 0 { Poll::Ready(Ok(())) } else { Poll::Pending }
        });
        timeout(limit, acknowledged).await.unwrap_or(Ok(()))
    }

    /// Ends the stream in order, so that the server does not keep the session for resumption.
    pub async fn close(mut self) {
        self.outbox().other().extend_from_slice(b"</stream:stream>");
        let closed = self.hold();
        // A server that does not answer is left: the tool has what it wanted of it.
        let _ = timeout(FAREWELL_TIMEOUT, closed).await;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Message,
    Presence,
    Query,
    Request,
    Acknowledgement,
    StreamError,
    Other,
}

fn kind_of(stanza: &[u8]) -> Kind {
    match stanza {
        [b'<', b'm', b'e', ..] => Kind::Message,
        [b'<', b'p', b'r', ..] => Kind::Presence,
        [b'<', b'i', b'q', ..] => Kind::Query,
        [b'<', b'r', b' ' | b'/', ..] => Kind::Request,
        [b'<', b'a', b' ', ..] => Kind::Acknowledgement,
        _ if stanza.starts_with(b"<stream:error") => Kind::StreamError,
        _ => Kind::Other,
    }
}

/// Does what the stream needs for anything but a message.
fn answer(kind: Kind, stanza: &[u8], management: &mut Option<Management>, outbox: &mut Outbox) -> Result<()> {
    match (kind, management) {
        (Kind::StreamError, _) => return Err(LoadError::Stream(scan::excerpt(stanza))),
        (Kind::Request, Some(management)) => {
            let acknowledgement = format!("<a xmlns='urn:xmpp:sm:3' h='{}'/>", management.received);
            outbox.other().extend_from_slice(acknowledgement.as_bytes());
        }
        (Kind::Acknowledgement, Some(management)) => {
            let handled = scan::attribute_text(scan::start_tag(stanza), "h").and_then(|h| h.parse().ok());
            let handled: u64 = handled.ok_or(LoadError::Framing("an <a/> without a number"))?;
            if handled > outbox.stanzas() || handled < management.acknowledged {
                return Err(LoadError::Framing(
                    "an <a/> for stanzas that were never sent, or fewer than before",
                ));
            }
            management.acknowledged = handled;
        }
        (Kind::Query, management) => {
            if let Some(management) = management {
                management.received += 1;
            }
            answer_query(stanza, outbox);
        }
        (Kind::Presence, Some(management)) => management.received += 1,
        _ => {}
    }
    Ok(())
}

/// RFC 6120, section 8.2.3: every get and set is answered, here with a result that claims nothing.
fn answer_query(stanza: &[u8], outbox: &mut Outbox) {
    let tag = scan::start_tag(stanza);
    if !matches!(scan::attribute(tag, "type"), Some(b"get" | b"set")) {
        return;
    }
    let id = scan::attribute_text(tag, "id").unwrap_or_default();
    let to = scan::attribute_text(tag, "from").map(|from| format!(" to='{}'", scan::escape(&from)));
    let answer = format!("<iq type='result' id='{}'{}/>", scan::escape(&id), to.unwrap_or_default());
    outbox.stanza().extend_from_slice(answer.as_bytes());
}
