//! Block lists, collections of an account, and values that belong to none.

use bytes::Bytes;
use server::storage::{AccountNumber, StoreError, Write, Written};
use xmpp_core::Jid;

use crate::stage::Stage;

crate::on_every_store![
    a_block_list_says_what_changed,
    a_block_list_is_bounded,
    a_collection_keeps_its_values,
    a_collection_is_bounded_in_bytes,
    shared_values_go_the_oldest_first,
    a_shared_value_is_swapped_by_who_knows_it,
    an_account_takes_its_values_with_it,
];

fn jids(texts: &[&str]) -> Vec<Jid> {
    texts.iter().map(|text| Jid::parse(text).expect("an address")).collect()
}

fn set(owner: AccountNumber, key: &str, value: &'static [u8], limit_bytes: u64) -> Write {
    let collection = "private".to_owned();
    Write::SetItem { owner, collection, key: key.to_owned(), value: Bytes::from_static(value), limit_bytes }
}

async fn a_block_list_says_what_changed(stage: Stage) {
    let romeo = stage.create("romeo@example.com").await;
    let other = stage.create("juliet@example.com").await;
    let list = jids(&["example.net", "example.org/x", "tybalt@example.com"]);
    let block = |jids| Write::Block { owner: romeo, jids, limit: 10 };
    assert_eq!(stage.done(block(list[..2].to_vec())).await, Written::Jids(list[..2].to_vec()));
    // What was there already is not new.
    assert_eq!(stage.done(block(list.clone())).await, Written::Jids(list[2..].to_vec()));
    let stage = stage.restarted().await;
    assert_eq!(stage.store.blocked(romeo).await, Ok(list.clone()));
    assert_eq!(stage.store.blocked(other).await, Ok(vec![]));

    let unblock = |jids| Write::Unblock { owner: romeo, jids };
    let some = jids(&["example.net", "nobody@example.com"]);
    assert_eq!(stage.done(unblock(some)).await, Written::Jids(list[..1].to_vec()));
    assert_eq!(stage.done(unblock(vec![])).await, Written::Jids(list[1..].to_vec()));
    assert_eq!(stage.done(unblock(vec![])).await, Written::Jids(vec![]));
    assert_eq!(stage.store.blocked(romeo).await, Ok(vec![]));
}

async fn a_block_list_is_bounded(stage: Stage) {
    let romeo = stage.create("romeo@example.com").await;
    let block = |texts: &[&str]| Write::Block { owner: romeo, jids: jids(texts), limit: 2 };
    stage.done(block(&["a.example", "b.example"])).await;
    stage.done(block(&["a.example"])).await;
    assert!(matches!(stage.write(block(&["a.example", "c.example"])).await, Err(StoreError::Full(_))));
    assert_eq!(stage.store.blocked(romeo).await, Ok(jids(&["a.example", "b.example"])));
}

async fn a_collection_keeps_its_values(stage: Stage) {
    let romeo = stage.create("romeo@example.com").await;
    let juliet = stage.create("juliet@example.com").await;
    stage.done(set(romeo, "storage:bookmarks", b"<storage/>", 1000)).await;
    stage.done(set(romeo, "prefs", b"old", 1000)).await;
    stage.done(set(romeo, "prefs", b"new", 1000)).await;
    let stage = stage.restarted().await;
    assert_eq!(stage.store.item(romeo, "private", "prefs").await, Ok(Some(Bytes::from_static(b"new"))));
    assert_eq!(stage.store.item(romeo, "vcard", "prefs").await, Ok(None));
    assert_eq!(stage.store.item(juliet, "private", "prefs").await, Ok(None));
    let all = stage.store.items(romeo, "private").await.expect("reads");
    let expected = [("prefs", &b"new"[..]), ("storage:bookmarks", b"<storage/>")];
    assert_eq!(all, expected.map(|(key, value)| (key.to_owned(), Bytes::from_static(value))));
    let remove = Write::RemoveItem { owner: romeo, collection: "private".into(), key: "prefs".into() };
    for _ in 0..2 {
        assert_eq!(stage.done(remove.clone()).await, Written::Done);
        assert_eq!(stage.store.item(romeo, "private", "prefs").await, Ok(None));
    }
}

