//! The catalogue of the cold archive: read; and what of the archives may go there.
//!
//! Whole months go: once all of a part's archives are in files it is dropped, so that no row is deleted.

use super::Postgres;
use super::read::bounded;
use crate::plugins::cold_rows::{BothRow, FileRow, PartRow, both, file, part};
use crate::storage::archive::End;
use crate::storage::*;

/// id, time, stanza, owners.
type MessageRow = (i64, i64, Vec<u8>, Option<Vec<i64>>);
/// owner, id, peer, sent.
type EntryRow = (i64, i64, i64, bool);

macro_rules! file {
    () => {
        "number, place, cold_file.first, cold_file.last, oldest, newest, messages, cold_file.entries, bytes, index_at,
         sum, stale"
    };
}

/// Behind the last part that is over, and was at that time.
const BORDER: &str = "SELECT coalesce(max(behind), 0) FROM part WHERE name NOT IN ('kept', 'rest')
    AND behind <= least($1::bigint << 20, (SELECT first FROM meerkat_month(meerkat_now(), 0)))";
const MESSAGES: &str = "SELECT id, (extract(epoch FROM time) * 1000)::bigint, stanza, owners FROM message
    WHERE id > $1 AND id < $2 ORDER BY id LIMIT $3";
/// Each of the messages in its owners' archives.
const ENTRIES: &str = "SELECT archive.owner, archive.id, peer, sent
    FROM unnest($1::bigint[], $2::bigint[]) AS of (owner, id)
    JOIN archive ON archive.owner = of.owner AND archive.id = of.id
    WHERE EXISTS (SELECT FROM account WHERE number = of.owner) ORDER BY archive.id, archive.owner";
/// The oldest part that is over, of which there is nothing behind an id.
const OLDEST: &str = "SELECT name FROM part WHERE name NOT IN ('kept', 'rest') AND behind - 1 <= $1
    AND behind <= (SELECT first FROM meerkat_month(meerkat_now(), 0)) ORDER BY first LIMIT 1";
const PARTS: [&str; 2] = [
    concat!(
        "SELECT ",
        file!(),
        ", owner, cold_part.first, cold_part.last, cold_part.entries FROM cold_part
         JOIN cold_file ON number = file
         WHERE owner = $1 AND cold_part.last > $2 AND cold_part.first < $3 ORDER BY cold_part.last LIMIT $4"
    ),
    concat!(
        "SELECT ",
        file!(),
        ", owner, cold_part.first, cold_part.last, cold_part.entries FROM cold_part
         JOIN cold_file ON number = file
         WHERE owner = $1 AND cold_part.last > $2 AND cold_part.first < $3 ORDER BY cold_part.last DESC LIMIT $4"
    ),
];
const FILES: [&str; 2] = [
    concat!("SELECT ", file!(), " FROM cold_file WHERE number > $1 ORDER BY number LIMIT $2"),
    concat!("SELECT ", file!(), " FROM cold_file WHERE number > $1 AND stale > 0 ORDER BY number LIMIT $2"),
];

