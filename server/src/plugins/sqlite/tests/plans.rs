//! How SQLite goes about each statement of the archive: by an index, and never through a whole table.

use sqlx::Row;

use super::*;
use crate::plugins::sqlite::{archive, cold, delete, outbox, text, verify, writer};

const BY_OWNER: &str = "SEARCH archive USING PRIMARY KEY (owner=?";
const BY_RUN: &str = "SEARCH run USING PRIMARY KEY (owner=? AND peer=? AND first>? AND first<?)";
const OF_RUN: &str = "SEARCH archive USING PRIMARY KEY (owner=? AND id>? AND id<?)";
const MESSAGE: &str = "SEARCH message USING INTEGER PRIMARY KEY (rowid=?)";

/// Each statement, and steps that its plan must have.
fn statements() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut all = vec![
        (archive::FIRST_AT, vec!["SEARCH message USING INTEGER PRIMARY KEY (rowid=?)", "SEARCH message"]),
        (archive::COUNT_ALL, vec![BY_OWNER]),
        (delete::OLDEST, vec![BY_OWNER, MESSAGE]),
        (delete::SOME_ARCHIVED, vec![BY_OWNER]),
        (delete::SOME_RUNS, vec!["SEARCH run USING PRIMARY KEY (owner=? AND peer=? AND first=?)"]),
        (delete::ARCHIVED_OF, vec!["SEARCH message USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"]),
        (delete::IN_ARCHIVES, vec!["SEARCH archive USING PRIMARY KEY (owner=? AND id=?)"]),
        (delete::PAIRS_OF, vec!["SEARCH archive USING PRIMARY KEY (owner=? AND id=?)"]),
        (delete::RUNS_OF_PAIRS, vec!["SEARCH run USING PRIMARY KEY (owner=? AND peer=? AND first<?)"]),
        (cold::MESSAGES, vec!["SEARCH message USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"]),
        (cold::ENTRIES, vec!["SEARCH archive USING PRIMARY KEY (owner=? AND id=?)"]),
        (delete::SOME_WAITING, vec!["SEARCH waiting USING PRIMARY KEY (owner=?)"]),
        (delete::FROM_ARCHIVE, vec!["SEARCH archive USING PRIMARY KEY (owner=? AND id=?)"]),
        (delete::FROM_WAITING, vec!["SEARCH waiting USING PRIMARY KEY (owner=? AND id=?)"]),
        (delete::FROM_MESSAGE, vec![MESSAGE]),
        (delete::OWNERS_OF, vec![MESSAGE]),
        (
            delete::NEEDED,
            vec![
                "SEARCH waiting USING PRIMARY KEY (owner=? AND id=?)",
                "SEARCH archive USING PRIMARY KEY (owner=? AND id=?)",
            ],
        ),
        (outbox::SIZES, vec!["SEARCH outbox USING INTEGER PRIMARY KEY (rowid>?)"]),
        (outbox::ROWS, vec!["SEARCH outbox USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"]),
        (outbox::FOUND, vec!["SEARCH outbox USING INTEGER PRIMARY KEY (rowid=?)"]),
        (outbox::DELETE, vec!["SEARCH outbox USING INTEGER PRIMARY KEY (rowid=?)"]),
        (verify::MESSAGES, vec!["SEARCH message USING INTEGER PRIMARY KEY (rowid>?)"]),
        (verify::ARCHIVED, vec!["SEARCH archive USING PRIMARY KEY ((owner,id)>(?,?))"]),
        (verify::WAITING, vec!["SEARCH waiting USING PRIMARY KEY ((owner,id)>(?,?))"]),
        (writer::OLDEST_OF_TAIL, vec!["SEARCH message USING INTEGER PRIMARY KEY (rowid>?)"]),
    ];
    let file = "SEARCH cold_file USING INTEGER PRIMARY KEY (rowid";
    all.extend(
        cold::PARTS.map(|sql| (sql, vec!["SEARCH cold_part USING PRIMARY KEY (owner=? AND last>?)", file])),
    );
    all.extend(cold::FILES.map(|sql| (sql, vec!["SEARCH cold_file"])));
    all.extend(archive::OF_ALL.map(|sql| (sql, vec![BY_OWNER, MESSAGE])));
    all.extend(archive::OF_PEER.map(|sql| (sql, vec![BY_RUN, OF_RUN, MESSAGE])));
    all.extend(
        archive::OF_IDS
            .map(|sql| (sql, vec!["SEARCH archive USING PRIMARY KEY (owner=? AND id=?)", MESSAGE])),
    );
    all.extend(archive::OF_BOTH.map(|sql| (sql, vec!["SEARCH archive", MESSAGE])));
    let by_words = "SCAN message_text VIRTUAL TABLE INDEX";
    let entry = "SEARCH archive USING PRIMARY KEY (owner=? AND id=?)";
    all.extend(archive::OF_TEXT.map(|sql| (sql, vec![by_words, entry, MESSAGE])));
    all.push((archive::TAIL_OF_TEXT, vec![by_words]));
    all.push((text::READ, vec!["SEARCH message USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"]));
    all.extend(archive::OF_TAIL.map(|sql| (sql, vec![MESSAGE])));
    all
}

#[tokio::test]
async fn every_statement_of_the_archive_goes_by_an_index() {
    let place = Place::new();
    place.open().await.close().await;
    let mut connection = Options::new(place.path()).connect().await.expect("connects");
    text::set_up(&mut connection, true, &Named::new(&place.path(), Arc::new(Unwatched)))
        .await
        .expect("is made");
    let tables = ["message", "archive", "run", "waiting", "account"];
    for (sql, steps) in statements() {
        let explain = format!("EXPLAIN QUERY PLAN {sql}");
        let plan = sqlx::query(sqlx::AssertSqlSafe(explain)).fetch_all(&mut connection).await;
        let plan: Vec<String> =
            plan.expect("valid SQL").iter().map(|row| row.get::<String, _>("detail")).collect();
        for step in steps {
            assert!(plan.iter().any(|line| line.starts_with(step)), "no {step:?} in {plan:#?} of {sql}");
        }
        for line in &plan {
            let scanned = line.strip_prefix("SCAN ").and_then(|rest| rest.split(' ').next());
            assert!(scanned.is_none_or(|table| !tables.contains(&table)), "{line:?} of {sql}");
            assert!(
                !(line.starts_with("USE TEMP B-TREE") && line.ends_with("ORDER BY")),
                "{plan:#?} of {sql}"
            );
        }
    }
}
