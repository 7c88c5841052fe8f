//! Archives by peer: what a search through runs finds is what a look at every entry finds.

use super::*;
use crate::storage::archive::{End, Filter};

const OWNERS: u64 = 3;
const PEERS: u64 = 6;
const NOON: Millis = 1_795_261_800_000;

/// Who owns the message, and with whom: some peers are met all the time, some once in a bulk, some for a while only.
fn entry(n: u64) -> (u64, Peer) {
    let peer = match n {
        _ if n.is_multiple_of(61) => 4,
        200..300 => 5,
        _ => (n * n / 7) % 4,
    };
    ((n * 7 / 3) % OWNERS, Peer(peer + (1 << 63)))
}

fn draft(n: u64, accounts: &[AccountNumber]) -> Draft {
    let (owner, peer) = entry(n);
    let role = Role { waits: false, archived: true, sent: n.is_multiple_of(2) };
    let owner = Owner { account: accounts[owner as usize], role, peer };
    Draft { time: NOON + n, owners: [owner].into_iter().collect(), stanza: n.to_string().into() }
}

impl Place {
    async fn open_with_bulks_of(&self, bulk_rows: usize) -> Sqlite {
        Sqlite::open(Options { bulk_rows, ..Options::new(self.path()) }).await.expect("the store opens")
    }
}

/// The numbers of the messages that are found.
async fn found(store: &Sqlite, owner: AccountNumber, filter: &Filter, end: End, limit: usize) -> Vec<u64> {
    let page = store.archived(owner, filter, end, limit).await.expect("reads");
    let text = |saved: &Saved| String::from_utf8_lossy(&saved.stanza).parse().expect("a number");
    page.iter().map(text).collect()
}

async fn compare(store: &Sqlite, accounts: &[AccountNumber], there: std::ops::Range<u64>) {
    for (owner, account) in (0u64..).zip(accounts.iter().copied()) {
        for peer in (0..PEERS).map(|peer| Peer(peer + (1 << 63))) {
            let all: Vec<u64> = there.clone().filter(|n| entry(*n) == (owner, peer)).collect();
            for after in (0..1_100).step_by(197) {
                // The message n has the id n + 1.
                let (after, before) = (MessageId(after), MessageId(after + 400));
                let bounds =
                    [(None, None), (Some(after), None), (None, Some(before)), (Some(after), Some(before))];
                for (after, before) in bounds {
                    let filter = Filter { with: Some(peer), after, before, ..Filter::default() };
                    let within = |n: &&u64| {
                        after.is_none_or(|after| **n + 1 > after.0)
                            && before.is_none_or(|before| **n + 1 < before.0)
                    };
                    let expected: Vec<u64> = all.iter().filter(within).copied().collect();
                    assert_eq!(
                        found(store, account, &filter, End::Oldest, 9_999).await,
                        expected,
                        "{filter:?}"
                    );
                    let few = expected.len().min(10);
                    assert_eq!(found(store, account, &filter, End::Oldest, 10).await, expected[..few]);
                    let last = &expected[expected.len() - few..];
                    assert_eq!(found(store, account, &filter, End::Newest, 10).await, last, "{filter:?}");
                    let count = store.count_archived(account, &filter, 9_999).await;
                    assert_eq!(count, Ok(expected.len() as u64));
                }
            }
        }
    }
}

#[tokio::test]
async fn a_search_by_peer_finds_what_there_is_with_bulks_of_any_length_and_after_a_crash() {
    let place = Place::new();
    let store = place.open_with_bulks_of(64).await;
    let mut accounts = Vec::new();
    for name in ["romeo", "juliet", "tybalt"] {
        accounts.push(account(&store, &format!("{name}@example.com")).await);
    }
    store.save((0..600).map(|n| draft(n, &accounts)).collect()).await.expect("saves");
    work_until(&store, |books| books.tail().len() < 64).await;
    compare(&store, &accounts, 0..600).await;
    store.close().await;
    assert!(place.sql("SELECT count(*) FROM run").await < 200, "runs are fewer than entries");

    // A bulk of all that is left was made but for its end, which a crash took away; it comes back shorter.
    let indexed = place.sql("SELECT indexed FROM progress").await;
    let store = place.open_with_bulks_of(400).await;
    store.save((600..1000).map(|n| draft(n, &accounts)).collect()).await.expect("saves");
    work_until(&store, |books| books.tail().len() < 400).await;
    store.close().await;
    place.sql(&format!("UPDATE progress SET indexed = {indexed}")).await;
    let store = place.open_with_bulks_of(50).await;
    compare(&store, &accounts, 0..1000).await;
    work_until(&store, |books| books.tail().len() < 50).await;
    compare(&store, &accounts, 0..1000).await;
    assert_eq!(store.verify_archives().await.expect("reads").not_named, 0);

    for account in &accounts {
        let write = Write::PurgeArchive { owner: *account, before: NOON + 500, limit: 9_999 };
        store.write(write).await.expect("purges");
    }
    compare(&store, &accounts, 500..1000).await;
    store.close().await;
    assert_eq!(place.sql("SELECT count(*) FROM run WHERE last < 501").await, 0);
    // And the other way round: an entry that no run leads to is a fault.
    place.sql("DELETE FROM run WHERE first > 700").await;
    assert_ne!(place.open().await.verify_archives().await.expect("reads").not_named, 0);
}
