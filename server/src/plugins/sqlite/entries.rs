//! The entries of a bulk, put in by slices.
//!
//! An archive is read by owner, and by owner and peer. For the latter there is no index: a tree of every entry once
//! more would take as long to fill as the archive itself. A run says between which ids the entries with a
//! peer lie, one for each owner and peer of a bulk; the entries between them are looked through. So runs of one
//! owner and peer never overlap, and one that outlived its entries does no harm.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use sqlx::SqliteConnection;

use super::chores::SLICE_ROWS;
use super::tail::Entry;
use crate::storage::{AccountNumber, MessageId, Peer};

pub static INTO_WAITING: LazyLock<Inserts<Entry, 3>> = LazyLock::new(|| Inserts {
    columns: |entry| [entry.owner.0 as i64, entry.id.0 as i64, entry.flag.into()],
    by_rows: statements("INSERT OR IGNORE INTO waiting (owner, id, alone) VALUES", "(?,?,?)", ""),
});

pub static INTO_ARCHIVE: LazyLock<Inserts<Entry, 4>> = LazyLock::new(|| Inserts {
    columns: |entry| [entry.owner.0 as i64, entry.id.0 as i64, entry.flag.into(), entry.peer.0 as i64],
    by_rows: statements("INSERT OR IGNORE INTO archive (owner, id, sent, peer) VALUES", "(?,?,?,?)", ""),
});

/// A bulk that a crash cut off may come back shorter; then its runs begin as before, and end sooner.
pub static INTO_RUNS: LazyLock<Inserts<Run, 4>> = LazyLock::new(|| Inserts {
    columns: |run| [run.owner.0 as i64, run.peer.0 as i64, run.first.0 as i64, run.last.0 as i64],
    by_rows: statements(
        "INSERT INTO run (owner, peer, first, last) VALUES",
        "(?,?,?,?)",
        " ON CONFLICT (owner, peer, first) DO UPDATE SET last = excluded.last",
    ),
});

/// The first and the last entry of an owner with a peer in a bulk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    pub owner: AccountNumber,
    pub peer: Peer,
    pub first: MessageId,
    pub last: MessageId,
}

/// The runs of entries that come in order of owner and id.
pub fn runs_of(entries: &[Entry]) -> Vec<Run> {
    let mut runs: BTreeMap<(u64, u64), Run> = BTreeMap::new();
    for Entry { owner, id, peer, .. } in entries.iter().copied() {
        let run = Run { owner, peer, first: id, last: id };
        runs.entry((owner.0, peer.0)).and_modify(|run| run.last = id).or_insert(run);
    }
    runs.into_values().collect()
}

/// A statement for each size of a slice. Parameters take SQLite half the time of a JSON array's members.
pub struct Inserts<Row: 'static, const COLUMNS: usize> {
    columns: fn(&Row) -> [i64; COLUMNS],
    by_rows: Vec<(usize, String)>,
}

impl<Row: Copy, const COLUMNS: usize> Inserts<Row, COLUMNS> {
    /// Puts in up to `at_most` of the rows behind those that are made. False when there was nothing left to make.
    pub async fn slice(
        &'static self,
        connection: &mut SqliteConnection,
        rows: &[Row],
        made: &mut usize,
        at_most: usize,
    ) -> Result<bool, sqlx::Error> {
        let left = rows.get(*made..).unwrap_or_default();
        let fitting = self.by_rows.iter().find(|(size, _)| *size >= left.len().min(at_most));
        let Some((size, sql)) = fitting.or(self.by_rows.last()) else { return Ok(false) };
        let slice = left.get(..at_most.min(*size)).unwrap_or(left);
        let Some(last) = slice.last() else { return Ok(false) };
        let mut insert = sqlx::query(sql.as_str());
        // A statement that is larger than the slice gets its last row again, which changes nothing.
        for row in slice.iter().chain(std::iter::repeat(last)).take(*size) {
            insert = (self.columns)(row).into_iter().fold(insert, |insert, column| insert.bind(column));
        }
        insert.execute(connection).await?;
        *made += slice.len();
        Ok(true)
    }
}

fn statements(into: &str, row: &str, on_conflict: &str) -> Vec<(usize, String)> {
    let sizes = std::iter::successors(Some(*SLICE_ROWS.start()), |rows| Some(rows * 2));
    let sizes = sizes.take_while(|rows| rows <= SLICE_ROWS.end());
    sizes.map(|rows| (rows, format!("{into} {}{on_conflict}", vec![row; rows].join(",")))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_goes_from_the_first_entry_with_a_peer_to_the_last() {
        let entry = |owner, id, peer| Entry {
            owner: AccountNumber(owner),
            id: MessageId(id),
            flag: false,
            peer: Peer(peer),
        };
        let entries = [entry(1, 3, 7), entry(1, 4, 8), entry(1, 9, 7), entry(2, 3, 7)];
        let run = |owner, peer, first, last| Run {
            owner: AccountNumber(owner),
            peer: Peer(peer),
            first: MessageId(first),
            last: MessageId(last),
        };
        assert_eq!(runs_of(&entries), [run(1, 7, 3, 9), run(1, 8, 4, 4), run(2, 7, 3, 3)]);
    }
}
