//! Pairs who talk, a bystander who looks whether the server still answers, and the account of it all.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use server::storage::AccountNumber;
use server::storage::archive::{End, Filter};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use xmpp_core::xml::Frame;
use xmpp_core::{Kind, Stanza, ns};

use crate::live::Live;
use crate::pair::{Arrived, Sent, login, number, receive, send};

const PAIRS: usize = 6;
/// Of the last of them nobody is there to receive until the end.
const PRESENT: usize = 4;
/// How long the server may take to answer a ping, whatever its database does. (The machine may be busy.)
const PING: Duration = Duration::from_secs(5);
/// Within which the service resumes. (It takes one or two on a machine that does nothing else.)
pub const SECONDS: Duration = Duration::from_secs(20);

pub struct Load {
    senders: Vec<JoinHandle<Sent>>,
    receivers: Vec<JoinHandle<Arrived>>,
    bystander: JoinHandle<Seen>,
    owners: Vec<AccountNumber>,
    stop_sending: watch::Sender<bool>,
    stop_receiving: watch::Sender<bool>,
    arrivals: Arc<AtomicU64>,
}

/// What the bystander saw.
#[derive(Default)]
pub struct Seen {
    pings: u64,
    slowest: Duration,
    /// Messages to itself that need no save.
    unsaved: u64,
    unsaved_arrived: u64,
    faults: Vec<String>,
}

/// What all of them have to say.
pub struct Account {
    pub sent: u64,
    pub acknowledged: u64,
    pub refused: u64,
    seen: Seen,
}

impl Load {
    pub async fn start(live: &Live) -> Load {
        let (stop_sending, sending) = watch::channel(false);
        let (stop_receiving, receiving) = watch::channel(false);
        let (mut owners, arrivals) = (Vec::new(), Arc::new(AtomicU64::new(0)));
        for pair in 0..PAIRS {
            owners.push(live.account(&format!("sender{pair}")).await);
            live.account(&format!("receiver{pair}")).await;
        }
        live.account("bystander").await;
        let receiver = |pair| tokio::spawn(receive(live.address, pair, receiving.clone(), arrivals.clone()));
        let load = Load {
            receivers: (0..PRESENT).map(receiver).collect(),
            senders: (0..PAIRS).map(|pair| tokio::spawn(send(live.address, pair, sending.clone()))).collect(),
            bystander: tokio::spawn(stand_by(live.address, sending)),
            owners,
            stop_sending,
            stop_receiving,
            arrivals: arrivals.clone(),
        };
        load.until_flowing(Duration::from_secs(30)).await;
        sleep(Duration::from_secs(1)).await;
        load
    }

    /// Until many more messages have arrived. How long that took.
    pub async fn until_flowing(&self, patience: Duration) -> Duration {
        let (begun, before) = (Instant::now(), self.arrivals.load(Ordering::SeqCst));
        while self.arrivals.load(Ordering::SeqCst) < before + 50 {
            assert!(begun.elapsed() < patience, "the service does not resume within {patience:?}");
            sleep(Duration::from_millis(20)).await;
        }
        let took = begun.elapsed();
        sleep(Duration::from_secs(1)).await;
        took
    }

