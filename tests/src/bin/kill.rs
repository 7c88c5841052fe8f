//! Kills the real server with SIGKILL at random moments under load, again and again, and accounts for
//! every message that it had acknowledged (messages.md, rule 13: at least once, never twice into one
//! session, a repetition only under the same stanza-id).
//!
//! `kill BINARY KILLS SEED [sqlite|postgres]`

use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use meerkat_tests::client::{Client, PASSWORD};
use meerkat_tests::postgres::PostgresServer;
use server::plugins::postgres::{self, Postgres};
use server::plugins::sqlite::{self, Sqlite};
use server::storage::{Store, Write};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};
use xmpp_core::sasl::{ScramHash, ScramSecret};
use xmpp_core::xml::Frame;
use xmpp_core::{BareJid, Kind, Stanza, ns};

const PAIRS: usize = 12;
/// Messages of a sender that may be unacknowledged.
const WINDOW: u64 = 20;

/// What one pair knows, over all lives of the server.
#[derive(Default)]
struct Book {
    sent: AtomicU64,
    /// Numbers up to this one of each stretch were acknowledged: number -> true.
    acknowledged: Mutex<Vec<u64>>,
    /// Number -> stanza-id, of everything that ever arrived.
    arrived: Mutex<HashMap<u64, String>>,
    faults: Mutex<Vec<String>>,
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, binary, kills, seed, store @ ..] = &arguments[..] else {
        panic!("usage: kill BINARY KILLS SEED [sqlite|postgres]")
    };
    let (kills, seed): (u32, u64) = (kills.parse().expect("a number"), seed.parse().expect("a number"));
    println!("kill: {kills} kills, seed {seed}, {}", store.first().map_or("sqlite", |store| store));
    let folder = tempfile::TempDir::new().expect("a folder");
    // With its disk waited for: the database is not killed, but its answers count.
    let postgres = store.iter().any(|store| store == "postgres").then(|| PostgresServer::start(""));
    let database = postgres.as_ref().map(|postgres| postgres.url("postgres"));
    make_accounts(folder.path(), database.as_deref()).await;
    let port = free_port();
    let config = write_config(folder.path(), port, database.as_deref());
    let books: Vec<Arc<Book>> = (0..PAIRS).map(|_| Arc::default()).collect();
    let mut chance = Chance(seed);
    for life in 0..kills {
        let mut server = start(binary, &config, port).await;
        let mut tasks = tokio::task::JoinSet::new();
        for (pair, book) in books.iter().enumerate() {
            tasks.spawn(send(port, pair, book.clone()));
            // Some are away in some lives, some come late.
            if chance.below(4) > 0 {
                tasks.spawn(receive(port, pair, book.clone(), chance.below(60)));
            }
        }
        sleep(Duration::from_millis(100 + chance.below(350))).await;
        server.kill().expect("SIGKILL");
        server.wait().expect("its end");
        while tasks.join_next().await.is_some() {}
        if (life + 1) % 50 == 0 {
            println!("kill: {} lives", life + 1);
        }
    }
    let mut server = start(binary, &config, port).await;
    let mut tasks = tokio::task::JoinSet::new();
    for (pair, book) in books.iter().enumerate() {
        tasks.spawn(receive(port, pair, book.clone(), 0));
    }
    while tasks.join_next().await.is_some() {}
    server.kill().expect("SIGKILL");
    server.wait().expect("its end");
    std::process::exit(report(&books).await);
}

async fn report(books: &[Arc<Book>]) -> i32 {
    let (mut sent, mut acknowledged, mut arrived, mut lost) = (0, 0, 0, 0);
    let mut faults = Vec::new();
    for (pair, book) in books.iter().enumerate() {
        let (numbers, here) = (book.acknowledged.lock().await, book.arrived.lock().await);
        sent += book.sent.load(Ordering::Relaxed);
        acknowledged += numbers.len();
        arrived += here.len();
        let missing: Vec<&u64> = numbers.iter().filter(|number| !here.contains_key(number)).collect();
        lost += missing.len();
        if !missing.is_empty() {
            faults.push(format!("pair {pair}: acknowledged and never arrived: {missing:?}"));
        }
        faults.extend(book.faults.lock().await.iter().map(|fault| format!("pair {pair}: {fault}")));
    }
    faults.iter().for_each(|fault| println!("kill: {fault}"));
    println!(
        "kill: sent {sent}, acknowledged {acknowledged}, arrived {arrived}, lost {lost}, faults {}",
        faults.len()
    );
    let bad = !faults.is_empty() || acknowledged == 0;
    println!("{} passed, {} failed", u32::from(!bad), u32::from(bad));
    i32::from(bad)
}

