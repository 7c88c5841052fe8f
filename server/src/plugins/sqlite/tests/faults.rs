//! What is wrong is said, nothing that was acknowledged is lost, and it goes on when the cause is gone.

use std::time::Duration;

use sqlx::Connection;

use super::*;
use crate::plugins::sqlite::open::suffixed;

#[tokio::test]
async fn a_file_that_another_process_has_locked() {
    let place = Place::new();
    let options = Options { lock_wait: Duration::from_millis(50), ..Options::new(place.path()) };
    let store = Sqlite::open(options.clone()).await.expect("opens");
    let romeo = account(&store, "romeo@example.com").await;
    save(&store, romeo, 0..3).await;

    let mut other = options.connect().await.expect("connects");
    let holding = other.begin_with("BEGIN IMMEDIATE").await.expect("locks");
    for refused in [store.save(drafts(romeo, 3..4, 0)).await.err(), store.health().await.err()] {
        let Some(StoreError::Unavailable(sentence)) = refused else { panic!("{refused:?}") };
        assert!(sentence.contains("another process") && sentence.contains("meerkat.db"), "{sentence}");
    }
    // Who only reads is not concerned.
    assert_eq!(bodies(&store, romeo).await, [0, 1, 2]);
    holding.rollback().await.expect("unlocks");

    save(&store, romeo, 4..5).await;
    assert_eq!(store.health().await, Ok(()));
    assert_eq!(bodies(&store, romeo).await, [0, 1, 2, 4]);
}

#[tokio::test]
async fn a_file_that_may_grow_no_more() {
    let place = Place::new();
    let store = Sqlite::open(Options { max_bytes: Some(1 << 20), ..Options::new(place.path()) }).await;
    let store = store.expect("opens");
    let romeo = account(&store, "romeo@example.com").await;
    let mut ids = Vec::new();
    let sentence = loop {
        match store.save(drafts(romeo, ids.len()..ids.len() + 1, 10_000)).await {
            Ok(saved) => ids.extend(saved),
            Err(StoreError::Full(sentence)) => break sentence,
            Err(other) => panic!("{other:?}"),
        }
    };
    assert!(sentence.contains("no room left") && sentence.contains("meerkat.db"), "{sentence}");
    assert!(ids.len() > 50, "{} messages fit", ids.len());
    assert_eq!(bodies(&store, romeo).await.len(), ids.len());

    // What is taken makes room, in the same process.
    for id in &ids {
        store.taken(romeo, *id);
    }
    let mut attempts = 0;
    while store.save(drafts(romeo, 0..1, 10_000)).await.is_err() {
        attempts += 1;
        assert!(attempts < 10_000, "there is no room again");
    }
    assert_eq!(bodies(&store, romeo).await, [0]);
    store.close().await;
    assert_eq!(bodies(&place.open().await, romeo).await, [0]);
}

/// A disk that the system turned read-only, as far as a file can play it.
#[tokio::test]
async fn a_file_that_nobody_may_write_for_a_while() {
    let place = Place::new();
    let store = place.open().await;
    let romeo = account(&store, "romeo@example.com").await;
    save(&store, romeo, 0..3).await;
    {
        let Some(_immutable) = Immutable::make(&place) else {
            eprintln!("Files cannot be made immutable here; the other faults stand for this one.");
            return;
        };
        let mut kinds = Vec::new();
        for _ in 0..2 {
            kinds.push(store.save(drafts(romeo, 3..4, 0)).await.err());
        }
        assert!(kinds.iter().all(|kind| matches!(kind, Some(StoreError::Unavailable(_)))), "{kinds:?}");
        assert_eq!(bodies(&store, romeo).await, [0, 1, 2]);
    }
    save(&store, romeo, 4..5).await;
    assert_eq!(bodies(&store, romeo).await, [0, 1, 2, 4]);
}

/// Ends with its value, so that the folder can be removed whatever the test does.
struct Immutable([std::path::PathBuf; 2]);

impl Immutable {
    fn make(place: &Place) -> Option<Immutable> {
        let files = Immutable(["", "-wal"].map(|suffix| suffixed(&place.path(), suffix)));
        files.change("+i").then_some(files)
    }

    fn change(&self, attribute: &str) -> bool {
        let mut change = std::process::Command::new("chattr");
        change.arg(attribute).args(&self.0).stderr(std::process::Stdio::null());
        change.status().is_ok_and(|status| status.success())
    }
}

impl Drop for Immutable {
    fn drop(&mut self) {
        self.change("-i");
    }
}

