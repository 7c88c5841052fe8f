//! A process with an SQLite store, for tests to kill, to starve and to talk to.
//!
//! ```text
//! store_child DATABASE run       writes until it is killed, and says after each commit what it was
//! store_child DATABASE talk      does what is said, line by line:
//!     create JID                 account NUMBER
//!     save OWNER COUNT BYTES     saved FIRST LAST
//!     count OWNER                count NUMBER
//!     fill FILE / remove FILE    done
//! ```
//!
//! What fails is answered with `error`, its kind and its sentence.

use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use server::plugins::sqlite::{Options, Sqlite};
use server::storage::{
    AccountNumber, Draft, MessageId, OfflineQueue, Owner, Store, StoreError, Users, Write, Written,
};
use xmpp_core::BareJid;

#[tokio::main(worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(mode)) = (arguments.next(), arguments.next()) else { panic!("see the source") };
    // Small bulks, so that a short run has many.
    let options = Options { bulk_rows: 2048, ..Options::new(path) };
    let store = match Sqlite::open(options).await {
        Ok(store) => Arc::new(store),
        Err(error) => return say(&error_line(&error)),
    };
    say("open");
    match mode.as_str() {
        "run" => run(store).await,
        _ => talk(&store).await,
    }
}

/// Three at once: one saves and takes, one changes a roster, one makes accounts.
async fn run(store: Arc<Sqlite>) {
    let jid = BareJid::parse("romeo@example.com").expect("an address");
    let romeo = match store.account(&jid).await.expect("reads") {
        Some(account) => account.number,
        None => create(&store, jid).await.expect("creates"),
    };
    tokio::join!(save_and_take(&store, romeo), change_roster(&store, romeo), create_many(&store));
}

async fn save_and_take(store: &Sqlite, owner: AccountNumber) {
    let mut held = std::collections::VecDeque::new();
    for round in 0u64.. {
        let count = round * 7919 % 61 + 1;
        let drafts = (0..count).map(|n| draft(owner, &format!("message {round}.{n}"))).collect();
        let ids: Vec<MessageId> = store.save(drafts).await.expect("saves");
        let line: Vec<String> = ids.iter().map(|id| id.0.to_string()).collect();
        say(&format!("saved {}", line.join(" ")));
        held.extend(ids);
        // Most are taken at once, some long after, one in ten never.
        for _ in 0..count {
            let Some(id) = held.pop_front() else { break };
            match id.0 % 10 {
                0 => {}
                1 if round % 64 != 0 => held.push_back(id),
                _ => {
                    say(&format!("taking {}", id.0));
                    store.taken(owner, id);
                }
            }
        }
    }
}

async fn change_roster(store: &Sqlite, owner: AccountNumber) {
    let contact = BareJid::parse("juliet@example.com").expect("an address");
    loop {
        let (contact, name, groups) = (contact.clone(), String::new(), vec![]);
        let write = Write::SetRosterItem { owner, contact, name, groups, limit: 10 };
        match store.write(write).await {
            Ok(Written::Item(_, version)) => say(&format!("roster {}", version.counter)),
            other => panic!("{other:?}"),
        }
    }
}

async fn create_many(store: &Sqlite) {
    let process = std::process::id();
    for number in 0u64.. {
        let jid = BareJid::parse(&format!("user{process}-{number}@example.com")).expect("an address");
        create(store, jid.clone()).await.expect("creates");
        say(&format!("created {jid}"));
    }
}

async fn talk(store: &Sqlite) {
    let mut line = String::new();
    while std::io::stdin().read_line(&mut line).is_ok_and(|length| length > 0) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match words[..] {
            ["create", jid] => {
                let jid = BareJid::parse(jid).expect("an address");
                create(store, jid).await.map(|number| format!("account {}", number.0))
            }
            ["save", owner, count, bytes] => {
                let (owner, body) = (account(owner), "x".repeat(bytes.parse().expect("a number")));
                let count: u64 = count.parse().expect("a number");
                let saved = store.save((0..count).map(|_| draft(owner, &body)).collect()).await;
                saved.map(|ids| {
                    format!("saved {:?} {:?}", ids.first().map(|id| id.0), ids.last().map(|id| id.0))
                })
            }
            ["count", owner] => {
                store.count_waiting(account(owner)).await.map(|count| format!("count {count}"))
            }
            ["fill", file] => Ok(fill(file)),
            ["remove", file] => Ok(format!("done {:?}", std::fs::remove_file(file))),
            _ => panic!("{line:?} is not understood"),
        };
        say(&answer.unwrap_or_else(|error| error_line(&error)));
        line.clear();
    }
    store.close().await;
}

async fn create(store: &Sqlite, jid: BareJid) -> Result<AccountNumber, StoreError> {
    match store.write(Write::CreateAccount { jid, secrets: vec![], time: 1, roster_epoch: 7 }).await? {
        Written::Account(number) => Ok(number),
        other => panic!("{other:?} is no account"),
    }
}

fn draft(account: AccountNumber, body: &str) -> Draft {
    let owners = [Owner::queued(account)].into_iter().collect();
    Draft { time: 1, owners, stanza: Bytes::from(body.to_owned()) }
}

fn account(word: &str) -> AccountNumber {
    AccountNumber(word.parse().expect("a number"))
}

/// Takes all the room that its disk has left.
fn fill(path: &str) -> String {
    let mut file = std::fs::File::create(path).expect("creates");
    for block in [65_536, 4096, 1] {
        while file.write_all(&vec![0; block]).is_ok() {}
    }
    "done".to_owned()
}

fn error_line(error: &StoreError) -> String {
    let kind = match error {
        StoreError::Unavailable(_) => "unavailable",
        StoreError::Conflict(_) => "conflict",
        StoreError::Full(_) => "full",
        StoreError::Damaged(_) => "damaged",
    };
    format!("error {kind} {error}")
}

/// A line is one write: it is whole, or it was not said.
fn say(line: &str) {
    let _ = std::io::stdout().write_all(format!("{line}\n").as_bytes());
}