/// Sends numbered messages and notes which the server acknowledged, until the server dies.
async fn send(port: u16, pair: usize, book: Arc<Book>) {
    let Some(mut client) = Client::login(address(port), &format!("sender{pair}")).await else { return };
    let mut outstanding: BTreeMap<u64, u64> = BTreeMap::new();
    let mut count = 0;
    loop {
        while (outstanding.len() as u64) < WINDOW {
            let number = book.sent.fetch_add(1, Ordering::Relaxed);
            count += 1;
            outstanding.insert(count, number);
            let message = format!(
                "<message to='receiver{pair}@localhost' type='chat' id='n{number}'><body>{number}</body></message><r xmlns='{}'/>",
                ns::SM
            );
            if !client.send(&message).await {
                return;
            }
        }
        match client.next().await {
            Some(Frame::Element(element)) if element.is("a", ns::SM) => {
                let h: u64 = element.attribute("h").and_then(|h| h.parse().ok()).unwrap_or(0);
                let later = outstanding.split_off(&(h + 1));
                book.acknowledged.lock().await.extend(outstanding.into_values());
                outstanding = later;
            }
            Some(Frame::Stanza(stanza)) if stanza.is_error() => {
                book.faults.lock().await.push(format!("an error came back: {:?}", stanza.error()));
            }
            Some(_) => {}
            None => return,
        }
    }
}

/// Receives and acknowledges, until nothing more comes or the server dies.
async fn receive(port: u16, pair: usize, book: Arc<Book>, late_ms: u64) {
    sleep(Duration::from_millis(late_ms)).await;
    let Some(mut client) = Client::login(address(port), &format!("receiver{pair}")).await else { return };
    if !client.send("<presence/>").await {
        return;
    }
    let (mut handled, mut last) = (0, None);
    // The last life ends when nothing came for a while; the others by the kill.
    while let Ok(Some(frame)) = timeout(Duration::from_secs(3), client.next()).await {
        match frame {
            Frame::Stanza(stanza) => {
                handled += 1;
                if stanza.kind == Kind::Message {
                    note(&book, &stanza, &mut last).await;
                }
            }
            Frame::Element(element) if element.is("r", ns::SM) => {
                // A server that is gone is noticed by the next read.
                client.send(&format!("<a xmlns='{}' h='{handled}'/>", ns::SM)).await;
            }
            _ => {}
        }
    }
}

async fn note(book: &Book, stanza: &Stanza, last: &mut Option<u64>) {
    let Some(number) = stanza.payload.text_of("body", ns::CLIENT).and_then(|body| body.parse::<u64>().ok())
    else {
        return;
    };
    let id = stanza.payload.get("stanza-id", ns::STANZA_ID);
    let id = id.and_then(|id| id.attribute("id").map(str::to_owned)).unwrap_or_default();
    let mut faults = book.faults.lock().await;
    if id.is_empty() {
        faults.push(format!("{number} came without a stanza-id"));
    }
    if last.is_some_and(|last| last >= number) {
        faults.push(format!("{number} came after {last:?} in one session"));
    }
    *last = Some(number);
    if let Some(before) = book.arrived.lock().await.insert(number, id.clone())
        && before != id
    {
        faults.push(format!("{number} came again under another id"));
    }
}

async fn make_accounts(folder: &Path, database: Option<&str>) {
    let store: Box<dyn Store> = match database {
        Some(url) => {
            let options = postgres::Options::new(url).expect("a URL");
            Box::new(Postgres::open(options).await.expect("a new database"))
        }
        None => {
            let options = sqlite::Options::new(folder.join("meerkat.db"));
            Box::new(Sqlite::open(options).await.expect("a new database"))
        }
    };
    for name in (0..PAIRS).flat_map(|pair| [format!("sender{pair}"), format!("receiver{pair}")]) {
        let secret =
            ScramSecret::derive(ScramHash::Sha256, PASSWORD, b"a salt of 16 byt", 1).expect("a password");
        let jid = BareJid::new(Some(&name), "localhost").expect("an address");
        let write = Write::CreateAccount { jid, secrets: vec![secret], time: 1, roster_epoch: 1 };
        store.write(write).await.expect("an account");
    }
    store.close().await;
}

fn write_config(folder: &Path, port: u16, database: Option<&str>) -> std::path::PathBuf {
    let storage =
        database.map(|url| format!("[storage]\nmain = \"postgres\"\n[storage.postgres]\nurl = {url:?}\n"));
    let config = format!(
        "[general]\ndata_dir = {:?}\nlog_level = \"warn\"\n[auth]\nplain_without_tls = true\n\
         [limits]\noffline_messages = 1000000\n\
         [listen]\nhttp = []\nmetrics = []\n[[listen.c2s]]\nip = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\n{}",
        folder.display(),
        storage.unwrap_or_default()
    );
    let file = folder.join("meerkat.toml");
    std::fs::write(&file, config).expect("a configuration");
    file
}

async fn start(binary: &str, config: &Path, port: u16) -> Child {
    let child =
        Command::new(binary).arg("--config").arg(config).stdout(Stdio::null()).spawn().expect("the server");
    for _ in 0..500 {
        match TcpStream::connect(("127.0.0.1", port)).await {
            Ok(_) => return child,
            Err(e) if e.kind() == ErrorKind::ConnectionRefused => sleep(Duration::from_millis(10)).await,
            Err(e) => panic!("{e}"),
        }
    }
    panic!("the server does not come up");
}

fn address(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("its address").port()
}

/// A small generator that replays (xorshift*).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        let mut x = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.0 = x;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB) % bound
    }
}
