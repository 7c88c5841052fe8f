//! What `mam verify` finds in a database that somebody meddled with.

use meerkat_tests::postgres::PostgresServer;
use server::storage::{Archive, Draft, Owner, Peer, Role, Store, Verified, Write, Written};
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use crate::stage::{bare, create, open, options};

const ARCHIVED: Role = Role { waits: false, archived: true, sent: false };
const WAITS: Role = Role { waits: true, archived: true, sent: false };

#[tokio::test]
async fn each_fault_is_found_once() {
    let url = PostgresServer::shared().database().await;
    let store = open(&url).await;
    let romeo = create(&store, "romeo@example.com").await.expect("creates");
    let juliet = create(&store, "juliet@example.com").await.expect("creates");
    let own = |account, role| Owner { account, role, peer: Peer(1) };
    let both = [own(romeo, ARCHIVED), own(juliet, WAITS)];
    for n in 0..10 {
        let draft = |owners: &[Owner]| Draft { time: n, owners: owners.into(), stanza: "<message/>".into() };
        store.save(vec![draft(&both), draft(&[Owner::queued(juliet)])]).await.expect("saves");
    }
    let sound = Verified { messages: 20, archived: 20, waiting: 20, ..Verified::default() };
    assert_eq!(store.verify_archives().await, Ok(sound));

    let mut connection = PgConnection::connect(&url).await.expect("it is there");
    let shared = "(SELECT id FROM message WHERE owners IS NOT NULL ORDER BY id";
    let alone = "(SELECT id FROM message WHERE owners IS NULL ORDER BY id";
    for (sql, seen) in [
        // Three entries of it are left.
        (
            format!("DELETE FROM message WHERE id = {shared} LIMIT 1)"),
            Verified { messages: 19, without_message: 3, ..sound },
        ),
        (
            format!("DELETE FROM waiting WHERE id = {alone} LIMIT 1)"),
            Verified { messages: 19, waiting: 19, without_message: 3, without_entry: 1, ..sound },
        ),
        (
            format!("UPDATE message SET stanza = '<message' WHERE id = {shared} OFFSET 2 LIMIT 1)"),
            Verified {
                messages: 19,
                waiting: 19,
                without_message: 3,
                without_entry: 1,
                unreadable: 1,
                ..sound
            },
        ),
        (
            format!("UPDATE message SET owners = '{{77}}' WHERE id = {shared} OFFSET 4 LIMIT 1)"),
            Verified {
                messages: 19,
                waiting: 19,
                without_message: 3,
                // None of those whom it names has an entry.
                without_entry: 2,
                unreadable: 1,
                not_named: 3,
                ..sound
            },
        ),
    ] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.expect("valid SQL");
        assert_eq!(store.verify_archives().await, Ok(seen));
    }
}

/// What was said goes with its message, from the words too.
#[tokio::test]
async fn words_go_with_their_message() {
    let url = PostgresServer::shared().database().await;
    let mut searchable = options(&url);
    searchable.full_text = true;
    let store = server::plugins::postgres::Postgres::open(searchable).await.expect("opens");
    let mut owners = Vec::new();
    for jid in ["romeo@example.com", "juliet@example.com"] {
        let write = Write::CreateAccount { jid: bare(jid), secrets: vec![], time: 1, roster_epoch: 7 };
        let Ok(Written::Account(number)) = store.write(write).await else { panic!("no account") };
        owners.push(Owner { account: number, role: ARCHIVED, peer: Peer(1) });
    }
    let stanza = "<message><body>wherefore</body></message>";
    let draft = |time: u64| Draft { time, owners: owners.clone().into(), stanza: stanza.into() };
    store.save((0..20).map(draft).collect()).await.expect("saves");
    let mut connection = PgConnection::connect(&url).await.expect("it is there");
    let filter =
        server::storage::archive::Filter { text: Some("wherefore".to_owned()), ..Default::default() };
    assert_eq!(store.count_archived(owners[0].account, &filter, 99).await, Ok(20));
    for (owner, left) in [(0, 20), (1, 10)] {
        let purge = Write::PurgeArchive { owner: owners[owner].account, before: 10, limit: 99 };
        assert_eq!(store.write(purge).await, Ok(Written::Dropped(10)));
        let words = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM message_text");
        assert_eq!(words.fetch_one(&mut connection).await.expect("reads"), left);
    }
}
