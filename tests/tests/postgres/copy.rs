//! Moving from a file to a database: everything is there afterwards, also when the copy was cut off.

use std::sync::Arc;

use bytes::Bytes;
use meerkat_tests::postgres::PostgresServer;
use server::plugins::copy::copy;
use server::plugins::postgres::Postgres;
use server::plugins::sqlite::{self, Sqlite};
use server::storage::archive::{End, Filter};
use server::storage::outbox::{Bounds, Gate, WhenFull};
use server::storage::subscription::Verb;
use server::storage::{
    AccountNumber, Draft, File, FileQuota, MessageId, OfflineQueue, Owner, Peer, Place, Role, RosterLimits,
    Store, StoreError, Users, Write, Written,
};
use tempfile::TempDir;
use tokio::sync::Notify;
use xmpp_core::Jid;
use xmpp_core::sasl::{ScramHash, ScramSecret};

use crate::stage::{bare, open, options};

const ACCOUNTS: u64 = 50;
const MESSAGES: u64 = 5_000;

#[tokio::test]
async fn everything_is_copied_and_a_copy_that_was_cut_off_goes_on() {
    let folder = TempDir::new().expect("a folder");
    let mut from = sqlite::Options::new(folder.path().join("meerkat.db"));
    // With an event stream that is away: what waits for it moves too.
    from.outbox = Some(Arc::new(Gate::new(Bounds { max_bytes: 1 << 30, when_full: WhenFull::Drop })));
    let store = Sqlite::open(from.clone()).await.expect("opens");
    fill(&store).await;
    store.close().await;

    let url = PostgresServer::shared().database().await;
    let to = options(&url);
    for cut_at in [300, 700] {
        let reached = Notify::new();
        let mut tell = |thousandths| {
            if thousandths >= cut_at {
                reached.notify_one();
            }
        };
        tokio::select! {
            biased;
            () = reached.notified() => {}
            copied = copy(&from, &to, &mut tell) => panic!("it was not cut off: {copied:?}"),
        }
        let refused = Postgres::open(to.clone()).await.map(|_| ());
        let Err(StoreError::Unavailable(said)) = refused else { panic!("{refused:?}") };
        assert!(said.contains("has an unfinished copy of another store"), "{said}");
    }
    let copied = copy(&from, &to, &mut |_| {}).await.expect("copies");
    assert_eq!(copied.len(), 14, "{copied:?}");
    let again = copy(&from, &to, &mut |_| {}).await;
    let Err(StoreError::Conflict(said)) = again else { panic!("{again:?}") };
    assert!(said.contains("is not empty"), "{said}");

    let (one, other) = (Sqlite::open(from).await.expect("opens"), open(&url).await);
    compare(&one, &*other).await;
    new_ones_come_behind(&one, &*other).await;
    one.close().await;
    other.close().await;
    let findings = server::plugins::postgres::tools::check(&to).await.expect("checks");
    // The suite's server does not wait for its disk.
    assert!(findings.iter().all(|finding| finding.contains(" is off: ")), "{findings:?}");
}

fn name(number: u64) -> String {
    format!("user{number}@example.com")
}

