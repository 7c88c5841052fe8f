//! What a million sessions weigh, and how long a snapshot of them takes.
//!
//! `cargo run --release -p cluster --example table [sessions]`

use std::io::{BufReader, BufWriter, Seek};
use std::time::Instant;

use cluster::{Boot, Command, NodeId, Presence, Reply, SessionId, SessionTable};
use xmpp_core::Jid;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NODES: u64 = 50;

fn main() {
    let wanted = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let sessions: u64 = wanted.unwrap_or(1_000_000);
    let before = resident_bytes();
    let table = SessionTable::default();
    let boots: Vec<Boot> = (0..NODES).map(|node| up(&table, node)).collect();
    let begun = Instant::now();
    for number in 0..sessions {
        let node = number % NODES;
        let session = SessionId { node: NodeId(node as u32), boot: boots[node as usize], number };
        let jid = Jid::parse(&format!("user{number}@example.org/phone-{:04x}", number * 7 % 65536));
        let jid = jid.expect("an address");
        table.apply(Command::Open { jid: jid.clone(), session });
        table.apply(Command::Presence { jid, session, presence: Presence::Willing });
    }
    println!("{sessions} binds with presence: {:?}", begun.elapsed());
    println!("{} bytes per session (resident)", (resident_bytes() - before) / sessions);

    let mut file = tempfile::tempfile().expect("a file");
    let begun = Instant::now();
    let frozen = table.freeze();
    println!("frozen in {:?}", begun.elapsed());
    frozen.write(&mut BufWriter::new(&file)).expect("a snapshot");
    println!("snapshot in {:?}, {} bytes", begun.elapsed(), file.metadata().expect("its size").len());
    drop(frozen);

    file.rewind().expect("its beginning");
    let other = SessionTable::default();
    let begun = Instant::now();
    other.restore(&mut BufReader::new(&file)).expect("a restored table");
    println!("restored in {:?}: {} sessions", begun.elapsed(), other.len());

    let begun = Instant::now();
    let down = table.apply(Command::NodeDown { node: NodeId(7), boot: boots[7] });
    let Reply::NodeDown { gone } = down else { panic!("{down:?}") };
    println!("a node of {} sessions down in {:?}", gone.len(), begun.elapsed());
}

fn up(table: &SessionTable, node: u64) -> Boot {
    match table.apply(Command::NodeUp { node: NodeId(node as u32), start: 1_700_000_000_000_000 + node }) {
        Reply::NodeUp { boot, .. } => boot,
        other => panic!("{other:?}"),
    }
}

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("statm");
    let pages: u64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("pages");
    pages * 4096
}
