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