async fn fill(store: &Sqlite) {
    let mut owners = Vec::new();
    for number in 0..ACCOUNTS {
        let secret =
            ScramSecret::derive(ScramHash::Sha256, "pencil", b"0123456789abcdef", 1).expect("derives");
        let (jid, secrets) = (bare(&name(number)), vec![secret]);
        let made =
            store.write(Write::CreateAccount { jid, secrets, time: 1_000 + number, roster_epoch: u64::MAX });
        let Written::Account(owner) = made.await.expect("creates") else { panic!("no account") };
        owners.push(owner);
        fill_account(store, owner, number).await;
    }
    store.shared_secret("key", vec![0, 1, 255]).await.expect("shares");
    for number in 0..20 {
        let (collection, key) = ("caps".to_owned(), number.to_string());
        let write = Write::SetSharedItem { collection, key, value: Bytes::from(vec![0, 255]), limit: 10 };
        store.write(write).await.expect("sets");
    }
    let archived = Role { waits: true, archived: true, sent: false };
    let sent = Role { waits: false, archived: true, sent: true };
    let one = |account, role| Owner { account, role, peer: Peer(u64::MAX - 5) };
    for first in (0..MESSAGES).step_by(100) {
        let drafts = (first..first + 100).map(|n| {
            let owner = |n: u64| owners[(n % ACCOUNTS) as usize];
            let owners = match n % 3 {
                0 => vec![Owner::queued(owner(n))],
                1 => vec![one(owner(n), sent), one(owner(n + 1), archived)],
                _ => vec![Owner::queued(owner(n)), Owner::queued(owner(n + 7))],
            };
            Draft {
                time: 1_795_261_800_000 + n,
                owners: owners.into(),
                stanza: format!("message {n}").into(),
            }
        });
        let ids = store.save(drafts.collect()).await.expect("saves");
        for (n, id) in (first..).zip(ids).filter(|(n, _)| n % 4 == 0) {
            store.taken(owners[(n % ACCOUNTS) as usize], id);
        }
    }
    // The last one's number must not be given again.
    for number in [7, ACCOUNTS - 1] {
        store.write(Write::RemoveAccount { jid: bare(&name(number)) }).await.expect("removes");
    }
}

async fn fill_account(store: &Sqlite, owner: AccountNumber, number: u64) {
    let value = Bytes::from(vec![0, 1, 2, 254, 255]);
    let (collection, key) = ("private".to_owned(), "a \"key\" ü".to_owned());
    let friend = number.saturating_sub(1);
    let limits = RosterLimits { items: 100, requests: 100 };
    let ask = |from: u64, to: u64, verb| Write::Subscribe {
        from: bare(&name(from)),
        to: bare(&name(to)),
        verb,
        from_is_local: true,
        to_is_local: true,
        stanza: "<presence/>".into(),
        limits,
    };
    let groups = vec!["Friends".to_owned(), "{a,b} \"c\"".to_owned()];
    for write in [
        Write::SetItem { owner, collection, key, value, limit_bytes: 1_000 },
        Write::Block { owner, jids: vec![Jid::parse("a@b/ü").expect("an address")], limit: 9 },
        Write::SetLastLogout { owner, time: 1_795_261_800_123, status: "gone ü".to_owned() },
        Write::SetBan { jid: bare(&name(number)), reason: (number == 3).then(|| "spam".to_owned()) },
        Write::SetRosterItem {
            owner,
            contact: bare("x@example.net"),
            name: "X".to_owned(),
            groups,
            limit: 9,
        },
        Write::SetRosterItem {
            owner,
            contact: bare("y@example.net"),
            name: "Y".to_owned(),
            groups: vec![],
            limit: 9,
        },
        Write::RemoveRosterItem {
            owner: bare(&name(number)),
            contact: bare("y@example.net"),
            contact_is_local: false,
        },
        ask(number, friend, Verb::Subscribe),
        Write::GrantFile { file: file(owner, number), quota: FileQuota { since: 0, files: 9, bytes: 1_000 } },
    ] {
        store.write(write).await.expect("writes");
    }
    if number.is_multiple_of(3) {
        let (name, blob) = (number.to_string(), format!("s3:{number}"));
        let stored = Write::StoreFile { name, blob, media_type: Some("text/plain".to_owned()) };
        store.write(stored).await.expect("stores");
    }
    if number.is_multiple_of(2) && number > 0 {
        store.write(ask(friend, number, Verb::Subscribed)).await.expect("approves");
    }
}

fn file(owner: AccountNumber, number: u64) -> File {
    File {
        name: number.to_string(),
        owner: Some(owner),
        title: "a \"file\" ü".to_owned(),
        media_type: None,
        size: 7 + number,
        created: 1_795_261_800_123,
        awaited_until: 1_795_261_800_456,
        expires: number.is_multiple_of(2).then_some(1_795_261_800_789),
        stored: false,
        blob: None,
    }
}

