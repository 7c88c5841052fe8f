//! A look at every message and every entry, in slices by key: nobody waits for it, and no statement is long. Each
//! sees one moment, and an entry goes in one transaction with the message that nobody else needs, so that what is
//! deleted meanwhile is not taken for a fault. What comes meanwhile is not looked at.

use xmpp_core::Stanza;

use super::Postgres;
use crate::storage::archive::DISORDER;
use crate::storage::*;

const MESSAGES_SLICE: i64 = 500;
const ENTRIES_SLICE: i64 = 5_000;
/// What waits has no index by message: so it is asked for the messages of one owner so many at once.
const ALONE: usize = 100_000;

/// The messages behind $1 up to $2: time, stanza, whether it has but one entry, or else whether it has any.
pub const MESSAGES: &str = "SELECT id, (extract(epoch FROM time) * 1000)::bigint, stanza, owners IS NULL,
        EXISTS (SELECT FROM unnest(owners) AS o (account)
            JOIN archive ON archive.owner = o.account AND archive.id = message.id)
        OR EXISTS (SELECT FROM unnest(owners) AS o (account)
            JOIN waiting ON waiting.owner = o.account AND waiting.id = message.id)
    FROM message WHERE id > $1 AND id <= $2 ORDER BY id LIMIT $3";
/// How many of these messages for one owner nobody waits for.
const FORSAKEN: &str =
    "WITH waits AS MATERIALIZED (SELECT id FROM waiting WHERE bond = 0 AND id BETWEEN $2 AND $3)
    SELECT count(*) FROM unnest($1::bigint[]) AS alone (id) JOIN message USING (id)
    WHERE NOT EXISTS (SELECT FROM waits WHERE waits.id = alone.id)";
/// The entries behind ($1, $2): owner, id, whether the message is there, and whether it knows the owner.
pub const ARCHIVED: &str = "SELECT archive.owner, archive.id, message.id IS NOT NULL,
        coalesce(archive.owner = ANY (message.owners), false)
    FROM archive LEFT JOIN LATERAL (SELECT id, owners FROM message WHERE id = archive.id OFFSET 0) AS message ON true
    WHERE (archive.owner, archive.id) > ($1, $2) ORDER BY archive.owner, archive.id LIMIT $3";
pub const WAITING: &str = "SELECT waiting.owner, waiting.id, message.id IS NOT NULL,
        CASE bond WHEN 0 THEN message.owners IS NULL
            ELSE coalesce(waiting.owner = ANY (message.owners), false) END
    FROM waiting LEFT JOIN LATERAL (SELECT id, owners FROM message WHERE id = waiting.id OFFSET 0) AS message ON true
    WHERE (waiting.owner, waiting.id) > ($1, $2) ORDER BY waiting.owner, waiting.id LIMIT $3";

type Message = (i64, i64, Vec<u8>, bool, bool);
type Entry = (i64, i64, bool, bool);

impl Postgres {
    pub(super) async fn verify_all(&self) -> Result<Verified, StoreError> {
        let mut verified = Verified::default();
        let newest = "SELECT last_value FROM message_id";
        let newest = self.pool.one(|| sqlx::query_as(newest)).await?.map_or(0, |row: (i64,)| row.0);
        self.look_at_messages(newest, &mut verified).await?;
        verified.archived = self.look_at_entries(ARCHIVED, newest, &mut verified).await?;
        verified.waiting = self.look_at_entries(WAITING, newest, &mut verified).await?;
        // With an id that was not given yet; it would be given a second time.
        let early = "SELECT count(*) FROM message WHERE id > (SELECT last_value FROM message_id)";
        let early: Option<(i64,)> = self.pool.one(|| sqlx::query_as(early)).await?;
        verified.wrong_ids = early.map_or(0, |row| row.0 as u64);
        Ok(verified)
    }

    async fn look_at_messages(&self, newest: i64, verified: &mut Verified) -> Result<(), StoreError> {
        let (mut last, mut latest) = (-1, 0);
        let mut alone = Vec::new();
        loop {
            let query = || sqlx::query_as(MESSAGES).bind(last).bind(newest).bind(MESSAGES_SLICE);
            let slice: Vec<Message> = self.pool.all(query).await?;
            let Some(end) = slice.last().map(|message| message.0) else { break };
            last = end;
            for (id, time, stanza, is_alone, has_entry) in slice {
                verified.messages += 1;
                verified.unreadable += u64::from(Stanza::read(&stanza).is_err());
                verified.out_of_order += u64::from(time.saturating_add(DISORDER as i64) < latest);
                latest = latest.max(time);
                match is_alone {
                    true => alone.push(id),
                    false => verified.without_entry += u64::from(!has_entry),
                }
            }
            if alone.len() >= ALONE {
                verified.without_entry += self.forsaken(&alone).await?;
                alone.clear();
            }
        }
        verified.without_entry += self.forsaken(&alone).await?;
        Ok(())
    }

    /// How many of these messages, in the order of their ids, nobody waits for.
    async fn forsaken(&self, alone: &[i64]) -> Result<u64, StoreError> {
        let (Some(first), Some(last)) = (alone.first(), alone.last()) else { return Ok(0) };
        let query = || sqlx::query_as(FORSAKEN).bind(alone).bind(first).bind(last);
        let row: Option<(i64,)> = self.pool.one(query).await?;
        Ok(row.map_or(0, |row| row.0 as u64))
    }

    /// How many there are.
    async fn look_at_entries(
        &self,
        sql: &'static str,
        newest: i64,
        verified: &mut Verified,
    ) -> Result<u64, StoreError> {
        let (mut owner, mut id, mut count) = (0, 0, 0);
        loop {
            let query = || sqlx::query_as(sql).bind(owner).bind(id).bind(ENTRIES_SLICE);
            let slice: Vec<Entry> = self.pool.all(query).await?;
            let Some(last) = slice.last() else { return Ok(count) };
            (owner, id) = (last.0, last.1);
            for (_, _, has_message, is_named) in slice.into_iter().filter(|entry| entry.1 <= newest) {
                count += 1;
                verified.without_message += u64::from(!has_message);
                verified.not_named += u64::from(has_message && !is_named);
            }
        }
    }
}
