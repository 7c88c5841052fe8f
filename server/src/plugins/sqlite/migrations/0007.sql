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
