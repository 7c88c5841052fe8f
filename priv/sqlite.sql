-- Meerkat's schema for SQLite: sqlite3 meerkat.db <sqlite.sql
-- The server makes and updates its tables by itself; this is for whoever would rather do it by hand.
-- Generated from server/src/plugins/sqlite/migrations: do not change it here.

BEGIN;

-- Times are UTC, ISO 8601. An owner is an account's number, which is never given twice.

-- The one row that says how far the store's own work has come.
CREATE TABLE progress (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    -- Messages up to this id have their entries in `waiting` and `archive`; those behind it are the tail.
    indexed INTEGER NOT NULL,
    -- Ranges of message ids up to `indexed` that nobody needs any more, still to be deleted.
    dead BLOB NOT NULL,
    -- When the store was last asked whether it can be written.
    probed TEXT
) STRICT;

INSERT INTO progress (one, indexed, dead) VALUES (1, 0, x'');

CREATE TABLE account (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    jid TEXT NOT NULL UNIQUE,
    domain TEXT NOT NULL,
    created TEXT NOT NULL,
    -- The reason, where an operator has banned it.
    banned TEXT,
    last_logout TEXT,
    last_status TEXT NOT NULL DEFAULT '',
    roster_epoch INTEGER NOT NULL,
    roster_counter INTEGER NOT NULL DEFAULT 0,
    -- The newest removal from the roster that is no longer in `roster_removed`.
    roster_forgotten INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE UNIQUE INDEX account_of_domain ON account (domain, jid);

-- Accounts that are gone, with entries of theirs that are still to be deleted.
CREATE TABLE account_removed (number INTEGER PRIMARY KEY) STRICT;

CREATE TABLE secret (
    owner INTEGER NOT NULL REFERENCES account (number) ON DELETE CASCADE,
    hash TEXT NOT NULL,
    salt BLOB NOT NULL,
    iterations INTEGER NOT NULL,
    stored_key BLOB NOT NULL,
    server_key BLOB NOT NULL,
    PRIMARY KEY (owner, hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE roster (
    owner INTEGER NOT NULL REFERENCES account (number) ON DELETE CASCADE,
    contact TEXT NOT NULL,
    name TEXT NOT NULL,
    -- A JSON array of texts.
    groups TEXT NOT NULL,
    subscription TEXT NOT NULL CHECK (subscription IN ('none', 'to', 'from', 'both')),
    ask INTEGER NOT NULL,
    approved INTEGER NOT NULL,
    -- The contact's subscription request as it came, until it is answered.
    request BLOB,
    -- 0 where there is nothing but a request: then no client sees it.
    listed INTEGER NOT NULL,
    -- The account's roster_counter at the item's latest push.
    changed INTEGER NOT NULL,
    PRIMARY KEY (owner, contact)
) STRICT, WITHOUT ROWID;

CREATE TABLE roster_removed (
    owner INTEGER NOT NULL REFERENCES account (number) ON DELETE CASCADE,
    changed INTEGER NOT NULL,
    contact TEXT NOT NULL,
    PRIMARY KEY (owner, changed)
) STRICT, WITHOUT ROWID;

CREATE TABLE blocked (
    owner INTEGER NOT NULL REFERENCES account (number) ON DELETE CASCADE,
    jid TEXT NOT NULL,
    PRIMARY KEY (owner, jid)
) STRICT, WITHOUT ROWID;

CREATE TABLE item (
    owner INTEGER NOT NULL REFERENCES account (number) ON DELETE CASCADE,
    collection TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (owner, collection, key)
) STRICT;

CREATE TABLE shared_item (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    collection TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    UNIQUE (collection, key)
) STRICT;

CREATE INDEX shared_item_by_age ON shared_item (collection, place);

CREATE TABLE shared_secret (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;

-- Appended to, in the order of ids. `owners`: a number for each (account << 3 | role) in LEB128, where
-- the role's bits are 1 waits, 2 archived, 4 sent; where archived, followed by `peer` in 8 bytes. Without owners it is a note of messages that were
-- taken while in the tail: its `stanza` is (account, id) pairs in LEB128.
CREATE TABLE message (
    id INTEGER PRIMARY KEY,
    time TEXT NOT NULL,
    owners BLOB NOT NULL,
    stanza BLOB NOT NULL
) STRICT;

-- Messages up to progress.indexed that wait for their owner. `alone`: no other entry needs the message.
CREATE TABLE waiting (
    owner INTEGER NOT NULL,
    id INTEGER NOT NULL,
    alone INTEGER NOT NULL,
    PRIMARY KEY (owner, id)
) STRICT, WITHOUT ROWID;

-- Messages up to progress.indexed in their owner's archive. `sent`: the owner sent it. `peer`: stands for
-- the other party's bare address (the first 64 bits of its SHA-256).
CREATE TABLE archive (
    owner INTEGER NOT NULL,
    id INTEGER NOT NULL,
    sent INTEGER NOT NULL,
    peer INTEGER NOT NULL,
    PRIMARY KEY (owner, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX archive_by_peer ON archive (owner, peer, id);
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
-- Leases of jobs: a file has one server, which keeps them in its memory.
-- Parts of the tables by month: a file has none. Words: text.rs makes its table where it is switched on.
-- Where the bytes of a stored file are: KIND:NAME, of the attempt that filled its slot. NULL: disk, under the
-- file's own name.
ALTER TABLE file ADD COLUMN blob TEXT;
-- What the event stream has not confirmed yet: a row for each commit that told it something. It belongs to
-- nobody, and is deleted once confirmed. `first`: the id of the commit's first message. `content`: see
-- server/src/storage/outbox/packed.rs.
CREATE TABLE outbox (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    first INTEGER NOT NULL,
    written TEXT NOT NULL,
    events INTEGER NOT NULL,
    content BLOB NOT NULL
) STRICT;
-- Between `first` and `last` lie entries of the owner with this peer, and perhaps others; outside of its runs lies none
-- that has one (those past progress.indexed are not counted). Runs of one owner and peer do not overlap.
CREATE TABLE run (
    owner INTEGER NOT NULL,
    peer INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (owner, peer, first)
) STRICT, WITHOUT ROWID;

INSERT INTO run (owner, peer, first, last)
    SELECT owner, peer, min(id), max(id) FROM archive GROUP BY owner, peer, id / 8192;

DROP INDEX archive_by_peer;
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

PRAGMA application_id = 1298875458; PRAGMA user_version = 8;
COMMIT;
