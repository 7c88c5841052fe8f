//! Server and broker are killed at random under load. A consumer finds every message that was acknowledged, at
//! least once, and of each conversation none for the first time behind a later one.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use meerkat_tests::kafka::KafkaServer;
use meerkat_tests::postgres::PostgresServer;

use crate::server::Server;
use crate::stage::*;

const PAIRS: usize = 4;
/// Messages of a sender that may be unacknowledged.
const WINDOW: u64 = 16;
const KILLING: Duration = Duration::from_secs(40);

/// What one sender knows, over all lives of the servers.
#[derive(Default)]
struct Book {
    sent: AtomicU64,
    acknowledged: Mutex<Vec<u64>>,
}

/// Where the senders connect, while somebody is there.
type Door = Mutex<Option<SocketAddr>>;

#[tokio::test(flavor = "multi_thread")]
async fn one_server_on_sqlite() {
    let _turn = turn().await;
    kill(&[]).await;
}

/// Two relays of which one has the lease, and dies with it.
#[tokio::test(flavor = "multi_thread")]
async fn two_servers_on_postgres() {
    let _turn = turn().await;
    let postgres = PostgresServer::start("");
    let url = postgres.database().await;
    kill(&[("MEERKAT__STORAGE__MAIN", "postgres"), ("MEERKAT__STORAGE__POSTGRES__URL", &url)]).await;
}

