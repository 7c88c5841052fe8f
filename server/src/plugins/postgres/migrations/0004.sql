-- Messages, archives and words in parts, each a range of ids and so of time: what nobody keeps any more goes by
-- dropping a part. A part is a month; `first` is everything up to the end of the month in which the parts were
-- made; `rest` is everything behind the months that are made ahead, and is empty as long as they are made in time;
-- `kept` is what still waits of the months that were dropped. A table of a part is named message_first,
-- message_2026_11, and so on. The parts leave no gap, so that any message can be saved.
CREATE TABLE part (
    name text COLLATE "C" PRIMARY KEY,
    -- The first id of the part, and the first behind it.
    first bigint NOT NULL,
    behind bigint NOT NULL
);

ALTER TABLE message RENAME TO message_first;
ALTER INDEX message_pkey RENAME TO message_first_pkey;
ALTER TABLE archive RENAME TO archive_first;
ALTER INDEX archive_pkey RENAME TO archive_first_pkey;
ALTER INDEX archive_by_peer RENAME TO archive_first_by_peer;

-- `owners`: those with an entry, for the deletion of a message that nobody needs; null where all there is is
-- one entry that waits.
CREATE TABLE message (
    id bigint PRIMARY KEY,
    time timestamptz NOT NULL,
    owners bigint[],
    stanza bytea NOT NULL
) PARTITION BY RANGE (id);

-- Messages in their owner's archive. `sent`: the owner sent it. `peer`: stands for the other party's bare
-- address (the first 64 bits of its SHA-256).
CREATE TABLE archive (
    owner bigint NOT NULL,
    id bigint NOT NULL,
    peer bigint NOT NULL,
    sent boolean NOT NULL,
    PRIMARY KEY (owner, id)
) PARTITION BY RANGE (id);

CREATE INDEX archive_by_peer ON archive (owner, peer, id);

-- The words of messages in archives, and, as @NUMBER, their owners; where modules.mam.full_text is on.
CREATE TABLE message_text (
    id bigint PRIMARY KEY,
    words tsvector NOT NULL
) PARTITION BY RANGE (id);

CREATE INDEX message_text_words ON message_text USING gin (words);

-- Up to which id they are there. No row: it is off.
CREATE TABLE text_progress (
    one boolean PRIMARY KEY CHECK (one),
    indexed bigint NOT NULL
);

-- The id at which a month begins: the one in which an id was given, or so many behind it. And the month's name.
CREATE FUNCTION meerkat_month(of_id bigint, ahead integer, OUT first bigint, OUT name text)
LANGUAGE sql STABLE AS $$
    SELECT (extract(epoch FROM month AT TIME ZONE 'UTC') * 1000)::bigint << 20, to_char(month, 'YYYY_MM')
    FROM (SELECT date_trunc('month', to_timestamp((of_id >> 20) / 1000.0) AT TIME ZONE 'UTC')
        + ahead * interval '1 month') AS m (month)
$$;

-- The least id that may be given from now on.
CREATE FUNCTION meerkat_now() RETURNS bigint LANGUAGE sql AS $$
    SELECT greatest(last_value + 1, (extract(epoch FROM clock_timestamp()) * 1000)::bigint << 20)
    FROM message_id
$$;

-- A part's tables, for ids from `first` on and below `behind`.
CREATE FUNCTION meerkat_make_part(of_name text, of_first bigint, of_behind bigint)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    whole text;
BEGIN
    FOREACH whole IN ARRAY ARRAY['message', 'archive', 'message_text'] LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%s) TO (%s)%s',
            whole || '_' || of_name, whole, of_first, of_behind,
            CASE whole WHEN 'message' THEN ' WITH (autovacuum_vacuum_scale_factor = 0.05)' ELSE '' END);
    END LOOP;
    INSERT INTO part (name, first, behind) VALUES (of_name, of_first, of_behind);
END
$$;