/// Everything that can be read.
async fn compare(one: &dyn Store, other: &dyn Store) {
    let accounts = one.accounts("example.com", None, 1_000).await.expect("reads");
    assert_eq!(accounts.len() as u64, ACCOUNTS - 2);
    assert_eq!(Ok(&accounts), other.accounts("example.com", None, 1_000).await.as_ref());
    // Those of removed accounts too: their blobs are still to be removed.
    let files = one.files(None, "", 1_000).await.expect("reads");
    assert!(files.iter().any(|file| file.owner.is_none()) && files.len() as u64 == ACCOUNTS);
    assert_eq!(Ok(files), other.files(None, "", 1_000).await);
    let mut waiting = 0;
    for account in &accounts {
        let (jid, owner) = (&account.jid, account.number);
        assert_eq!(one.secrets(jid).await, other.secrets(jid).await);
        assert_eq!(one.last_logout(owner).await, other.last_logout(owner).await);
        let files = one.files(Some(owner), "", 9).await;
        assert_eq!(files.as_ref().map(Vec::len), Ok(1));
        assert_eq!(files, other.files(Some(owner), "", 9).await);
        assert_eq!(one.blocked(owner).await, other.blocked(owner).await);
        assert_eq!(one.items(owner, "private").await, other.items(owner, "private").await);
        assert_eq!(one.subscription_requests(owner).await, other.subscription_requests(owner).await);
        let (ours, theirs) =
            (one.roster(owner).await.expect("reads"), other.roster(owner).await.expect("reads"));
        assert_eq!((ours.version, &ours.items), (theirs.version, &theirs.items));
        let since = server::storage::RosterVersion { counter: 1, ..ours.version };
        let changes = (one.roster_since(owner, since).await, other.roster_since(owner, since).await);
        assert_eq!(format!("{:?}", changes.0), format!("{:?}", changes.1));
        let ours = one.waiting(owner, MessageId(0), 10_000).await;
        waiting += ours.as_ref().map_or(0, Vec::len);
        assert_eq!(format!("{ours:?}"), format!("{:?}", other.waiting(owner, MessageId(0), 10_000).await));
        let filter = Filter { with: Some(Peer(u64::MAX - 5)), ..Filter::default() };
        let ours = one.archived(owner, &filter, End::Oldest, 10_000).await;
        assert_eq!(
            format!("{ours:?}"),
            format!("{:?}", other.archived(owner, &filter, End::Oldest, 10_000).await)
        );
    }
    assert!(waiting as u64 > MESSAGES / 2, "{waiting}");
    for key in 0..20 {
        let key = key.to_string();
        assert_eq!(one.shared_item("caps", &key).await, other.shared_item("caps", &key).await);
    }
    assert_eq!(other.shared_secret("key", vec![9]).await, Ok(vec![0, 1, 255]));
    let told = one.outbox(Place(0), u64::MAX, 100_000).await.expect("reads");
    assert!(told.len() as u64 > ACCOUNTS, "{}", told.len());
    assert_eq!(other.outbox(Place(0), u64::MAX, 100_000).await.expect("reads"), told);
}

/// Ids and numbers go on behind those of the file, also behind those that are gone.
async fn new_ones_come_behind(one: &dyn Store, other: &dyn Store) {
    let jid = bare("new@example.com");
    let write = Write::CreateAccount { jid, secrets: vec![], time: 1, roster_epoch: 1 };
    let (ours, theirs) = (one.write(write.clone()).await, other.write(write).await);
    let Ok(Written::Account(owner)) = theirs.clone() else { panic!("{theirs:?}") };
    assert_eq!(ours, theirs);
    let draft = Draft { time: 1, owners: [Owner::queued(owner)].into_iter().collect(), stanza: "x".into() };
    let (ours, theirs) = (one.save(vec![draft.clone()]).await, other.save(vec![draft]).await);
    assert!(ours.expect("saves") < theirs.expect("saves"));
    for number in 20..31 {
        let (collection, key) = ("caps".to_owned(), number.to_string());
        let write = Write::SetSharedItem { collection, key, value: "x".into(), limit: 10 };
        assert_eq!(other.write(write).await, Ok(Written::Done));
    }
    assert_eq!(other.shared_item("caps", "19").await, Ok(None));
}
