//! A look at every message and every entry. Each part is read in a transaction of its own, so that the log
//! can be folded into the file meanwhile, and what is deleted with its entries is never seen half.

use sqlx::SqliteConnection;
use xmpp_core::Stanza;
use xmpp_core::date::parse_utc;

use super::Sqlite;
use super::delete::{NEEDED, parsed};
use super::packed::{Owners, Range, unpack_owners, unpack_ranges};
use crate::storage::archive::DISORDER;
use crate::storage::*;

const PART: i64 = 1_000;

pub const MESSAGES: &str = "SELECT id, time, owners, stanza FROM message WHERE id > ? ORDER BY id LIMIT ?";
pub const PROGRESS: &str = "SELECT indexed, dead FROM progress WHERE one = 1";
pub const ARCHIVED: &str = "SELECT archive.owner, archive.id, sent, peer, owners, coalesce(archive.id <= (
        SELECT last FROM run WHERE run.owner = archive.owner AND run.peer = archive.peer
        AND first <= archive.id ORDER BY first DESC LIMIT 1), 0)
    FROM archive LEFT JOIN message ON message.id = archive.id
    WHERE (archive.owner, archive.id) > (?, ?) ORDER BY archive.owner, archive.id LIMIT ?";
pub const WAITING: &str = "SELECT waiting.owner, waiting.id, 0, 0, owners, 1
    FROM waiting LEFT JOIN message ON message.id = waiting.id
    WHERE (waiting.owner, waiting.id) > (?, ?) ORDER BY waiting.owner, waiting.id LIMIT ?";

type Message = (i64, String, Vec<u8>, Vec<u8>);
type Entry = (i64, i64, i64, i64, Option<Vec<u8>>, bool);

impl Sqlite {
    pub(super) async fn verify_all(&self) -> Result<Verified, StoreError> {
        let mut verified = Verified::default();
        // What is made an entry meanwhile is counted with its message.
        let indexed = self.one(sqlx::query_as(PROGRESS)).await?.map_or(0, |row: (i64, Vec<u8>)| row.0);
        let (mut last, mut newest) = (0, 0);
        loop {
            let error = |error: sqlx::Error| self.named.error(&error);
            let mut reading = self.readers.begin().await.map_err(error)?;
            let part = self.messages(&mut reading, last, indexed, &mut verified).await.map_err(error)?;
            let Some(times) = part else { break };
            for (id, time) in times {
                verified.wrong_ids += u64::from(id <= last);
                verified.out_of_order += u64::from(time.saturating_add(DISORDER) < newest);
                (last, newest) = (id, newest.max(time));
            }
        }
        self.entries_of(ARCHIVED, indexed, &mut verified).await?;
        self.entries_of(WAITING, indexed, &mut verified).await?;
        Ok(verified)
    }

    /// Gives ids and times; nothing behind the last.
    async fn messages(
        &self,
        reading: &mut SqliteConnection,
        after: i64,
        counted_below: i64,
        verified: &mut Verified,
    ) -> Result<Option<Vec<(i64, Millis)>>, sqlx::Error> {
        let read = sqlx::query_as(MESSAGES).bind(after).bind(PART);
        let messages: Vec<Message> = read.fetch_all(&mut *reading).await?;
        if messages.is_empty() {
            return Ok(None);
        }
        let (indexed, dead): (i64, Vec<u8>) = sqlx::query_as(PROGRESS).fetch_one(&mut *reading).await?;
        let dead = unpack_ranges(&dead).unwrap_or_default();
        let messages: Vec<(Message, Option<Owners>)> = messages
            .into_iter()
            .map(|message| (unpack_owners(&message.2), message))
            .map(|(o, m)| (m, o))
            .collect();
        let needed = needed(reading, &messages).await?;
        let mut times = Vec::with_capacity(messages.len());
        for ((id, time, _, stanza), owners) in messages {
            let time = parse_utc(&time);
            times.push((id, time.unwrap_or_default()));
            let is_note = owners.as_ref().is_some_and(|owners| owners.is_empty());
            if is_note || is_dead(&dead, id as u64) {
                continue;
            }
            verified.messages += 1;
            let is_read = owners.is_some() && time.is_some() && Stanza::read(&stanza).is_ok();
            verified.unreadable += u64::from(!is_read);
            verified.without_entry += u64::from(id <= indexed && !needed.contains(&(id as u64)));
            for owner in owners.iter().flatten().filter(|_| id > counted_below) {
                verified.archived += u64::from(owner.role.archived);
                let waits = || self.books.lock().waits(owner.account, MessageId(id as u64));
                verified.waiting += u64::from(owner.role.waits && waits());
            }
        }
        Ok(Some(times))
    }

    async fn entries_of(
        &self,
        statement: &'static str,
        counted: i64,
        verified: &mut Verified,
    ) -> Result<(), StoreError> {
        let (mut owner, mut id) = (0, 0);
        loop {
            let part = sqlx::query_as(statement).bind(owner).bind(id).bind(PART);
            let part: Vec<Entry> = self.all(part).await?;
            let Some(last) = part.last() else { return Ok(()) };
            (owner, id) = (last.0, last.1);
            for entry in part {
                if entry.1 <= counted {
                    let count =
                        if statement == ARCHIVED { &mut verified.archived } else { &mut verified.waiting };
                    *count += 1;
                }
                match &entry.4 {
                    None => verified.without_message += 1,
                    // Garbled owners are counted with the message.
                    Some(owners) => {
                        let named = unpack_owners(owners)
                            .is_none_or(|owners| owners.iter().any(|owner| names(owner, &entry, statement)));
                        // Those of a bulk that is not all made have no run yet.
                        verified.not_named += u64::from(!named || (!entry.5 && entry.1 <= counted));
                    }
                }
            }
        }
    }
}

/// Those of the messages that have an entry.
async fn needed(
    reading: &mut SqliteConnection,
    messages: &[(Message, Option<Owners>)],
) -> Result<std::collections::HashSet<u64>, sqlx::Error> {
    let pairs: Vec<(u64, i64)> = messages
        .iter()
        .flat_map(|(message, owners)| owners.iter().flatten().map(|owner| (owner.account.0, message.0)))
        .collect();
    let read = sqlx::query_scalar(NEEDED).bind(serde_json::json!(pairs).to_string());
    let needed: String = read.fetch_one(reading).await?;
    parsed(&needed)
}

fn is_dead(dead: &[Range], id: u64) -> bool {
    dead.iter().any(|(first, last)| (*first..=*last).contains(&id))
}

fn names(owner: &Owner, (account, _, sent, peer, ..): &Entry, statement: &str) -> bool {
    let of_role = match statement == ARCHIVED {
        true => owner.role.archived && owner.role.sent == (*sent != 0) && owner.peer.0 as i64 == *peer,
        false => owner.role.waits,
    };
    owner.account.0 as i64 == *account && of_role
}
