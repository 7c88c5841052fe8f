//! Talkers send numbered stanzas, listeners count them: the engine of chat, many-to-one and presence.
//!
//! Everything is written in one batch per turn of a task and read in as few reads as possible, and nothing is
//! allocated per message.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::watch;

use crate::error::Result;
use crate::mark::{self, Template};
use crate::measure::meter::Meter;
use crate::measure::sequence::Sequence;
use crate::xmpp::scan;
use crate::xmpp::session::Session;

/// A talker that has this much unwritten waits until the server has read some of it.
const MOST_UNWRITTEN_BYTES: usize = 256 * 1024;
/// How long the last acknowledgement may take.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a talker and its listeners share.
#[derive(Default)]
pub struct Flow {
    sent: AtomicU64,
    /// A std mutex: held for a few instructions, and never contended in a tool of one thread.
    gate: Mutex<Gate>,
}

#[derive(Default)]
struct Gate {
    arrived: u64,
    talker: Option<Waker>,
}

/// When a talker may send.
#[derive(Clone, Copy)]
pub enum Pace {
    /// Closed loop: so many messages are under way at a time, each of which arrives `fan` times.
    Window { messages: u64, fan: u64 },
    /// Open loop: message `n` is due at `first + n * interval` nanoseconds after the epoch, whatever the
    /// server does.
    Schedule { first: u64, interval: u64 },
}

pub struct Talker {
    pub session: Session,
    pub template: Template,
    pub flow: Arc<Flow>,
    pub meter: Arc<Meter>,
    pub pace: Pace,
}

pub struct Listener {
    session: Session,
    meter: Arc<Meter>,
    flows: Vec<Arc<Flow>>,
    tally: Tally,
    /// When the messages of this turn were to be sent; kept only to reuse its memory.
    batch: Vec<u64>,
}

/// What a listener found.
#[derive(Default)]
pub struct Tally {
    /// The number of the flow of the first sequence.
    pub first: usize,
    pub sequences: Vec<Sequence>,
    pub unacknowledged: u64,
}

impl Flow {
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Makes the talker look again at what it may send.
    pub fn wake(&self) {
        let waker = self.gate.lock().ok().and_then(|mut gate| gate.talker.take());
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn release(&self, arrived: u64) {
        let waker = self.gate.lock().ok().and_then(|mut gate| {
            gate.arrived += arrived;
            gate.talker.take()
        });
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// How many arrived so far; the waker is called when that changes.
    fn arrived(&self, waker: &Waker) -> u64 {
        let Ok(mut gate) = self.gate.lock() else { return 0 };
        if !gate.talker.as_ref().is_some_and(|talker| talker.will_wake(waker)) {
            gate.talker = Some(waker.clone());
        }
        gate.arrived
    }
}

impl Talker {
    /// Sends until told to stop. Returns how many stanzas stayed unacknowledged.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> u64 {
        let outcome = tokio::select! {
            biased;
            outcome = poll_fn(|cx| self.poll(cx)) => outcome,
            _ = stop.changed() => Ok(()),
        };
        finish(self.session, outcome, &self.meter).await
    }

    /// Only ever ready with an error.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        loop {
            let Talker { session, meter, .. } = self;
            session.poll_stanzas(cx, |stanza, _| note_bounce(stanza, meter))?;
            let (now, due) = (self.meter.now(), self.due(cx));
            self.write(due, now);
            match self.session.poll_flush(cx)? {
                Poll::Ready(()) if self.flow.sent() < due => {}
                _ => return Poll::Pending,
            }
        }
    }

    /// How many messages should have been sent by now.
    fn due(&self, cx: &Context<'_>) -> u64 {
        let arrived = self.flow.arrived(cx.waker());
        let (now, end) = (self.meter.now(), self.meter.end_of_sending());
        match self.pace {
            Pace::Window { .. } if now >= end => self.flow.sent(),
            Pace::Window { messages, fan } => messages + arrived / fan,
            Pace::Schedule { first, interval } => match now.min(end).checked_sub(first) {
                Some(elapsed) => elapsed / interval + 1,
                None => 0,
            },
        }
    }

    fn write(&mut self, due: u64, now: u64) {
        let begin = self.flow.sent();
        let mut number = begin;
        while number < due && self.session.outbox().unwritten_bytes() < MOST_UNWRITTEN_BYTES {
            let sent_at = match self.pace {
                Pace::Window { .. } => now,
                Pace::Schedule { first, interval } => first + number * interval,
            };
            self.template.write(number, sent_at, self.session.outbox().stanza());
            if let Pace::Schedule { .. } = self.pace {
                self.meter.count_late(now, &[sent_at]);
            }
            self.session.request_acknowledgement_when_due();
            number += 1;
        }
        if number > begin {
            self.flow.sent.store(number, Ordering::Relaxed);
            self.meter.count_sent(number - begin);
        }
    }
}

