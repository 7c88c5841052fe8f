//! Several nodes on one store, and one node that has files in several places.

use meerkat_tests::s3::S3Server;
use server::config::{Config, UploadStore};

use crate::s3::in_bucket;
use crate::stage::Stage;

/// Exactly one of two that fill a slot at one time wins, and what it brought is what everybody reads.
async fn one_of_two_wins(configure: impl Fn(&mut Config)) {
    let one = Stage::configured(&configure).await;
    let two = one.beside(&configure).await;
    for round in 0..5 {
        let slot = one.slot("a.bin", 1 << 16, None).await;
        let (ours, theirs) = (vec![1; 1 << 16], vec![2; 1 << 16]);
        let (at_one, at_two) = tokio::join!(one.put(&slot.put, &[], &ours), two.put(&slot.put, &[], &theirs));
        let mut statuses = [at_one.status, at_two.status];
        let winner = if at_one.status == 201 { &ours } else { &theirs };
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409], "round {round}");
        for node in [&one, &two] {
            assert!(node.get(&slot.get, &[]).await.body == *winner, "round {round}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_fill_a_slot_on_disk() {
    one_of_two_wins(|_| {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_fill_a_slot_in_s3() {
    let bucket = S3Server::shared().bucket();
    one_of_two_wins(in_bucket(S3Server::shared().settings(&bucket))).await;
    let objects = S3Server::shared().objects(&bucket);
    assert_eq!(objects.len(), 5, "the losers' are gone: {objects:?}");
}

/// What was kept elsewhere is served, counted and removed as before.
#[tokio::test]
async fn files_stay_where_they_were_when_the_place_changes() {
    let server = S3Server::shared();
    let bucket = server.bucket();
    let before = Stage::new().await;
    let on_disk = before.uploaded("a.txt", Some("text/plain"), b"on disk").await;
    let after = before.beside(in_bucket(server.settings(&bucket))).await;
    assert_eq!(after.get(&on_disk, &[]).await.text(), "on disk");
    let in_s3 = after.uploaded("b.txt", Some("text/plain"), b"in s3").await;
    let back = before.beside(|config| {
        in_bucket(server.settings(&bucket))(config);
        config.modules.upload.store = UploadStore::Disk;
    });
    let back = back.await;
    assert_eq!(back.get(&in_s3, &[]).await.text(), "in s3");
    // Without the bucket's keys it cannot be had, which is said.
    assert_eq!(before.get(&in_s3, &[]).await.status, 503);
    assert_eq!((after.files().len(), server.objects(&bucket).len()), (1, 1));
    for path in [&on_disk, &in_s3] {
        let name = path.split('/').nth(2).expect("a name");
        assert_eq!(back.node.uploads.remove_file(name).await, Ok(true));
        assert_eq!(back.get(path, &[]).await.status, 404);
    }
    assert_eq!((after.files().len(), server.objects(&bucket).len()), (0, 0));
}
