//! What a cold archive costs and saves: the size of the store and of the files, how long the move takes, and how long a
//! page takes out of files on a disk.
//!
//! ```text
//! cargo run --release -p meerkat-tests --example cold_cost [MESSAGES]
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use server::cold::{Bounds, Cold};
use server::jobs::Turn;
use server::plugins::disk::Disk;
use server::plugins::sqlite::{Options, Sqlite};
use server::storage::archive::{End, Filter};
use server::storage::*;
use smallvec::smallvec;
use tempfile::TempDir;
use xmpp_core::BareJid;

const OWNERS: u64 = 1_000;
const BATCH: u64 = 256;
const START: u64 = 1_600_000_000_000;
const PAGES: u64 = 500;
/// What people say, more or less: some thousand words, the first of them oftenest.
const WORDS: u64 = 4_000;

#[tokio::main(worker_threads = 2)]
async fn main() {
    let messages: u64 = std::env::args().nth(1).and_then(|number| number.parse().ok()).unwrap_or(200_000);
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("meerkat.db");
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(Options::new(path.clone())).await.expect("opens"));
    for roster_epoch in 0..OWNERS {
        let jid = BareJid::parse(&format!("user{roster_epoch}@example.com")).expect("an address");
        let write = Write::CreateAccount { jid, secrets: vec![], time: 0, roster_epoch };
        assert!(matches!(store.write(write).await, Ok(Written::Account(_))));
    }
    let mut stanzas = 0;
    for first in (0..messages).step_by(BATCH as usize) {
        let drafts: Vec<Draft> = (first..first + BATCH).map(draft).collect();
        stanzas += drafts.iter().map(|draft| draft.stanza.len() as u64).sum::<u64>();
        store.save(drafts).await.expect("saves");
    }
    let places: Vec<Arc<dyn Blobs>> = vec![Arc::new(Disk::new(folder.path().join("cold")))];
    let cold = || Cold::new(store.clone(), places.clone(), Arc::new(Unwatched), Bounds::default());
    let mover = cold().expect("it has a catalogue");
    let before = START * 2;
    store.catalogue().expect("it has one").cold_border(before).await.expect("indexes");
    let size = || path.metadata().map_or(0, |metadata| metadata.len());
    let full = size();
    let begun = Instant::now();
    let mut turn = Turn::new(store.clone(), Job::Cold, "measuring".into());
    let moved = mover.move_before(&mut turn, before, before).await.expect("moves").expect("our turn");
    let took = begun.elapsed();
    let each = |bytes: u64| bytes / messages;
    println!(
        "{messages} messages of {} bytes: {} bytes each in the store, {} each in {} files; moved in {:.1} s ({:.0}/s)",
        each(stanzas),
        each(full),
        each(moved.bytes),
        moved.files,
        took.as_secs_f64(),
        messages as f64 / took.as_secs_f64()
    );
    for (name, remembers) in
        [("a page of 50, nothing remembered", false), ("a page of 50, the next of the same", true)]
    {
        let mut times = Vec::new();
        for n in 0..PAGES {
            let owner = AccountNumber(1 + n % OWNERS);
            let reader = cold().expect("it has a catalogue");
            let mut filter = Filter::default();
            if remembers {
                let page = reader.archived(owner, &filter, End::Newest, 50).await.expect("reads");
                filter.before = page.first().map(|message| message.id);
            }
            let begun = Instant::now();
            let page = reader.archived(owner, &filter, End::Newest, 50).await.expect("reads");
            times.push(begun.elapsed());
            assert_eq!(page.len(), 50);
        }
        times.sort_unstable();
        let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or(Duration::ZERO);
        println!("{name}: median {:.1?}, p99 {:.1?}", at(50), at(99));
    }
    store.close().await;
}

fn draft(number: u64) -> Draft {
    let random = |n: u64| {
        (number * 64 + n)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29)
            .wrapping_mul(0xbf58_476d_1ce4_e5b9)
            >> 16
    };
    let (sender, recipient) = (random(1) % OWNERS, random(2) % OWNERS);
    let words: Vec<String> = (0..4 + random(3) % 12)
        .map(|n| format!("w{:x}", (random(4 + n) % WORDS) * (random(30 + n) % WORDS) / WORDS))
        .collect();
    let stanza = format!(
        "<message from='user{sender}@example.com/phone.{:x}' to='user{recipient}@example.com' type='chat' id='{:016x}'>\
         <body>{}</body><origin-id xmlns='urn:xmpp:sid:0' id='{:016x}'/><request xmlns='urn:xmpp:receipts'/></message>",
        sender * 7919,
        random(60),
        words.join(" "),
        random(60)
    );
    let own = |account: u64, sent, peer: u64| {
        let role = Role { waits: false, archived: true, sent };
        Owner { account: AccountNumber(account + 1), role, peer: Peer(peer * 0x9e37_79b9) }
    };
    let owners = smallvec![own(sender, true, recipient), own(recipient, false, sender)];
    Draft { time: START + number * 1_000, owners, stanza: stanza.into() }
}
