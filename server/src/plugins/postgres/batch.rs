//! Messages on their way into one commit, as the columns of one statement.

use sqlx::postgres::PgConnection;

use crate::storage::outbox::{PackedRow, Packer};
use crate::storage::{AccountNumber, Draft, Owner};

#[derive(Default)]
pub struct Batch {
    times: Vec<i64>,
    stanzas: Vec<Vec<u8>>,
    /// All owners of a message, where it has more than one entry that waits.
    shared: Vec<Option<String>>,
    places: Vec<i32>,
    owners: Vec<i64>,
    roles: Vec<i16>,
    peers: Vec<i64>,
    /// What the event stream learns of them, where there is one.
    events: Vec<PackedRow>,
}

/// What became of a batch.
pub struct Saved {
    /// The first id; the others follow it.
    pub first: i64,
    /// All owners were there, as far as is known.
    pub complete: bool,
}

const WAITS: i16 = 1;
const ARCHIVED: i16 = 2;
const SENT: i16 = 4;
const ALONE: i16 = 8;

const SAVE: &str = "SELECT first, complete FROM meerkat_save($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

/// The place of the outbox's rows is drawn while the lock over ids is held.
const SAVE_WITH_EVENTS: &str = "WITH saved AS MATERIALIZED (
        SELECT first, complete FROM meerkat_save($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    ), told AS (
        INSERT INTO outbox (first, events, content) SELECT saved.first, e.events, e.content
        FROM saved, unnest($11::integer[], $12::bytea[]) WITH ORDINALITY AS e (events, content, place)
        ORDER BY e.place
    )
    SELECT first, complete FROM saved";

impl Batch {
    pub fn new<'a>(drafts: impl Iterator<Item = &'a Draft>) -> Batch {
        let mut batch = Batch::default();
        drafts.for_each(|draft| batch.push(draft));
        batch
    }

    /// The same, of which the event stream is told.
    pub fn with_events<'a>(drafts: impl Iterator<Item = &'a Draft>) -> Batch {
        let (mut batch, mut packer) = (Batch::default(), Packer::default());
        for (draft, offset) in drafts.zip(0..) {
            packer.message(offset, draft);
            batch.push(draft);
        }
        batch.events = packer.finish();
        batch
    }

    /// Rows and bytes that it leaves in the outbox.
    pub fn told(&self) -> (u64, u64) {
        let bytes = self.events.iter().map(|row| row.content.len() as u64).sum();
        (self.events.len() as u64, bytes)
    }

    fn push(&mut self, draft: &Draft) {
        let first = self.places.len();
        self.times.push(draft.time as i64);
        let place = self.times.len() as i32;
        for owner in &draft.owners {
            self.push_entry(first, place, owner);
        }
        let entries = self.places.len() - first;
        let is_alone = entries == 1 && self.roles[first..] == [WAITS];
        if is_alone {
            self.roles[first] |= ALONE;
        }
        let all = || format!("{{{}}}", join(&self.owners[first..]));
        self.shared.push((!is_alone).then(all));
        // Nobody will ever read what nobody owns.
        self.stanzas.push(if entries == 0 { Vec::new() } else { draft.stanza.to_vec() });
    }

    /// An owner that is named twice has one entry, which is all that it was said to be.
    fn push_entry(&mut self, first: usize, place: i32, owner: &Owner) {
        let role = owner.role;
        let role = if role.waits { WAITS } else { 0 }
            | if role.archived { ARCHIVED } else { 0 }
            | if role.sent { SENT } else { 0 };
        if role & (WAITS | ARCHIVED) == 0 {
            return;
        }
        let account = owner.account.0 as i64;
        if let Some(same) = self.owners[first..].iter().position(|other| *other == account) {
            self.roles[first + same] |= role;
            return;
        }
        self.places.push(place);
        self.owners.push(account);
        self.roles.push(role);
        self.peers.push(owner.peer.0 as i64);
    }

    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Those for whom something waits now, each as often as that.
    pub fn waiting(&self) -> impl Iterator<Item = AccountNumber> {
        let entries = self.owners.iter().zip(&self.roles);
        entries.filter(|(_, role)| **role & WAITS != 0).map(|(owner, _)| AccountNumber(*owner as u64))
    }

    /// Durable when this returns.
    pub async fn save(
        &self,
        connection: &mut PgConnection,
        boot: i64,
        node: &str,
        number: i64,
    ) -> Result<Saved, sqlx::Error> {
        let sql = if self.events.is_empty() { SAVE } else { SAVE_WITH_EVENTS };
        let mut save = sqlx::query_as(sql)
            .bind(boot)
            .bind(node)
            .bind(number)
            .bind(&self.times)
            .bind(&self.stanzas)
            .bind(&self.shared)
            .bind(&self.places)
            .bind(&self.owners)
            .bind(&self.roles)
            .bind(&self.peers);
        if !self.events.is_empty() {
            let events: Vec<i32> = self.events.iter().map(|row| row.events as i32).collect();
            let contents: Vec<&[u8]> = self.events.iter().map(|row| row.content.as_slice()).collect();
            save = save.bind(events).bind(contents);
        }
        let (first, complete) = save.fetch_one(connection).await?;
        Ok(Saved { first, complete })
    }

    #[cfg(feature = "sqlite")]
    pub fn entries(&self) -> usize {
        let both = self.roles.iter().filter(|role| **role & (WAITS | ARCHIVED) == WAITS | ARCHIVED).count();
        self.roles.len() + both
    }

    /// Writes these messages with ids that they have already; all their owners are there.
    #[cfg(feature = "sqlite")]
    pub async fn copy(&self, connection: &mut PgConnection, ids: &[i64]) -> Result<(), sqlx::Error> {
        sqlx::query(
            "INSERT INTO message (id, time, owners, stanza)
             SELECT m.id, 'epoch'::timestamptz + m.millis * interval '1 millisecond', m.everyone::bigint[], m.bytes
             FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bytea[]) AS m (id, millis, everyone, bytes)",
        )
        .bind(ids)
        .bind(&self.times)
        .bind(&self.shared)
        .bind(&self.stanzas)
        .execute(&mut *connection)
        .await?;
        let own: Vec<i64> =
            self.places.iter().filter_map(|place| ids.get(*place as usize - 1)).copied().collect();
        for sql in [
            "INSERT INTO waiting (owner, id, bond)
             SELECT e.account, e.id, CASE WHEN e.role & 8 <> 0 THEN 0 WHEN e.role & 2 <> 0 THEN 2 ELSE 1 END
             FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::bigint[]) AS e (account, id, role, peer)
             WHERE e.role & 1 <> 0",
            "INSERT INTO archive (owner, id, peer, sent) SELECT e.account, e.id, e.peer, e.role & 4 <> 0
             FROM unnest($1::bigint[], $2::bigint[], $3::smallint[], $4::bigint[]) AS e (account, id, role, peer)
             WHERE e.role & 2 <> 0",
        ] {
            let insert = sqlx::query(sql).bind(&self.owners).bind(&own).bind(&self.roles).bind(&self.peers);
            insert.execute(&mut *connection).await?;
        }
        Ok(())
    }

    /// Deletes again what was saved with this first id.
    pub async fn take_back(&self, connection: &mut PgConnection, first: i64) -> Result<(), sqlx::Error> {
        let ids: Vec<i64> = self.places.iter().map(|place| first + i64::from(*place) - 1).collect();
        sqlx::query(
            "WITH entry AS (SELECT * FROM unnest($1::bigint[], $2::bigint[]) AS e (account, id)),
                 w AS (DELETE FROM waiting USING entry WHERE owner = account AND waiting.id = entry.id),
                 a AS (DELETE FROM archive USING entry WHERE owner = account AND archive.id = entry.id),
                 o AS (DELETE FROM outbox WHERE first = $3)
             DELETE FROM message WHERE id = ANY ($2)",
        )
        .bind(&self.owners)
        .bind(&ids)
        .bind(first)
        .execute(&mut *connection)
        .await?;
        // Behind it: by then whoever took their words in has done so.
        let words = sqlx::query("DELETE FROM message_text WHERE id = ANY ($1)").bind(ids);
        words.execute(connection).await.map(|_| ())
    }
}