async fn kill(store: &[(&str, &str)]) {
    let kafka = kafka().await;
    let broker = kafka.broker();
    // Nobody is there to take the messages: all of them wait.
    let usual = [(BROKERS, broker.as_str()), ("MEERKAT__LIMITS__OFFLINE_MESSAGES", "1000000")];
    let variables = [&usual, store].concat();
    let mut servers = vec![Server::start_with(&variables)];
    for name in (0..PAIRS).flat_map(|pair| [format!("sender{pair}"), format!("receiver{pair}")]) {
        servers[0].account(&name);
    }
    if !store.is_empty() {
        servers.push(Server::start_with(&variables));
    }
    let doors: Vec<Arc<Door>> =
        servers.iter().map(|server| Arc::new(Mutex::new(Some(server.client_port())))).collect();
    let books: Vec<Arc<Book>> = (0..PAIRS).map(|_| Arc::default()).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = (0..PAIRS)
        .map(|pair| {
            let (door, book, stop) = (doors[pair % doors.len()].clone(), books[pair].clone(), stop.clone());
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let port = *door.lock().expect("nobody panicked");
                    // It ends when the server dies.
                    let _ = port.map(|port| send(port, pair, &book, &stop));
                    thread::sleep(Duration::from_millis(20));
                }
            })
        })
        .collect();

    let seed = std::time::UNIX_EPOCH.elapsed().expect("now").as_nanos() as u64;
    println!("seed {seed}");
    let mut chance = seed;
    let mut below = |bound: u64| {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (chance >> 33) % bound
    };
    let (begun, mut kills) = (Instant::now(), [0; 3]);
    while begun.elapsed() < KILLING || kills.contains(&0) {
        thread::sleep(Duration::from_millis(300 + below(1_500)));
        // Each at least once, however slow the machine is.
        let next = kills.iter().position(|count| *count == 0).map_or_else(|| below(3), |never| never as u64);
        match next {
            0 => {
                kafka.tell("kill");
                thread::sleep(Duration::from_millis(below(2_000)));
                kafka.tell("start");
                kills[0] += 1;
            }
            1 => {
                kafka.tell("pause");
                thread::sleep(Duration::from_millis(below(1_500)));
                kafka.tell("resume");
                kills[1] += 1;
            }
            _ => {
                let which = below(servers.len() as u64) as usize;
                let server = &mut servers[which];
                *doors[which].lock().expect("nobody panicked") = None;
                server.signal("-KILL");
                server.wait();
                server.run(&variables);
                server.started();
                *doors[which].lock().expect("nobody panicked") = Some(server.client_port());
                kills[2] += 1;
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    senders.into_iter().for_each(|sender| sender.join().expect("a sender"));
    drained(&servers[0]);
    account_for(&kafka, &books, kills);
}

fn account_for(kafka: &KafkaServer, books: &[Arc<Book>], kills: [u32; 3]) {
    let all = events(kafka, ACCEPTED);
    let (count, mut told) = (all.len(), HashMap::<String, Vec<u64>>::new());
    for (key, event) in first_seen(all.into_iter()) {
        told.entry(key).or_default().push(body(&event).parse().expect("a number"));
    }
    let (mut acknowledged, mut once) = (0, 0);
    for (pair, book) in books.iter().enumerate() {
        let told =
            told.remove(&format!("receiver{pair}@localhost sender{pair}@localhost")).unwrap_or_default();
        assert!(told.is_sorted_by(|one, next| one < next), "pair {pair} is out of order: {told:?}");
        let known = book.acknowledged.lock().expect("nobody panicked");
        let missing: Vec<&u64> = known.iter().filter(|number| told.binary_search(number).is_err()).collect();
        assert!(missing.is_empty(), "pair {pair}: acknowledged and never told: {missing:?}");
        acknowledged += known.len();
        once += told.len();
    }
    assert!(told.is_empty(), "{:?}", told.keys());
    println!(
        "broker killed {} and paused {} times, server killed {} times; {acknowledged} acknowledged, {once} told, \
         {} repeated",
        kills[0],
        kills[1],
        kills[2],
        count - once
    );
    assert!(acknowledged > 100, "{acknowledged}");
    // The archives' entries, likewise: one for the sender and one for the recipient.
    assert_eq!(first_seen(events(kafka, ARCHIVED).into_iter()).len(), once * 2);
}

/// Sends numbered messages and notes which the server acknowledged, until it dies.
fn send(port: SocketAddr, pair: usize, book: &Book, stop: &AtomicBool) -> Option<()> {
    let mut stream = Stream::connect(port)?;
    let header = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
                  to='localhost' version='1.0'>";
    let login = BASE64.encode(format!("\0sender{pair}\0secret"));
    stream.say(header)?;
    stream.hear("</stream:features>")?;
    stream
        .say(&format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{login}</auth>"))?;
    stream.hear("<success")?;
    stream.say(header)?;
    stream.hear("</stream:features>")?;
    stream.say("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")?;
    stream.hear("</iq>")?;
    stream.say("<enable xmlns='urn:xmpp:sm:3'/>")?;
    stream.hear("<enabled")?;
    let (mut numbers, mut acknowledged) = (Vec::new(), 0);
    while !stop.load(Ordering::Relaxed) {
        while ((numbers.len() - acknowledged) as u64) < WINDOW {
            let number = book.sent.fetch_add(1, Ordering::Relaxed);
            numbers.push(number);
            stream.say(&format!(
                "<message to='receiver{pair}@localhost' type='chat'><body>{number}</body></message>"
            ))?;
        }
        stream.say("<r xmlns='urn:xmpp:sm:3'/>")?;
        let heard = stream.hear_answer()?;
        book.acknowledged.lock().ok()?.extend(numbers.get(acknowledged..heard)?);
        acknowledged = heard;
    }
    Some(())
}

struct Stream {
    stream: TcpStream,
    heard: String,
}

impl Stream {
    fn connect(port: SocketAddr) -> Option<Stream> {
        let stream = TcpStream::connect(port).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
        Some(Stream { stream, heard: String::new() })
    }

    fn say(&mut self, xml: &str) -> Option<()> {
        self.stream.write_all(xml.as_bytes()).ok()
    }

    /// Reads until this has come, and forgets it.
    fn hear(&mut self, what: &str) -> Option<String> {
        loop {
            if let Some(at) = self.heard.find(what) {
                let behind = self.heard.split_off(at + what.len());
                return Some(std::mem::replace(&mut self.heard, behind));
            }
            let mut buffer = [0; 4096];
            let read = self.stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
            self.heard.push_str(std::str::from_utf8(&buffer[..read]).ok()?);
        }
    }

    /// How many it has, by its word. A refusal would be counted too: nothing is refused here.
    fn hear_answer(&mut self) -> Option<usize> {
        let before = self.hear("<a ")?;
        assert!(!before.contains("type='error'"), "{before}");
        let answer = self.hear("/>")?;
        let (_, h) = answer.split_once("h='")?;
        h.split_once('\'')?.0.parse().ok()
    }
}
