//! Rows of uploaded files.

use server::storage::{AccountNumber, File, FileQuota, StoreError, Usage, Write, Written};

use crate::stage::Stage;

crate::on_every_store![
    a_file_is_granted_stored_and_forgotten,
    a_quota_counts_what_was_granted_since,
    what_is_due_is_what_nobody_needs,
    files_are_listed_a_page_at_a_time,
    an_account_leaves_its_files_to_be_removed,
];

const NONE: FileQuota = FileQuota { since: 0, files: 1000, bytes: 1 << 40 };

fn file(name: &str, owner: AccountNumber, size: u64) -> File {
    File {
        name: name.to_owned(),
        owner: Some(owner),
        title: "très cool.jpg".to_owned(),
        media_type: None,
        size,
        created: 1_000,
        awaited_until: 2_000,
        expires: Some(9_000),
        stored: false,
        blob: None,
    }
}

fn store(name: &str) -> Write {
    let blob = format!("disk:{name}");
    Write::StoreFile { name: name.to_owned(), blob, media_type: Some("image/jpeg".to_owned()) }
}

async fn a_file_is_granted_stored_and_forgotten(stage: Stage) {
    let romeo = stage.create("romeo@example.com").await;
    let granted = file("a", romeo, 5);
    assert_eq!(stage.done(Write::GrantFile { file: granted.clone(), quota: NONE }).await, Written::Done);
    let typed = File { media_type: Some("text/plain".to_owned()), expires: None, ..file("b", romeo, 7) };
    stage.done(Write::GrantFile { file: typed.clone(), quota: NONE }).await;
    let stage = stage.restarted().await;
    assert_eq!(stage.store.file("a").await, Ok(Some(granted.clone())));
    assert_eq!(stage.store.file_usage(None).await, Ok(Usage::default()));
    stage.done(store("a")).await;
    stage.done(store("b")).await;
    let blob = Some("disk:a".to_owned());
    let stored = File { stored: true, blob, media_type: Some("image/jpeg".to_owned()), ..granted };
    assert_eq!(stage.store.file("a").await, Ok(Some(stored)));
    // What the slot said stands.
    assert_eq!(
        stage.store.file("b").await,
        Ok(Some(File { stored: true, blob: Some("disk:b".to_owned()), ..typed }))
    );
    assert_eq!(stage.store.file_usage(Some(romeo)).await, Ok(Usage { count: 2, bytes: 12 }));
    for name in ["a", "c"] {
        assert!(matches!(stage.write(store(name)).await, Err(StoreError::Conflict(_))), "{name}");
    }
    for _ in 0..2 {
        stage.done(Write::RemoveFile { name: "a".to_owned() }).await;
        assert_eq!(stage.store.file("a").await, Ok(None));
    }
}

async fn a_quota_counts_what_was_granted_since(stage: Stage) {
    let romeo = stage.create("romeo@example.com").await;
    let juliet = stage.create("juliet@example.com").await;
    let quota = FileQuota { since: 1_000, files: 3, bytes: 100 };
    let grant = |name: &str, owner, size, created| {
        let file = File { created, ..file(name, owner, size) };
        Write::GrantFile { file, quota }
    };
    stage.done(grant("old", romeo, 99, 999)).await;
    stage.done(grant("a", romeo, 60, 1_000)).await;
    assert!(matches!(stage.write(grant("b", romeo, 41, 1_500)).await, Err(StoreError::Full(_))));
    assert_eq!(stage.store.file("b").await, Ok(None));
    stage.done(grant("b", romeo, 40, 1_500)).await;
    stage.done(grant("c", romeo, 0, 1_600)).await;
    assert!(matches!(stage.write(grant("d", romeo, 0, 1_700)).await, Err(StoreError::Full(_))));
    stage.done(grant("d", juliet, 100, 1_700)).await;
    let granted = stage.store.files_granted(romeo, 1_000, 10).await;
    assert_eq!(granted, Ok(vec![(1_000, 60), (1_500, 40), (1_600, 0)]));
    assert_eq!(stage.store.files_granted(romeo, 1_000, 1).await, Ok(vec![(1_000, 60)]));
    let nobody = AccountNumber(999);
    assert!(matches!(stage.write(grant("e", nobody, 1, 1_700)).await, Err(StoreError::Conflict(_))));
}

async fn what_is_due_is_what_nobody_needs(stage: Stage) {
    let romeo = stage.create("romeo@example.com").await;
    for name in ["awaited", "kept", "stored"] {
        let expires = (name != "kept").then_some(9_000);
        let file = File { expires, ..file(name, romeo, 5) };
        stage.done(Write::GrantFile { file, quota: NONE }).await;
    }
    stage.done(store("kept")).await;
    stage.done(store("stored")).await;
    let due = async |now| stage.store.files_due(now, 10).await.expect("reads");
    assert!(due(1_999).await.is_empty());
    assert_eq!(due(2_000).await, ["awaited"]);
    assert_eq!(due(8_999).await, ["awaited"]);
    assert_eq!(due(9_000).await, ["awaited", "stored"]);
    assert_eq!(stage.store.files_due(u64::MAX >> 16, 1).await, Ok(vec!["awaited".to_owned()]));
}

async fn files_are_listed_a_page_at_a_time(stage: Stage) {
    let romeo = stage.create("romeo@example.com").await;
    let juliet = stage.create("juliet@example.com").await;
    for (name, owner) in [("c", romeo), ("a", romeo), ("b", juliet)] {
        stage.done(Write::GrantFile { file: file(name, owner, 5), quota: NONE }).await;
    }
    let names = async |owner, after, limit| {
        let files = stage.store.files(owner, after, limit).await.expect("reads");
        files.into_iter().map(|file| file.name).collect::<String>()
    };
    assert_eq!(names(None, "", 10).await, "abc");
    assert_eq!(names(None, "", 2).await, "ab");
    assert_eq!(names(None, "b", 2).await, "c");
    assert_eq!(names(Some(romeo), "", 10).await, "ac");
    assert_eq!(names(Some(AccountNumber(999)), "", 10).await, "");
}

async fn an_account_leaves_its_files_to_be_removed(stage: Stage) {
    let romeo = stage.create("romeo@example.com").await;
    for name in ["a", "b"] {
        stage.done(Write::GrantFile { file: file(name, romeo, 5), quota: NONE }).await;
    }
    stage.done(store("a")).await;
    stage.remove("romeo@example.com").await;
    let second = stage.create("romeo@example.com").await;
    assert_eq!(stage.store.files(Some(second), "", 10).await, Ok(vec![]));
    assert_eq!(stage.store.files(Some(romeo), "", 10).await, Ok(vec![]));
    assert_eq!(stage.store.files_due(0, 10).await, Ok(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(stage.store.file("a").await.map(|file| file.and_then(|file| file.owner)), Ok(None));
    assert!(matches!(stage.write(store("b")).await, Err(StoreError::Conflict(_))));
}