#[tokio::test]
async fn a_file_that_was_damaged_while_it_was_closed() {
    let place = Place::new();
    let store = place.open().await;
    let romeo = account(&store, "romeo@example.com").await;
    store.save(drafts(romeo, 0..2000, 300)).await.expect("saves");
    store.close().await;
    damage(&place);
    let StoreError::Damaged(sentence) = place.refusal().await else { panic!("another error") };
    assert!(sentence.contains("meerkat.db") && sentence.contains(".recover"), "{sentence}");
}

#[tokio::test]
async fn a_file_that_is_damaged_while_it_is_read() {
    let place = Place::new();
    let store = place.open().await;
    let romeo = account(&store, "romeo@example.com").await;
    store.save(drafts(romeo, 0..2000, 300)).await.expect("saves");
    store.close().await;
    let store = place.open().await;
    damage(&place);
    let read = store.waiting(romeo, MessageId(0), 10_000).await;
    let Err(StoreError::Damaged(sentence)) = read else { panic!("{:?}", read.map(|read| read.len())) };
    assert!(sentence.contains("meerkat.db"), "{sentence}");
    // What lies elsewhere in the file is still there.
    assert_eq!(store.count_accounts("example.com").await, Ok(1));
}

/// Most of the messages' pages.
fn damage(place: &Place) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::OpenOptions::new().write(true).open(place.path()).expect("opens");
    let length = file.metadata().expect("is there").len();
    let garbage = vec![0x5a; length as usize / 2];
    file.write_all_at(&garbage, length / 2).expect("writes");
}

/// The rollback of a refused write takes nothing else of its commit along.
#[tokio::test]
async fn a_refused_write_does_not_touch_its_neighbours() {
    let place = Place::new();
    let store = Arc::new(place.open().await);
    let romeo = account(&store, "romeo@example.com").await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..200 {
        let store = store.clone();
        tasks.spawn(async move {
            // Every other one exists.
            let name = if number % 2 == 0 { "romeo".to_owned() } else { format!("user{number}") };
            let jid = BareJid::parse(&format!("{name}@example.com")).expect("an address");
            let created =
                store.write(Write::CreateAccount { jid, secrets: vec![], time: 1, roster_epoch: 7 }).await;
            assert_eq!(created.is_ok(), number % 2 == 1, "{created:?}");
            save(&store, romeo, number..number + 1).await;
        });
    }
    tasks.join_all().await;
    assert_eq!(store.count_accounts("example.com").await, Ok(101));
    let mut saved = bodies(&store, romeo).await;
    saved.sort_unstable();
    assert_eq!(saved, (0..200).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_disk_that_is_too_slow_does_not_fill_the_memory() {
    let place = Place::new();
    let seen = Arc::new(Seen::default());
    let bounds = Options { waiting_writes: 4, waiting_bytes: 10_000, ..Options::new(place.path()) };
    let options = Options { watch: seen.clone(), ..bounds };
    let store = Arc::new(Sqlite::open(options).await.expect("opens"));
    let romeo = account(&store, "romeo@example.com").await;
    // None of them is waited for before all were asked.
    let saving = |padding| store.save(drafts(romeo, 0..1, padding));
    let (outcomes, health) =
        tokio::join!(async { tokio::join!(saving(4000), saving(4000), saving(4000), saving(10)) }, async {
            tokio::join!(store.health(), store.health(), store.health())
        },);
    let (first, second, third, fourth) = outcomes;
    assert!(first.is_ok() && second.is_ok() && fourth.is_ok());
    for refused in [third.err(), health.1.err(), health.2.err()] {
        assert!(matches!(refused, Some(StoreError::Unavailable(_))), "{refused:?}");
    }
    assert_eq!(bodies(&store, romeo).await.len(), 3);
    // Longer than all that may wait, it goes alone.
    store.save(drafts(romeo, 0..1, 20_000)).await.expect("saves");
    assert_eq!(seen.crowded.lock().as_slice(), [Crowded::Bytes, Crowded::Writes, Crowded::Writes]);
    assert!(seen.failed.lock().iter().all(|error| matches!(error, StoreError::Unavailable(_))));
    assert_eq!(seen.failed.lock().len(), 3);
    // The account, three messages together, and the last one; a question for its health is no write.
    assert_eq!(seen.committed.lock().as_slice(), [1, 3, 1]);
}

/// What a store tells of itself.
#[derive(Debug, Default)]
struct Seen {
    committed: Mutex<Vec<usize>>,
    failed: Mutex<Vec<StoreError>>,
    crowded: Mutex<Vec<Crowded>>,
}

impl Watch for Seen {
    fn committed(&self, writes: usize, _: Duration) {
        self.committed.lock().push(writes);
    }

    fn failed(&self, error: &StoreError) {
        self.failed.lock().push(error.clone());
    }

    fn crowded(&self, queue: Crowded) {
        self.crowded.lock().push(queue);
    }
}
