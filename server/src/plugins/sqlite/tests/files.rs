//! The file: private, of one server, ours, not newer than we are, and whole.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::plugins::sqlite::open::suffixed;

#[tokio::test]
async fn nobody_else_reads_it() {
    let place = Place::new();
    // One that was copied carelessly is made private again.
    std::fs::write(place.path(), b"").expect("writes");
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o644)).expect("sets");
    let store = place.open().await;
    account(&store, "romeo@example.com").await;
    for suffix in ["", "-wal", "-shm", ".lock"] {
        let metadata = suffixed(&place.path(), suffix).metadata().expect("it is there");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "meerkat.db{suffix}");
    }
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_made() {
    let place = Place::new();
    let path = place.folder.path().join("a/b/meerkat.db");
    Sqlite::open(Options::new(&path)).await.expect("opens").close().await;
    let mode = path.parent().expect("a folder").metadata().expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[tokio::test]
async fn it_serves_one_server_at_a_time() {
    let place = Place::new();
    let store = place.open().await;
    let StoreError::Unavailable(sentence) = place.refusal().await else { panic!("another error") };
    assert!(sentence.contains(&format!("process {} serves", std::process::id())), "{sentence}");
    assert!(sentence.contains("meerkat.db") && sentence.contains("storage.sqlite.path"), "{sentence}");
    store.close().await;
    place.open().await.close().await;
}

#[tokio::test]
async fn a_newer_schema_is_not_touched() {
    let place = Place::new();
    place.open().await.close().await;
    place.sql("PRAGMA user_version = 999").await;
    let StoreError::Unavailable(sentence) = place.refusal().await else { panic!("another error") };
    assert!(sentence.contains("schema 999") && sentence.contains("newer"), "{sentence}");
    assert_eq!(place.sql("PRAGMA user_version").await, 999);
}

#[tokio::test]
async fn a_database_of_somebody_else_is_not_touched() {
    let place = Place::new();
    std::fs::write(place.path(), b"").expect("writes");
    place.sql("CREATE TABLE cookies (id)").await;
    let StoreError::Unavailable(sentence) = place.refusal().await else { panic!("another error") };
    assert!(sentence.contains("another program"), "{sentence}");
    assert_eq!(place.sql("SELECT count(*) FROM sqlite_schema").await, 1);
}

#[tokio::test]
async fn what_is_no_database_is_said_to_be_damaged() {
    let place = Place::new();
    std::fs::write(place.path(), "Two households, both alike in dignity. ".repeat(200)).expect("writes");
    let StoreError::Damaged(sentence) = place.refusal().await else { panic!("another error") };
    assert!(sentence.contains("meerkat.db") && sentence.contains("backup"), "{sentence}");
}

#[tokio::test]
async fn times_are_utc_for_who_looks_into_the_file() {
    let place = Place::new();
    let store = place.open().await;
    let romeo = account(&store, "romeo@example.com").await;
    save(&store, romeo, 0..1).await;
    store.close().await;
    let written = "SELECT count(*) FROM message JOIN account WHERE time = '1970-01-01T00:00:00.001Z'
                   AND created = time";
    assert_eq!(place.sql(written).await, 1);
}
