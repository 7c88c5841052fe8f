//! What an account owns goes with it: of every table it is known whether it belongs to accounts, and afterwards
//! nothing anywhere has the address, or the words.

use meerkat_tests::postgres::PostgresServer;
use server::plugins::postgres::Postgres;
use server::storage::subscription::Verb;
use server::storage::{
    AccountNumber, ColdChange, ColdFile, ColdPart, Draft, File, FileQuota, Files, Owner, Peer, Role,
    RosterLimits, Store, Write,
};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};
use xmpp_core::Jid;
use xmpp_core::sasl::{ScramHash, ScramSecret};

use crate::stage::{bare, create, options};

/// Tables with something of an account's; each has a row of hers when she goes.
const OWNED: [&str; 13] = [
    "account",
    "archive",
    "blocked",
    "cold_part",
    "file",
    "item",
    "message",
    "message_text",
    "roster",
    "roster_removed",
    "secret",
    "shared_item",
    "waiting",
];
/// Tables that are nobody's. What is in `outbox` is on its way to the event stream, and goes when it is there, or
/// after `outbox.max_days` (docs/events.md).
const OTHERS: [&str; 10] = [
    "account_removed",
    "cold_file",
    "cold_note",
    "committed",
    "lease",
    "meerkat_schema",
    "outbox",
    "part",
    "shared_secret",
    "text_progress",
];

const JULIET: &str = "juliet@example.com";

#[tokio::test]
async fn nothing_of_an_account_outlives_it() {
    let url = PostgresServer::shared().database().await;
    let mut searchable = options(&url);
    searchable.full_text = true;
    let store = Postgres::open(searchable).await.expect("opens");
    let juliet = create(&store, JULIET).await.expect("creates");
    let romeo = create(&store, "romeo@example.com").await.expect("creates");
    fill(&store, juliet, romeo).await;
    let mut connection = PgConnection::connect(&url).await.expect("it is there");
    let tables = tables(&mut connection).await;
    let mut known: Vec<&str> = OWNED.iter().chain(&OTHERS).copied().collect();
    known.sort_unstable();
    assert_eq!(tables, known, "whose is what is in a new table?");
    for table in OWNED {
        let filled: bool = scalar(&mut connection, &format!("SELECT EXISTS (SELECT FROM {table})")).await;
        assert!(filled, "{table} has nothing, so that nothing of it can be left");
    }

    store.write(Write::RemoveAccount { jid: bare(JULIET) }).await.expect("removes");
    // What the chores do a minute later.
    while scalar(&mut connection, "SELECT EXISTS (SELECT FROM account_removed)").await {
        let forget = "SELECT bool_or(meerkat_forget(number, 100)) FROM account_removed";
        let _: bool = scalar(&mut connection, forget).await;
    }
    // And what goes with a file's content.
    for name in store.files_due(3, 9).await.expect("reads") {
        store.write(Write::RemoveFile { name }).await.expect("removes");
    }
    store.close().await;
    for table in tables {
        for secret in ["juliet", "wherefore", "nurse"] {
            // Romeo's contact is his.
            if (&*table, secret) == ("roster", "juliet") {
                continue;
            }
            let left =
                format!("SELECT count(*) FROM {table} WHERE row_to_json({table})::text LIKE '%{secret}%'");
            assert_eq!(scalar::<i64>(&mut connection, &left).await, 0, "{secret} in {table}");
            // Bytes are shown in hexadecimal.
            let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
            let left = left.replace(secret, &hex);
            assert_eq!(scalar::<i64>(&mut connection, &left).await, 0, "{secret} in the bytes of {table}");
        }
    }
    let owners = "SELECT count(*) FROM (SELECT owner FROM archive UNION ALL SELECT owner FROM waiting
        UNION ALL SELECT owner FROM item UNION ALL SELECT owner FROM blocked UNION ALL SELECT owner FROM secret
        UNION ALL SELECT owner FROM file UNION ALL SELECT owner FROM cold_part) AS owned WHERE owner = ";
    assert_eq!(scalar::<i64>(&mut connection, &format!("{owners}{}", juliet.0)).await, 0);
}