impl Listener {
    /// Listens to the flows whose numbers begin with `first`.
    pub fn new(session: Session, meter: Arc<Meter>, first: usize, flows: Vec<Arc<Flow>>) -> Listener {
        let sequences = flows.iter().map(|_| Sequence::default()).collect();
        let tally = Tally { first, sequences, unacknowledged: 0 };
        Listener { session, meter, flows, tally, batch: Vec::new() }
    }

    /// Counts until told to stop.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Tally {
        let outcome = tokio::select! {
            biased;
            outcome = poll_fn(|cx| self.poll(cx)) => outcome,
            _ = stop.changed() => Ok(()),
        };
        self.tally.unacknowledged = finish(self.session, outcome, &self.meter).await;
        self.tally
    }

    /// Only ever ready with an error.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Listener { session, meter, flows, tally, batch } = self;
        // Consecutive messages of one flow release its talker together.
        let mut released: Option<(usize, u64)> = None;
        batch.clear();
        let read = session.poll_stanzas(cx, |stanza, _| {
            let Some(mark) = mark::find(stanza) else { return note_bounce(stanza, meter) };
            if mark.run != meter.run {
                return meter.count_stale();
            }
            let Some(place) = (mark.flow as usize).checked_sub(tally.first) else {
                return misdirected(meter);
            };
            let Some(sequence) = tally.sequences.get_mut(place) else { return misdirected(meter) };
            if is_error(stanza) {
                return note_bounce(stanza, meter);
            }
            if sequence.arrived(mark.number) {
                batch.push(mark.sent_at);
                released = match released {
                    Some((flow, count)) if flow == place => Some((flow, count + 1)),
                    other => {
                        release(flows, other);
                        Some((place, 1))
                    }
                };
            }
        });
        release(flows, released);
        if !batch.is_empty() {
            meter.count_arrived(meter.now(), batch);
        }
        read?;
        match session.poll_flush(cx)? {
            Poll::Ready(()) | Poll::Pending => Poll::Pending,
        }
    }
}

fn release(flows: &[Arc<Flow>], released: Option<(usize, u64)>) {
    if let Some((place, count)) = released
        && let Some(flow) = flows.get(place)
    {
        flow.release(count);
    }
}

/// Waits for the last acknowledgements and ends the session. Returns how many stanzas stayed unacknowledged.
async fn finish(mut session: Session, outcome: Result<()>, meter: &Meter) -> u64 {
    let outcome = match outcome {
        Ok(()) => session.settle(SETTLE_TIMEOUT).await,
        failed => failed,
    };
    let unacknowledged = session.unacknowledged();
    match outcome {
        Ok(()) => session.close().await,
        Err(error) => meter.trouble(|| format!("{}: {error}", session.jid)),
    }
    unacknowledged
}

fn is_error(stanza: &[u8]) -> bool {
    scan::attribute(scan::start_tag(stanza), "type") == Some(b"error")
}

pub fn note_bounce(stanza: &[u8], meter: &Meter) {
    if is_error(stanza) {
        meter.trouble(|| scan::excerpt(stanza));
    }
}

fn misdirected(meter: &Meter) {
    meter.trouble(|| "a message came to a session that it was not for".to_string());
}