async fn a_collection_is_bounded_in_bytes(stage: Stage) {
    let romeo = stage.create("romeo@example.com").await;
    stage.done(set(romeo, "k1", b"12345678", 20)).await;
    stage.done(set(romeo, "k2", b"12345678", 20)).await;
    assert!(matches!(stage.write(set(romeo, "k3", b"", 20)).await, Err(StoreError::Full(_))));
    assert!(matches!(stage.write(set(romeo, "k2", b"123456789", 20)).await, Err(StoreError::Full(_))));
    // A value is replaced by one of its size.
    stage.done(set(romeo, "k2", b"abcdefgh", 20)).await;
    assert_eq!(stage.store.item(romeo, "private", "k2").await, Ok(Some(Bytes::from_static(b"abcdefgh"))));
}

async fn shared_values_go_the_oldest_first(stage: Stage) {
    let set = |key: &str| {
        let value = Bytes::from(key.to_owned());
        Write::SetSharedItem { collection: "caps".into(), key: key.to_owned(), value, limit: 2 }
    };
    for key in ["a", "b", "a", "c"] {
        stage.done(set(key)).await;
    }
    stage
        .done(Write::SetSharedItem {
            collection: "other".into(),
            key: "b".into(),
            value: Bytes::new(),
            limit: 2,
        })
        .await;
    let stage = stage.restarted().await;
    let mut kept = Vec::new();
    for key in ["a", "b", "c"] {
        kept.push(stage.store.shared_item("caps", key).await.expect("reads").is_some());
    }
    // "a" was set again, so that "b" was the oldest.
    assert_eq!(kept, [true, false, true]);
}

async fn a_shared_value_is_swapped_by_who_knows_it(stage: Stage) {
    let swap = |expected: Option<&'static str>, value: &'static str| {
        let (collection, key) = ("cache".to_owned(), "agreement".to_owned());
        let expected = expected.map(Bytes::from);
        stage.write(Write::SwapSharedItem { collection, key, expected, value: Bytes::from(value) })
    };
    let refused = |written| assert!(matches!(written, Err(StoreError::Conflict(_))), "{written:?}");
    refused(swap(Some("one"), "two").await);
    assert_eq!(swap(None, "one").await, Ok(Written::Done));
    refused(swap(None, "two").await);
    refused(swap(Some("other"), "two").await);
    assert_eq!(swap(Some("one"), "two").await, Ok(Written::Done));
    assert_eq!(stage.store.shared_item("cache", "agreement").await, Ok(Some(Bytes::from("two"))));
    // Of those who know the same, one is the first.
    let swaps =
        tokio::join!(swap(Some("two"), "three"), swap(Some("two"), "four"), swap(Some("two"), "five"));
    let done = [swaps.0, swaps.1, swaps.2].iter().filter(|written| written.is_ok()).count();
    assert_eq!(done, 1);
}

async fn an_account_takes_its_values_with_it(stage: Stage) {
    let romeo = stage.create("romeo@example.com").await;
    stage.done(set(romeo, "prefs", b"his", 1000)).await;
    stage.done(Write::Block { owner: romeo, jids: jids(&["example.net"]), limit: 10 }).await;
    stage.done(Write::SetLastLogout { owner: romeo, time: 1, status: String::new() }).await;
    stage.remove("romeo@example.com").await;
    let second = stage.create("romeo@example.com").await;
    for owner in [romeo, second] {
        assert_eq!(stage.store.items(owner, "private").await, Ok(vec![]));
        assert_eq!(stage.store.blocked(owner).await, Ok(vec![]));
        assert_eq!(stage.store.last_logout(owner).await, Ok(None));
    }
    assert!(matches!(stage.write(set(romeo, "prefs", b"", 1000)).await, Err(StoreError::Conflict(_))));
}