-- Makes the months that are missing of this one and the next two, and gives their names. Whoever comes first does it;
-- everybody else waits for a moment, and no longer than that: where it does not get its locks it fails.
-- Where there is something in `rest`, as when nobody did it in time, that becomes a part first.
CREATE FUNCTION meerkat_make_months() RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    whole text;
    made text[] := '{}';
    least bigint;
    goal bigint;
    next bigint;
    month text;
    is_empty boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(19819, 3);
    SELECT part.first INTO least FROM part WHERE name = 'rest';
    SELECT m.first INTO goal FROM meerkat_month(meerkat_now(), 3) AS m;
    IF least >= goal THEN
        RETURN made;
    END IF;
    PERFORM set_config('lock_timeout', '500ms', true);
    LOCK TABLE ONLY message, ONLY archive, ONLY message_text IN ACCESS EXCLUSIVE MODE;
    SELECT NOT EXISTS (SELECT FROM message_rest) INTO is_empty;
    -- This month, where it is not made yet, begins where the parts end, and has what came into `rest`.
    SELECT m.first, (meerkat_month(meerkat_now(), 0)).name INTO next, month FROM meerkat_month(meerkat_now(), 1) AS m;
    FOREACH whole IN ARRAY ARRAY['message', 'archive', 'message_text'] LOOP
        EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', whole, whole || '_rest');
        IF NOT is_empty THEN
            next := greatest(next, (SELECT m.first FROM meerkat_month(least, 1) AS m));
            EXECUTE format('ALTER TABLE %I RENAME TO %I', whole || '_rest', whole || '_' || month);
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
                whole, whole || '_' || month, least, next);
        END IF;
    END LOOP;
    IF is_empty THEN
        DELETE FROM part WHERE name = 'rest';
    ELSE
        UPDATE part SET name = month, behind = next WHERE name = 'rest';
        made := made || month;
        least := next;
    END IF;
    WHILE least < goal LOOP
        IF least >= next THEN
            SELECT m.first, (meerkat_month(least, 0)).name INTO next, month FROM meerkat_month(least, 1) AS m;
        END IF;
        PERFORM meerkat_make_part(month, least, next);
        made := made || month;
        least := next;
    END LOOP;
    IF is_empty THEN
        FOREACH whole IN ARRAY ARRAY['message', 'archive', 'message_text'] LOOP
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
                whole, whole || '_rest', least, 9223372036854775807);
        END LOOP;
        INSERT INTO part (name, first, behind) VALUES ('rest', least, 9223372036854775807);
    ELSE
        PERFORM meerkat_make_part('rest', least, 9223372036854775807);
    END IF;
    RETURN made;
END
$$;

