//! Takes everything of another store, page by page. Each page is one transaction, with how far it got, so
//! that a copy that was cut off goes on where it was. No server serves the database until it is done.

use sqlx::postgres::PgConnection;
use sqlx::{Connection, Postgres, Transaction};

use super::batch::Batch;
use super::link::{self, Opening, Options};
use super::schema;
use crate::plugins::copy::{Accounts, ColdRows, Messages, Outgoing, Progress, Rows, Sum};
use crate::storage::StoreError;

pub struct Import {
    connection: PgConnection,
    options: Options,
}

const PROGRESS: &str = "\
CREATE TABLE meerkat_copy (
    one boolean PRIMARY KEY CHECK (one),
    source text NOT NULL,
    account bigint NOT NULL DEFAULT 0,
    shared boolean NOT NULL DEFAULT false,
    message bigint NOT NULL DEFAULT 0,
    messages bigint NOT NULL DEFAULT 0,
    bytes bigint NOT NULL DEFAULT 0,
    entries bigint NOT NULL DEFAULT 0
)";

impl Import {
    /// Begins, or goes on with what was begun from the same source.
    pub async fn open(options: &Options, source: &str) -> Result<(Import, Progress), StoreError> {
        let connection = link::connect(options).await.map_err(Opening::error)?;
        let connection = schema::migrate(connection, &options.named).await.map_err(Opening::error)?;
        let mut import = Import { connection, options: options.clone() };
        let progress = import.begin(source).await.map_err(|error| options.named.error(&error))??;
        Ok((import, progress))
    }

    async fn begin(&mut self, source: &str) -> Result<Result<Progress, StoreError>, sqlx::Error> {
        let settings = "SET statement_timeout = 0; SET enable_seqscan = on";
        sqlx::raw_sql(settings).execute(&mut self.connection).await?;
        let place = &self.options.named.place;
        let refuse = |why: String| Ok(Err(StoreError::Conflict(why)));
        if !schema::is_copy_unfinished(&mut self.connection).await? {
            let is_empty: bool = sqlx::query_scalar(
                "SELECT NOT EXISTS (SELECT FROM account) AND NOT EXISTS (SELECT FROM message)
                 AND NOT EXISTS (SELECT FROM shared_secret)",
            )
            .fetch_one(&mut self.connection)
            .await?;
            if !is_empty {
                return refuse(format!(
                    "{place} is not empty: copy into a database that no server has served"
                ));
            }
            let mut transaction = self.connection.begin().await?;
            sqlx::raw_sql(PROGRESS).execute(&mut *transaction).await?;
            let note = sqlx::query("INSERT INTO meerkat_copy (one, source) VALUES (true, $1)").bind(source);
            note.execute(&mut *transaction).await?;
            transaction.commit().await?;
        }
        let (begun, account, shared, message): (String, i64, bool, i64) =
            sqlx::query_as("SELECT source, account, shared, message FROM meerkat_copy")
                .fetch_one(&mut self.connection)
                .await?;
        if begun != source {
            return refuse(format!("{place} has an unfinished copy of {begun}, and not of {source}"));
        }
        Ok(Ok(Progress { account: account as u64, shared, message: message as u64 }))
    }

    pub async fn accounts(&mut self, page: Accounts) -> Result<(), StoreError> {
        let note = sqlx::query("UPDATE meerkat_copy SET account = $1").bind(page.last as i64);
        let written = write_rows(&mut self.connection, &page.rows, note).await;
        written.map_err(|error| self.options.named.error(&error))
    }

    pub async fn shared(&mut self, rows: &[Rows]) -> Result<(), StoreError> {
        let note = sqlx::query("UPDATE meerkat_copy SET shared = $1").bind(true);
        let written = write_rows(&mut self.connection, rows, note).await;
        written.map_err(|error| self.options.named.error(&error))
    }

    pub async fn messages(&mut self, page: Messages) -> Result<(), StoreError> {
        let batch = Batch::new(page.drafts.iter());
        let bytes: usize = page.drafts.iter().map(|draft| draft.stanza.len()).sum();
        let write = async {
            let mut transaction = self.connection.begin().await?;
            batch.copy(&mut transaction, &page.ids).await?;
            let note = sqlx::query(
                "UPDATE meerkat_copy SET message = $1, messages = messages + $2, bytes = bytes + $3,
                     entries = entries + $4",
            );
            let note = note.bind(page.last as i64).bind(page.ids.len() as i64);
            note.bind(bytes as i64).bind(batch.entries() as i64).execute(&mut *transaction).await?;
            transaction.commit().await
        };
        write.await.map_err(|error| self.options.named.error(&error))
    }

    /// With the places that they have already.
    pub async fn outbox(&mut self, page: Outgoing) -> Result<(), StoreError> {
        for (place, first, written, events, content) in page.rows {
            let put = sqlx::query(
                "INSERT INTO outbox (place, first, written, events, content)
                 VALUES ($1, $2, $3::timestamptz, $4, $5) ON CONFLICT (place) DO NOTHING",
            );
            let put = put.bind(place).bind(first).bind(written).bind(events as i32).bind(content);
            put.execute(&mut self.connection).await.map_err(|error| self.options.named.error(&error))?;
        }
        Ok(())
    }

