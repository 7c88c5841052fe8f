//! One who sends numbered messages, and one who gets them; each keeps book of what it was told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use meerkat_tests::client::Client;
use tokio::sync::watch;
use tokio::time::timeout;
use xmpp_core::xml::Frame;
use xmpp_core::{ErrorType, Kind, Stanza, ns};

/// Messages of a sender that may be undecided.
const WINDOW: usize = 10;
/// How long what is under way may take at the end, and how long an end must be quiet.
const PATIENCE: Duration = Duration::from_secs(60);
const QUIET: Duration = Duration::from_secs(2);

/// What a sender was told of its messages.
#[derive(Default)]
pub struct Sent {
    pub sent: u64,
    /// Decided, which may be by an error.
    decided: BTreeSet<u64>,
    pub refused: BTreeSet<u64>,
    pub faults: Vec<String>,
}

impl Sent {
    pub fn acknowledged(&self) -> BTreeSet<u64> {
        &self.decided - &self.refused
    }
}

/// A machine that is busy may refuse a login for want of an answer of its database.
pub async fn login(address: SocketAddr, name: &str) -> Client {
    for _ in 0..20 {
        if let Some(client) = Client::login(address, name).await {
            return client;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    panic!("{name} cannot log in")
}

/// Sends until told to stop, and then waits until everything is decided.
pub async fn send(address: SocketAddr, pair: usize, mut stop: watch::Receiver<bool>) -> Sent {
    let mut said = Sent::default();
    let mut client = login(address, &format!("sender{pair}")).await;
    // The count of the stream's stanzas -> the message's number.
    let mut outstanding: BTreeMap<u64, u64> = BTreeMap::new();
    let (mut refusals, mut handled) = (0, 0);
    loop {
        let stops = *stop.borrow_and_update();
        while !stops && outstanding.len() < WINDOW {
            let number = said.sent;
            said.sent += 1;
            outstanding.insert(said.sent, number);
            let message = format!(
                "<message to='receiver{pair}@localhost' type='chat' id='n{number}'><body>{number}</body></message><r xmlns='{}'/>",
                ns::SM
            );
            client.send(&message).await;
        }
        // An error may come behind the acknowledgement that counts it.
        let patience = if stops && outstanding.is_empty() { QUIET } else { PATIENCE };
        let frame = tokio::select! {
            frame = timeout(patience, client.next()) => frame,
            _ = stop.changed(), if !stops => continue,
        };
        match frame {
            Ok(Some(Frame::Element(element))) if element.is("a", ns::SM) => {
                let h: u64 = element.attribute("h").and_then(|h| h.parse().ok()).unwrap_or(0);
                let later = outstanding.split_off(&(h + 1));
                said.decided.extend(outstanding.into_values());
                outstanding = later;
            }
            Ok(Some(Frame::Element(element))) if element.is("r", ns::SM) => {
                client.send(&format!("<a xmlns='{}' h='{handled}'/>", ns::SM)).await;
            }
            Ok(Some(Frame::Stanza(stanza))) if !stanza.is_error() => handled += 1,
            Ok(Some(Frame::Stanza(stanza))) => {
                handled += 1;
                said.refuse(&stanza);
                refusals += 1;
                // As somebody would who is told to wait.
                if refusals % WINDOW == 0 {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            Ok(Some(_)) => {}
            Ok(None) => {
                said.faults.push(format!("sender {pair}: its session ended"));
                return said;
            }
            Err(_) if stops && outstanding.is_empty() => return said,
            Err(_) => {
                said.faults.push(format!("sender {pair}: nothing was said for {PATIENCE:?}"));
                return said;
            }
        }
    }
}

impl Sent {
    fn refuse(&mut self, stanza: &Stanza) {
        let number = stanza.id.as_deref().and_then(|id| id.strip_prefix('n')?.parse().ok());
        let Some(number) = number else { return self.faults.push(format!("an error for {:?}", stanza.id)) };
        if stanza.error().is_none_or(|error| error.type_ != ErrorType::Wait) {
            self.faults.push(format!("{number} was refused with {:?}", stanza.error()));
        }
        if !self.refused.insert(number) {
            self.faults.push(format!("{number} was refused twice"));
        }
    }
}

/// What a receiver got.
#[derive(Default)]
pub struct Arrived {
    pub numbers: BTreeSet<u64>,
    pub faults: Vec<String>,
}

/// Receives and acknowledges until told to stop, and nothing comes any more. `arrivals` counts along.
pub async fn receive(
    address: SocketAddr,
    pair: usize,
    stop: watch::Receiver<bool>,
    arrivals: Arc<AtomicU64>,
) -> Arrived {
    let mut got = Arrived::default();
    let mut client = login(address, &format!("receiver{pair}")).await;
    client.send("<presence/>").await;
    let (mut handled, mut last) = (0, None);
    loop {
        match timeout(QUIET, client.next()).await {
            Ok(Some(Frame::Stanza(stanza))) => {
                handled += 1;
                if stanza.kind == Kind::Message {
                    got.note(pair, &stanza, &mut last);
                    arrivals.fetch_add(1, Ordering::SeqCst);
                }
            }
            Ok(Some(Frame::Element(element))) if element.is("r", ns::SM) => {
                client.send(&format!("<a xmlns='{}' h='{handled}'/>", ns::SM)).await;
            }
            Ok(Some(_)) => {}
            Ok(None) => {
                got.faults.push(format!("receiver {pair}: its session ended"));
                return got;
            }
            Err(_) if *stop.borrow() => return got,
            Err(_) => {}
        }
    }
}

impl Arrived {
    fn note(&mut self, pair: usize, stanza: &Stanza, last: &mut Option<u64>) {
        let Some(number) = number(stanza) else { return };
        if last.is_some_and(|last| last >= number) {
            self.faults.push(format!("pair {pair}: {number} came after {last:?}"));
        }
        *last = Some(number);
        if !self.numbers.insert(number) {
            self.faults.push(format!("pair {pair}: {number} came twice"));
        }
    }
}

/// The number that a message has for its body.
pub fn number(stanza: &Stanza) -> Option<u64> {
    stanza.payload.text_of("body", ns::CLIENT).and_then(|body| body.parse().ok())
}
