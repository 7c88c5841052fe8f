//! Files that cannot be reached, that are not there, and that are not what they were.

use bytes::Bytes;
use meerkat_tests::s3::S3Server;
use server::plugins::s3::{self, S3};
use server::storage::archive::{End, Filter};
use server::storage::{Archive, Blobs, Shown, StoreError, Unwatched};

use crate::stage::*;

/// Whoever needs a file is told to wait, and never given a page without it; whoever needs none is served.
#[tokio::test]
async fn without_s3_no_page_lacks_a_message() {
    let server = S3Server::start();
    let bucket = server.bucket();
    let blobs = || std::sync::Arc::new(S3::open(settings_of(&server, &bucket)).expect("opens"));
    for kind in BOTH {
        let stage = Stage::new(kind).await;
        let expected = all(&*stage.store, stage.juliet, &Filter::default(), End::Oldest, 50).await;
        let bounds = server::cold::Bounds { messages: 200, bytes: 1 << 20 };
        let cold = || {
            server::cold::Cold::new(
                stage.store.clone(),
                vec![blobs()],
                std::sync::Arc::new(Unwatched),
                bounds,
            )
            .expect("it has a catalogue")
        };
        let before = stage.now - 60 * DAY;
        let moved = cold().move_before(&mut stage.turn(), before, stage.now).await.expect("moves");
        assert!(moved.is_some_and(|moved| moved.files >= 3));
        server.tell("kill");
        let away = cold();
        for end in [End::Oldest, End::Newest] {
            let all = try_all(&*away, stage.juliet, &Filter::default(), end, 50).await;
            assert!(matches!(all, Err(StoreError::Unavailable(_))), "{kind:?} {end:?}: {all:?}");
        }
        let young = Filter { start: Some(stage.now - 20 * DAY), ..Filter::default() };
        assert!(all(&*away, stage.juliet, &young, End::Oldest, 50).await.len() > 50);
        let newest = away.archived(stage.juliet, &Filter::default(), End::Newest, 50).await;
        assert_eq!(newest.map(|page| page.len()), Ok(50));
        // What a move put nowhere is not in the catalogue.
        let files = stage.catalogue().await;
        let moving = away.move_before(&mut stage.turn(), stage.now - 10 * DAY, stage.now).await;
        if kind == Kind::Sqlite {
            assert!(matches!(moving, Err(StoreError::Unavailable(_))), "{moving:?}");
        }
        assert_eq!(stage.catalogue().await, files);
        server.tell("start");
        assert_eq!(all(&*away, stage.juliet, &Filter::default(), End::Oldest, 50).await, expected);
    }
}

fn settings_of(server: &S3Server, bucket: &str) -> s3::Options {
    s3::Options {
        prefix: "cold/".to_owned(),
        ..s3::Options::configured(&server.settings(bucket)).expect("all is there")
    }
}

#[tokio::test]
async fn a_flipped_byte_and_a_missing_file_are_found() {
    let stage = Stage::new(Kind::Sqlite).await;
    let moved = stage.move_older(60).await;
    let looked = stage.cold.verify().await.expect("looks");
    assert_eq!((looked.files, looked.entries, looked.bytes), (moved.files, moved.entries, moved.bytes));
    assert_eq!((looked.messages, looked.findings), (moved.messages, vec![]));

    let files = stage.catalogue().await;
    let (flipped, missing) = (&files[0], &files[1]);
    let mut bytes = object(&stage.bucket, flipped).await;
    bytes[flipped.bytes as usize / 3] ^= 4;
    put(&*blobs(&stage.bucket), flipped, bytes).await;
    blobs(&stage.bucket).remove(&name(missing)).await.expect("removes");
    let looked = stage.cold.verify().await.expect("looks");
    let [first, second] = &looked.findings[..] else { panic!("{:?}", looked.findings) };
    assert!(first.contains(&flipped.place) && first.ends_with("its checksum is another"), "{first}");
    assert!(second.contains(&missing.place) && second.ends_with("it is not there"), "{second}");

    // Nor is it read as if it were not so: by somebody who remembers nothing.
    let other = cold(&stage.store, &stage.bucket);
    for (file, damaged) in [(flipped, true), (missing, false)] {
        let within = Filter {
            after: Some(server::storage::MessageId(file.first.0.saturating_sub(1))),
            before: Some(server::storage::MessageId(file.last.0 + 1)),
            ..Filter::default()
        };
        let read = try_all(&*other, stage.romeo, &within, End::Oldest, 50).await;
        match damaged {
            true => assert!(matches!(read, Err(StoreError::Damaged(_))), "{read:?}"),
            false => assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}"),
        }
    }
}

async fn put(blobs: &dyn Blobs, file: &server::storage::ColdFile, bytes: Vec<u8>) {
    let shown = Shown { media_type: None, disposition: "attachment".to_owned() };
    let content = Box::pin(futures_util::stream::iter([Ok(Bytes::from(bytes))]));
    blobs.put(&name(file), file.bytes, &shown, content).await.expect("puts");
}
