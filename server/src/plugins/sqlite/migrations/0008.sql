-- The catalogue of the cold archive (server/src/storage/cold.rs): files with old messages of archives, each with
-- everything that archives have of a range of ids. Times are milliseconds since 1970.
CREATE TABLE cold_file (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Where its bytes are: KIND:NAME.
    place TEXT NOT NULL UNIQUE,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL UNIQUE,
    oldest INTEGER NOT NULL,
    newest INTEGER NOT NULL,
    messages INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    index_at INTEGER NOT NULL,
    -- SHA-256.
    sum TEXT NOT NULL,
    -- How often something of it was given up that the file still has.
    stale INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX cold_file_stale ON cold_file (number) WHERE stale > 0;

-- What an owner has of a file: his entries from `first` to `last`.
CREATE TABLE cold_part (
    owner INTEGER NOT NULL,
    file INTEGER NOT NULL REFERENCES cold_file (number) ON DELETE CASCADE,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    PRIMARY KEY (owner, last)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX cold_part_of_file ON cold_part (file, owner);

-- Places to be removed from then on, unless they are a file's.
CREATE TABLE cold_note (
    place TEXT PRIMARY KEY,
    due INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