    /// With the number that it has already.
    pub async fn cold(&mut self, page: ColdRows) -> Result<(), StoreError> {
        // It notes nothing: what is there already is passed over.
        let note = sqlx::query("SELECT 1");
        let written = write_rows(&mut self.connection, &page.rows, note).await;
        written.map_err(|error| self.options.named.error(&error))
    }

    /// The same sums as on the other side (`sqlite/export.rs`).
    pub async fn sums(&mut self) -> Result<Vec<Sum>, StoreError> {
        let mut sums = Vec::new();
        for (table, sql) in SUMS {
            let sum = sqlx::query_as(sql).fetch_one(&mut self.connection).await;
            let (rows, sum): (i64, i64) = sum.map_err(|error| self.options.named.error(&error))?;
            sums.push(Sum { table, rows, sum });
        }
        Ok(sums)
    }

    /// Messages, bytes and entries: what was read, and what is there.
    pub async fn message_sums(&mut self) -> Result<([i64; 3], [i64; 3]), StoreError> {
        let sums: Result<(Vec<i64>, Vec<i64>), sqlx::Error> = sqlx::query_as(
            "SELECT ARRAY[messages, bytes, entries], ARRAY[
                 (SELECT count(*) FROM message),
                 (SELECT coalesce(sum(octet_length(stanza)), 0)::bigint FROM message),
                 (SELECT count(*) FROM waiting) + (SELECT count(*) FROM archive)
             ] FROM meerkat_copy",
        )
        .fetch_one(&mut self.connection)
        .await;
        let (read, there) = sums.map_err(|error| self.options.named.error(&error))?;
        let three = |sums: Vec<i64>| <[i64; 3]>::try_from(sums).unwrap_or_default();
        Ok((three(read), three(there)))
    }

    /// No number that was ever given is given again; servers may serve it now.
    pub async fn finish(mut self, last_account: u64, last_message: u64) -> Result<(), StoreError> {
        let named = self.options.named.clone();
        let finish = async {
            let mut transaction: Transaction<'_, Postgres> = self.connection.begin().await?;
            sqlx::query(
                "SELECT setval('account_number_seq', greatest($1, 1), $1 > 0),
                     setval('message_id', greatest($2, (SELECT last_value FROM message_id))),
                     setval('shared_item_place_seq', greatest((SELECT max(place) FROM shared_item), 1)),
                     setval('outbox_place_seq', greatest((SELECT max(place) FROM outbox), 1)),
                     setval('cold_file_number_seq', greatest((SELECT max(number) FROM cold_file), 1))",
            )
            .bind(last_account as i64)
            .bind(last_message as i64)
            .execute(&mut *transaction)
            .await?;
            sqlx::raw_sql("DROP TABLE meerkat_copy").execute(&mut *transaction).await?;
            transaction.commit().await?;
            sqlx::raw_sql("ANALYZE").execute(&mut self.connection).await
        };
        finish.await.map(|_| ()).map_err(|error| named.error(&error))
    }
}

type Note<'q> = sqlx::query::Query<'q, Postgres, sqlx::postgres::PgArguments>;

async fn write_rows(connection: &mut PgConnection, rows: &[Rows], note: Note<'_>) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    for Rows { table, json } in rows {
        let Some((_, sql)) = INSERTS.iter().find(|(name, _)| name == table) else { continue };
        sqlx::query(*sql).bind(json).execute(&mut *transaction).await?;
    }
    note.execute(&mut *transaction).await?;
    transaction.commit().await
}

