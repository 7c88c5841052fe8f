//! The catalogue of the cold archive: read; and what of the archives may go there.
//!
//! What is in files is deleted in slices, and its messages with it where nobody waits for them.

use super::Sqlite;
use super::apply::Change;
use super::packed::unpack_owners;
use super::read::millis;
use crate::plugins::cold_rows::{BothRow, FileRow, PartRow, both, file, part};
use crate::storage::archive::End;
use crate::storage::*;

/// id, time, owners, stanza.
type MessageRow = (i64, String, Vec<u8>, Vec<u8>);
/// owner, id, peer, sent.
type EntryRow = (i64, i64, i64, bool);

macro_rules! file {
    () => {
        "number, place, cold_file.first, cold_file.last, oldest, newest, messages, cold_file.entries, bytes, index_at,
         sum, stale"
    };
}

pub const MESSAGES: &str =
    "SELECT id, time, owners, stanza FROM message WHERE id > ? AND id < ? ORDER BY id LIMIT ?";
/// Those of pairs of owner and message that are in the owner's archive.
pub const ENTRIES: &str = "SELECT owner, id, peer, sent FROM archive
    WHERE (owner, id) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))
    AND EXISTS (SELECT 1 FROM account WHERE number = owner)";

pub const PARTS: [&str; 2] = [
    concat!(
        "SELECT ",
        file!(),
        ", owner, cold_part.first, cold_part.last, cold_part.entries FROM cold_part
         JOIN cold_file ON number = file
         WHERE owner = ?1 AND cold_part.last > ?2 AND cold_part.first < ?3 ORDER BY cold_part.last LIMIT ?4"
    ),
    concat!(
        "SELECT ",
        file!(),
        ", owner, cold_part.first, cold_part.last, cold_part.entries FROM cold_part
         JOIN cold_file ON number = file
         WHERE owner = ?1 AND cold_part.last > ?2 AND cold_part.first < ?3 ORDER BY cold_part.last DESC LIMIT ?4"
    ),
];
pub const FILES: [&str; 2] = [
    concat!("SELECT ", file!(), " FROM cold_file WHERE number > ?1 ORDER BY number LIMIT ?2"),
    concat!("SELECT ", file!(), " FROM cold_file WHERE number > ?1 AND stale > 0 ORDER BY number LIMIT ?2"),
];

/// Messages whose entries one commit deletes: a few milliseconds.
const SLICE: u32 = 512;

