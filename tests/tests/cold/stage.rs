//! A store with two hundred days of messages of two accounts, and files of it in a bucket of its own.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use meerkat_tests::postgres::PostgresServer;
use meerkat_tests::s3::S3Server;
use server::cold::format::{self, Entry};
use server::cold::{Bounds, Cold, Moved};
use server::jobs::Turn;
use server::plugins::postgres::{self, Postgres};
use server::plugins::s3::{self, S3};
use server::plugins::sqlite::{self, Sqlite};
use server::storage::archive::{End, Filter};
use server::storage::*;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};
use tempfile::TempDir;
use xmpp_core::BareJid;

pub const DAY: Millis = 86_400_000;
/// Messages of a furnished store: one each five hours.
pub const MESSAGES: u64 = 960;
pub const ROMEO: &str = "romeo.of.verona@example.com";
pub const JULIET: &str = "juliet@example.com";
pub const NURSE: Peer = Peer(0x1234_5678_9abc_def0);

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

pub const BOTH: [Kind; 2] = [Kind::Sqlite, Kind::Postgres];

pub struct Stage {
    pub store: Arc<dyn Store>,
    pub cold: Arc<Cold>,
    pub bucket: String,
    pub romeo: AccountNumber,
    pub juliet: AccountNumber,
    pub now: Millis,
    /// Of the database, or of the file.
    pub url: String,
    _folder: TempDir,
}

impl Stage {
    /// With small files, so that there are several.
    pub async fn new(kind: Kind) -> Stage {
        let folder = TempDir::new().expect("a folder");
        let url = match kind {
            Kind::Sqlite => folder.path().join("meerkat.db").display().to_string(),
            Kind::Postgres => PostgresServer::shared().database().await,
        };
        let store = open(kind, &url).await;
        if kind == Kind::Postgres {
            execute(&url, PARTS).await;
        }
        let romeo = create(&*store, ROMEO).await;
        let juliet = create(&*store, JULIET).await;
        let now = now();
        fill(&*store, (romeo, juliet), now).await;
        if kind == Kind::Postgres {
            execute(&url, AGED).await;
        }
        let bucket = S3Server::shared().bucket();
        let cold = cold(&store, &bucket);
        Stage { store, cold, bucket, romeo, juliet, now, url, _folder: folder }
    }

    pub fn turn(&self) -> Turn {
        Turn::new(self.store.clone(), Job::Cold, "test".into())
    }

    /// Moves what is older than so many days.
    pub async fn move_older(&self, days: u64) -> Moved {
        let before = self.now - days * DAY;
        let moved = self.cold.move_before(&mut self.turn(), before, self.now).await;
        moved.expect("moves").expect("it is our turn")
    }

    /// Removes and rewrites what is due in two hours.
    pub async fn tidy(&self) -> server::cold::Tidied {
        self.cold.tidy(&mut self.turn(), self.now + 2 * 3_600_000).await.expect("tidies")
    }

    pub async fn catalogue(&self) -> Vec<ColdFile> {
        let catalogue = self.store.catalogue().expect("it has one");
        catalogue.cold_files(0, false, 9_999).await.expect("reads")
    }

    /// Keys of the objects in the bucket, and of those that the catalogue knows.
    pub async fn objects(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let objects = S3Server::shared().objects(&self.bucket).into_iter().map(|(key, _)| key).collect();
        let known = self.catalogue().await.into_iter();
        let known = known.map(|file| format!("cold/{}", file.place.trim_start_matches("s3:"))).collect();
        (objects, known)
    }

    /// Everything in all files.
    pub async fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        for file in self.catalogue().await {
            let bytes = object(&self.bucket, &file).await;
            entries.extend(format::read(&bytes, &file.sum, file.index_at).expect("a cold file").1);
        }
        entries
    }
}

pub async fn open(kind: Kind, url: &str) -> Arc<dyn Store> {
    match kind {
        Kind::Sqlite => {
            let options = sqlite::Options { bulk_rows: 300, full_text: true, ..sqlite::Options::new(url) };
            Arc::new(Sqlite::open(options).await.expect("opens"))
        }
        Kind::Postgres => {
            Arc::new(Postgres::open(postgres::Options::new(url).expect("a URL")).await.expect("opens"))
        }
    }
}

pub fn blobs(bucket: &str) -> Arc<dyn Blobs> {
    let settings = S3Server::shared().settings(bucket);
    let options = s3::Options::configured(&settings).expect("all is there");
    Arc::new(S3::open(s3::Options { prefix: "cold/".to_owned(), ..options }).expect("opens"))
}

pub fn cold(store: &Arc<dyn Store>, bucket: &str) -> Arc<Cold> {
    let bounds = Bounds { messages: 200, bytes: 1 << 20 };
    Cold::new(store.clone(), vec![blobs(bucket)], Arc::new(Unwatched), bounds).expect("it has a catalogue")
}