impl Catalogue for Postgres {
    fn cold_reach<'a>(&'a self) -> StoreFut<'a, MessageId> {
        Box::pin(async move {
            let sql = "SELECT coalesce(max(last), 0) FROM cold_file";
            let row: Option<(i64,)> = self.pool.one(|| sqlx::query_as(sql)).await?;
            Ok(MessageId(row.map_or(0, |row| row.0 as u64)))
        })
    }

    fn cold_border<'a>(&'a self, before: Millis) -> StoreFut<'a, MessageId> {
        Box::pin(async move {
            // Times of ids end in the year 2248.
            let before = before.min((i64::MAX >> 20) as Millis) as i64;
            let row: Option<(i64,)> = self.pool.one(|| sqlx::query_as(BORDER).bind(before)).await?;
            Ok(MessageId(row.map_or(0, |row| row.0 as u64)))
        })
    }

    fn cold_candidates<'a>(
        &'a self,
        after: MessageId,
        below: MessageId,
        limit: usize,
    ) -> StoreFut<'a, Vec<Candidate>> {
        Box::pin(async move {
            let (after, below, limit) = (after.0 as i64, below.0 as i64, bounded(limit));
            let query = || sqlx::query_as(MESSAGES).bind(after).bind(below).bind(limit);
            let messages: Vec<MessageRow> = self.pool.all(query).await?;
            let mut of: (Vec<i64>, Vec<i64>) = (Vec::new(), Vec::new());
            for (id, _, _, owners) in &messages {
                of.0.extend(owners.iter().flatten());
                of.1.resize(of.0.len(), *id);
            }
            let query = || sqlx::query_as(ENTRIES).bind(&of.0).bind(&of.1);
            let mut entries = self.pool.all::<EntryRow>(query).await?.into_iter().peekable();
            let candidates = messages.into_iter().map(|(id, time, stanza, _)| {
                let mut owners = Vec::new();
                while let Some((owner, _, peer, sent)) = entries.next_if(|entry| entry.1 == id) {
                    let role = Role { waits: false, archived: true, sent };
                    let account = AccountNumber(owner as u64);
                    owners.push(Owner { account, role, peer: Peer(peer as u64) });
                }
                Candidate { id: MessageId(id as u64), time: time as u64, owners, stanza: stanza.into() }
            });
            Ok(candidates.collect())
        })
    }

    fn clear_cold<'a>(&'a self, lease: &'a Lease, up_to: MessageId) -> StoreFut<'a, u64> {
        Box::pin(async move {
            let (up_to, mut dropped) = (i64::try_from(up_to.0).unwrap_or(i64::MAX), 0);
            loop {
                let oldest = self.pool.one(|| sqlx::query_as(OLDEST).bind(up_to)).await?;
                let Some((name,)): Option<(String,)> = oldest else { return Ok(dropped) };
                self.drop_part(&name, lease).await?;
                dropped += 1;
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
            let query = || sqlx::query_as(sql).bind(owner).bind(after).bind(before).bind(bounded(limit));
            let rows: Vec<BothRow> = self.pool.all(query).await?;
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
                       WHERE file = $1 AND owner > $2 ORDER BY owner LIMIT $3";
            let (number, after) = (number as i64, after.0 as i64);
            let query = || sqlx::query_as(sql).bind(number).bind(after).bind(bounded(limit));
            let rows: Vec<PartRow> = self.pool.all(query).await?;
            Ok(rows.into_iter().map(part).collect())
        })
    }

    fn cold_files<'a>(&'a self, after: u64, stale: bool, limit: usize) -> StoreFut<'a, Vec<ColdFile>> {
        Box::pin(async move {
            let sql = FILES[usize::from(stale)];
            let query = || sqlx::query_as(sql).bind(after as i64).bind(bounded(limit));
            let rows: Vec<FileRow> = self.pool.all(query).await?;
            Ok(rows.into_iter().map(file).collect())
        })
    }

    fn cold_usage<'a>(&'a self) -> StoreFut<'a, ColdUsage> {
        Box::pin(async move {
            let sql = "SELECT count(*), coalesce(sum(bytes), 0)::bigint, coalesce(sum(messages), 0)::bigint
                       FROM cold_file";
            let row: Option<(i64, i64, i64)> = self.pool.one(|| sqlx::query_as(sql)).await?;
            let (files, bytes, messages) = row.unwrap_or_default();
            Ok(ColdUsage { files: files as u64, bytes: bytes as u64, messages: messages as u64 })
        })
    }

    fn cold_notes<'a>(&'a self, due: Millis, limit: usize) -> StoreFut<'a, Vec<String>> {
        Box::pin(async move {
            let sql = "SELECT place FROM cold_note WHERE due <= $1
                       AND NOT EXISTS (SELECT FROM cold_file WHERE cold_file.place = cold_note.place)
                       ORDER BY place LIMIT $2";
            let query = || sqlx::query_as(sql).bind(due as i64).bind(bounded(limit));
            let rows: Vec<(String,)> = self.pool.all(query).await?;
            Ok(rows.into_iter().map(|row| row.0).collect())
        })
    }

    fn has_other_domains<'a>(&'a self, domains: &'a [String]) -> StoreFut<'a, bool> {
        Box::pin(async move {
            let sql = "SELECT EXISTS (SELECT FROM account WHERE domain <> ALL ($1))";
            let row: Option<(bool,)> = self.pool.one(|| sqlx::query_as(sql).bind(domains)).await?;
            Ok(row.is_some_and(|row| row.0))
        })
    }
}