    /// Lets everybody finish, and compares what they say with each other and with the store.
    pub async fn settle(self, live: &Live) -> Account {
        self.stop_sending.send_replace(true);
        let mut sent = Vec::new();
        for sender in self.senders {
            sent.push(sender.await.expect("it ends"));
        }
        self.stop_receiving.send_replace(true);
        let mut arrived = Vec::new();
        for receiver in self.receivers {
            arrived.push(receiver.await.expect("it ends"));
        }
        for pair in PRESENT..PAIRS {
            arrived.push(receive(live.address, pair, self.stop_receiving.subscribe(), Arc::default()).await);
        }
        let seen = self.bystander.await.expect("it ends");
        let mut faults = seen.faults.clone();
        let mut account = Account { sent: 0, acknowledged: 0, refused: 0, seen };
        for (pair, (sent, arrived)) in sent.iter().zip(&arrived).enumerate() {
            account.add(sent);
            faults.extend(sent.faults.iter().chain(&arrived.faults).cloned());
            let acknowledged = sent.acknowledged();
            let archived = archived(live, self.owners[pair], &mut faults).await;
            for (place, there) in [("arrived", &arrived.numbers), ("archived", &archived)] {
                let lost: Vec<u64> = (&acknowledged - there).into_iter().collect();
                let kept: Vec<u64> = (there - &acknowledged).into_iter().collect();
                if !lost.is_empty() {
                    let sent = sent.sent;
                    faults.push(format!("pair {pair}: acknowledged and not {place}: {lost:?} of {sent}"));
                }
                if !kept.is_empty() {
                    faults.push(format!("pair {pair}: refused and {place}: {kept:?}"));
                }
            }
        }
        println!("{account}");
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        account
    }
}

/// The sender's archive, in which nothing may be twice.
async fn archived(live: &Live, owner: AccountNumber, faults: &mut Vec<String>) -> BTreeSet<u64> {
    let all = live.store().archived(owner, &Filter::default(), End::Oldest, 10_000_000).await;
    let mut numbers = BTreeSet::new();
    for saved in all.expect("the archive is read") {
        let stanza = Stanza::read(&saved.stanza).expect("a stanza");
        if let Some(number) = number(&stanza)
            && !numbers.insert(number)
        {
            faults.push(format!("{number} is twice in an archive"));
        }
    }
    numbers
}

/// Pings the server, and says something to itself that need not be saved.
async fn stand_by(address: std::net::SocketAddr, stop: watch::Receiver<bool>) -> Seen {
    let mut seen = Seen::default();
    let mut client = login(address, "bystander").await;
    client.send("<presence/>").await;
    let mut handled = 0;
    while !*stop.borrow() {
        let (begun, id) = (Instant::now(), format!("p{}", seen.pings));
        let ping = format!(
            "<message to='bystander@localhost/r' type='headline'><body>{id}</body></message>\
             <iq type='get' to='localhost' id='{id}'><ping xmlns='urn:xmpp:ping'/></iq>"
        );
        client.send(&ping).await;
        seen.unsaved += 1;
        let answered = client.until(|frame| {
            handled += u32::from(matches!(frame, Frame::Stanza(_)));
            match frame {
                Frame::Stanza(stanza) if stanza.kind == Kind::Message && !stanza.is_error() => {
                    seen.unsaved_arrived += 1;
                    false
                }
                Frame::Stanza(stanza) => stanza.id.as_deref() == Some(&*id),
                _ => false,
            }
        });
        match timeout(PING, answered).await {
            Ok(Some(())) => {}
            Ok(None) => {
                seen.faults.push("the bystander's session ended".to_owned());
                return seen;
            }
            Err(_) => seen.faults.push(format!("a ping had no answer within {PING:?}")),
        }
        client.send(&format!("<a xmlns='{}' h='{handled}'/>", ns::SM)).await;
        seen.pings += 1;
        seen.slowest = seen.slowest.max(begun.elapsed());
        sleep(Duration::from_millis(100)).await;
    }
    seen
}

impl Account {
    fn add(&mut self, sent: &Sent) {
        self.sent += sent.sent;
        self.refused += sent.refused.len() as u64;
        self.acknowledged += sent.acknowledged().len() as u64;
    }
}

impl std::fmt::Display for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Account { sent, acknowledged, refused, seen } = self;
        write!(
            f,
            "sent {sent}, acknowledged {acknowledged}, refused {refused}; {} pings, the slowest {:?}; \
             {} of {} messages that need no save arrived",
            seen.pings, seen.slowest, seen.unsaved_arrived, seen.unsaved
        )
    }
}
