//! What an account owns goes with it: from every table, and from the file's bytes.

use xmpp_core::sasl::{ScramHash, ScramSecret};
use xmpp_core::{BareJid, Jid};

use super::*;
use crate::storage::archive::{End, Filter};

/// Every table with something that belongs to an account, and the column that says whose it is. **A new
/// table is to be entered here or below**, and what fills it in `furnish`.
const OWNED: [(&str, &str); 11] = [
    ("account", "number"),
    ("secret", "owner"),
    ("roster", "owner"),
    ("roster_removed", "owner"),
    ("blocked", "owner"),
    ("item", "owner"),
    ("waiting", "owner"),
    ("archive", "owner"),
    ("cold_part", "owner"),
    ("run", "owner"),
    // Until its blob is gone the row stays, as nobody's.
    ("file", "owner"),
];
/// Tables in which nothing belongs to an account. (A message belongs to whoever has an entry for it; the outbox is
/// on its way out, and drains.)
const NOBODYS: [&str; 8] = [
    "progress",
    "account_removed",
    "shared_item",
    "shared_secret",
    "message",
    "outbox",
    "cold_file",
    "cold_note",
];

const ROMEO: &str = "romeo.of.verona@montague.example";
const JULIET: &str = "juliet@capulet.example";

fn bare(jid: &str) -> BareJid {
    BareJid::parse(jid).expect("an address")
}

async fn done(store: &Sqlite, write: Write) -> Written {
    store.write(write).await.expect("the store writes")
}

/// A row of the account in every table.
async fn furnish(store: &Sqlite, jid: &str, contact: &str) -> AccountNumber {
    let secret =
        ScramSecret::derive(ScramHash::Sha256, "pencil", b"0123456789abcdef", 1).expect("a password");
    let write = Write::CreateAccount { jid: bare(jid), secrets: vec![secret], time: 1, roster_epoch: 7 };
    let Written::Account(owner) = done(store, write).await else { panic!("no account") };
    let status = format!("{jid} was here");
    done(store, Write::SetLastLogout { owner, time: 2, status }).await;
    for contact in [contact, "gone@elsewhere.example"] {
        let (name, groups) = (format!("known to {jid}"), vec![format!("of {jid}")]);
        let contact = bare(contact);
        done(store, Write::SetRosterItem { owner, contact, name, groups, limit: 9 }).await;
    }
    let (owner_jid, contact_jid) = (bare(jid), bare("gone@elsewhere.example"));
    done(store, Write::RemoveRosterItem { owner: owner_jid, contact: contact_jid, contact_is_local: false })
        .await;
    let jids = vec![Jid::parse("tybalt@elsewhere.example").expect("an address")];
    done(store, Write::Block { owner, jids, limit: 9 }).await;
    let value = Bytes::from(format!("<x>{jid}</x>"));
    let item = |collection: &str| Write::SetItem {
        owner,
        collection: collection.to_owned(),
        key: "key".to_owned(),
        value: value.clone(),
        limit_bytes: 999,
    };
    for collection in ["private", "vcard", "archive"] {
        done(store, item(collection)).await;
    }
    let file = File {
        name: format!("blob of {}", owner.0),
        owner: Some(owner),
        title: "sonnet.txt".to_owned(),
        media_type: None,
        size: 5,
        created: 1,
        awaited_until: 2,
        expires: None,
        stored: false,
        blob: None,
    };
    done(store, Write::GrantFile { file, quota: FileQuota { since: 0, files: 9, bytes: 99 } }).await;
    owner
}

fn message(from: &str, to: &str, body: &str, owners: &[Owner]) -> Draft {
    let stanza = format!("<message from='{from}/x' to='{to}'><body>{body}</body></message>");
    Draft { time: 3, owners: owners.iter().copied().collect(), stanza: stanza.into() }
}

const RECEIVED: Role = Role { waits: true, archived: true, sent: false };
const SENT: Role = Role { waits: false, archived: true, sent: true };

fn owner(account: AccountNumber, role: Role) -> Owner {
    Owner { account, role, peer: Peer(1) }
}

/// One of each kind, before and behind the border of what is indexed.
async fn talk(store: &Sqlite, romeo: AccountNumber, juliet: AccountNumber) {
    for part in ["early", "late"] {
        let own = [owner(romeo, RECEIVED)];
        let both = [owner(romeo, SENT), owner(juliet, RECEIVED)];
        let mut drafts = vec![
            message("nurse@elsewhere.example", ROMEO, "only for Romeo", &own),
            message(ROMEO, "nurse@elsewhere.example", "only of Romeo", &[owner(romeo, SENT)]),
            message("nurse@elsewhere.example", ROMEO, "waits for Romeo", &[Owner::queued(romeo)]),
            message(ROMEO, JULIET, "for both", &both),
        ];
        if part == "early" {
            let more =
                (0..600).map(|n| message("n@elsewhere.example", ROMEO, &format!("only for Romeo {n}"), &own));
            drafts.extend(more);
        }
        for part in drafts.chunks(100) {
            store.save(part.to_vec()).await.expect("saves");
        }
        if part == "early" {
            // A purge of what is older than everything makes the entries.
            store.write(Write::PurgeArchive { owner: romeo, before: 4, limit: 0 }).await.expect("writes");
            file_away(store, romeo).await;
        }
    }
}