impl Catalogue for Sqlite {
    fn cold_reach<'a>(&'a self) -> StoreFut<'a, MessageId> {
        Box::pin(async move {
            let sql = "SELECT coalesce(max(last), 0) FROM cold_file";
            let row: Option<(i64,)> = self.one(sqlx::query_as(sql)).await?;
            Ok(MessageId(row.map_or(0, |row| row.0 as u64)))
        })
    }

    fn cold_border<'a>(&'a self, before: Millis) -> StoreFut<'a, MessageId> {
        Box::pin(async move {
            self.change(Change::IndexOld(before)).await?;
            Ok(MessageId(self.books.lock().tail().indexed().0 + 1))
        })
    }

    fn cold_candidates<'a>(
        &'a self,
        after: MessageId,
        below: MessageId,
        limit: usize,
    ) -> StoreFut<'a, Vec<Candidate>> {
        Box::pin(async move {
            let query = sqlx::query_as(MESSAGES).bind(after.0 as i64).bind(below.0 as i64).bind(many(limit));
            let messages: Vec<MessageRow> = self.all(query).await?;
            let mut pairs = Vec::new();
            for (id, _, owners, _) in &messages {
                let owners = unpack_owners(owners);
                let owners =
                    owners.ok_or_else(|| self.named.damaged(format!("message {id} has no owners")))?;
                let archived = owners.into_iter().filter(|owner| owner.role.archived);
                pairs.extend(archived.map(|owner| (owner.account.0, *id)));
            }
            let query = sqlx::query_as(ENTRIES).bind(serde_json::json!(pairs).to_string());
            let mut entries: Vec<EntryRow> = self.all(query).await?;
            entries.sort_unstable_by_key(|entry| (entry.1, entry.0));
            let mut entries = entries.into_iter().peekable();
            let mut candidates = Vec::with_capacity(messages.len());
            for (id, time, _, stanza) in messages {
                let mut owners = Vec::new();
                while let Some((owner, _, peer, sent)) = entries.next_if(|entry| entry.1 == id) {
                    let role = Role { waits: false, archived: true, sent };
                    let account = AccountNumber(owner as u64);
                    owners.push(Owner { account, role, peer: Peer(peer as u64) });
                }
                let (id, time) = (MessageId(id as u64), millis(&time, &self.named)?);
                candidates.push(Candidate { id, time, owners, stanza: stanza.into() });
            }
            Ok(candidates)
        })
    }

    fn clear_cold<'a>(&'a self, lease: &'a Lease, up_to: MessageId) -> StoreFut<'a, u64> {
        Box::pin(async move {
            let (mut after, mut cleared) = (MessageId(0), 0);
            loop {
                self.leases.check(lease)?;
                match self.change(Change::ClearCold { after, up_to, limit: SLICE }).await? {
                    Written::Cleared { last: Some(last), entries } => {
                        (after, cleared) = (last, cleared + entries)
                    }
                    _ => return Ok(cleared),
                }
            }
        })
    }

    fn cold_parts<'a>(
        &'a self,
        owner: AccountNumber,
        after: MessageId,
        before: MessageId,
        end: End,
        limit: usize,
    ) -> StoreFut<'a, Vec<(ColdFile, ColdPart)>> {
        Box::pin(async move {
            let sql = PARTS[usize::from(end == End::Newest)];
            let signed = |id: MessageId| i64::try_from(id.0).unwrap_or(i64::MAX);
            let (owner, after, before) = (owner.0 as i64, signed(after), signed(before));
            let query = sqlx::query_as(sql).bind(owner).bind(after).bind(before).bind(many(limit));
            let rows: Vec<BothRow> = self.all(query).await?;
            Ok(rows.into_iter().map(both).collect())
        })
    }

    fn cold_parts_of<'a>(
        &'a self,
        number: u64,
        after: AccountNumber,
        limit: usize,
    ) -> StoreFut<'a, Vec<ColdPart>> {
        Box::pin(async move {
            let sql = "SELECT owner, first, last, entries FROM cold_part
                       WHERE file = ?1 AND owner > ?2 ORDER BY owner LIMIT ?3";
            let (number, after) = (number as i64, after.0 as i64);
            let query = sqlx::query_as(sql).bind(number).bind(after).bind(many(limit));
            let rows: Vec<PartRow> = self.all(query).await?;
            Ok(rows.into_iter().map(part).collect())
        })
    }

    fn cold_files<'a>(&'a self, after: u64, stale: bool, limit: usize) -> StoreFut<'a, Vec<ColdFile>> {
        Box::pin(async move {
            let sql = FILES[usize::from(stale)];
            let query = sqlx::query_as(sql).bind(after as i64).bind(many(limit));
            let rows: Vec<FileRow> = self.all(query).await?;
            Ok(rows.into_iter().map(file).collect())
        })
    }

    fn cold_usage<'a>(&'a self) -> StoreFut<'a, ColdUsage> {
        Box::pin(async move {
            let sql = "SELECT count(*), coalesce(sum(bytes), 0), coalesce(sum(messages), 0)
                       FROM cold_file";
            let row: Option<(i64, i64, i64)> = self.one(sqlx::query_as(sql)).await?;
            let (files, bytes, messages) = row.unwrap_or_default();
            Ok(ColdUsage { files: files as u64, bytes: bytes as u64, messages: messages as u64 })
        })
    }

    fn cold_notes<'a>(&'a self, due: Millis, limit: usize) -> StoreFut<'a, Vec<String>> {
        Box::pin(async move {
            let sql = "SELECT place FROM cold_note WHERE due <= ?1
                       AND NOT EXISTS (SELECT 1 FROM cold_file WHERE cold_file.place = cold_note.place)
                       ORDER BY place LIMIT ?2";
            let query = sqlx::query_as(sql).bind(due as i64).bind(many(limit));
            let rows: Vec<(String,)> = self.all(query).await?;
            Ok(rows.into_iter().map(|row| row.0).collect())
        })
    }

    fn has_other_domains<'a>(&'a self, domains: &'a [String]) -> StoreFut<'a, bool> {
        Box::pin(async move {
            let sql = "SELECT EXISTS (SELECT 1 FROM account
                       WHERE domain NOT IN (SELECT value FROM json_each(?1)))";
            let query = sqlx::query_as(sql).bind(serde_json::json!(domains).to_string());
            let row: Option<(bool,)> = self.one(query).await?;
            Ok(row.is_some_and(|row| row.0))
        })
    }
}

fn many(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