pub fn name(file: &ColdFile) -> BlobName {
    BlobPlace::parse(&file.place).expect("a place").name
}

pub async fn object(bucket: &str, file: &ColdFile) -> Vec<u8> {
    use futures_util::StreamExt;
    let content = blobs(bucket).read(&name(file), 0..file.bytes).await.expect("reads").expect("it is there");
    let parts: Vec<_> = content.collect().await;
    parts.into_iter().flat_map(|part| part.expect("whole").to_vec()).collect()
}

pub async fn execute(url: &str, sql: &str) {
    let mut connection = PgConnection::connect(url).await.expect("it is there");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.expect("valid SQL");
}

/// All of an archive that matches, in pages.
pub async fn all(
    store: &dyn Store,
    owner: AccountNumber,
    filter: &Filter,
    end: End,
    page: usize,
) -> Vec<Seen> {
    try_all(store, owner, filter, end, page).await.expect("reads")
}

/// Id, time, stanza.
pub type Seen = (MessageId, Millis, String);

pub async fn try_all(
    store: &dyn Store,
    owner: AccountNumber,
    filter: &Filter,
    end: End,
    page: usize,
) -> Result<Vec<Seen>, StoreError> {
    let (mut filter, mut seen) = (filter.clone(), Vec::new());
    loop {
        let mut messages = store.archived(owner, &filter, end, page).await?;
        assert!(messages.is_sorted_by(|one, next| one.id < next.id), "a page is in order");
        assert!(messages.len() <= page);
        let is_last = messages.len() < page;
        match end {
            End::Oldest => filter.after = messages.last().map(|message| message.id),
            End::Newest => {
                filter.before = messages.first().map(|message| message.id);
                messages.reverse();
            }
        }
        seen.extend(messages.into_iter().map(|message| {
            (message.id, message.time, String::from_utf8_lossy(&message.stanza).into_owned())
        }));
        if is_last {
            return Ok(seen);
        }
    }
}

pub fn now() -> Millis {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as Millis
}

async fn create(store: &dyn Store, jid: &str) -> AccountNumber {
    let jid = BareJid::parse(jid).expect("an address");
    match store.write(Write::CreateAccount { jid, secrets: vec![], time: 1, roster_epoch: 7 }).await {
        Ok(Written::Account(number)) => number,
        other => panic!("{other:?}"),
    }
}

/// Romeo to Juliet; every fifth is only between him and the nurse, and every seventh waits for Juliet.
pub fn draft((romeo, juliet): (AccountNumber, AccountNumber), n: u64, time: Millis) -> Draft {
    let own = |account, waits, sent, peer| {
        let role = Role { waits, archived: true, sent };
        Owner { account, role, peer }
    };
    let (owners, to, body) = match n % 5 {
        0 => (vec![own(romeo, false, true, NURSE)], "nurse@elsewhere.example", "only of Romeo"),
        _ => {
            let (to_her, from_him) =
                (own(romeo, false, true, Peer(2)), own(juliet, n.is_multiple_of(7), false, Peer(1)));
            (vec![to_her, from_him], JULIET, "of both")
        }
    };
    let stanza = format!("<message from='{ROMEO}/x' to='{to}' type='chat'><body>{body} {n}</body></message>");
    Draft { time, owners: owners.into_iter().collect(), stanza: stanza.into() }
}

async fn fill(store: &dyn Store, owners: (AccountNumber, AccountNumber), now: Millis) {
    let time = |n: u64| now - (MESSAGES - n) * DAY * 5 / 24;
    let numbers: Vec<u64> = (0..MESSAGES).collect();
    for numbers in numbers.chunks(100) {
        let drafts = numbers.iter().map(|n| draft(owners, *n, time(*n))).collect();
        store.save(drafts).await.expect("saves");
    }
}

/// Months as if the server had been there for eight of them.
const PARTS: &str = "DO $$ DECLARE least bigint := 0; BEGIN
    DROP TABLE message_first, archive_first, message_text_first;
    DELETE FROM part WHERE name = 'first';
    FOR age IN REVERSE 8 .. 0 LOOP
        PERFORM meerkat_make_part((meerkat_month(meerkat_now(), -age)).name, least,
            (meerkat_month(meerkat_now(), 1 - age)).first);
        least := (meerkat_month(meerkat_now(), 1 - age)).first;
    END LOOP;
END $$";

/// Ids are the times that the messages say.
const AGED: &str = "CREATE TEMP TABLE aged AS
        SELECT id AS old, ((extract(epoch FROM time) * 1000)::bigint << 20) + row_number() OVER (ORDER BY id) AS new
        FROM message;
    UPDATE waiting SET id = new FROM aged WHERE id = old;
    UPDATE archive SET id = new FROM aged WHERE id = old;
    UPDATE message SET id = new FROM aged WHERE id = old";
