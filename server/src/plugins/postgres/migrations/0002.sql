-- Uploaded files, from the grant of a slot on. Their bytes are elsewhere, under `name`.
CREATE TABLE file (
    name text COLLATE "C" PRIMARY KEY,
    -- Null once the account is gone: the file is to go too.
    owner bigint REFERENCES account (number) ON DELETE SET NULL,
    title text NOT NULL,
    media_type text,
    size bigint NOT NULL,
    created timestamptz NOT NULL,
    awaited_until timestamptz NOT NULL,
    -- Null: never.
    expires timestamptz,
    -- It has been uploaded, whole.
    stored boolean NOT NULL
);

CREATE INDEX file_of_owner ON file (owner, created);
CREATE INDEX file_expiring ON file (expires) WHERE expires IS NOT NULL;
CREATE INDEX file_awaited ON file (awaited_until) WHERE NOT stored;
