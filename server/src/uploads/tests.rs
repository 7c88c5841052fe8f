use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use xmpp_core::BareJid;

use super::*;
use crate::jobs::Turn;
use crate::plugins::disk::Disk;
use crate::plugins::memory::Memory;

struct Stage {
    uploads: Arc<Uploads>,
    store: Arc<Memory>,
    owner: AccountNumber,
    live: Arc<ArcSwap<Config>>,
    folder: tempfile::TempDir,
}

impl Stage {
    async fn new() -> Stage {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Arc::new(Memory::new());
        let jid = BareJid::parse("juliet@example.com").expect("an address");
        let write = Write::CreateAccount { jid, secrets: vec![], time: 0, roster_epoch: 0 };
        let Ok(Written::Account(owner)) = store.write(write).await else { panic!("no account") };
        let live = Arc::new(ArcSwap::from_pointee(Config::default()));
        let blobs = Arc::new(Disk::new(folder.path()));
        let uploads =
            Uploads::new(store.clone(), blobs, live.clone(), Clock::runtime(), &[1; 32], Arc::default());
        Stage { uploads: Arc::new(uploads), store, owner, live, folder }
    }

    async fn slot(&self, size: u64, until: Option<Millis>) -> (String, u64, String) {
        let media_type = Some("text/plain".to_owned());
        let request = SlotRequest { title: "a.txt".to_owned(), size, media_type, until };
        let slot = self.uploads.grant(self.owner, "example.com", request).await.expect("a slot");
        let path = slot.put.split_once("/upload/").expect("a path").1;
        let (path, query) = path.split_once("?until=").expect("a query");
        let (until, signature) = query.split_once("&signature=").expect("a signature");
        let name = path.split_once('/').expect("a name").0;
        (name.to_owned(), until.parse().expect("seconds"), signature.to_owned())
    }

    async fn put(
        &self,
        (name, until, signature): &(String, u64, String),
        content: &'static str,
    ) -> Result<(), Refused> {
        let length = content.len() as u64;
        let media_type = Some("text/plain");
        let put = Put { name, title: "a.txt", until: *until, signature, length, media_type };
        let coming = self.uploads.begin(&put).await?;
        coming.receive(Box::pin(stream::iter([Ok(Bytes::from_static(content.as_bytes()))]))).await
    }

    async fn remove_due(&self) -> Result<u64, StoreError> {
        let mut turn = Turn::new(self.store.clone(), Job::Expiry, "this server".into());
        self.uploads.remove_due(&mut turn).await
    }

    async fn is_there(&self, name: &str) -> bool {
        self.uploads.find(name, "a.txt").await.expect("a store").is_some()
    }