fn join(owners: &[i64]) -> String {
    owners.iter().map(i64::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Peer, Role};

    fn batch<const N: usize>(owners: [(u64, Role); N]) -> Batch {
        let owners = owners.into_iter().map(|(number, role)| Owner {
            account: AccountNumber(number),
            role,
            peer: Peer(3),
        });
        let draft = Draft { time: 7, owners: owners.collect(), stanza: "<message/>".into() };
        Batch::new([&draft, &draft].into_iter())
    }

    const ARCHIVE: Role = Role { waits: true, archived: true, sent: false };
    const SENT_COPY: Role = Role { waits: false, archived: true, sent: true };

    #[test]
    fn a_message_with_one_entry_that_waits_goes_with_it() {
        let batch = batch([(1, Role::QUEUED)]);
        assert_eq!((batch.places.as_slice(), batch.roles.as_slice()), (&[1, 2][..], &[9, 9][..]));
        assert_eq!(batch.shared, [None, None]);
        assert_eq!(batch.waiting().count(), 2);
    }

    #[test]
    fn a_message_of_several_knows_whose_it_is() {
        let batch = batch([(1, SENT_COPY), (2, ARCHIVE)]);
        assert_eq!(batch.roles, [6, 3, 6, 3]);
        assert_eq!(batch.shared[1].as_deref(), Some("{1,2}"));
    }

    /// It does not go with its entry: the archive keeps it.
    #[test]
    fn a_message_in_one_archive_knows_whose_it_is() {
        let batch = batch([(5, ARCHIVE)]);
        assert_eq!((batch.roles[0], batch.shared[0].as_deref()), (3, Some("{5}")));
    }

    #[test]
    fn an_owner_that_is_named_twice_has_one_entry() {
        let batch = batch([(1, SENT_COPY), (1, ARCHIVE)]);
        assert_eq!((batch.places.as_slice(), batch.roles.as_slice()), (&[1, 2][..], &[7, 7][..]));
    }

    #[test]
    fn what_is_nobodys_has_no_entry() {
        let batch = batch([(1, Role { waits: false, archived: false, sent: true })]);
        assert!(batch.places.is_empty() && batch.stanzas.iter().all(Vec::is_empty));
        assert_eq!(batch.len(), 2);
    }
}
