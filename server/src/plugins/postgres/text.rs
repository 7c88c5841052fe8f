//! Full-text search of archives (XEP-0431), where it is switched on: the words of archived messages in
//! `message_text`, filled behind the commits, from the oldest message on. When it is switched off they are
//! deleted, since nothing would keep them true.
//!
//! The numbers of a message's owners are among its words, so that an index finds what is of the owner who
//! asks. The servers of one database fill it one after the other, and have to agree whether it is on.

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Postgres as Database, Transaction};
use xmpp_core::{Stanza, ns};

use super::Postgres;
use super::link;
use super::pool::Pool;
use crate::storage::archive::words;
use crate::storage::{AccountNumber, StoreError};

/// Messages that are taken in by one transaction.
const SLICE: i64 = 256;
/// How many slices a search waits for.
const SLICES: usize = 16;
/// What of a message is indexed: a row of words may have a mebibyte, and a word 2 046 bytes.
const INDEXED_BYTES: usize = 256 << 10;
const WORD_CHARS: usize = 250;

/// The messages behind $1, with those of their owners in whose archives they are. They are not deleted before
/// their words are there to be deleted with them.
const READ: &str = "SELECT message.id, CASE WHEN owners IS NOT NULL THEN stanza END, ARRAY(
        SELECT archive.owner FROM unnest(message.owners) AS o (account)
        JOIN archive ON archive.owner = o.account AND archive.id = message.id)
    FROM message WHERE message.id > $1 ORDER BY message.id LIMIT $2 FOR KEY SHARE OF message";
const PUT: &str = "INSERT INTO message_text (id, words)
    SELECT id, array_to_tsvector(string_to_array(words, ' ')) FROM unnest($1::bigint[], $2::text[]) AS t (id, words)
    ON CONFLICT (id) DO NOTHING";

/// Begins, goes on, or ends.
pub async fn set_up(connection: &mut PgConnection, on: bool) -> Result<(), sqlx::Error> {
    let sql = match on {
        true => "INSERT INTO text_progress (one, indexed) VALUES (true, -1) ON CONFLICT DO NOTHING",
        false => {
            "DO $$ BEGIN
                 IF EXISTS (SELECT FROM text_progress) THEN
                     DELETE FROM text_progress;
                     TRUNCATE message_text;
                 END IF;
             END $$"
        }
    };
    sqlx::raw_sql(sql).execute(connection).await.map(|_| ())
}

/// What a message's words are compared with. Nothing, where there are no words to look for.
pub fn lexemes(owner: AccountNumber, text: &str) -> Option<String> {
    // They are letters and digits, so that a quotation mark cannot be among them.
    let words: Vec<String> = words(text).map(|word| format!("'{}' & ", cut(&word))).collect();
    (!words.is_empty()).then(|| format!("{}'@{}'", words.concat(), owner.0))
}

/// Takes in what is behind, a slice; false when there is no more.
pub async fn fill(pool: &Pool) -> Result<bool, StoreError> {
    let mut taken = pool.take().await?;
    match link::within(pool.options.statement_limit, fill_slice(&mut taken.connection)).await {
        Ok(more) => {
            pool.give_back(taken);
            Ok(more)
        }
        // The connection goes with its transaction.
        Err(error) => Err(pool.named().error(&error)),
    }
}

impl Postgres {
    /// Lets what was saved be found by its words, before somebody looks for them. What is behind by more than
    /// that, as when this was just switched on, is found later.
    pub(super) async fn catch_up_text(&self) -> Result<(), StoreError> {
        if !self.full_text {
            let why = "archives are searched by words only with modules.mam.full_text";
            return Err(StoreError::Unavailable(why.to_owned()));
        }
        for _ in 0..SLICES {
            if !fill(&self.pool).await? {
                break;
            }
        }
        Ok(())
    }
}

async fn fill_slice(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let mut transaction: Transaction<'_, Database> = connection.begin().await?;
    // Servers do it one after the other.
    let read = sqlx::query_scalar("SELECT indexed FROM text_progress FOR UPDATE");
    let indexed: Option<i64> = read.fetch_optional(&mut *transaction).await?;
    let read = sqlx::query_as(READ).bind(indexed.unwrap_or(i64::MAX)).bind(SLICE);
    let messages: Vec<(i64, Option<Vec<u8>>, Vec<i64>)> = read.fetch_all(&mut *transaction).await?;
    let Some(last) = messages.last().map(|message| message.0) else {
        transaction.rollback().await?;
        return Ok(false);
    };
    let more = messages.len() as i64 == SLICE;
    let texts = messages.into_iter().filter_map(|(id, stanza, owners)| Some((id, text(&stanza?, &owners)?)));
    let (ids, texts): (Vec<i64>, Vec<String>) = texts.unzip();
    if !ids.is_empty() {
        sqlx::query(PUT).bind(ids).bind(texts).execute(&mut *transaction).await?;
    }
    let progress = sqlx::query("UPDATE text_progress SET indexed = $1").bind(last);
    progress.execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(more)
}

/// The words of all bodies, which differ in language, and the owners. Nothing, where there are none of either.
fn text(stanza: &[u8], owners: &[i64]) -> Option<String> {
    if owners.is_empty() {
        return None;
    }
    let stanza = Stanza::read(stanza).ok()?;
    let bodies = stanza.payload.children().filter(|child| child.name == "body" && child.ns == ns::CLIENT);
    let mut text = String::new();
    for body in bodies {
        for word in words(&body.element().content()) {
            if text.len() > INDEXED_BYTES {
                break;
            }
            text.push_str(cut(&word));
            text.push(' ');
        }
    }
    if text.is_empty() {
        return None;
    }
    let owners: Vec<String> = owners.iter().map(|owner| format!("@{owner}")).collect();
    text.push_str(&owners.join(" "));
    Some(text)
}

fn cut(word: &str) -> &str {
    word.char_indices().nth(WORD_CHARS).map_or(word, |(end, _)| word.get(..end).unwrap_or(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_for_cannot_be_more_than_words() {
        let one = |text| lexemes(AccountNumber(7), text);
        assert_eq!(one("Wherefore art"), Some("'wherefore' & 'art' & '@7'".to_owned()));
        assert_eq!(one("x' | '@8"), Some("'x' & '8' & '@7'".to_owned()));
        assert_eq!(one("!?"), None);
    }

    #[test]
    fn a_word_is_no_longer_than_the_index_takes() {
        let long = "\u{10400}".repeat(600);
        assert_eq!(cut(&long).len(), 4 * WORD_CHARS);
        let stanza = format!("<message><body>{long} a</body></message>");
        let text = text(stanza.as_bytes(), &[3]).expect("words");
        // A capital, whose small letter is as long.
        assert_eq!(text.split(' ').map(|word| word.chars().count()).collect::<Vec<_>>(), [WORD_CHARS, 1, 2]);
    }

    #[test]
    fn nothing_of_what_is_in_no_archive_is_kept() {
        assert_eq!(text(b"<message><body>a</body></message>", &[]), None);
        assert_eq!(text(b"<message><subject>a</subject></message>", &[3]), None);
    }
}