-- Whoever waits for a message of the part has it for himself from now on, whatever the archives have. Before the
-- part is dropped, and apart from it: others take messages meanwhile.
CREATE FUNCTION meerkat_loosen_part(of_name text, of_job text, of_epoch bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    loosened bigint;
BEGIN
    PERFORM meerkat_check_lease(of_job, of_epoch);
    UPDATE waiting SET bond = 1 FROM part
    WHERE part.name = of_name AND waiting.bond = 2 AND waiting.id >= part.first AND waiting.id < part.behind;
    GET DIAGNOSTICS loosened = ROW_COUNT;
    RETURN loosened;
END
$$;

-- Drops the oldest part, as one transaction of a job, and gives how many messages of it are kept because they
-- still wait for somebody. The archives' entries of the part are gone then: whoever waits for a message of it has it
-- for himself already (meerkat_loosen_part).
CREATE FUNCTION meerkat_drop_part(of_name text, of_job text, of_epoch bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    whole text;
    least bigint;
    next bigint;
    owners bigint[];
    ids bigint[];
    kept bigint;
BEGIN
    PERFORM meerkat_check_lease(of_job, of_epoch);
    SELECT part.first, part.behind INTO least, next FROM part
    WHERE name = of_name AND name NOT IN ('kept', 'rest');
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    IF EXISTS (SELECT FROM part WHERE part.first < least AND name <> 'kept') THEN
        RAISE EXCEPTION 'the part % is not the oldest', of_name;
    END IF;
    -- No entry comes to a message that is old. This looks through all that waits, so it is done before others have
    -- to wait for us.
    SELECT coalesce(array_agg(w.owner), '{}'), coalesce(array_agg(w.id), '{}') INTO owners, ids
    FROM waiting AS w WHERE w.id >= least AND w.id < next;
    PERFORM set_config('lock_timeout', '500ms', true);
    LOCK TABLE ONLY message, ONLY archive, ONLY message_text IN ACCESS EXCLUSIVE MODE;
    FOREACH whole IN ARRAY ARRAY['message', 'archive', 'message_text'] LOOP
        EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', whole, whole || '_' || of_name);
    END LOOP;
    IF EXISTS (SELECT FROM part WHERE name = 'kept') THEN
        ALTER TABLE message DETACH PARTITION message_kept;
        UPDATE part SET behind = next WHERE name = 'kept';
    ELSE
        CREATE TABLE message_kept (LIKE message INCLUDING ALL);
        INSERT INTO part (name, first, behind) VALUES ('kept', 0, next);
    END IF;
    EXECUTE format('INSERT INTO message_kept (id, time, owners, stanza)
        SELECT DISTINCT ON (m.id) m.id, m.time, m.owners, m.stanza
        FROM unnest($1, $2) AS w (owner, id) JOIN waiting USING (owner, id) JOIN %I AS m USING (id)',
        'message_' || of_name) USING owners, ids;
    GET DIAGNOSTICS kept = ROW_COUNT;
    EXECUTE format('ALTER TABLE message ATTACH PARTITION message_kept FOR VALUES FROM (0) TO (%s)', next);
    FOREACH whole IN ARRAY ARRAY['message', 'archive', 'message_text'] LOOP
        EXECUTE format('DROP TABLE %I', whole || '_' || of_name);
    END LOOP;
    DELETE FROM part WHERE name = of_name;
    RETURN kept;
END
$$;

-- Deletes those of these messages that no entry needs, with their words. The caller has them locked.
CREATE OR REPLACE FUNCTION meerkat_sweep(of_ids bigint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    gone bigint[];
BEGIN
    WITH deleted AS (
        DELETE FROM message USING unnest(of_ids) AS old (id)
        WHERE message.id = old.id AND message.owners IS NOT NULL
            AND NOT EXISTS (SELECT FROM waiting, unnest(message.owners) AS o (account)
                WHERE waiting.owner = o.account AND waiting.id = message.id)
            AND NOT EXISTS (SELECT FROM archive, unnest(message.owners) AS o (account)
                WHERE archive.owner = o.account AND archive.id = message.id)
        RETURNING message.id
    ) SELECT array_agg(id) INTO gone FROM deleted;
    IF gone IS NOT NULL AND EXISTS (SELECT FROM text_progress) THEN
        DELETE FROM message_text WHERE id = ANY (gone);
    END IF;
END
$$;

-- What there is already becomes the first part as it is, with its indexes: it is read through once.
DO $$
DECLARE
    next bigint := (SELECT first FROM meerkat_month(meerkat_now(), 1));
BEGIN
    EXECUTE format('ALTER TABLE message ATTACH PARTITION message_first FOR VALUES FROM (0) TO (%s)', next);
    EXECUTE format('ALTER TABLE archive ATTACH PARTITION archive_first FOR VALUES FROM (0) TO (%s)', next);
    EXECUTE format('CREATE TABLE message_text_first PARTITION OF message_text FOR VALUES FROM (0) TO (%s)', next);
    INSERT INTO part (name, first, behind) VALUES ('first', 0, next);
    PERFORM meerkat_make_part('rest', next, 9223372036854775807);
    PERFORM meerkat_make_months();
END
$$;
