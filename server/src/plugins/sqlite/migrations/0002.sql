-- Uploaded files, from the grant of a slot on. Their bytes are elsewhere, under `name`.
CREATE TABLE file (
    name TEXT PRIMARY KEY,
    -- NULL once the account is gone: the file is to go too.
    owner INTEGER REFERENCES account (number) ON DELETE SET NULL,
    title TEXT NOT NULL,
    media_type TEXT,
    size INTEGER NOT NULL,
    created TEXT NOT NULL,
    awaited_until TEXT NOT NULL,
    -- NULL: never.
    expires TEXT,
    -- It has been uploaded, whole.
    stored INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX file_of_owner ON file (owner, created);
CREATE INDEX file_expiring ON file (expires) WHERE expires IS NOT NULL;
CREATE INDEX file_awaited ON file (awaited_until) WHERE stored = 0;
