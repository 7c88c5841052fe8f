//! What is given up leaves the files: an account's with the account, and what is older than is kept.

use server::retention;
use server::storage::archive::{End, Filter, Keep};
use server::storage::{Archive, Job, Leases, MessageId, OfflineQueue, Store, Write};
use xmpp_core::BareJid;

use crate::stage::*;

async fn remove(stage: &Stage, jid: &str) {
    let jid = BareJid::parse(jid).expect("an address");
    stage.cold.write(Write::RemoveAccount { jid }).await.expect("removes");
}

#[tokio::test]
async fn a_removed_account_leaves_no_entry_in_any_file() {
    for kind in BOTH {
        let stage = Stage::new(kind).await;
        let hers = all(&*stage.store, stage.juliet, &Filter::default(), End::Oldest, 50).await;
        stage.move_older(60).await;
        let old = stage.objects().await.0;
        assert!(stage.entries().await.iter().any(|entry| entry.owner == stage.romeo));
        remove(&stage, ROMEO).await;
        assert_eq!(all(&*stage.cold, stage.romeo, &Filter::default(), End::Oldest, 50).await, []);
        let tidied = stage.tidy().await;
        assert_eq!(tidied.rewritten, old.len() as u64, "{kind:?}");
        let entries = stage.entries().await;
        assert!(entries.iter().all(|entry| entry.owner == stage.juliet));
        // What he said to her is hers; what he said to others is nowhere.
        let said = |entry: &server::cold::format::Entry, what: &str| {
            String::from_utf8_lossy(&entry.stanza).contains(what)
        };
        assert!(entries.iter().all(|entry| !said(entry, "only of Romeo")));
        let (objects, known) = stage.objects().await;
        assert_eq!(objects, known);
        assert!(objects.is_disjoint(&old), "the files of before are still there");
        assert_eq!(all(&*stage.cold, stage.juliet, &Filter::default(), End::Oldest, 50).await, hers);
        assert_eq!(stage.cold.verify().await.expect("looks").findings, Vec::<String>::new());

        // With her goes the rest.
        remove(&stage, JULIET).await;
        stage.tidy().await;
        let (objects, known) = stage.objects().await;
        assert!(objects.is_empty() && known.is_empty(), "{objects:?} {known:?}");
    }
}

#[tokio::test]
async fn what_is_purged_leaves_the_files_it_is_in() {
    for kind in BOTH {
        let stage = Stage::new(kind).await;
        let before = stage.now - 120 * DAY;
        let expected = async |owner, start| {
            let filter = Filter { start, ..Filter::default() };
            all(&*stage.cold, owner, &filter, End::Oldest, 50).await
        };
        let (his, hers) = (expected(stage.romeo, Some(before)).await, expected(stage.juliet, None).await);
        let waiting = stage.cold.count_waiting(stage.juliet).await.expect("counts");
        stage.move_older(60).await;
        let all_his =
            stage.cold.count_archived(stage.romeo, &Filter::default(), 9_999).await.expect("counts");
        let dropped = retention::purge(&*stage.cold, stage.romeo, before).await.expect("purges");
        assert_eq!(dropped, all_his - his.len() as u64, "{kind:?}");
        for _ in 0..2 {
            assert_eq!(expected(stage.romeo, None).await, his, "{kind:?}");
            assert_eq!(expected(stage.juliet, None).await, hers, "{kind:?}");
            let count = stage.cold.count_archived(stage.romeo, &Filter::default(), 9_999).await;
            assert_eq!(count, Ok(his.len() as u64));
            assert_eq!(stage.cold.verify().await.expect("looks").findings, Vec::<String>::new());
            stage.tidy().await;
        }
        let least = his.first().map(|seen| seen.0).expect("there are some");
        assert!(stage.entries().await.iter().all(|entry| entry.owner != stage.romeo || entry.id >= least));
        // And behind the border too.
        let dropped =
            retention::purge(&*stage.cold, stage.romeo, stage.now - 30 * DAY).await.expect("purges");
        let left = expected(stage.romeo, None).await;
        assert_eq!(dropped as usize + left.len(), his.len());
        assert!(left.iter().all(|seen| seen.1 >= stage.now - 30 * DAY));
        assert_eq!(stage.cold.count_waiting(stage.juliet).await, Ok(waiting));
    }
}

/// By the job that looks after months.
#[tokio::test]
async fn files_that_no_domain_keeps_go_as_a_whole() {
    for kind in BOTH {
        let stage = Stage::new(kind).await;
        stage.move_older(60).await;
        let files = stage.catalogue().await;
        let time = std::time::Duration::from_secs(60);
        let lease = stage.cold.lease(Job::Partitions, "test", time).await.expect("asks").expect("is free");
        let before = Some(files[1].newest + 1);
        let others = Keep { domains: vec!["elsewhere.example".to_owned()], before };
        let kept = stage.cold.tend_archives(&lease, &others).await.expect("tends");
        assert_eq!(kept.dropped, Vec::<String>::new(), "{kind:?}: somebody of another domain has it still");
        let keep = Keep { domains: vec!["example.com".to_owned()], before };
        let dropped = stage.cold.tend_archives(&lease, &keep).await.expect("tends").dropped;
        assert_eq!(dropped, ["cold file 1", "cold file 2"], "{kind:?}");
        assert_eq!(stage.catalogue().await, files[2..]);
        let first =
            stage.cold.archived(stage.romeo, &Filter::default(), End::Oldest, 1).await.expect("reads");
        assert!(first[0].id > files[1].last && first[0].id != MessageId(0));
        assert_eq!(stage.tidy().await.removed, 2);
        let (objects, known) = stage.objects().await;
        assert_eq!(objects, known);
    }
}
