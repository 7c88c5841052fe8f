//! Full-text search of archives (XEP-0431), where it is switched on: an FTS5 table with the bodies of
//! archived messages, filled behind the commits. It is made when it is switched on, and filled from the
//! oldest message on; when it is switched off it is dropped, since nothing would keep it true.
//!
//! The numbers of a message's owners are words of it too: what matches is then of the owner who asks, and
//! not looked for among everybody's.

use sqlx::{Connection, SqliteConnection};
use xmpp_core::{Stanza, ns};

use super::delete::{erase, erase_no_more};
use super::failure::Named;
use super::packed::{Owners, unpack_owners};
use crate::storage::archive::words;
use crate::storage::{AccountNumber, MessageId, StoreError};

/// What `secure-delete` leaves no trace of is the words of a deleted message.
const ON: &str = "CREATE VIRTUAL TABLE IF NOT EXISTS message_text
        USING fts5(owned, body, tokenize = 'unicode61 remove_diacritics 2');
    INSERT INTO message_text (message_text, rank) VALUES ('secure-delete', 1);
    CREATE TABLE IF NOT EXISTS text_progress (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        -- Messages up to this id are in `message_text`.
        indexed INTEGER NOT NULL
    ) STRICT;
    INSERT OR IGNORE INTO text_progress (one, indexed) VALUES (1, 0);
    CREATE TRIGGER IF NOT EXISTS message_text_goes AFTER DELETE ON message
    BEGIN DELETE FROM message_text WHERE rowid = old.id; END";
const OFF: &str = "DROP TRIGGER IF EXISTS message_text_goes; DROP TABLE IF EXISTS text_progress;
    DROP TABLE IF EXISTS message_text";
pub const READ: &str = "SELECT id, owners, stanza FROM message WHERE id > ? AND id <= ? ORDER BY id LIMIT ?";
const PUT: &str = "INSERT INTO message_text (rowid, owned, body)
    SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each(?)";

/// Makes or drops it. Gives how far it is filled, where it is on.
pub async fn set_up(
    connection: &mut SqliteConnection,
    on: bool,
    named: &Named,
) -> Result<Option<MessageId>, StoreError> {
    let error = |error: sqlx::Error| named.error(&error);
    if !on {
        // The pages of a dropped table would keep its words, out of reach of whoever deletes a message later.
        erase(connection).await.map_err(error)?;
    }
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(error)?;
    sqlx::raw_sql(if on { ON } else { OFF }).execute(&mut *transaction).await.map_err(error)?;
    let mut indexed = None;
    if on {
        let read = sqlx::query_scalar("SELECT indexed FROM text_progress WHERE one = 1");
        let id: i64 = read.fetch_one(&mut *transaction).await.map_err(error)?;
        indexed = Some(MessageId(id as u64));
    }
    transaction.commit().await.map_err(error)?;
    erase_no_more(connection).await.map_err(error)?;
    Ok(indexed)
}

/// Takes in some messages behind `after`, up to `newest`. Gives the last of them, or `newest` when there
/// are no more.
pub async fn fill(
    connection: &mut SqliteConnection,
    after: MessageId,
    newest: MessageId,
    rows: usize,
) -> Result<MessageId, sqlx::Error> {
    let read = sqlx::query_as(READ).bind(after.0 as i64).bind(newest.0 as i64).bind(rows as i64);
    let messages: Vec<(i64, Vec<u8>, Vec<u8>)> = read.fetch_all(&mut *connection).await?;
    let last = if messages.len() < rows { None } else { messages.last().map(|row| MessageId(row.0 as u64)) };
    let last = last.unwrap_or(newest);
    let texts: Vec<(i64, String, String)> = messages
        .into_iter()
        .filter_map(|(id, owners, stanza)| Some((id, owned(&unpack_owners(&owners)?)?, body(&stanza)?)))
        .collect();
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query(PUT).bind(serde_json::json!(texts).to_string()).execute(&mut *transaction).await?;
    let progress = sqlx::query("UPDATE text_progress SET indexed = ?").bind(last.0 as i64);
    progress.execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(last)
}

/// What matches has all of the words, and this owner. Nothing, where there are no words.
pub fn matching(owner: AccountNumber, text: &str) -> Option<String> {
    // They are letters and digits, so that a quotation mark cannot be among them.
    let words: Vec<String> = words(text).map(|word| format!("\"{word}\"")).collect();
    (!words.is_empty()).then(|| format!("owned : \"o{}\" AND body : ({})", owner.0, words.join(" AND ")))
}

/// The owners in whose archives it is.
fn owned(owners: &Owners) -> Option<String> {
    let archived = owners.iter().filter(|owner| owner.role.archived);
    let words: Vec<String> = archived.map(|owner| format!("o{}", owner.account.0)).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// All bodies, which differ in language.
fn body(stanza: &[u8]) -> Option<String> {
    let stanza = Stanza::read(stanza).ok()?;
    let bodies = stanza.payload.children().filter(|child| child.name == "body" && child.ns == ns::CLIENT);
    let bodies: Vec<String> = bodies.map(|child| child.element().content()).collect();
    (!bodies.is_empty()).then(|| bodies.join("\n"))
}