    fn blobs(&self) -> usize {
        let shelves = std::fs::read_dir(self.folder.path()).expect("a folder").flatten();
        let count = |path| std::fs::read_dir(path).map_or(0, |entries| entries.count());
        shelves.map(|shelf| count(shelf.path())).sum()
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_is_there_until_it_expires() {
    let stage = Stage::new().await;
    let slot = stage.slot(2, None).await;
    assert!(!stage.is_there(&slot.0).await, "nothing was put into it yet");
    stage.put(&slot, "hi").await.expect("its own slot");
    assert!(stage.is_there(&slot.0).await);
    assert_eq!(stage.remove_due().await, Ok(0));
    tokio::time::advance(Duration::from_secs(30 * 24 * 3600)).await;
    assert!(!stage.is_there(&slot.0).await, "even before it is cleared away");
    assert_eq!(stage.blobs(), 1);
    assert_eq!(stage.remove_due().await, Ok(1));
    assert_eq!((stage.blobs(), stage.store.file(&slot.0).await), (0, Ok(None)));
}

/// XEP-0363 section "Ephemeral": not available after that time.
#[tokio::test(start_paused = true)]
async fn an_ephemeral_file_goes_before_its_time() {
    let stage = Stage::new().await;
    let hour = Duration::from_secs(3600);
    let slot = stage.slot(2, Some(stage.uploads.now() + 3_600_000)).await;
    stage.put(&slot, "hi").await.expect("its own slot");
    tokio::time::advance(hour - Duration::from_secs(1)).await;
    assert!(stage.is_there(&slot.0).await);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(!stage.is_there(&slot.0).await);
}

#[tokio::test(start_paused = true)]
async fn a_slot_is_used_once_in_its_time_and_by_who_has_it() {
    let stage = Stage::new().await;
    let slot = stage.slot(2, None).await;
    let mut forged = slot.clone();
    forged.1 += 1;
    assert_eq!(stage.put(&forged, "hi").await, Err(Refused::Forged));
    let other = stage.slot(2, None).await;
    assert_eq!(stage.put(&(other.0.clone(), slot.1, slot.2.clone()), "hi").await, Err(Refused::Forged));
    assert_eq!(stage.put(&slot, "hey").await, Err(Refused::Length { slot: 2, upload: 3 }));
    stage.put(&slot, "hi").await.expect("its own slot");
    assert_eq!(stage.put(&slot, "ho").await, Err(Refused::Used));
    tokio::time::advance(Duration::from_secs(301)).await;
    assert_eq!(stage.put(&other, "hi").await, Err(Refused::Expired));
    // What was awaited in vain is forgotten, with a grace for what began in time.
    assert_eq!(stage.remove_due().await, Ok(0));
    tokio::time::advance(UPLOAD_TIME).await;
    assert_eq!(stage.remove_due().await, Ok(1));
    assert!(stage.is_there(&slot.0).await);
}

#[tokio::test(start_paused = true)]
async fn two_uploads_into_one_slot_do_not_mix() {
    let stage = Stage::new().await;
    let (name, until, signature) = stage.slot(2, None).await;
    let put = Put {
        name: &name,
        title: "a.txt",
        until,
        signature: &signature,
        length: 2,
        media_type: Some("text/plain"),
    };
    let first = stage.uploads.begin(&put).await.expect("its own slot");
    assert_eq!(stage.uploads.begin(&put).await.err(), Some(Refused::Used));
    let broken = stream::iter([Err(std::io::ErrorKind::ConnectionReset.into())]);
    assert!(matches!(first.receive(Box::pin(broken)).await, Err(Refused::Incomplete(_))));
    assert_eq!(stage.blobs(), 0);
    // An upload that broke off may be tried again.
    stage.put(&(name.clone(), until, signature.clone()), "hi").await.expect("its own slot");
    assert!(stage.is_there(&name).await);
}

/// An account takes its files with it, those on their way too.
#[tokio::test(start_paused = true)]
async fn an_account_takes_its_files_with_it() {
    let stage = Stage::new().await;
    let (done, late) = (stage.slot(2, None).await, stage.slot(2, None).await);
    stage.put(&done, "hi").await.expect("its own slot");
    let (name, until, signature) = &late;
    let put =
        Put { name, title: "a.txt", until: *until, signature, length: 2, media_type: Some("text/plain") };
    let coming = stage.uploads.begin(&put).await.expect("its own slot");
    let jid = BareJid::parse("juliet@example.com").expect("an address");
    stage.store.write(Write::RemoveAccount { jid }).await.expect("removed");
    assert!(!stage.is_there(&done.0).await, "even before it is cleared away");
    let content = stream::iter([Ok(Bytes::from_static(b"hi"))]);
    assert_eq!(coming.receive(Box::pin(content)).await, Err(Refused::Expired));
    assert_eq!(stage.remove_due().await, Ok(2));
    assert_eq!(stage.blobs(), 0);
    assert_eq!(stage.store.file_usage(None).await, Ok(Usage::default()));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_leaves_nothing_to_be_served() {
    let stage = Stage::new().await;
    let slot = stage.slot(2, None).await;
    stage.store.fail_writes(StoreError::Unavailable("away".to_owned()));
    assert!(matches!(stage.put(&slot, "hi").await, Err(Refused::Store(_))));
    stage.store.heal();
    assert!(!stage.is_there(&slot.0).await);
    stage.put(&slot, "hi").await.expect("it is tried again");
    assert!(stage.is_there(&slot.0).await);
}

#[tokio::test(start_paused = true)]
async fn what_is_configured_holds_at_once() {
    let stage = Stage::new().await;
    let mut config = Config::default();
    config.modules.upload.base_url = "https://files.example.com".parse().ok();
    config.modules.upload.max_file_bytes = 10;
    stage.live.store(Arc::new(config));
    let request = |size| SlotRequest { title: "a b".to_owned(), size, media_type: None, until: None };
    let refused = stage.uploads.grant(stage.owner, "example.com", request(11)).await;
    assert_eq!(refused, Err(SlotError::TooLarge { most: 10 }));
    let slot = stage.uploads.grant(stage.owner, "example.com", request(10)).await.expect("a slot");
    assert!(slot.get.starts_with("https://files.example.com/upload/") && slot.get.ends_with("/a%20b"));
}