const INSERTS: [(&str, &str); 12] = [
    (
        "cold_file",
        "INSERT INTO cold_file (number, place, first, last, oldest, newest, messages, entries, bytes, index_at, sum,
             stale)
         SELECT number, place, first, last, oldest, newest, messages, entries, bytes, index_at, sum, stale
         FROM json_to_recordset($1::json) AS r (number bigint, place text, first bigint, last bigint,
             oldest bigint, newest bigint, messages bigint, entries bigint, bytes bigint, index_at bigint,
             sum text, stale bigint)
         ON CONFLICT DO NOTHING",
    ),
    (
        "cold_part",
        "INSERT INTO cold_part (owner, file, first, last, entries) SELECT owner, file, first, last, entries
         FROM json_to_recordset($1::json) AS r (owner bigint, file bigint, first bigint, last bigint,
             entries bigint)
         ON CONFLICT DO NOTHING",
    ),
    (
        "cold_note",
        "INSERT INTO cold_note (place, due) SELECT place, due
         FROM json_to_recordset($1::json) AS r (place text, due bigint)",
    ),
    (
        "account",
        "INSERT INTO account (number, jid, domain, created, banned, last_logout, last_status, roster_epoch,
             roster_counter, roster_forgotten)
         SELECT number, jid, domain, created, banned, last_logout, last_status, roster_epoch, roster_counter,
             roster_forgotten
         FROM json_to_recordset($1::json) AS r (number bigint, jid text, domain text, created timestamptz,
             banned text, last_logout timestamptz, last_status text, roster_epoch bigint, roster_counter bigint,
             roster_forgotten bigint)",
    ),
    (
        "secret",
        "INSERT INTO secret (owner, hash, salt, iterations, stored_key, server_key)
         SELECT owner, hash, decode(salt, 'hex'), iterations, decode(stored_key, 'hex'), decode(server_key, 'hex')
         FROM json_to_recordset($1::json) AS r (owner bigint, hash text, salt text, iterations integer,
             stored_key text, server_key text)",
    ),
    (
        "roster",
        "INSERT INTO roster (owner, contact, name, groups, subscription, ask, approved, request, listed, changed)
         SELECT owner, contact, name, ARRAY(SELECT json_array_elements_text(groups)), subscription, ask <> 0,
             approved <> 0, decode(request, 'hex'), listed <> 0, changed
         FROM json_to_recordset($1::json) AS r (owner bigint, contact text, name text, groups json,
             subscription text, ask integer, approved integer, request text, listed integer, changed bigint)",
    ),
    (
        "roster_removed",
        "INSERT INTO roster_removed (owner, changed, contact) SELECT owner, changed, contact
         FROM json_to_recordset($1::json) AS r (owner bigint, changed bigint, contact text)",
    ),
    (
        "blocked",
        "INSERT INTO blocked (owner, jid) SELECT owner, jid
         FROM json_to_recordset($1::json) AS r (owner bigint, jid text)",
    ),
    (
        "item",
        "INSERT INTO item (owner, collection, key, value) SELECT owner, collection, key, decode(value, 'hex')
         FROM json_to_recordset($1::json) AS r (owner bigint, collection text, key text, value text)",
    ),
    (
        "file",
        "INSERT INTO file (name, owner, title, media_type, size, created, awaited_until, expires, stored, blob)
         SELECT name, owner, title, media_type, size, created, awaited_until, expires, stored <> 0, blob
         FROM json_to_recordset($1::json) AS r (name text, owner bigint, title text, media_type text,
             size bigint, created timestamptz, awaited_until timestamptz, expires timestamptz, stored integer,
             blob text)",
    ),
    (
        "shared_item",
        "INSERT INTO shared_item (place, collection, key, value)
         SELECT place, collection, key, decode(value, 'hex')
         FROM json_to_recordset($1::json) AS r (place bigint, collection text, key text, value text)",
    ),
    (
        "shared_secret",
        "INSERT INTO shared_secret (name, value) SELECT name, decode(value, 'hex')
         FROM json_to_recordset($1::json) AS r (name text, value text)",
    ),
];

const SUMS: [(&str, &str); 13] = [
    (
        "cold_file",
        "SELECT count(*), coalesce(sum(number + octet_length(place) + first + last + oldest + newest + messages
             + entries + bytes + index_at + octet_length(sum) + stale), 0)::bigint FROM cold_file",
    ),
    (
        "cold_part",
        "SELECT count(*), coalesce(sum(owner + file + first + last + entries), 0)::bigint FROM cold_part",
    ),
    ("cold_note", "SELECT count(*), coalesce(sum(octet_length(place) + due), 0)::bigint FROM cold_note"),
    (
        "outbox",
        "SELECT count(*), coalesce(sum(place + events + octet_length(content)), 0)::bigint FROM outbox",
    ),
    (
        "account",
        "SELECT count(*), coalesce(sum(number + octet_length(jid) + roster_counter + roster_forgotten
             + coalesce(octet_length(banned), 0) + octet_length(last_status)), 0)::bigint FROM account",
    ),
    (
        "secret",
        "SELECT count(*), coalesce(sum(owner + iterations + octet_length(salt) + octet_length(stored_key)
             + octet_length(server_key)), 0)::bigint FROM secret",
    ),
    (
        "roster",
        "SELECT count(*), coalesce(sum(owner + octet_length(contact) + octet_length(name) + ask::int * 2
             + approved::int * 3 + listed::int * 5 + changed + coalesce(octet_length(request), 0)
             + cardinality(groups)), 0)::bigint FROM roster",
    ),
    (
        "roster_removed",
        "SELECT count(*), coalesce(sum(owner + changed + octet_length(contact)), 0)::bigint FROM roster_removed",
    ),
    ("blocked", "SELECT count(*), coalesce(sum(owner + octet_length(jid)), 0)::bigint FROM blocked"),
    (
        "item",
        "SELECT count(*), coalesce(sum(owner + octet_length(collection) + octet_length(key)
             + octet_length(value)), 0)::bigint FROM item",
    ),
    (
        "file",
        "SELECT count(*), coalesce(sum(coalesce(owner, 0) + size + stored::int + octet_length(title)
             + coalesce(octet_length(media_type), 0) + coalesce(octet_length(blob), 0)), 0)::bigint FROM file",
    ),
    (
        "shared_item",
        "SELECT count(*), coalesce(sum(place + octet_length(key) + octet_length(value)), 0)::bigint
         FROM shared_item",
    ),
    (
        "shared_secret",
        "SELECT count(*), coalesce(sum(octet_length(name) + octet_length(value)), 0)::bigint FROM shared_secret",
    ),
];
