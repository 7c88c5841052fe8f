-- Jobs that one server at a time does. Each transaction of a job begins with meerkat_check_lease, so that whoever
-- held the lease, slept, and did not notice that it is another's by now commits nothing. All times are the database's.
CREATE TABLE lease (
    job text COLLATE "C" PRIMARY KEY,
    holder text NOT NULL,
    -- Rises whenever the lease is taken, and not when it is renewed.
    epoch bigint NOT NULL,
    since timestamptz NOT NULL,
    until timestamptz NOT NULL
);

-- Takes or renews a lease, and gives its epoch; null: another holds it. Whoever asks waits for the transactions
-- that are under way under the lease.
CREATE FUNCTION meerkat_lease(of_job text, of_holder text, of_millis bigint) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO lease (job, holder, epoch, since, until)
    VALUES (of_job, of_holder, 1, clock_timestamp(), clock_timestamp() + of_millis * interval '1 millisecond')
    ON CONFLICT (job) DO UPDATE SET
        holder = of_holder,
        epoch = lease.epoch + CASE WHEN lease.until > clock_timestamp() THEN 0 ELSE 1 END,
        since = CASE WHEN lease.until > clock_timestamp() THEN lease.since ELSE clock_timestamp() END,
        until = clock_timestamp() + of_millis * interval '1 millisecond'
    WHERE lease.holder = of_holder OR lease.until <= clock_timestamp()
    RETURNING epoch
$$;

-- The first statement of each transaction of a job. Raises MK002 where the lease is not held any more; until the
-- transaction's end nobody else can take it.
CREATE FUNCTION meerkat_check_lease(of_job text, of_epoch bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM lease WHERE job = of_job AND epoch = of_epoch AND until > clock_timestamp() FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the lease of % is not held any more: another does this now', of_job
            USING ERRCODE = 'MK002';
    END IF;
END
$$;
