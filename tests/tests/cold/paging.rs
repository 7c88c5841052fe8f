//! What is read after a move is what was read before it.

use server::storage::archive::{End, Filter};
use server::storage::{AccountNumber, MessageId, OfflineQueue, Peer, Store};

use crate::stage::*;

/// Filters of all kinds, some of which lie across the border.
fn filters(ids: &[MessageId], now: u64) -> Vec<Filter> {
    let none = Filter::default;
    let some: Vec<MessageId> = ids.iter().copied().step_by(37).collect();
    vec![
        none(),
        Filter { with: Some(NURSE), ..none() },
        Filter { with: Some(Peer(2)), ..none() },
        Filter { with: Some(Peer(77)), ..none() },
        Filter { sent: true, ..none() },
        Filter { start: Some(now - 120 * DAY), end: Some(now - 30 * DAY), ..none() },
        Filter { start: Some(now - 150 * DAY), with: Some(NURSE), ..none() },
        Filter { end: Some(now - 190 * DAY), ..none() },
        Filter { after: Some(ids[100]), before: Some(ids[ids.len() - 100]), ..none() },
        Filter { before: Some(ids[50]), ..none() },
        Filter { after: Some(ids[ids.len() - 3]), ..none() },
        Filter { ids: Some(some.clone()), ..none() },
        Filter { ids: Some(some), with: Some(NURSE), ..none() },
        Filter { ids: Some(vec![MessageId(u64::MAX >> 1)]), ..none() },
        Filter { ids: Some(vec![]), ..none() },
    ]
}

/// Everything in pages of two sizes from both ends, and how many there are.
async fn read(store: &dyn Store, owner: AccountNumber, filters: &[Filter]) -> Vec<(Vec<Seen>, u64, u64)> {
    let mut read = Vec::new();
    for filter in filters {
        for (end, page) in [(End::Oldest, 50), (End::Newest, 50), (End::Oldest, 7), (End::Newest, 7)] {
            let seen = all(store, owner, filter, end, page).await;
            let count = store.count_archived(owner, filter, u64::MAX >> 1).await.expect("counts");
            let capped = store.count_archived(owner, filter, 10).await.expect("counts");
            read.push((seen, count, capped));
        }
    }
    read
}

#[tokio::test]
async fn pages_go_on_over_the_border_as_before() {
    for kind in BOTH {
        let stage = Stage::new(kind).await;
        let ids = |seen: Vec<Seen>| seen.into_iter().map(|seen| seen.0).collect::<Vec<_>>();
        let mut expected = Vec::new();
        for owner in [stage.romeo, stage.juliet] {
            let ids = ids(all(&*stage.store, owner, &Filter::default(), End::Oldest, 9_999).await);
            let mut filters = filters(&ids, stage.now);
            // By words too, where that is switched on here.
            if kind == Kind::Sqlite {
                for text in ["ONLY", "both 123", "nobody"] {
                    filters.push(Filter { text: Some(text.to_owned()), ..Filter::default() });
                }
            }
            expected.push((owner, read(&*stage.store, owner, &filters).await, filters));
        }
        let own = stage.store.count_archived(stage.romeo, &Filter::default(), 9_999).await.expect("counts");
        assert_eq!(own, MESSAGES);

        let moved = stage.move_older(60).await;
        assert!(moved.files >= 3, "{moved:?}");
        assert!(moved.messages >= 480 && moved.messages < MESSAGES, "{moved:?}");
        // It is in files only.
        let own = stage.store.count_archived(stage.romeo, &Filter::default(), 9_999).await.expect("counts");
        assert_eq!(own + moved.messages, MESSAGES, "{kind:?}");
        for (owner, expected, filters) in &expected {
            assert_eq!(&read(&*stage.cold, *owner, filters).await, expected, "{kind:?}");
        }
        // A second look costs no second move.
        assert_eq!(stage.move_older(60).await.files, 0);
        assert_eq!(stage.cold.verify().await.expect("looks").findings, Vec::<String>::new());
        assert_eq!(stage.store.verify_archives().await.expect("looks").faults(), 0);
    }
}

/// What waits is not moved away, and an entry that is in a file is not archived a second time.
#[tokio::test]
async fn what_waits_waits_on() {
    for kind in BOTH {
        let stage = Stage::new(kind).await;
        let waiting = async || {
            let waiting = stage.cold.waiting(stage.juliet, MessageId(0), 9_999).await.expect("reads");
            waiting.into_iter().map(|saved| saved.id).collect::<Vec<_>>()
        };
        let before = waiting().await;
        assert!(before.len() > 100);
        stage.move_older(60).await;
        assert_eq!(waiting().await, before);
        for id in before {
            stage.cold.taken(stage.juliet, id);
        }
        assert_eq!(waiting().await, []);
    }
}

/// Another server on the same database finds the same, whatever was written anew meanwhile.
#[tokio::test]
async fn a_second_server_asks_for_a_cold_page() {
    let stage = Stage::new(Kind::Postgres).await;
    let expected = all(&*stage.store, stage.juliet, &Filter::default(), End::Oldest, 50).await;
    stage.move_older(60).await;
    let other = cold(&open(Kind::Postgres, &stage.url).await, &stage.bucket);
    assert_eq!(all(&*other, stage.juliet, &Filter::default(), End::Oldest, 50).await, expected);
    let jid = xmpp_core::BareJid::parse(ROMEO).expect("an address");
    stage.cold.write(server::storage::Write::RemoveAccount { jid }).await.expect("removes");
    assert!(stage.tidy().await.rewritten >= 3);
    // It remembers blocks of files that are gone, and reads the others.
    assert_eq!(all(&*other, stage.juliet, &Filter::default(), End::Oldest, 50).await, expected);
    assert_eq!(all(&*other, stage.romeo, &Filter::default(), End::Oldest, 50).await, []);
}

/// A copy of the database takes the catalogue along; the files stay where they are.
#[tokio::test]
async fn a_copied_database_knows_its_files() {
    let stage = Stage::new(Kind::Sqlite).await;
    stage.move_older(60).await;
    let expected = all(&*stage.cold, stage.romeo, &Filter::default(), End::Oldest, 50).await;
    let files = stage.catalogue().await;
    stage.store.close().await;
    let url = meerkat_tests::postgres::PostgresServer::shared().database().await;
    let (from, to) = (
        server::plugins::sqlite::Options::new(&stage.url),
        server::plugins::postgres::Options::new(&url).expect("a URL"),
    );
    server::plugins::copy::copy(&from, &to, &mut |_| {}).await.expect("copies");
    let store = open(Kind::Postgres, &url).await;
    let copied = store.catalogue().expect("it has one").cold_files(0, false, 99).await.expect("reads");
    assert_eq!(copied, files);
    let copied = cold(&store, &stage.bucket);
    assert_eq!(all(&*copied, stage.romeo, &Filter::default(), End::Oldest, 50).await, expected);
    assert_eq!(copied.verify().await.expect("looks").findings, Vec::<String>::new());
}