/// As if the oldest message of his archive were in a file.
async fn file_away(store: &Sqlite, owner: AccountNumber) {
    let oldest = store.archived(owner, &Filter::default(), End::Oldest, 1).await.expect("reads");
    let id = oldest[0].id;
    let file = ColdFile {
        number: 0,
        place: "disk:somewhere".to_owned(),
        first: id,
        last: id,
        oldest: 3,
        newest: 3,
        messages: 1,
        entries: 1,
        bytes: 99,
        index_at: 9,
        sum: String::new(),
        stale: 0,
    };
    let parts = vec![ColdPart { owner, first: id, last: id, entries: 1 }];
    done(store, Write::Cold(ColdChange::Add { file, parts })).await;
}

#[tokio::test]
async fn every_table_is_known_to_be_somebodys_or_nobodys() {
    let place = Place::new();
    let store = place.open().await;
    let romeo = furnish(&store, ROMEO, JULIET).await;
    let juliet = furnish(&store, JULIET, ROMEO).await;
    talk(&store, romeo, juliet).await;
    let tables =
        place.texts("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'").await;
    for table in &tables {
        let is_owned = OWNED.iter().any(|(owned, _)| owned == table);
        assert!(is_owned || NOBODYS.contains(&table.as_str()), "whose is what is in the table {table}?");
        if !is_owned {
            let columns = format!("SELECT name FROM pragma_table_info('{table}')");
            for column in place.texts(&columns).await {
                let is_address =
                    ["owner", "jid", "contact", "account", "domain", "user"].contains(&column.as_str());
                assert!(!is_address, "{table}.{column} says that the table belongs to accounts");
            }
        }
    }
    assert_eq!(tables.len(), OWNED.len() + NOBODYS.len(), "{tables:?}");
    let rows =
        |table: &str, column: &str| format!("SELECT count(*) FROM {table} WHERE {column} = {}", romeo.0);
    for (table, column) in OWNED {
        assert!(
            place.sql(&rows(table, column)).await > 0,
            "nothing of Romeo's in {table}: the test is blind there"
        );
    }
    done(&store, Write::RemoveAccount { jid: bare(ROMEO) }).await;
    finish(&store).await;
    for (table, column) in OWNED {
        assert_eq!(place.sql(&rows(table, column)).await, 0, "Romeo left something in {table}");
    }
    // What the file has of him is to leave it.
    assert_eq!(place.sql("SELECT stale FROM cold_file").await, 1);
    let left = "SELECT count(*) FROM account_removed";
    assert_eq!(place.sql(left).await, 0);
    // Juliet has lost nothing, and hers are the only places where he is still named.
    let hers = store.archived(juliet, &Filter::default(), End::Oldest, 99).await.expect("reads");
    assert_eq!(hers.len(), 2);
    assert_eq!(place.sql("SELECT count(*) FROM message").await, 2);
    assert_eq!(store.verify_archives().await.expect("reads").faults(), 0);
    for table in tables {
        let columns = place.texts(&format!("SELECT name FROM pragma_table_info('{table}')")).await;
        for column in columns {
            let named =
                format!("SELECT count(*) FROM {table} WHERE instr(CAST({column} AS TEXT), '{ROMEO}') > 0");
            let is_hers = [("message", "stanza"), ("roster", "contact")].contains(&(&*table, &*column));
            let found = place.sql(&named).await;
            assert_eq!(found > 0, is_hers, "{found} times in {table}.{column}");
        }
    }
    store.close().await;
    let bytes = std::fs::read(place.path()).expect("reads");
    for gone in ["only for Romeo", "only of Romeo", "waits for Romeo", "known to romeo", "was here"] {
        let gone = if gone == "was here" { format!("{ROMEO} was here") } else { gone.to_owned() };
        assert_eq!(memchr(&bytes, gone.as_bytes()), 0, "{gone:?} is still in the file");
    }
}

/// With nobody who knew him there is no trace of his address in the bytes of the file.
#[tokio::test]
async fn no_byte_of_a_hermit_is_left() {
    let place = Place::new();
    let store = place.open().await;
    let juliet = furnish(&store, JULIET, "nurse@elsewhere.example").await;
    let romeo = furnish(&store, ROMEO, "nurse@elsewhere.example").await;
    for n in 0..3_000 {
        let (own, hers) = ([owner(romeo, SENT)], [owner(juliet, RECEIVED)]);
        let drafts = vec![
            message(ROMEO, "nurse@elsewhere.example", &format!("{n}"), &own),
            message("nurse@elsewhere.example", JULIET, &format!("{n}"), &hers),
        ];
        store.save(drafts).await.expect("saves");
    }
    let bytes = |suffix| {
        std::fs::read(crate::plugins::sqlite::open::suffixed(&place.path(), suffix)).unwrap_or_default()
    };
    let files = ["", "-wal"];
    assert!(files.iter().any(|file| memchr(&bytes(file), ROMEO.as_bytes()) > 0), "the test is blind");
    done(&store, Write::RemoveAccount { jid: bare(ROMEO) }).await;
    finish(&store).await;
    store.close().await;
    for suffix in files {
        assert_eq!(memchr(&bytes(suffix), ROMEO.as_bytes()), 0, "meerkat.db{suffix}");
    }
}

/// Until the slices behind a removal are done.
async fn finish(store: &Sqlite) {
    for _ in 0..200 {
        store.health().await.expect("the store writes");
    }
}

/// How often it is there.
fn memchr(bytes: &[u8], what: &[u8]) -> usize {
    bytes.windows(what.len()).filter(|window| *window == what).count()
}
