//! What the chores do to the file, and that a start goes on wherever a crash left them.

use super::*;
use crate::plugins::sqlite::packed::{pack_pairs, pack_ranges};

const BULK: usize = 2048;

#[tokio::test]
async fn what_is_taken_leaves_nothing_in_the_file() {
    let place = Place::new();
    let store = place.open().await;
    let romeo = account(&store, "romeo@example.com").await;
    for round in 0..6 {
        for id in save(&store, romeo, round * 1000..(round + 1) * 1000).await {
            store.taken(romeo, id);
        }
    }
    work_until(&store, |books| books.tail().len() < BULK && !books.has_takings_or_notes()).await;
    // The last bulk's rows are deleted in slices behind it.
    for _ in 0..50 {
        store.health().await.expect("writes");
    }
    store.close().await;
    assert_eq!(place.sql("SELECT count(*) FROM waiting").await, 0);
    let rows = place.sql("SELECT count(*) FROM message").await;
    assert!(rows < BULK as i64 + 100, "{rows} rows are left");
    assert_eq!(place.sql("SELECT count(*) FROM message WHERE id <= (SELECT indexed FROM progress)").await, 0);
}

#[tokio::test]
async fn what_waits_and_is_taken_later_leaves_nothing_either() {
    let place = Place::new();
    let store = place.open().await;
    let romeo = account(&store, "romeo@example.com").await;
    let ids = save(&store, romeo, 0..3000).await;
    work_until(&store, |books| books.tail().len() < BULK).await;
    assert_eq!(bodies(&store, romeo).await.len(), 3000);
    for id in &ids[..BULK] {
        store.taken(romeo, *id);
    }
    assert_eq!(bodies(&store, romeo).await.len(), 3000 - BULK);
    work_until(&store, |books| !books.has_takings_or_notes()).await;
    assert_eq!(store.count_waiting(romeo).await, Ok(3000 - BULK as u64));
    store.close().await;
    assert_eq!(place.sql("SELECT count(*) FROM waiting").await, 0);
    assert_eq!(place.sql("SELECT min(id) FROM message").await, BULK as i64 + 1);
}

#[tokio::test]
async fn a_bulk_that_was_cut_off_is_made_again_without_what_was_taken() {
    let place = Place::new();
    let store = place.open().await;
    let romeo = account(&store, "romeo@example.com").await;
    let ids = save(&store, romeo, 0..10).await;
    store.close().await;
    // As after a crash: entries are made of a bulk that did not come to its end, and some of it was taken.
    let note: String =
        pack_pairs(&[(romeo, ids[1]), (romeo, ids[9])]).iter().map(|byte| format!("{byte:02x}")).collect();
    place
        .sql(&format!(
            "INSERT INTO waiting SELECT {}, id, 1 FROM message WHERE id <= 3;
             INSERT INTO message VALUES (11, '1970-01-01T00:00:00.001Z', x'', x'{note}')",
            romeo.0
        ))
        .await;

    let store = place.open().await;
    let left = [0, 2, 3, 4, 5, 6, 7, 8];
    assert_eq!(bodies(&store, romeo).await, left);
    assert_eq!(store.count_waiting(romeo).await, Ok(8));
    let more = save(&store, romeo, 0..BULK).await;
    assert_eq!(more[0], MessageId(12));
    for id in more {
        store.taken(romeo, id);
    }
    work_until(&store, |books| books.tail().len() < BULK).await;
    store.close().await;
    assert_eq!(place.sql("SELECT count(*) FROM waiting").await, 8);
    assert_eq!(place.sql("SELECT count(*) FROM waiting WHERE id = 2 OR id >= 10").await, 0);
    assert_eq!(bodies(&place.open().await, romeo).await, left);
}

#[tokio::test]
async fn rows_that_were_to_be_deleted_are_deleted_after_a_crash() {
    let place = Place::new();
    let store = place.open().await;
    let romeo = account(&store, "romeo@example.com").await;
    save(&store, romeo, 0..10).await;
    store.close().await;
    let dead: String = pack_ranges(&[(1, 4), (6, 6)]).iter().map(|byte| format!("{byte:02x}")).collect();
    place
        .sql(&format!(
            "UPDATE progress SET indexed = 7, dead = x'{dead}';
             INSERT INTO waiting VALUES ({0}, 5, 1), ({0}, 7, 1)",
            romeo.0
        ))
        .await;
    let store = place.open().await;
    assert_eq!(bodies(&store, romeo).await, [4, 6, 7, 8, 9]);
    for _ in 0..5 {
        store.health().await.expect("writes");
    }
    store.close().await;
    assert_eq!(place.sql("SELECT count(*) FROM message").await, 5);
    assert_eq!(place.sql("SELECT length(dead) FROM progress").await, 0);
}

#[tokio::test]
async fn an_account_that_went_before_a_crash_is_cleared_away() {
    let place = Place::new();
    let store = place.open().await;
    let romeo = account(&store, "romeo@example.com").await;
    let juliet = account(&store, "juliet@example.com").await;
    save(&store, romeo, 0..BULK / 2).await;
    let both = [romeo, juliet].map(Owner::queued);
    let shared = |body: u8| Draft { time: 1, owners: both.into(), stanza: Bytes::from(vec![b'0' + body]) };
    store.save((0..10).map(shared).collect()).await.expect("saves");
    save(&store, romeo, 0..BULK / 2).await;
    work_until(&store, |books| books.tail().len() < BULK).await;
    let jid = BareJid::parse("romeo@example.com").expect("an address");
    store.write(Write::RemoveAccount { jid }).await.expect("removes");
    // Nothing of it is deleted yet, unless by chance.
    store.close().await;

    let store = place.open().await;
    assert_eq!(bodies(&store, romeo).await, [0; 0]);
    for _ in 0..50 {
        store.health().await.expect("writes");
    }
    assert_eq!(bodies(&store, juliet).await.len(), 10);
    store.close().await;
    assert_eq!(place.sql(&format!("SELECT count(*) FROM waiting WHERE owner = {}", romeo.0)).await, 0);
    assert_eq!(place.sql("SELECT count(*) FROM account_removed").await, 0);
    // The tail's last rows wait for their bulk; of those behind it, Juliet's alone are left.
    assert_eq!(
        place.sql("SELECT count(*) FROM message WHERE id <= (SELECT indexed FROM progress)").await,
        10
    );
}

#[tokio::test]
async fn an_id_is_not_given_again_when_every_row_is_gone() {
    let place = Place::new();
    let store = place.open().await;
    let romeo = account(&store, "romeo@example.com").await;
    store.close().await;
    place.sql("UPDATE progress SET indexed = 4096").await;
    let store = place.open().await;
    assert_eq!(save(&store, romeo, 0..1).await, [MessageId(4097)]);
}