/// Something of hers in every table.
async fn fill(store: &Postgres, juliet: AccountNumber, romeo: AccountNumber) {
    let secret =
        ScramSecret::derive(ScramHash::Sha256, "pencil", b"0123456789abcdef", 1).expect("a password");
    let nurse = bare("nurse@example.com");
    let pair = |from: &str, to: &str| Write::Subscribe {
        from: bare(from),
        to: bare(to),
        verb: Verb::Subscribe,
        from_is_local: true,
        to_is_local: true,
        stanza: format!("<presence from='{from}'/>").into(),
        limits: RosterLimits { items: 10, requests: 10 },
    };
    let file = File {
        name: "0123456789abcdef0123456789abcdef".to_owned(),
        owner: Some(juliet),
        title: "nurse.txt".to_owned(),
        media_type: None,
        size: 1,
        created: 1,
        awaited_until: 2,
        expires: None,
        stored: false,
        blob: None,
    };
    let quota = FileQuota { since: 0, files: 10, bytes: 10 };
    let (name, limit) = (String::new(), 10);
    for write in [
        Write::SetSecrets { jid: bare(JULIET), secrets: vec![secret] },
        Write::SetRosterItem { owner: juliet, contact: nurse.clone(), name, groups: vec![], limit },
        Write::RemoveRosterItem { owner: bare(JULIET), contact: nurse, contact_is_local: false },
        pair(JULIET, "romeo@example.com"),
        pair("romeo@example.com", JULIET),
        Write::Block {
            owner: juliet,
            jids: vec![Jid::parse("nurse@example.com").expect("an address")],
            limit,
        },
        Write::SetItem {
            owner: juliet,
            collection: "private".to_owned(),
            key: "nurse".to_owned(),
            value: "wherefore".into(),
            limit_bytes: 99,
        },
        Write::GrantFile { file: file.clone(), quota },
        // Another's, which stays.
        Write::SetSharedItem { collection: "caps".to_owned(), key: "a".to_owned(), value: "b".into(), limit },
    ] {
        store.write(write).await.expect("writes");
    }
    let own = |account, role| Owner { account, role, peer: Peer(1) };
    let archived = Role { waits: true, archived: true, sent: false };
    let hers = "<message><body>wherefore</body></message>";
    let his = "<message><body>he alone</body></message>";
    let draft = |owners: &[Owner], stanza: &'static str| Draft {
        time: 1,
        owners: owners.into(),
        stanza: stanza.into(),
    };
    let drafts = vec![
        draft(&[own(juliet, archived)], hers),
        draft(&[Owner::queued(juliet)], hers),
        draft(&[own(romeo, archived)], his),
        draft(&[own(romeo, archived), own(juliet, archived)], his),
    ];
    let ids = store.save(drafts).await.expect("saves");
    // As if it were in a file.
    let file = ColdFile {
        number: 0,
        place: "disk:somewhere".to_owned(),
        first: ids[0],
        last: ids[0],
        oldest: 1,
        newest: 1,
        messages: 1,
        entries: 1,
        bytes: 99,
        index_at: 9,
        sum: String::new(),
        stale: 0,
    };
    let parts = vec![ColdPart { owner: juliet, first: ids[0], last: ids[0], entries: 1 }];
    store.write(Write::Cold(ColdChange::Add { file, parts })).await.expect("writes");
    // Their words are taken in by whoever searches.
    use server::storage::Archive;
    let filter =
        server::storage::archive::Filter { text: Some("wherefore".to_owned()), ..Default::default() };
    assert_eq!(store.count_archived(juliet, &filter, 9).await, Ok(1));
}

/// All but the parts of others.
async fn tables(connection: &mut PgConnection) -> Vec<String> {
    let sql = "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
        AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY relname";
    sqlx::query_scalar(sql).fetch_all(connection).await.expect("valid SQL")
}

async fn scalar<T>(connection: &mut PgConnection, sql: &str) -> T
where
    T: Send + Unpin + sqlx::Type<sqlx::Postgres> + for<'r> sqlx::Decode<'r, sqlx::Postgres>,
{
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await.expect("valid SQL")
}
