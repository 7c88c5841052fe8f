//! What only the SQLite store has: its file, what lies in it, and what a crash leaves there.

mod crashes;
mod faults;
mod files;
mod owned;
mod plans;
mod runs;
mod texts;

use bytes::Bytes;
use tempfile::TempDir;
use xmpp_core::BareJid;

use super::*;

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Place {
        Place { folder: TempDir::new().expect("a folder") }
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("meerkat.db")
    }

    async fn open(&self) -> Sqlite {
        self.try_open().await.expect("the store opens")
    }

    async fn try_open(&self) -> Result<Sqlite, StoreError> {
        Sqlite::open(Options { bulk_rows: 2048, ..Options::new(self.path()) }).await
    }

    /// The sentence that an operator reads.
    async fn refusal(&self) -> StoreError {
        self.try_open().await.err().expect("the store does not open")
    }

    /// Looks into the file, or meddles with it.
    async fn sql(&self, sql: &str) -> i64 {
        let mut connection = Options::new(self.path()).connect().await.expect("connects");
        let rows =
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).fetch_all(&mut connection).await.expect("valid SQL");
        sqlx::Connection::close(connection).await.expect("closes");
        rows.first().and_then(|row| sqlx::Row::try_get(row, 0).ok()).unwrap_or(0)
    }
}

impl Place {
    /// The first column.
    async fn texts(&self, sql: &str) -> Vec<String> {
        let mut connection = Options::new(self.path()).connect().await.expect("connects");
        let texts = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(&mut connection).await;
        sqlx::Connection::close(connection).await.expect("closes");
        texts.expect("valid SQL")
    }
}

async fn account(store: &Sqlite, jid: &str) -> AccountNumber {
    let jid = BareJid::parse(jid).expect("an address");
    match store.write(Write::CreateAccount { jid, secrets: vec![], time: 1, roster_epoch: 7 }).await {
        Ok(Written::Account(number)) => number,
        other => panic!("{other:?}"),
    }
}

fn drafts(owner: AccountNumber, bodies: std::ops::Range<usize>, padding: usize) -> Vec<Draft> {
    let owners = [Owner::queued(owner)];
    let stanza = |body: usize| Bytes::from(format!("{body}{:padding$}", ""));
    bodies.map(|body| Draft { time: 1, owners: owners.into_iter().collect(), stanza: stanza(body) }).collect()
}

async fn save(store: &Sqlite, owner: AccountNumber, bodies: std::ops::Range<usize>) -> Vec<MessageId> {
    store.save(drafts(owner, bodies, 0)).await.expect("saves")
}

async fn bodies(store: &Sqlite, owner: AccountNumber) -> Vec<usize> {
    let waiting = store.waiting(owner, MessageId(0), usize::MAX).await.expect("reads");
    let text = |message: &Saved| String::from_utf8_lossy(&message.stanza).trim().parse().expect("a number");
    waiting.iter().map(text).collect()
}

/// Each probe is a commit, and behind each commit a slice of the chores is done.
async fn work_until(store: &Sqlite, mut done: impl FnMut(&mut Books) -> bool) {
    for _ in 0..2000 {
        if done(&mut store.books.lock()) {
            return;
        }
        store.health().await.expect("the store writes");
    }
    panic!("the chores come to no end");
}
